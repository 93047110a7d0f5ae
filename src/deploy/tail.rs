//! The end of a log as evidence: few lines, none of them twice.

/// How many lines of a log are shown as evidence.
pub const LINES_SHOWN: usize = 20;

/// The last `lines` lines. Of lines that only differ in their digits (times, pids), as a program in trouble repeats them,
/// the last one stands for all.
pub fn of(text: &str, lines: usize) -> String {
    let all = without_repetitions(text);
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// With the words that introduce it.
pub fn shown(tail: &str) -> String {
    if tail.is_empty() { "its log is empty".to_owned() } else { format!("its log ends with:\n{tail}") }
}

fn without_repetitions(text: &str) -> Vec<String> {
    let words = |line: &str| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let mut kept: Vec<(&str, usize)> = Vec::new();
    for line in text.lines() {
        match kept.last_mut() {
            Some((last, times)) if words(last) == words(line) => (*last, *times) = (line, *times + 1),
            _ => kept.push((line, 1)),
        }
    }
    let shown = |(line, times): (&str, usize)| match times {
        1 => line.to_owned(),
        _ => format!("{line} ({times} times)"),
    };
    kept.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_last_lines_and_what_is_repeated_stands_once() {
        assert_eq!(of("a\nb\nc\n", 2), "b\nc");
        assert_eq!(of("", 2), "");
        assert_eq!(
            of("FATAL: no\n07:01 waiting\n07:02 waiting\n07:03 waiting\n", 2),
            "FATAL: no\n07:03 waiting (3 times)"
        );
    }
}
