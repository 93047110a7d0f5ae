//! The pages of `docs/errors/`, one for each code, and in `docs/errors/ru/` the same in Russian: compiled in, so that
//! they can be read where there is no network.

use crate::lab::diagnostic;
use crate::lab::library::{builtin, builtin_files};
use crate::lab::model::Lang;

const FOLDER: &str = "docs/errors/";

/// Every code, in order.
pub fn codes() -> Vec<&'static str> {
    builtin_files(FOLDER)
        .filter_map(|(path, _)| path.strip_prefix(FOLDER)?.strip_suffix(".md"))
        .filter(|name| !name.contains('/'))
        .collect()
}

/// The page of a code, as Markdown; in English where it is not written in the language.
pub fn page(code: &str, lang: Lang) -> Option<&'static str> {
    let own = (lang != Lang::En).then(|| builtin(&format!("{FOLDER}{}/{code}.md", lang.code()))).flatten();
    own.or_else(|| builtin(&format!("{FOLDER}{code}.md")))
}

/// The code that is nearest to a text, where one is near.
pub fn nearest(code: &str) -> Option<&'static str> {
    diagnostic::nearest(code, codes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_there_by_code_and_language() {
        assert!(page("LR0701", Lang::En).unwrap().starts_with("# LR0701: HAProxy's check"));
        assert!(page("LR0701", Lang::Ru).unwrap().contains("**Что делать.**"));
        assert_eq!(page("LR9999", Lang::Ru), None);
        assert_eq!(nearest("LR071"), Some("LR0701"));
        assert!(codes().len() > 50 && codes().is_sorted());
    }

    #[test]
    fn every_page_has_its_code_and_says_what_to_do_in_both_languages() {
        for code in codes() {
            for (lang, what_to_do) in [(Lang::En, "**What to do.**"), (Lang::Ru, "**Что делать.**")] {
                let page = page(code, lang).unwrap();
                assert!(page.starts_with(&format!("# {code}: ")), "{code} {lang:?}");
                assert!(page.contains(what_to_do), "{code} {lang:?} says not what to do");
            }
        }
    }

    /// Every code that stands in the sources can be explained.
    #[test]
    fn no_code_is_without_a_page() {
        let mut pending = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut seen = 0;
        while let Some(dir) = pending.pop() {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    pending.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                for rest in text.split("code(LR").skip(1) {
                    let code = format!("LR{}", rest.chars().take(4).collect::<String>());
                    if code.chars().skip(2).all(|c| c.is_ascii_digit()) && code.len() == 6 {
                        assert!(page(&code, Lang::En).is_some(), "{code} in {} has no page", path.display());
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 20);
    }
}
