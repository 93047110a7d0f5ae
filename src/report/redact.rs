//! The last guard against a secret in a report: facts must not hold one, and if one slips into a log line, an error or a
//! connection string that a node printed, its value is masked here, before anything is made of the run. The lab's own
//! files are shown as they are: their passwords are part of what the lab teaches.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab::model::Text;
use crate::topology::ConfigFile;
use crate::verify::{CheckResult, Fact, Run, Source};

const MASK: &str = "********";
const KEYS: [&str; 4] = ["password=", "passwd=", "pgpassword=", "sslpassword="];

/// The shortest password that is masked wherever it stands: a shorter one would garble words.
const LEAST: usize = 6;

/// The run with every secret masked in what was observed and what is said of it.
pub fn run(run: &Run) -> Run {
    let secrets = secrets(&run.project);
    let mut run = run.clone();
    run.facts.iter_mut().for_each(|fact| mask_fact(fact, &secrets));
    run.notes.iter_mut().for_each(|note| mask_text(note, &secrets));
    for part in &mut run.parts {
        part.reason.iter_mut().for_each(|reason| mask_text(reason, &secrets));
        part.checks.iter_mut().for_each(|check| mask_check(check, &secrets));
    }
    for tried in &mut run.tried {
        let steps = tried.steps.iter_mut().flat_map(|step| &mut step.reason);
        steps.chain(&mut tried.reason).for_each(|text| mask_text(text, &secrets));
    }
    run
}

/// The passwords in the project's YAML files. One that is also a user's name is a word like any other, and is masked
/// only where it is called a password.
fn secrets(files: &[ConfigFile]) -> Vec<String> {
    let (mut passwords, mut users) = (BTreeSet::new(), BTreeSet::new());
    let yaml = files.iter().filter(|file| [".yml", ".yaml"].iter().any(|end| file.path.ends_with(end)));
    for value in yaml.filter_map(|file| serde_saphyr::from_str::<Value>(&file.content).ok()) {
        gather(&value, &mut passwords, &mut users);
    }
    passwords.retain(|password| password.chars().count() >= LEAST && !users.contains(password));
    // The longest first: one may be the beginning of another.
    let mut all: Vec<String> = passwords.into_iter().collect();
    all.sort_by_key(|password| std::cmp::Reverse(password.len()));
    all
}

fn gather(value: &Value, passwords: &mut BTreeSet<String>, users: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.to_ascii_lowercase();
                let kind = match () {
                    () if key.ends_with("password") => Some(&mut *passwords),
                    () if key.ends_with("user") || key == "username" => Some(&mut *users),
                    () => None,
                };
                match (kind, value) {
                    (Some(known), Value::String(text)) => known.extend([text.clone()]),
                    (Some(known), Value::Number(number)) => known.extend([number.to_string()]),
                    _ => gather(value, passwords, users),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, passwords, users)),
        _ => {}
    }
}

fn mask_fact(fact: &mut Fact, secrets: &[String]) {
    mask(&mut fact.output, secrets);
    mask_texts(&mut fact.value, secrets);
    match &mut fact.source {
        Source::Sql { statement: text, .. }
        | Source::Http { url: text, .. }
        | Source::Fault { command: text, .. }
        | Source::Tried { command: text } => {
            mask(text, secrets);
        }
        Source::Operation { body, .. } => mask(body, secrets),
        Source::Exec { argv } => argv.iter_mut().for_each(|word| mask(word, secrets)),
        Source::Dcs { .. } | Source::Haproxy { .. } | Source::Logs { .. } => {}
        Source::Cluster | Source::Workload { .. } => {}
    }
}

fn mask_check(check: &mut CheckResult, secrets: &[String]) {
    let steps = check.steps.iter_mut().flat_map(|step| std::iter::once(&mut step.title).chain(&mut step.reason));
    steps.chain(&mut check.reason).for_each(|text| mask_text(text, secrets));
    check.params.values_mut().chain(check.captures.values_mut()).for_each(|value| mask_texts(value, secrets));
}

fn mask_text(text: &mut Text, secrets: &[String]) {
    match text {
        Text::Same(text) => mask(text, secrets),
        Text::Each { ru, en } => [ru, en].into_iter().for_each(|text| mask(text, secrets)),
    }
}

fn mask(text: &mut String, secrets: &[String]) {
    *text = secrets.iter().fold(redact(text), |text, secret| mask_word(&text, secret));
}

fn mask_texts(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(text) => mask(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_texts(item, secrets)),
        Value::Object(map) => map.values_mut().for_each(|value| mask_texts(value, secrets)),
        _ => {}
    }
}

/// Masks `secret` where it stands as a word of its own.
fn mask_word(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(secret) {
        let (before, after) = (&rest[..found], &rest[found + secret.len()..]);
        let apart = !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if apart { MASK } else { secret });
        rest = after;
    }
    out + rest
}

/// Masks the values of `password=` and the like, and the password in `scheme://user:password@host`.
fn redact(text: &str) -> String {
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
        None => rest
            .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '&' | ',' | ';' | ')'))
            .unwrap_or(rest.len()),
    }
}

fn urls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(found) = rest.find("://") {
        let (head, tail) = rest.split_at(found + 3);
        out.push_str(head);
        let authority =
            tail.find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '?')).unwrap_or(tail.len());
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
    use serde_json::json;

    use super::*;

    #[test]
    fn passwords_are_masked() {
        assert_eq!(redact("host=a password=secret port=1"), "host=a password=******** port=1");
        assert_eq!(
            redact("primary_conninfo = 'user=r password=''x'' host=h'"),
            "primary_conninfo = 'user=r password=********x'' host=h'"
        );
        assert_eq!(redact("PGPASSWORD=s3 psql"), "PGPASSWORD=******** psql");
        assert_eq!(redact("postgres://u:p@h:5432/db"), "postgres://u:********@h:5432/db");
        assert_eq!(redact("http://127.0.0.1:8008/sync"), "http://127.0.0.1:8008/sync");
        assert_eq!(redact("password=a\npassword=b\n"), "password=********\npassword=********\n");
    }

    fn file(path: &str, content: &str) -> ConfigFile {
        ConfigFile { path: path.to_owned(), content: content.to_owned(), secret: true }
    }

    #[test]
    fn passwords_are_known_from_the_projects_files() {
        let patroni = "postgresql:\n  authentication:\n    replication:\n      username: replicator\n      password: rep-pass\n    \
                       superuser:\n      username: postgres\n      password: postgres\n";
        let compose =
            "services:\n  pg:\n    environment:\n      POSTGRES_PASSWORD: rep-pass-2\n      SHORT_PASSWORD: abc\n";
        let files = [file("postgres0.yml", patroni), file("compose.yaml", compose), file("Dockerfile", "password: no")];
        assert_eq!(secrets(&files), ["rep-pass-2", "rep-pass"]);
    }

    #[test]
    fn a_secret_is_masked_as_a_word_wherever_it_stands() {
        let secrets = ["rep-pass-2".to_owned(), "rep-pass".to_owned()];
        let mut value = json!({"lines": ["sent 'rep-pass' and rep-pass-2", "rep-passage"], "count": 2});
        mask_texts(&mut value, &secrets);
        assert_eq!(value, json!({"lines": ["sent '********' and ********", "rep-passage"], "count": 2}));
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
