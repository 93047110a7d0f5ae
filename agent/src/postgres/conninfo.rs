//! Connection strings of libpq.

use crate::config::Config;
use crate::decide::Upstream;

/// One `key=value` of a connection string, escaped.
pub(super) fn pair(key: &str, value: &str) -> String {
    let mut text = format!("{key}=");
    for c in value.chars() {
        if matches!(c, '\'' | '\\' | ' ') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// How a copy of `upstream` is made; without a password, which is in the pgpass file, and without our name, by which
/// the primary would take the copy's connection for that of a standby.
pub(super) fn source(config: &Config, upstream: &Upstream) -> String {
    let all = replication(config, upstream);
    let named = pair("application_name", &config.name);
    all.replace(&format!(" {named}"), "")
}

/// How a standby connects to `upstream`; without a password, which is in the pgpass file.
pub(super) fn replication(config: &Config, upstream: &Upstream) -> String {
    let replication = &config.authentication.replication;
    let mut pairs = vec![pair("dbname", &config.database), pair("user", &replication.username)];
    if replication.password.is_some() {
        pairs.push(pair("passfile", &config.pgpass.display().to_string()));
    }
    pairs.extend([
        pair("host", &upstream.host),
        pair("port", &upstream.port.to_string()),
        pair("sslmode", "prefer"),
        pair("application_name", &config.name),
        pair("gssencmode", "prefer"),
        pair("channel_binding", "prefer"),
    ]);
    pairs.join(" ")
}

/// The values of a connection string.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace() || *c == '=').is_some() {}
        if key.is_empty() {
            return pairs;
        }
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => value.extend(chars.next()),
                '\'' if quoted => break,
                c if !quoted && c.is_whitespace() => break,
                c => value.push(c),
            }
        }
        pairs.push((key, value));
    }
}

/// Where a `primary_conninfo` points, if it is one that this node would have written: the right user and
/// the right name, by which the primary knows us.
pub(super) fn upstream(config: &Config, conninfo: &str) -> Option<Upstream> {
    let pairs = parse(conninfo);
    let get = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let ours = get("user") == Some(&config.authentication.replication.username)
        && get("application_name") == Some(&config.name);
    let upstream = Upstream { host: get("host")?.to_owned(), port: get("port")?.parse().ok()? };
    ours.then_some(upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = include_str!("../../tests/data/postgres0.yml");
        crate::config::read("postgres0.yml", text, []).unwrap().0
    }

    #[test]
    fn a_connection_string_is_patronis_and_reads_back() {
        let upstream = Upstream { host: "pg-slave".into(), port: 5432 };
        let text = replication(&config(), &upstream);
        assert_eq!(
            text,
            "dbname=postgres user=replicator passfile=/tmp/pgpass0 host=pg-slave port=5432 sslmode=prefer \
             application_name=postgresql0 gssencmode=prefer channel_binding=prefer"
        );
        assert_eq!(super::upstream(&config(), &text), Some(upstream));
    }

    #[test]
    fn quotes_and_blanks_are_read_and_strangers_are_not_ours() {
        let pairs = parse(r"a='x y' b = c\ d e=''");
        let expected = [("a", "x y"), ("b", "c d"), ("e", "")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let other = "user=replicator host=h port=1 application_name=somebody";
        assert_eq!(upstream(&config(), other), None);
        assert_eq!(pair("host", r"it's a\b"), r"host=it\'s\ a\\b");
    }
}
