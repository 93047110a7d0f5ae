//! The last guard against a secret in a report: facts must not hold one, and if one slips into a log line or a
//! connection string that a node printed, its value is masked here. The lab's own files are shown as they are: their
//! passwords are part of what the lab teaches.

const MASK: &str = "********";
const KEYS: [&str; 4] = ["password=", "passwd=", "pgpassword=", "sslpassword="];

/// Masks the values of `password=` and the like, and the password in `scheme://user:password@host`.
pub fn redact(text: &str) -> String {
    text.split_inclusive('\n').map(|line| urls(&pairs(line))).collect()
}

fn pairs(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    while at < line.len() {
        let next = KEYS.iter().filter_map(|key| lower[at..].find(key).map(|found| at + found + key.len())).min();
        let Some(value) = next else { break };
        let length = value_length(&line[value..]);
        out.push_str(&line[at..value]);
        out.push_str(if length == 0 { "" } else { MASK });
        at = value + length;
    }
    out.push_str(&line[at.min(line.len())..]);
    out
}

/// A quoted value ends with its quote, any other with a blank, a quote or a list's mark.
fn value_length(rest: &str) -> usize {
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
    match quote {
        Some(quote) => rest[1..].find(quote).map_or(rest.trim_end().len(), |end| end + 2),
        None => rest.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '&' | ',' | ';' | ')')).unwrap_or(rest.len()),
    }
}

fn urls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(found) = rest.find("://") {
        let (head, tail) = rest.split_at(found + 3);
        out.push_str(head);
        let authority = tail.find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '?')).unwrap_or(tail.len());
        let (authority, after) = tail.split_at(authority);
        match authority.rsplit_once('@').and_then(|(user, host)| user.split_once(':').map(|(user, _)| (user, host))) {
            Some((user, host)) => out.push_str(&format!("{user}:{MASK}@{host}")),
            None => out.push_str(authority),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_masked() {
        assert_eq!(redact("host=a password=secret port=1"), "host=a password=******** port=1");
        assert_eq!(redact("primary_conninfo = 'user=r password=''x'' host=h'"), "primary_conninfo = 'user=r password=********x'' host=h'");
        assert_eq!(redact("PGPASSWORD=s3 psql"), "PGPASSWORD=******** psql");
        assert_eq!(redact("postgres://u:p@h:5432/db"), "postgres://u:********@h:5432/db");
        assert_eq!(redact("http://127.0.0.1:8008/sync"), "http://127.0.0.1:8008/sync");
        assert_eq!(redact("password=a\npassword=b\n"), "password=********\npassword=********\n");
    }

    proptest! {
        #[test]
        fn text_without_secrets_is_left_alone(text in "[a-zA-Zя0-9 .:=\n-]{0,80}") {
            prop_assume!(!KEYS.iter().any(|key| text.to_ascii_lowercase().contains(key)));
            prop_assert_eq!(redact(&text), text);
        }

        #[test]
        fn no_text_breaks_it(text in any::<String>(), secret in "[a-z]{8,12}") {
            let line = format!("{text} password={secret} x");
            prop_assert!(text.contains(&secret) || !redact(&line).contains(&secret));
        }
    }
}
