//! `synchronous_standby_names`: writing it, and reading what it promises (PostgreSQL's syncrep_gram.y).

use super::names::Names;

/// What a setting promises: every commit that is acknowledged is held by at least `count` of these standbys.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Promise {
    pub(super) count: usize,
    pub(super) of: Names,
}

/// Commits wait for each of these.
pub(super) fn all_of(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [name] => name.clone(),
        names => format!("{} ({})", names.len(), names.join(",")),
    }
}

/// Commits wait for any `count` of these.
pub(super) fn any_of(promise: &Promise) -> String {
    let quoted: Vec<_> = promise.of.iter().map(|name| quoted(name)).collect();
    match promise.count {
        0 => String::new(),
        count => format!("ANY {count} ({})", quoted.join(",")),
    }
}

/// As an identifier: plain where PostgreSQL would read it unchanged.
fn quoted(name: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
    let plain = name.chars().all(word) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let keyword = ["any", "first"].iter().any(|keyword| name.eq_ignore_ascii_case(keyword));
    if plain && !keyword { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// What `text` promises; nothing that could be relied on if it names everybody (`*`) or cannot be read.
pub(super) fn promise(text: &str) -> Promise {
    parse(text).unwrap_or_default()
}

fn parse(text: &str) -> Option<Promise> {
    let tokens = tokens(text)?;
    let word =
        |at: usize, text: &str| matches!(tokens.get(at), Some(Token::Name(name)) if name.eq_ignore_ascii_case(text));
    let skip = usize::from((word(0, "any") || word(0, "first")) && matches!(tokens.get(1), Some(Token::Number(_))));
    let (count, list) = match &tokens[skip..] {
        [Token::Number(count), Token::Open, list @ .., Token::Close] => (*count, list),
        list if skip == 0 => (1, list),
        _ => return None,
    };
    let names = list.iter().enumerate().map(|(i, token)| match token {
        Token::Name(name) if i % 2 == 0 => Some(Some(name.clone())),
        Token::Comma if i % 2 == 1 && i + 1 < list.len() => Some(None),
        _ => None,
    });
    let of: Names = names.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    Some(Promise { count: count.min(of.len()), of })
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    Number(usize),
    Open,
    Close,
    Comma,
}

/// `None` for anything else, a `*` included.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            ' ' | '\t' | '\n' => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '"' => {
                let mut name = String::new();
                loop {
                    match chars.next()? {
                        '"' if chars.next_if_eq(&'"').is_none() => break,
                        c => name.push(c),
                    }
                }
                Token::Name(name)
            }
            c if c.is_ascii_digit() => {
                let mut digits = String::from(c);
                while let Some(c) = chars.next_if(char::is_ascii_digit) {
                    digits.push(c);
                }
                Token::Number(digits.parse().ok()?)
            }
            c if c.is_alphabetic() || c == '_' => {
                let mut name = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                    name.push(c);
                }
                Token::Name(name)
            }
            _ => return None,
        });
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promised(count: usize, of: &[&str]) -> Promise {
        Promise { count, of: of.iter().copied().collect() }
    }

    #[test]
    fn names_that_need_it_are_quoted() {
        assert_eq!(all_of(&["pg-1".into()]), "\"pg-1\"");
        assert_eq!(all_of(&["PG1".into(), "b$".into(), "Any".into()]), "3 (PG1,b$,\"Any\")");
        assert_eq!(any_of(&promised(1, &["1", "a\"b"])), "ANY 1 (\"1\",\"a\"\"b\")");
        assert_eq!((all_of(&[]), any_of(&promised(0, &[]))), (String::new(), String::new()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let promise_ = promised(2, &["pg-1", "PG2", "a\"b"]);
        assert_eq!(promise(&any_of(&promise_)), promise_);
        assert_eq!(promise(&all_of(&["first".into()])), promised(1, &["first"]));
    }

    #[test]
    fn every_form_of_the_setting_is_understood() {
        assert_eq!(promise(" a , b "), promised(1, &["a", "b"]));
        assert_eq!(promise("2 (a,b, c)"), promised(2, &["a", "b", "c"]));
        assert_eq!(promise("FiRsT 1(\"a\",b)"), promised(1, &["a", "b"]));
        assert_eq!(promise("any 5 (a,b)"), promised(2, &["a", "b"]));
        assert_eq!(promise("first"), promised(1, &["first"]));
        for text in ["", "*", "ANY 1 (*)", "ANY 4 (a,*,b)", "1", "a,", "ANY 4(\"a\" b)", "2 (,)", "2 (a", "\"a", "a;b"]
        {
            assert_eq!(promise(text), Promise::default(), "{text}");
        }
    }
}
