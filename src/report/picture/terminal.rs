//! A terminal window: a command behind its prompt, what it printed, and in the title bar whose it was.

use super::svg::{Anchor, MONO, Svg, char_width, text_width, to_f64, width};
use crate::report::markdown::printable;

const FONT: f64 = 13.0;
const LINE: f64 = 18.0;
const BAR: f64 = 32.0;
const PAD: f64 = 14.0;
/// All windows are as wide as the page, unless their lines are longer.
const COLUMNS: std::ops::RangeInclusive<usize> = 104..=118;

/// From so many lines of one shape on, only the first few are shown.
const ALIKE: usize = 8;
/// That many.
const KEPT: usize = 3;

/// One command with its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it was and when; stands above it as a comment. Empty for none.
    pub note: String,
    /// The command; lines of a longer one are shown as its continuation. None for output without one.
    pub command: Option<String>,
    /// What it printed.
    pub output: String,
}

/// A line of the window.
struct Line {
    class: &'static str,
    /// Whether the prompt stands before it.
    prompt: bool,
    text: String,
}

/// Draws a window. `subtitle` stands at the right of the title bar; no more than `most` lines of each output are
/// shown, then `more` says how many are left.
pub fn draw(title: &str, subtitle: &str, entries: &[Entry], most: usize, more: impl Fn(usize) -> String) -> Svg {
    let widest = entries
        .iter()
        .flat_map(|entry| {
            let command = entry.command.iter().flat_map(|text| text.lines()).map(|line| width(line) + 2);
            command.chain(entry.output.lines().map(width)).chain([width(&entry.note) + 2])
        })
        .max()
        .unwrap_or(0);
    let columns = widest.clamp(*COLUMNS.start(), *COLUMNS.end());
    let mut lines: Vec<Line> = Vec::new();
    for entry in entries {
        if !lines.is_empty() {
            lines.push(Line { class: "lr-mono", prompt: false, text: String::new() });
        }
        lines.extend(lines_of(entry, columns, most, &more));
    }
    let titles = text_width(title, FONT) + text_width(subtitle, FONT) + 110.0;
    let window = (to_f64(columns) * FONT * MONO + 2.0 * PAD).max(titles);
    let height = BAR + PAD + to_f64(lines.len()) * LINE + PAD - 4.0;

    let mut svg = Svg::new(window, height, title);
    svg.rect("lr-term", (0.5, 0.5), (window - 1.0, height - 1.0), 9.0);
    svg.line("lr-term-edge", (0.5, BAR), (window - 0.5, BAR));
    for (at, class) in [(18.0, "lr-dot-a"), (36.0, "lr-dot-b"), (54.0, "lr-dot-c")] {
        svg.circle(class, (at, BAR / 2.0), 5.5);
    }
    svg.text("lr-term-title", (74.0, BAR / 2.0 + 4.5), Anchor::Start, title);
    svg.text("lr-term-note", (window - PAD, BAR / 2.0 + 4.5), Anchor::End, subtitle);
    for (place, line) in lines.iter().enumerate() {
        let y = BAR + PAD + to_f64(place) * LINE + 9.0;
        if line.prompt {
            svg.mono("lr-mono lr-prompt", (PAD, y), FONT, "$");
        }
        svg.mono(line.class, (PAD, y), FONT, &line.text);
    }
    svg
}

fn lines_of(entry: &Entry, columns: usize, most: usize, more: &impl Fn(usize) -> String) -> Vec<Line> {
    let mut lines = Vec::new();
    if !entry.note.is_empty() {
        lines.push(Line { class: "lr-mono lr-dim", prompt: false, text: format!("# {}", entry.note) });
    }
    for (place, text) in entry.command.iter().flat_map(|text| text.lines()).enumerate() {
        for (part, text) in wrap_words(&expand_tabs(text), columns - 2).into_iter().enumerate() {
            let prompt = place == 0 && part == 0;
            lines.push(Line { class: "lr-mono lr-cmd", prompt, text: format!("  {text}") });
        }
    }
    let output = printable(&entry.output);
    let all: Vec<&str> = output.trim_end_matches('\n').lines().collect();
    let dim = |left: usize| Line { class: "lr-mono lr-dim", prompt: false, text: more(left) };
    let mut shown = 0;
    for alike in all.chunk_by(|one, next| shape(one) == shape(next)) {
        let keep = if alike.len() > ALIKE { KEPT } else { alike.len() };
        for text in alike.iter().take(keep.min(most - shown)) {
            let class = class_of(text);
            lines.extend(wrap(&expand_tabs(text), columns).into_iter().map(|text| Line { class, prompt: false, text }));
        }
        shown += keep.min(most - shown);
        if shown == most {
            break;
        }
        if keep < alike.len() {
            lines.push(dim(alike.len() - keep));
        }
    }
    if shown == most && all.len() > most {
        lines.push(dim(all.len() - most));
    }
    lines
}

