//! Why an expression holds or not: it is cut at `and`, `or` and its comparisons, and each piece's value is told.

use std::fmt;

use minijinja::Environment;
use serde_json::Value;

/// The longest value that an explanation shows, in characters.
const SHOWN: usize = 200;
/// The most pieces that an explanation shows.
const PIECES: usize = 16;

/// Whether an expression holds, and the values that it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// The expression.
    pub expr: String,
    /// Whether it holds.
    pub holds: bool,
    /// Its parts, as far as they are no literals.
    pub parts: Vec<Part>,
}

/// A piece of an expression, with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The piece.
    pub expr: String,
    /// Its value; none where it has none.
    pub value: Option<Value>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = &self.value else { return write!(f, "{} is not there", self.expr) };
        let text = value.to_string();
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{} = {}…", self.expr, &text[..end]),
            None => write!(f, "{} = {text}", self.expr),
        }
    }
}

impl fmt::Display for Truth {
    /// `cluster.leader = "pg-slave", count = 3`; the bare verdict where there is nothing to tell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parts.is_empty() {
            return write!(f, "it is {}", self.holds);
        }
        for (index, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// The pieces of an expression that are no literals, each once, with their values.
pub(super) fn parts(env: &Environment<'_>, expr: &str, ctx: &minijinja::Value) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for piece in pieces(expr) {
        let Ok(compiled) = env.compile_expression(piece) else { continue };
        let literal = compiled.undeclared_variables(false).is_empty();
        if literal || parts.len() == PIECES || parts.iter().any(|part| part.expr == piece) {
            continue;
        }
        let value = compiled.eval(ctx.clone()).ok().filter(|value| !value.is_undefined());
        parts.push(Part { expr: piece.to_owned(), value: value.and_then(|value| serde_json::to_value(value).ok()) });
    }
    parts
}

/// Cuts an expression at its outermost `and`, `or`, `not`, `in`, `is` and comparisons; brackets around a whole
/// piece are opened.
fn pieces(expr: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some((length, cuts)) = token(&expr[at..]) {
        if cuts {
            add_piece(&expr[start..at], &mut pieces);
            start = at + length;
        }
        at += length;
    }
    if start == 0 {
        pieces.extend(Some(expr.trim()).filter(|piece| !piece.is_empty()));
    } else {
        add_piece(&expr[start..], &mut pieces);
    }
    pieces
}

fn add_piece<'a>(piece: &'a str, into: &mut Vec<&'a str>) {
    let piece = piece.trim();
    let inner = piece.strip_prefix('(').filter(|_| bracket_end(piece) == Some(piece.len()));
    match inner.and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => into.extend(pieces(inner)),
        None if piece.is_empty() => {}
        None => into.push(piece),
    }
}

/// The length of the next token, and whether the expression is cut at it.
fn token(rest: &str) -> Option<(usize, bool)> {
    let first = rest.chars().next()?;
    Some(match first {
        '\'' | '"' => (string_end(rest, first), false),
        '(' | '[' | '{' => (bracket_end(rest).unwrap_or(rest.len()), false),
        '=' | '!' | '<' | '>' if rest[1..].starts_with('=') => (2, true),
        '<' | '>' => (1, true),
        c if c.is_alphanumeric() || c == '_' || c == '.' => {
            let length = word_end(rest);
            match &rest[..length] {
                "is" => (test_end(rest), true),
                word => (length, matches!(word, "and" | "or" | "not" | "in")),
            }
        }
        c => (c.len_utf8(), false),
    })
}

/// The length of the word that the text begins with.
fn word_end(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len())
}

/// The length of `is NAME` or `is not NAME`: the test's name is no value.
fn test_end(text: &str) -> usize {
    let mut end = 0;
    loop {
        end += text[end..].find(|c: char| !c.is_whitespace()).unwrap_or(0);
        let word = &text[end..end + word_end(&text[end..])];
        end += word.len();
        if !matches!(word, "is" | "not") {
            return end;
        }
    }
}

/// The length of the string literal that the text begins with.
fn string_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of the bracket that the text begins with; none where it is never closed.
fn bracket_end(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(c) = text[at..].chars().next() {
        at += match c {
            '\'' | '"' => string_end(&text[at..], c),
            c => c.len_utf8(),
        };
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::holds;
    use super::*;

    fn told(expr: &str) -> String {
        let ctx = json!({
            "cluster": {"leader": "pg-slave", "members": [1, 2]}, "old": "pg-slave", "count": 3, "rows": [["a"]],
        });
        holds(expr, &ctx).expect(expr).to_string()
    }

    #[test]
    fn each_side_of_a_comparison_is_told() {
        assert_eq!(told("cluster.leader != old"), r#"cluster.leader = "pg-slave", old = "pg-slave""#);
        assert_eq!(told("count == 4 and rows[0][0] == 'b or c'"), r#"count = 3, rows[0][0] = "a""#);
        assert_eq!(told("cluster.members | length > 2"), "cluster.members | length = 2");
        assert_eq!(told("(count > 4 or (count < 2)) and old in ['a']"), r#"count = 3, old = "pg-slave""#);
        assert_eq!(told("gone is defined"), "gone is not there");
        assert_eq!(told("count is not eq 4 and old is defined"), r#"count = 3, old = "pg-slave""#);
        assert_eq!(told("1 == 2"), "it is false");
        assert_eq!(told("cluster.leader"), r#"cluster.leader = "pg-slave""#);
    }

    #[test]
    fn long_values_are_cut() {
        let truth = holds("text == ''", &json!({"text": "я".repeat(1000)})).expect("holds");
        assert!(truth.to_string().chars().count() < 220, "{truth}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_cutting(text in ".{0,80}") {
            for piece in pieces(&text) {
                prop_assert!(text.contains(piece));
            }
        }
    }
}
