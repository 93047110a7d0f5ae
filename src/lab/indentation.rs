//! Lost indentation, the mistake that a pasted YAML file has: found in the text, before anything else is tried.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::{Code, Diagnostic, File};

/// A key that ends with a colon, and a line after it that should have been indented.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost<'a> {
    /// The key.
    pub key: &'a str,
    /// Where the key stands.
    pub header: Range<usize>,
    /// Where the line that should stand below it begins and ends.
    pub child: Range<usize>,
}

/// The first key with nothing under it and the next line at its own level.
pub fn first_lost(text: &str) -> Option<Lost<'_>> {
    let mut lines = content_lines(text).peekable();
    while let Some(line) = lines.next() {
        let Some(key) = header_key(line.text) else { continue };
        let Some(next) = lines.peek() else { continue };
        let list_item = next.text.starts_with("- ") || next.text == "-";
        if next.indent == line.key_indent && !list_item && next.text.contains(':') {
            let start = line.start + (line.text.len() - line.text.trim_start_matches(['-', ' ']).len());
            return Some(Lost {
                key,
                header: start..start + key.len(),
                child: next.start..next.start + next.text.len(),
            });
        }
    }
    None
}

/// The finding.
pub fn lost(file: &Arc<File>, header: Range<usize>, child: Range<usize>) -> Diagnostic {
    let key = file.text.get(header.clone()).unwrap_or_default();
    Diagnostic::error(Code::IndentationLost, format!("nothing stands under `{key}:`; the indentation was lost"))
        .at(file, header, "nothing stands under this key")
        .at(file, child, "this should, two spaces further in")
}

struct Line<'a> {
    /// The first byte that is no space.
    start: usize,
    /// From there to the end, without comments at the end.
    text: &'a str,
    indent: usize,
    /// The column of its key: behind `- `, where it begins with that.
    key_indent: usize,
}

/// Every line that is neither empty nor a comment.
fn content_lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut offset = 0;
    text.split_inclusive('\n').filter_map(move |raw| {
        let begin = offset;
        offset += raw.len();
        let line = raw.trim_end();
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let indent = line.len() - text.len();
        let key_indent = indent + (text.len() - text.trim_start_matches(['-', ' ']).len());
        let text = text.split_once(" #").map_or(text, |(before, _)| before.trim_end());
        Some(Line { start: begin + indent, text, indent, key_indent })
    })
}

/// The key of a line that is `key:`, perhaps behind `- `.
fn header_key(line: &str) -> Option<&str> {
    let key = line.trim_start_matches(['-', ' ']).strip_suffix(':')?;
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    plain.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flattened_file_is_recognised() {
        let lost = first_lost("lab: labrun/v1\ntopology:\nnodes:\nzoo:\nkind: zookeeper\n").expect("lost");
        assert_eq!((lost.key, lost.header, lost.child), ("topology", 15..23, 25..31));
    }

    #[test]
    fn what_is_indented_is_not_lost() {
        for text in
            ["a:\n  b: 1\n", "a:\n- b\n- c: 1\n", "a:\n# remark\n  b: 1\nc: 2\n", "x:\n  a:\nb: 1\n", "a: 1\nb: 2\n"]
        {
            assert_eq!(first_lost(text), None, "{text}");
        }
    }
}