/// A line without what its digits say: lines of one shape differ in times, ports and process numbers only.
fn shape(line: &str) -> String {
    line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

/// PostgreSQL's own severities colour a line; so do a log's.
fn class_of(line: &str) -> &'static str {
    let head = line.trim_start();
    let severe =
        ["ERROR", "FATAL", "PANIC"].iter().any(|word| head.starts_with(word) || line.contains(&format!(" {word}")));
    if severe { "lr-mono lr-bad" } else { "lr-mono lr-out" }
}

fn expand_tabs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut column = 0;
    for c in line.chars() {
        match c {
            '\t' => {
                let fill = 8 - column % 8;
                out.extend(std::iter::repeat_n(' ', fill));
                column += fill;
            }
            c => {
                out.push(c);
                column += char_width(c);
            }
        }
    }
    out
}

/// Cuts a line where the window ends, as a terminal does.
fn wrap(line: &str, columns: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut column = 0;
    for c in line.chars() {
        let wide = char_width(c);
        if column + wide > columns {
            parts.push(String::new());
            column = 0;
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        column += wide;
    }
    parts
}

/// Cuts a command between words where it can; what is typed is easier to read so.
fn wrap_words(line: &str, columns: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let last = parts.last().map_or(0, |part| width(part));
        if last > 0 && last + width(word.trim_end()) > columns {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(word);
        }
    }
    parts.iter().flat_map(|part| wrap(part.trim_end(), columns)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(command: &str, output: &str) -> Entry {
        Entry { note: String::new(), command: Some(command.to_owned()), output: output.to_owned() }
    }

    #[test]
    fn long_lines_are_cut_at_the_windows_end() {
        assert_eq!(wrap("абвгд", 2), ["аб", "вг", "д"]);
        assert_eq!(wrap("", 2), [""]);
        assert_eq!(wrap("中中", 3), ["中", "中"]);
        assert_eq!(expand_tabs("a\tb"), "a       b");
        assert_eq!(wrap_words("select one from two", 11), ["select one", "from two"]);
        assert_eq!(wrap_words("selectselectselect x", 8), ["selectse", "lectsele", "ct", "x"]);
    }

    #[test]
    fn a_long_output_says_how_much_is_left() {
        let log: String = ('a'..='y').map(|c| format!("line {c}\n")).collect();
        let text = draw("pg", "F1", &[entry("cat log", &log)], 10, |left| format!("and {left} more")).inline();
        assert_eq!(text.matches(">line ").count(), 10);
        assert!(text.contains("and 15 more"));
    }

    #[test]
    fn lines_of_one_shape_are_not_all_shown() {
        let log: String = (0..20).map(|n| format!("12:00:{n:02} refused\n")).collect();
        let text =
            draw("pg", "F1", &[entry("cat log", &format!("{log}done\n"))], 24, |left| format!("and {left} more"))
                .inline();
        assert_eq!((text.matches("refused<").count(), text.matches(">done<").count()), (3, 1));
        assert!(text.contains("and 17 more"));
    }

    #[test]
    fn every_command_has_its_prompt() {
        let svg = draw("pg", "", &[entry("one", "1"), entry("two\n  and more", "2")], 10, |_| String::new());
        assert_eq!(svg.inline().matches(">$<").count(), 2);
    }

    #[test]
    fn every_command_says_whose_it_was() {
        let noted = Entry { note: "pg-slave · реплика".to_owned(), ..entry("one", "1") };
        assert!(draw("pg", "", &[noted], 10, |_| String::new()).inline().contains("># pg-slave · реплика<"));
    }

    #[test]
    fn refusals_stand_out() {
        assert_eq!(class_of("ERROR:  cannot execute INSERT in a read-only transaction"), "lr-mono lr-bad");
        assert_eq!(class_of("2026-11-23 [12] FATAL:  no"), "lr-mono lr-bad");
        assert_eq!(class_of(" count"), "lr-mono lr-out");
    }
}
