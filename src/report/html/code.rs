//! Code blocks with a little colour: comments, keys, strings and prompts. A line at a time; what is not recognised stays plain.

use std::fmt::Write;

use crate::report::picture::svg::escape;

/// A block as `<pre>`.
pub fn block(language: &str, text: &str) -> String {
    let paint: fn(&str) -> String = match language {
        "yaml" | "yml" => yaml,
        "dockerfile" | "haproxy" => words,
        "console" => console,
        _ => escape,
    };
    let mut html = String::from(if language == "console" { "<pre class=\"console\"><code>" } else { "<pre><code>" });
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        // A tab is text here, not a blank.
        let painted = line.split('\t').map(paint).collect::<Vec<_>>().join("\t");
        let _ = write!(html, "{painted}{end}");
    }
    html.push_str("</code></pre>\n");
    html
}

fn span(class: &str, text: &str) -> String {
    format!("<span class=\"{class}\">{}</span>", escape(text))
}

/// `key: value`, `- item`, comments.
fn yaml(line: &str) -> String {
    let body = line.trim_start();
    if body.starts_with('#') {
        return span("c", line);
    }
    let item = body.strip_prefix("- ").map_or(body, str::trim_start);
    let indent = &line[..line.len() - item.len()];
    let key = item.split_once(':').filter(|(key, rest)| {
        (rest.is_empty() || rest.starts_with(' ')) && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    });
    match key {
        Some((key, rest)) => format!("{}{}:{}", escape(indent), span("k", key), value(rest)),
        None => format!("{}{}", escape(indent), value(item)),
    }
}

fn value(text: &str) -> String {
    let body = text.trim();
    let quoted = body.len() > 1 && ['"', '\''].iter().any(|quote| body.starts_with(*quote) && body.ends_with(*quote));
    if quoted { span("s", text) } else { escape(text) }
}

/// The first word of a line, as in a Dockerfile or haproxy.cfg.
fn words(line: &str) -> String {
    let body = line.trim_start();
    let indent = &line[..line.len() - body.len()];
    if body.starts_with('#') {
        return span("c", line);
    }
    let length = body.find(char::is_whitespace).unwrap_or(body.len());
    let (word, rest) = body.split_at(length);
    let known = word.chars().all(|c| c.is_ascii_uppercase()) || indent.is_empty() || indent.len() == 4;
    if word.is_empty() || !known {
        return escape(line);
    }
    format!("{}{}{}", escape(indent), span("k", word), escape(rest))
}

fn console(line: &str) -> String {
    match line.strip_prefix("$ ") {
        Some(command) => format!("{} {}", span("p", "$"), span("t", command)),
        None => escape(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_comments_and_strings_are_told_apart() {
        assert_eq!(yaml("  ttl: 30"), "  <span class=\"k\">ttl</span>: 30");
        assert_eq!(yaml("  - \"5433:5432\""), "  - <span class=\"s\">&quot;5433:5432&quot;</span>");
        assert_eq!(yaml("# why"), "<span class=\"c\"># why</span>");
        assert_eq!(yaml("    - host all all 0.0.0.0/0 md5"), "    - host all all 0.0.0.0/0 md5");
    }

    #[test]
    fn text_is_never_lost() {
        let text = "a:\n\t- b <x>\n\n$ ls";
        for language in ["yaml", "dockerfile", "console", ""] {
            let html = block(language, text);
            let plain: String = html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, rest)| rest)).collect();
            assert_eq!(plain.replace("&lt;", "<").replace("&gt;", ">").trim_end(), text, "{language}");
        }
    }
}
