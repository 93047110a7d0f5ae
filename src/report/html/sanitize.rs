//! Raw HTML in the Markdown: only the few tags that reports themselves are written with pass, all else is shown as text.

use crate::report::picture::svg::escape;

/// Tags that pass as they are.
const TAGS: [&str; 5] = ["</a>", "<details>", "</details>", "<summary>", "</summary>"];

/// The HTML with every tag but ours escaped.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        out.push_str(&plain(before));
        match ours(tag) {
            Some(length) => {
                out.push_str(&tag[..length]);
                rest = &tag[length..];
            }
            None => {
                out.push_str("&lt;");
                rest = &tag[1..];
            }
        }
    }
    out.push_str(&plain(rest));
    out
}

/// Text between tags; its line ends stay, since they end blocks.
fn plain(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// The length of the tag that the text begins with, where it is one of ours: those above, and `<a id="…">`.
fn ours(text: &str) -> Option<usize> {
    if let Some(tag) = TAGS.iter().find(|tag| text.starts_with(**tag)) {
        return Some(tag.len());
    }
    let rest = text.strip_prefix("<a id=\"")?;
    let name = rest.find('"')?;
    let good = !rest[..name].is_empty() && rest[..name].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (good && rest[name..].starts_with("\">")).then(|| text.len() - rest.len() + name + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn our_own_tags_pass() {
        for tag in ["<details><summary>text</summary>", "</details>", "<a id=\"f12\"></a>"] {
            assert_eq!(html(tag), tag);
        }
    }

    #[test]
    fn others_are_shown() {
        assert_eq!(html("<b>x</b>"), "&lt;b&gt;x&lt;/b&gt;");
        assert_eq!(html("<a id=\"x\" onclick=\"y\">"), "&lt;a id=&quot;x&quot; onclick=&quot;y&quot;&gt;");
        assert_eq!(html("<details open>"), "&lt;details open&gt;");
    }

    proptest! {
        #[test]
        fn only_our_tags_are_left(text in "[<>a-z/\"= &]{0,60}") {
            let clean = html(&text);
            for tag in clean.split('<').skip(1) {
                prop_assert!(ours(&format!("<{tag}")).is_some(), "{clean}");
            }
        }
    }
}
