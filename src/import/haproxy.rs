//! haproxy.cfg, as far as the way to the leader needs it (HAProxy's Configuration Manual, sections 2 and 4): sections
//! with their lines, what they inherit from `defaults`, servers and how they are checked.

use std::ops::Range;
use std::sync::Arc;

use crate::lab::diagnostic::File;
use crate::lab::model::HaproxySettings;

/// A configuration.
#[derive(Debug, Clone)]
pub struct Haproxy {
    /// The file.
    pub file: Arc<File>,
    /// Its sections that have servers (`listen` and `backend`), in order.
    pub pools: Vec<Pool>,
    /// Where it listens, whatever the section.
    pub binds: Vec<Bind>,
    /// What a lab can set, as far as it is set.
    pub settings: HaproxySettings,
}

/// A `bind` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The port.
    pub port: u16,
    /// Where it stands.
    pub span: Range<usize>,
}

/// A section with servers.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where its header stands.
    pub span: Range<usize>,
    /// How servers are checked.
    pub check: Check,
    /// The servers.
    pub servers: Vec<Server>,
    /// The ports of `bind` lines of its own.
    pub binds: Vec<u16>,
}

/// How a pool asks its servers whether they live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Whether the port can be connected to, or something answers PostgreSQL's first message.
    Connect {
        /// Where it is asked for; none where it is what is done without any option.
        span: Option<Range<usize>>,
    },
    /// A request whose status decides.
    Http {
        /// `OPTIONS` unless given.
        method: String,
        /// `/` unless given.
        path: String,
        /// The status that is expected, as written; 2xx and 3xx without it.
        expect: Option<String>,
        /// Where the path (or the option) stands.
        span: Range<usize>,
    },
}

/// A `server` line, with what `default-server` lines before it say.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// The host that it is reached under.
    pub host: String,
    /// The port that sessions go to.
    pub port: Option<u16>,
    /// Whether it is checked.
    pub checked: bool,
    /// The port that checks go to, where another one.
    pub check_port: Option<u16>,
    /// Sessions are cut when it is found dead.
    pub cuts_sessions: bool,
    /// It only serves while all others are dead.
    pub backup: bool,
    /// Where the line stands.
    pub span: Range<usize>,
    /// Where the address stands.
    pub address_span: Range<usize>,
}

/// A word and where it stands.
struct Word<'a> {
    text: &'a str,
    span: Range<usize>,
}

/// What `defaults` hands down.
#[derive(Default, Clone)]
struct Inherited {
    option: Option<(String, Vec<String>, Range<usize>)>,
    send: (Option<String>, Option<(String, Range<usize>)>),
    expect: Option<String>,
    server_words: Vec<String>,
}

const SECTIONS: [&str; 10] =
    ["global", "defaults", "listen", "frontend", "backend", "resolvers", "peers", "userlist", "mailers", "program"];

/// Whether a text looks like HAProxy's configuration.
pub fn is_one(text: &str) -> bool {
    let starts = |word: &str| text.lines().any(|line| line.split_whitespace().next() == Some(word));
    (starts("listen") || starts("backend") || starts("frontend")) && (starts("server") || starts("bind"))
}

/// Reads a configuration. Lines that are not known say nothing.
pub fn read(file: &Arc<File>) -> Haproxy {
    let mut read =
        Haproxy { file: Arc::clone(file), pools: Vec::new(), binds: Vec::new(), settings: HaproxySettings::default() };
    let mut defaults = Inherited::default();
    let mut section = ("", Inherited::default());
    for words in lines(&file.text) {
        let first = words[0].text;
        if SECTIONS.contains(&first) {
            section = (first, if first == "defaults" { Inherited::default() } else { defaults.clone() });
            if matches!(first, "listen" | "backend") {
                let name = words.get(1).map_or("", |word| word.text).to_owned();
                let check = check(&section.1);
                let span = words[0].span.start..words.last().map_or(words[0].span.end, |word| word.span.end);
                read.pools.push(Pool { name, span, check, servers: Vec::new(), binds: Vec::new() });
            }
            continue;
        }
        take(&words, &mut section.1);
        set(&words, section.0, &mut read.settings);
        let pool = matches!(section.0, "listen" | "backend").then(|| read.pools.last_mut()).flatten();
        match (first, pool) {
            ("bind", pool) => {
                let binds = words.get(1).into_iter().flat_map(|word| ports(word));
                let binds: Vec<Bind> = binds.collect();
                pool.into_iter().for_each(|pool| pool.binds.extend(binds.iter().map(|bind| bind.port)));
                read.binds.extend(binds);
            }
            ("server", Some(pool)) => pool.servers.extend(server(&words, &section.1.server_words)),
            (_, Some(pool)) => pool.check = check(&section.1),
            _ => {}
        }
        if section.0 == "defaults" {
            defaults = section.1.clone();
        }
    }
    read.pools.retain(|pool| !pool.servers.is_empty());
    read
}

