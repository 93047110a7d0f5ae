//! Text put into Markdown so that it stays text: nothing that a node printed can become markup.

/// Escapes `text` for a paragraph, a heading or a table cell (CommonMark with GFM's tables and strikethrough, and
/// GitHub's `$` formulas). Line ends become spaces.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let chars: Vec<char> = text.chars().collect();
    for (place, &c) in chars.iter().enumerate() {
        let before = place.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(place + 1).copied();
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '$' | '&' => {
                out.push('\\');
                out.push(c);
            }
            // Within a word an underscore is only an underscore, and names stay readable in the source.
            '_' if !inner(before) || !inner(after) => out.push_str("\\_"),
            // Marks of headings, lists, rules and links to pictures count at the start only, and behind blanks there.
            '#' | '+' | '-' | '=' | '!' if chars[..place].iter().all(|c| c.is_whitespace()) => {
                out.push('\\');
                out.push(c);
            }
            '!' if after == Some('[') => out.push_str("\\!"),
            '.' | ')' if ends_list_mark(&chars, place) => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// `1.` and `1)` begin a list when nothing or a blank follows.
fn ends_list_mark(chars: &[char], place: usize) -> bool {
    let blank = chars.get(place + 1).is_none_or(|c| c.is_whitespace());
    let mut mark = chars[..place].iter().skip_while(|c| c.is_whitespace()).peekable();
    blank && mark.peek().is_some() && mark.all(char::is_ascii_digit)
}

fn inner(c: Option<char>) -> bool {
    c.is_some_and(char::is_alphanumeric)
}

/// A code span, its fence longer than any run of backticks within. A `|` stays as it is: see [`code_in_cell`].
pub fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.trim().is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text, '`') + 1);
    let pad = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let space = if pad { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A code span in a table cell, where GFM wants `|` escaped even in code.
pub fn code_in_cell(text: &str) -> String {
    // A backslash before `|` would be taken away with it, so such a text is not shown as code.
    if text.contains("\\|") { escape(text) } else { code(text).replace('|', "\\|") }
}

/// A fenced block, its fence longer than any within. Control characters, which terminals obey, are shown as `�`.
pub fn fence(text: &str, language: &str) -> String {
    let marks = "`".repeat((longest_run(text, '`') + 1).max(3));
    let language: String =
        language.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+')).collect();
    let body = printable(text);
    let end = if body.is_empty() || body.ends_with('\n') { "" } else { "\n" };
    format!("{marks}{language}\n{body}{end}{marks}\n")
}

/// The text with line ends made `\n` and control characters other than tabs made visible.
pub fn printable(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

fn longest_run(text: &str, mark: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == mark { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// An anchor's name from any text: lower-case ASCII letters, digits and dashes.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ if !out.ends_with('-') && !out.is_empty() => out.push('-'),
            _ => {}
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// A lab's own Markdown, as it is where it closes all that it opens (fences, HTML blocks, comments); escaped otherwise,
/// so that a slip in one text cannot swallow the rest of the report.
pub fn own(text: &str) -> String {
    const SENTINEL: &str = "labrun-sentinel-7f3a";
    let text = text.trim();
    let probe = format!("{text}\n\n{SENTINEL}\n");
    let mut depth = 0_usize;
    let mut closed = false;
    for event in pulldown_cmark::Parser::new_ext(&probe, super::html::options()) {
        match event {
            pulldown_cmark::Event::Start(pulldown_cmark::Tag::Paragraph) if depth == 0 => {
                depth += 1;
                closed = true;
            }
            pulldown_cmark::Event::Start(_) => {
                depth += 1;
                closed = false;
            }
            pulldown_cmark::Event::End(_) => depth = depth.saturating_sub(1),
            pulldown_cmark::Event::Text(words) if closed && depth == 1 && &*words == SENTINEL => {
                return printable(text);
            }
            _ => {}
        }
    }
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Parser};

    use super::*;
    use crate::report::html::options;

    /// The text of a Markdown document, and whether anything but text, paragraphs and code was in it.
    fn read(markdown: &str) -> (String, bool) {
        let mut text = String::new();
        let mut plain = true;
        for event in Parser::new_ext(markdown, options()) {
            match event {
                Event::Text(words) | Event::Code(words) => text.push_str(&words),
                Event::SoftBreak => text.push(' '),
                Event::Start(pulldown_cmark::Tag::Paragraph) | Event::End(pulldown_cmark::TagEnd::Paragraph) => {}
                _ => plain = false,
            }
        }
        (text, plain)
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn names_stay_readable() {
        assert_eq!(escape("sync_standby of pg-master"), "sync_standby of pg-master");
        assert_eq!(escape("_x_"), "\\_x\\_");
        assert_eq!(escape("1. no list"), "1\\. no list");
        assert_eq!(escape(" 1. no list"), " 1\\. no list");
        assert_eq!(escape(" - no list"), " \\- no list");
        assert_eq!(escape("15.14"), "15.14");
    }

    #[test]
    fn a_fence_is_longer_than_those_within() {
        assert_eq!(fence("a\n```\nb", "text"), "````text\na\n```\nb\n````\n");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code_in_cell("a|b"), "`a\\|b`");
    }

    #[test]
    fn a_labs_text_that_leaves_something_open_is_escaped() {
        assert_eq!(own("A *word* and `code`."), "A *word* and `code`.");
        assert!(own("```\nnever closed").starts_with("\\`\\`\\`"));
        assert!(own("text\n\n<!-- never closed").contains("\\<"));
    }

    proptest! {
        #[test]
        fn escaped_text_is_read_back(text in "\\PC{0,60}") {
            let (read, plain) = read(&escape(&text));
            prop_assert!(plain, "{}", escape(&text));
            prop_assert_eq!(words(&read), words(&text));
        }

        #[test]
        fn marked_up_text_is_read_back(text in "[-#*_`\\[\\]()<>|~$&;!+=.0-9a-z\\\\ ]{1,40}") {
            let (read, plain) = read(&format!("x {} y", escape(&text)));
            prop_assert!(plain);
            prop_assert_eq!(words(&read), words(&format!("x {text} y")));
        }

        #[test]
        fn code_is_read_back(text in "[`|a \\\\-]{1,20}") {
            let (read, plain) = read(&format!("x {} y", code(&text)));
            prop_assert!(plain);
            prop_assert_eq!(words(&read), words(&format!("x {text} y")));
        }

        #[test]
        fn a_table_cell_stays_one_cell(text in "[`|a\\\\ *-]{1,20}") {
            for cell in [escape(&text), code_in_cell(&text)] {
                let table = format!("| a | b |\n| - | - |\n| {cell} | z |\n");
                let cells = Parser::new_ext(&table, options())
                    .filter(|event| matches!(event, Event::Start(pulldown_cmark::Tag::TableCell)))
                    .count();
                prop_assert_eq!(cells, 4, "{}", table);
                let (read, _) = read(&table);
                prop_assert!(read.ends_with('z'), "{table}");
            }
        }

        #[test]
        fn fenced_text_is_read_back(text in "[`~a\n >#-]{0,60}") {
            let (read, _) = read(&fence(&text, "text"));
            prop_assert_eq!(read.trim_end_matches('\n'), text.trim_end_matches('\n'));
        }

        #[test]
        fn a_labs_text_never_swallows_what_follows(text in "[`~a\n<!\\->\\[#*]{0,60}") {
            let page = format!("{}\n\nlast words\n", own(&text));
            let (read, _) = read(&page);
            prop_assert!(read.ends_with("last words"));
        }
    }
}
