//! apt's sources and proxies.

use super::{Host, read};
use crate::images::ImageError;

/// The release of Debian that the images are made of: the one with PostgreSQL 15.
pub const SUITE: &str = "bookworm";
/// Where Debian signs its releases; part of every Debian system, and a package on others.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt's sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// In the deb822 format.
    pub text: String,
    /// Keyrings that the sources name and that a Debian system has not.
    pub keyrings: Vec<(String, Vec<u8>)>,
}

/// An entry of a list of sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    uris: String,
    suites: Vec<String>,
    components: String,
    options: Vec<(String, String)>,
}

/// The machine's own sources of the release; Debian's where it has none (another system).
pub fn sources(host: &Host) -> Result<Sources, ImageError> {
    let mut found: Vec<Source> = host.text("/etc/apt/sources.list").as_deref().map(one_line).unwrap_or_default();
    for path in host.listed("/etc/apt/sources.list.d") {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("list") => found.extend(one_line(&text)),
            Some("sources") => found.extend(deb822(&text)),
            _ => {}
        }
    }
    for source in &mut found {
        source.suites.retain(|suite| is_of_release(suite));
    }
    found.retain(|source| !source.suites.is_empty());
    if !found.iter().any(|source| source.suites.iter().any(|suite| suite == SUITE)) {
        found = debian();
    }
    let mut keyrings = Vec::new();
    for path in found.iter().filter_map(keyring).filter(|path| *path != KEYRING) {
        keyrings.push((path.trim_start_matches('/').to_owned(), read(&host.path(path))?));
    }
    Ok(Sources { text: found.iter().map(stanza).collect::<Vec<_>>().join("\n"), keyrings })
}

/// `bookworm` itself, its updates and its security updates; nothing of a third party.
fn is_of_release(suite: &str) -> bool {
    let rest = suite.strip_prefix(SUITE).map(|rest| rest.trim_end_matches('/'));
    matches!(rest, Some("" | "-updates" | "-security" | "-security/updates"))
}

/// Debian's own servers.
fn debian() -> Vec<Source> {
    let signed = || vec![("Signed-By".to_owned(), KEYRING.to_owned())];
    let source = |uri: &str, suites: &[&str]| Source {
        uris: uri.to_owned(),
        suites: suites.iter().map(|suite| format!("{SUITE}{suite}")).collect(),
        components: "main".to_owned(),
        options: signed(),
    };
    vec![
        source("http://deb.debian.org/debian", &["", "-updates"]),
        source("http://deb.debian.org/debian-security", &["-security"]),
    ]
}

/// `deb [option=value …] URI SUITE COMPONENT…`
fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(|line| one_source(line.split('#').next().unwrap_or_default())).collect()
}

fn one_source(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |word: &str| {
        let (name, value) = word.split_once('=')?;
        let name = match name {
            "signed-by" => "Signed-By",
            "trusted" => "Trusted",
            _ => return None,
        };
        Some((name.to_owned(), value.replace(',', " ")))
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uris: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
        components: words.collect::<Vec<_>>().join(" "),
        options: options.split_whitespace().filter_map(option).collect(),
    })
}

/// Stanzas of `Field: value`, divided by empty lines; a value may go on in lines that begin with a space.
fn deb822(text: &str) -> Vec<Source> {
    let text: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    text.split("\n\n").filter_map(stanza_source).collect()
}

fn stanza_source(text: &str) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => *value += &format!("\n{line}"),
            _ => {
                let (name, value) = line.split_once(':')?;
                fields.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let off = field("Enabled").is_some_and(|value| ["no", "false", "0"].contains(&value.as_str()));
    if off || !field("Types")?.split_whitespace().any(|kind| kind == "deb") {
        return None;
    }
    let kept = ["Signed-By", "Trusted"];
    let options = kept.iter().filter_map(|name| Some(((*name).to_owned(), field(name)?.clone()))).collect();
    Some(Source {
        uris: field("URIs")?.clone(),
        suites: field("Suites")?.split_whitespace().map(str::to_owned).collect(),
        components: field("Components").cloned().unwrap_or_default(),
        options,
    })
}