/// What a line changes in how servers are checked.
fn take(words: &[Word<'_>], state: &mut Inherited) {
    let text = |index: usize| words.get(index).map(|word| word.text);
    match (words[0].text, text(1)) {
        ("option", Some(option)) if option == "httpchk" || option == "tcp-check" || option.ends_with("-check") => {
            let rest = words[2..].iter().map(|word| word.text.to_owned()).collect();
            let span = words.get(3).or(words.get(2)).unwrap_or(&words[1]).span.clone();
            state.option = Some((option.to_owned(), rest, span));
        }
        ("http-check", Some("send")) => {
            for pair in words[2..].windows(2) {
                match pair[0].text {
                    "meth" => state.send.0 = Some(pair[1].text.to_owned()),
                    "uri" => state.send.1 = Some((pair[1].text.to_owned(), pair[1].span.clone())),
                    _ => {}
                }
            }
        }
        ("http-check", Some("expect")) => {
            let rest: Vec<&str> = words[2..].iter().map(|word| word.text).collect();
            state.expect = Some(rest.join(" "));
        }
        ("default-server", _) => state.server_words.extend(words[1..].iter().map(|word| word.text.to_owned())),
        _ => {}
    }
}

/// What a line sets of what a lab can set; the first of several counts.
fn set(words: &[Word<'_>], section: &str, settings: &mut HaproxySettings) {
    let text = |index: usize| words.get(index).map(|word| word.text.to_owned());
    let number = |index: usize| words.get(index).and_then(|word| word.text.parse().ok());
    match (section, words[0].text, words.get(1).map(|word| word.text)) {
        ("global", "maxconn", _) => settings.maxconn = settings.maxconn.or(number(1)),
        (_, "retries", _) => settings.retries = settings.retries.or(number(1)),
        (_, "timeout", Some(which)) => {
            let slot = match which {
                "client" => &mut settings.timeout_client,
                "connect" => &mut settings.timeout_connect,
                "server" => &mut settings.timeout_server,
                "check" => &mut settings.timeout_check,
                _ => return,
            };
            *slot = slot.take().or(text(2));
        }
        ("listen" | "backend", "server" | "default-server", _) => {
            let after = |word: &str| words.iter().position(|other| other.text == word).map(|at| at + 1);
            let value = |word: &str| after(word).and_then(text);
            settings.inter = settings.inter.take().or(value("inter"));
            settings.fall = settings.fall.or(after("fall").and_then(number));
            settings.rise = settings.rise.or(after("rise").and_then(number));
            settings.server_maxconn = settings.server_maxconn.or(after("maxconn").and_then(number));
        }
        _ => {}
    }
}

fn check(state: &Inherited) -> Check {
    match &state.option {
        None => Check::Connect { span: None },
        Some((option, _, span)) if option != "httpchk" => Check::Connect { span: Some(span.clone()) },
        Some((_, rest, span)) => {
            let (method, path) = match rest.as_slice() {
                [] => ("OPTIONS", "/"),
                [path] => ("OPTIONS", path.as_str()),
                [method, path, ..] => (method.as_str(), path.as_str()),
            };
            let sent = state.send.1.as_ref();
            Check::Http {
                method: state.send.0.clone().unwrap_or_else(|| method.to_owned()),
                path: sent.map_or(path, |(path, _)| path).to_owned(),
                expect: state.expect.clone(),
                span: sent.map_or(span, |(_, span)| span).clone(),
            }
        }
    }
}

/// `server NAME ADDRESS[:PORT] …`.
fn server(words: &[Word<'_>], defaults: &[String]) -> Option<Server> {
    let (name, address) = (words.get(1)?, words.get(2)?);
    let (host, port) = match address.text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (address.text, None),
    };
    let own: Vec<&str> = words[3..].iter().map(|word| word.text).collect();
    // The server's own words come last and so win.
    let all: Vec<&str> = defaults.iter().map(String::as_str).chain(own).collect();
    let last = |word: &str| all.iter().rposition(|other| *other == word);
    let value = |word: &str| last(word).and_then(|at| all.get(at + 1));
    Some(Server {
        name: name.text.to_owned(),
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        checked: last("check") > last("no-check"),
        check_port: value("port").and_then(|port| port.parse().ok()),
        cuts_sessions: value("on-marked-down") == Some(&"shutdown-sessions"),
        backup: last("backup").is_some(),
        span: words[0].span.start..words.last()?.span.end,
        address_span: address.span.clone(),
    })
}

/// The ports of `bind [ADDRESS]:PORT[,…]`.
fn ports<'a>(word: &'a Word<'_>) -> impl Iterator<Item = Bind> + 'a {
    let port = |part: &str| part.rsplit_once(':')?.1.parse().ok();
    word.text.split(',').filter_map(port).map(|port| Bind { port, span: word.span.clone() })
}

/// Every line that says something, as words; comments are left out.
fn lines(text: &str) -> impl Iterator<Item = Vec<Word<'_>>> {
    let mut next = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let begin = next;
        next += line.len();
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let mut words = Vec::new();
        let mut at = 0;
        for word in line.split_whitespace() {
            let found = at + line[at..].find(word)?;
            at = found + word.len();
            words.push(Word { text: word, span: begin + found..begin + at });
        }
        (!words.is_empty()).then_some(words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Haproxy {
        read(&Arc::new(File { name: "haproxy.cfg".to_owned(), text: text.to_owned() }))
    }

    const REFERENCE: &str = "\
global
    maxconn 100

defaults
    mode tcp
    timeout check 5s

listen stats
    mode http
    bind *:7000
    stats enable

listen postgres
    bind *:5432
    option httpchk
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
    server pg-master pg-master:5432 maxconn 100 check port 8008  # the first
    server pg-slave pg-slave:5432 maxconn 100 check port 8008
";

    #[test]
    fn the_reference_is_understood() {
        let read = parsed(REFERENCE);
        assert_eq!(read.binds.iter().map(|bind| bind.port).collect::<Vec<_>>(), [7000, 5432]);
        let [pool] = read.pools.as_slice() else { panic!("{:?}", read.pools) };
        assert_eq!((pool.name.as_str(), pool.binds.as_slice()), ("postgres", [5432].as_slice()));
        let Check::Http { method, path, expect, .. } = &pool.check else { panic!("{:?}", pool.check) };
        assert_eq!((method.as_str(), path.as_str(), expect.as_deref()), ("OPTIONS", "/", Some("status 200")));
        let settings = &read.settings;
        assert_eq!(
            (settings.maxconn, settings.server_maxconn, settings.fall, settings.rise),
            (Some(100), Some(100), Some(3), Some(2))
        );
        assert_eq!((settings.inter.as_deref(), settings.timeout_check.as_deref()), (Some("3s"), Some("5s")));
        let server = &pool.servers[0];
        assert_eq!((server.host.as_str(), server.port, server.check_port), ("pg-master", Some(5432), Some(8008)));
        assert!(server.checked && server.cuts_sessions && !server.backup);
        assert_eq!(&REFERENCE[server.address_span.clone()], "pg-master:5432");
        assert!(is_one(REFERENCE) && !is_one("services:\n  server: x\n"));
    }

    #[test]
    fn checks_are_found_wherever_they_stand() {
        let check = |text: &str| parsed(&format!("{text}    server a a:5432 check\n")).pools[0].check.clone();
        let path = |text: &str| match check(text) {
            Check::Http { method, path, .. } => format!("{method} {path}"),
            Check::Connect { span } => format!("connect {}", span.is_some()),
        };
        assert_eq!(path("defaults\n    option httpchk GET /health\nbackend b\n"), "GET /health");
        assert_eq!(path("backend b\n    option httpchk /replica\n"), "OPTIONS /replica");
        assert_eq!(path("backend b\n    option httpchk\n    http-check send meth GET uri /primary\n"), "GET /primary");
        assert_eq!(path("backend b\n    option tcp-check\n"), "connect true");
        assert_eq!(path("backend b\n    option pgsql-check user x\n"), "connect true");
        assert_eq!(path("backend b\n"), "connect false");
    }

    #[test]
    fn a_servers_own_words_win_over_its_defaults() {
        let read = parsed(
            "backend b\n    default-server check port 8008\n    server a 10.0.0.1 port 8009\n    server c c:1 no-check\n",
        );
        let [a, c] = read.pools[0].servers.as_slice() else { panic!("two servers") };
        assert_eq!((a.checked, a.port, a.check_port), (true, None, Some(8009)));
        assert!(!c.checked);
    }
}
