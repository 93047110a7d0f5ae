//! A Dockerfile, as far as the control questions ask about it: what its last stage is made from and copies in.

use std::ops::Range;

use serde::Serialize;

use super::Place;
use crate::lab::diagnostic::File;

/// A Dockerfile.
#[derive(Debug, Clone, Serialize)]
pub struct Dockerfile {
    /// Its path.
    pub path: String,
    /// The image of its last `FROM`.
    pub base: Option<String>,
    /// What it copies in from the project.
    pub copies: Vec<Copy>,
}

/// A source of a `COPY` or `ADD`.
#[derive(Debug, Clone, Serialize)]
pub struct Copy {
    /// The source as written; may hold wildcards.
    pub source: String,
    /// The destination as written.
    pub destination: String,
    /// Where a file of that source's name lies in the image.
    pub target: String,
    /// Where it stands.
    pub at: Place,
}

impl Dockerfile {
    /// The copy that takes the project's file `path` into the image.
    pub fn copy_of(&self, path: &str) -> Option<Copy> {
        let copy = self.copies.iter().rev().find(|copy| matches(&copy.source, path))?;
        let name = path.rsplit('/').next().unwrap_or(path);
        let target = match copy.destination.strip_suffix('/') {
            Some(folder) => format!("{folder}/{name}"),
            None if copy.source == path => copy.destination.clone(),
            None => format!("{}/{name}", copy.destination),
        };
        Some(Copy { target, ..copy.clone() })
    }
}

/// Reads a Dockerfile. Instructions of earlier stages and copies from other stages or addresses do not count.
pub fn read(file: &File) -> Dockerfile {
    let mut dockerfile = Dockerfile { path: file.name.clone(), base: None, copies: Vec::new() };
    for (span, instruction) in instructions(&file.text) {
        let (word, rest) = instruction.split_once(char::is_whitespace).unwrap_or((&instruction, ""));
        match word.to_ascii_uppercase().as_str() {
            "FROM" => {
                dockerfile.base = rest.split_whitespace().find(|word| !word.starts_with("--")).map(str::to_owned);
                dockerfile.copies.clear();
            }
            "COPY" | "ADD" => dockerfile.copies.extend(copies(rest.trim(), Place::of(file, &span))),
            _ => {}
        }
    }
    dockerfile
}

/// Instructions with the bytes of their first lines: continued lines joined, comments and empty lines left out.
fn instructions(content: &str) -> Vec<(Range<usize>, String)> {
    let mut all = Vec::new();
    let mut open: Option<(Range<usize>, String)> = None;
    let mut next = 0;
    for line in content.split_inclusive('\n') {
        let begin = next + (line.len() - line.trim_start().len());
        next += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (text, goes_on) = line.strip_suffix('\\').map_or((line, false), |text| (text.trim_end(), true));
        let (_, joined) = open.get_or_insert_with(|| (begin..begin + line.len(), String::new()));
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(text);
        if !goes_on {
            all.extend(open.take());
        }
    }
    all.extend(open);
    all
}

fn copies(arguments: &str, at: Place) -> Vec<Copy> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = arguments;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        if flag.starts_with("from=") {
            return Vec::new();
        }
        rest = after.trim_start();
    }
    match serde_json::from_str::<Vec<String>>(rest) {
        Ok(list) => words.extend(list),
        Err(_) => words.extend(rest.split_whitespace().map(str::to_owned)),
    }
    let Some(destination) = words.pop() else { return Vec::new() };
    words
        .into_iter()
        .filter(|source| !source.contains("://"))
        .map(|source| Copy {
            source: source.strip_prefix("./").filter(|rest| !rest.is_empty()).unwrap_or(&source).to_owned(),
            destination: destination.clone(),
            target: destination.clone(),
            at: at.clone(),
        })
        .collect()
}

/// Whether a source of `COPY` covers a file: itself, a folder above it, or a pattern with `*` and `?` (Go's
/// `filepath.Match`, without character classes: a `/` is matched by neither).
fn matches(source: &str, path: &str) -> bool {
    let source = source.trim_end_matches('/');
    if source == "." || source == path {
        return true;
    }
    if path.strip_prefix(source).is_some_and(|rest| rest.starts_with('/')) {
        return true;
    }
    wildcard(source.as_bytes(), path.as_bytes())
}

fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last `*` stood, and how much of the text it has taken so far; each byte of the text is retried at most
    // once per byte of the pattern.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') if text[t] != b'/' => (p, t) = (p + 1, t + 1),
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) if text[taken] != b'/' => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_found_with_their_lines() {
        let text = "# syntax\nFROM debian AS tools\nCOPY lost.yml /\nFROM postgres:15\n\nRUN apt-get update && \\\n    \
                    apt-get install -y curl\n\nCOPY --chown=postgres a.yml b.yml /etc/\nCOPY --from=tools /x /x\nADD [\"c d.yml\", \"/c.yml\"]\n";
        let read = read(&File { name: "Dockerfile".to_owned(), text: text.to_owned() });
        assert_eq!(read.base.as_deref(), Some("postgres:15"));
        let told: Vec<_> = read.copies.iter().map(|copy| (copy.source.as_str(), copy.at.line)).collect();
        assert_eq!(told, [("a.yml", 9), ("b.yml", 9), ("c d.yml", 11)]);
        assert_eq!(read.copy_of("b.yml").map(|copy| copy.target), Some("/etc/b.yml".to_owned()));
        assert_eq!(read.copy_of("c d.yml").map(|copy| copy.target), Some("/c.yml".to_owned()));
        assert!(read.copy_of("lost.yml").is_none());
    }

    #[test]
    fn folders_and_patterns_cover_their_files() {
        assert!(matches(".", "a/b.yml"));
        assert!(matches("conf/", "conf/b.yml"));
        assert!(matches("postgres*.yml", "postgres0.yml"));
        assert!(matches("postgres?.yml", "postgres0.yml"));
        assert!(!matches("*.yml", "conf/b.yml"));
        assert!(!matches("postgres?.yml", "postgres10.yml"));
    }
}