fn stanza(source: &Source) -> String {
    let mut text = format!("Types: deb\nURIs: {}\nSuites: {}\n", source.uris, source.suites.join(" "));
    if !source.components.is_empty() {
        text += &format!("Components: {}\n", source.components);
    }
    for (name, value) in &source.options {
        text += &format!("{name}: {value}\n");
    }
    text
}

/// The file that a source is signed by; the key may stand in the source itself.
fn keyring(source: &Source) -> Option<&str> {
    let (_, value) = source.options.iter().find(|(name, _)| name == "Signed-By")?;
    value.starts_with('/').then_some(value)
}

/// The proxies that apt uses here, and those of the environment.
pub fn proxies(host: &Host) -> Option<String> {
    let files = host.listed("/etc/apt/apt.conf.d");
    let texts =
        files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).chain(host.text("/etc/apt/apt.conf"));
    let own = texts.flat_map(|text| {
        text.lines().map(str::trim).filter(|line| is_proxy(line)).map(str::to_owned).collect::<Vec<_>>()
    });
    let of_env = ["http", "https"].into_iter().filter_map(|scheme| {
        let value = host.var(&format!("{scheme}_proxy")).or(host.var(&format!("{}_PROXY", scheme.to_uppercase())))?;
        Some(format!("Acquire::{scheme}::Proxy \"{value}\";"))
    });
    let lines: Vec<String> = of_env.chain(own).collect();
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
}

/// `Acquire::http::Proxy "…";` and the like, on one line.
fn is_proxy(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.starts_with("acquire::http") && line.contains("::proxy") && line.ends_with(';')
}

#[cfg(test)]
mod tests {
    use super::super::testing::host;
    use super::*;

    #[test]
    fn the_sources_of_the_release_are_handed_in_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            (
                "etc/apt/sources.list.d/debian.sources",
                "Types: deb deb-src\n# a note\nURIs: http://mirror.school/debian\nSuites: bookworm bookworm-updates trixie\n\
                 Components: main contrib\nSigned-By: /usr/share/keyrings/school.gpg\n\n\
                 Types: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\n",
            ),
            (
                "etc/apt/sources.list",
                "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://security/d bookworm-security main\n\
                 deb http://apt.postgresql.org/pub bookworm-pgdg main # others'\n",
            ),
            ("usr/share/keyrings/school.gpg", "key"),
        ];
        let found = sources(&host(dir.path(), &files, &[])).unwrap();
        assert_eq!(
            found.text,
            "Types: deb\nURIs: http://security/d\nSuites: bookworm-security\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
             Types: deb\nURIs: http://mirror.school/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\n\
             Signed-By: /usr/share/keyrings/school.gpg\n"
        );
        assert_eq!(found.keyrings, [("usr/share/keyrings/school.gpg".to_owned(), b"key".to_vec())]);
    }

    #[test]
    fn a_key_may_stand_in_the_source() {
        let stanza =
            "Types: deb\nURIs: http://m\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n -----END\n";
        let read = deb822(stanza);
        assert_eq!(keyring(&read[0]), None);
        assert!(super::stanza(&read[0]).ends_with("Signed-By: \n -----BEGIN\n .\n -----END\n"));
    }

    #[test]
    fn another_system_takes_debians_servers() {
        let dir = tempfile::tempdir().unwrap();
        let ubuntu = [("etc/apt/sources.list", "deb http://archive.ubuntu.com/ubuntu noble main\n")];
        let found = sources(&host(dir.path(), &ubuntu, &[])).unwrap();
        assert!(
            found.text.contains("http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n"),
            "{}",
            found.text
        );
        assert_eq!(found.keyrings, []);
    }

    #[test]
    fn proxies_of_apt_and_of_the_environment_are_handed_in() {
        let dir = tempfile::tempdir().unwrap();
        let files = [("etc/apt/apt.conf.d/01proxy", "Acquire::http::Proxy \"http://p:3142\";\nAPT::Other \"1\";\n")];
        let found = proxies(&host(dir.path(), &files, &[("https_proxy", "http://q:1")])).unwrap();
        assert_eq!(found, "Acquire::https::Proxy \"http://q:1\";\nAcquire::http::Proxy \"http://p:3142\";\n");
        assert_eq!(proxies(&host(dir.path(), &[("etc/apt/apt.conf.d/01proxy", "")], &[])), None);
    }
}
