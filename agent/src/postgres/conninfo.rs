//! Connection strings of libpq.

use crate::config::{CONNECT_OPTIONS, Config, ConnectOptions, Credentials};
use crate::decide::Upstream;

use super::{pgpass, rewind_user};

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

/// How a standby connects to `upstream`; without a password, which is in the pgpass file.
pub(super) fn replication(config: &Config, upstream: &Upstream) -> String {
    compose(config, &config.authentication.replication, upstream, Some(&config.name), Key::Written)
}

/// How a copy of `upstream` is made, as an argument of a program: as [`replication`], but without our name, by which
/// the primary would take the copy's connection for that of a standby.
pub(super) fn source(config: &Config, upstream: &Upstream) -> String {
    compose(config, &config.authentication.replication, upstream, None, Key::InService(pgpass::REPLICATION))
}

/// How pg_rewind reads `upstream`, as an argument of a program.
pub(super) fn rewind(config: &Config, upstream: &Upstream) -> String {
    compose(config, rewind_user(config), upstream, Some(&config.name), Key::InService(pgpass::REWIND))
}

/// Where the password of the user's key stands, if there is one.
enum Key {
    /// In the string itself: the walreceiver has no other place for it.
    Written,
    /// In this section of the service file: what is an argument can be seen by everybody.
    InService(&'static str),
}

fn compose(config: &Config, user: &Credentials, upstream: &Upstream, name: Option<&str>, key: Key) -> String {
    let mut pairs = vec![pair("dbname", &config.database), pair("user", &user.username)];
    if user.password.is_some() {
        pairs.push(pair("passfile", &config.pgpass.display().to_string()));
    }
    pairs.extend([pair("host", &upstream.host), pair("port", &upstream.port.to_string())]);
    let (before, after) = CONNECT_OPTIONS.split_at(SSL_OPTIONS);
    let option = |option: &&str| Some(pair(option, in_force(&user.options, option)?));
    pairs.extend(before.iter().filter_map(option));
    match (user.options.key_password(), key) {
        (Some(password), Key::Written) => pairs.push(pair("sslpassword", password)),
        (Some(_), Key::InService(section)) => pairs.push(pair("service", section)),
        (None, _) => {}
    }
    pairs.extend(name.map(|name| pair("application_name", name)));
    let kerberos = config.postgresql.get("krbsrvname").and_then(|name| name.as_str());
    pairs.extend(kerberos.map(|name| pair("krbsrvname", name)));
    pairs.extend(after.iter().filter_map(option));
    pairs.join(" ")
}

/// So many of [`CONNECT_OPTIONS`] stand before the application's name.
const SSL_OPTIONS: usize = 7;

/// What is set, or libpq's default where Patroni writes it out. The password of the key is not for all places.
fn in_force<'a>(options: &'a ConnectOptions, name: &str) -> Option<&'a str> {
    let default = matches!(name, "sslmode" | "gssencmode" | "channel_binding").then_some("prefer");
    options.public().find(|(known, _)| *known == name).map(|(_, value)| value).or(default)
}

/// The values of a connection string.
pub(super) fn parse(text: &str) -> Vec<(String, String)> {
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

/// Where a `primary_conninfo` points, if it is one that this node would have written: the right user, the right name,
/// by which the primary knows us, and the user's options.
pub(super) fn upstream(config: &Config, conninfo: &str) -> Option<Upstream> {
    let pairs = parse(conninfo);
    let get = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let user = &config.authentication.replication;
    let defaults = ConnectOptions::default();
    let same = |name: &&str| get(name).or(in_force(&defaults, name)) == in_force(&user.options, name);
    let ours = get("user") == Some(&user.username)
        && get("application_name") == Some(&config.name)
        && get("sslpassword") == user.options.key_password()
        && CONNECT_OPTIONS.iter().filter(|name| **name != "sslpassword" && **name != "sslnegotiation").all(same);
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
    fn a_users_options_stand_where_patroni_has_them_and_a_change_of_them_is_seen() {
        let options = "username: replicator\n      sslmode: verify-ca\n      sslcert: /c d\n      sslpassword: secret\n      \
                       channel_binding: require";
        let text = include_str!("../../tests/data/postgres0.yml").replace("username: replicator", options);
        let config = crate::config::read("postgres0.yml", &text, []).unwrap().0;
        let at = Upstream { host: "h".into(), port: 1 };
        let head =
            r"dbname=postgres user=replicator passfile=/tmp/pgpass0 host=h port=1 sslmode=verify-ca sslcert=/c\ d ";
        let tail = "gssencmode=prefer channel_binding=require";
        let written = replication(&config, &at);
        assert_eq!(written, format!("{head}sslpassword=secret application_name=postgresql0 {tail}"));
        assert_eq!(source(&config, &at), format!("{head}service=replication {tail}"));
        assert_eq!(super::upstream(&config, &written), Some(at.clone()));
        assert_eq!(super::upstream(&config, &replication(&super::tests::config(), &at)), None);
        assert!(!format!("{config:?}").contains("secret"));
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
