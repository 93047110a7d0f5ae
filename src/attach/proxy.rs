//! HAProxy's configuration, as far as its statistics page and its entry point need it.

use std::collections::BTreeMap;

use crate::import::Submission;
use crate::import::haproxy::{Check, Haproxy};
use crate::observe::haproxy::Page;

/// Where clients and labrun go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// The entry point's port.
    pub entry: u16,
    /// The port of the statistics page, where there is one.
    pub stats: Option<u16>,
    /// How that page is asked, and whose servers count.
    pub page: Page,
}

/// A section, as far as it matters here.
#[derive(Debug, Default)]
struct Section<'t> {
    kind: &'t str,
    name: &'t str,
    ports: Vec<u16>,
    pool: Option<&'t str>,
    stats: bool,
    uri: Option<&'t str>,
    auth: Option<(&'t str, &'t str)>,
}

/// The ways into a proxy; none where nothing leads to servers.
pub fn ways(haproxy: &Haproxy, submission: &Submission) -> Option<Ways> {
    let sections = sections(&haproxy.file.text);
    // A pool whose check only the leader passes is the entry point, before one for reading.
    let with_servers: Vec<_> = haproxy.pools.iter().filter(|pool| !pool.servers.is_empty()).collect();
    let led_to = with_servers.iter().copied().filter(|pool| entry_of(&sections, &pool.name).is_some());
    let mut pools: Vec<_> = led_to.collect();
    pools.sort_by_key(|pool| !matches!(&pool.check, Check::Http { path, .. } if asks_for_leader(path)));
    let pool = pools.first()?;
    let stats = sections.iter().find(|section| section.stats && !section.ports.is_empty());
    let node = |host: &str| submission.service_at(host).map(|service| service.name.clone());
    let servers = pool.servers.iter().filter_map(|server| Some((server.name.clone(), node(&server.host)?)));
    Some(Ways {
        entry: entry_of(&sections, &pool.name)?,
        stats: stats.and_then(|section| section.ports.first().copied()),
        page: Page {
            path: stats.and_then(|section| section.uri).unwrap_or("/haproxy?stats").to_owned(),
            login: stats.and_then(|section| section.auth).map(|(user, word)| (user.to_owned(), word.to_owned())),
            section: (with_servers.len() > 1).then(|| pool.name.clone()),
            servers: servers.collect::<BTreeMap<_, _>>(),
        },
    })
}

fn asks_for_leader(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    ["/", "/primary", "/master", "/leader", "/read-write"].contains(&path)
}

/// The port by which sessions come to a pool: its own, or that of the frontend that leads to it.
fn entry_of(sections: &[Section<'_>], pool: &str) -> Option<u16> {
    let own = sections.iter().find(|section| section.kind != "frontend" && section.name == pool);
    let front = sections.iter().find(|section| section.kind == "frontend" && section.pool == Some(pool));
    own.and_then(|section| section.ports.first()).or_else(|| front.and_then(|section| section.ports.first())).copied()
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut all: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), all.last_mut()) {
            ([kind @ ("listen" | "frontend" | "backend" | "global" | "defaults"), rest @ ..], _) => {
                let name = rest.first().copied().unwrap_or_default();
                all.push(Section { kind, name, ..Section::default() });
            }
            (["bind", addresses, ..], Some(section)) => {
                section
                    .ports
                    .extend(addresses.split(',').filter_map(|one| one.rsplit(':').next()?.parse::<u16>().ok()));
            }
            (["default_backend", pool, ..], Some(section)) => section.pool = Some(pool),
            (["stats", what, rest @ ..], Some(section)) => {
                section.stats |= section.kind != "global";
                match (*what, rest.first()) {
                    ("uri", Some(uri)) => section.uri = Some(uri),
                    ("auth", Some(auth)) => section.auth = auth.split_once(':'),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lab::diagnostic::File;

    fn ways_of(text: &str) -> Option<Ways> {
        let compose = "services:\n  pg-a:\n    image: x\n    container_name: alpha\n  pg-b:\n    image: x\n";
        let file = |name: &str, text: &str| Arc::new(File { name: name.to_owned(), text: text.to_owned() });
        let submission = Submission::of(&[file("docker-compose.yml", compose), file("haproxy.cfg", text)]);
        ways(&submission.proxies[0].0, &submission)
    }

    #[test]
    fn the_reports_own_configuration() {
        let text = include_str!("../../tests/projects/reference/haproxy.cfg");
        let ways = ways_of(text).unwrap();
        assert_eq!((ways.entry, ways.stats, ways.page.path.as_str()), (5432, Some(7000), "/"));
        assert_eq!((ways.page.section, ways.page.login), (None, None));
    }

    #[test]
    fn the_pool_for_writing_is_the_entry_point_and_servers_are_known_by_their_hosts() {
        let text = "listen reads\n bind *:5001\n option httpchk GET /replica\n server r1 alpha:5432 check\n\
                    frontend writes\n bind :5000\n default_backend primary\n\
                    backend primary\n option httpchk GET /primary\n server one alpha:5432 check port 8008\n server two pg-b:5432 check\n\
                    frontend st\n bind *:8404\n stats enable\n stats uri /stats # page\n stats auth admin:word\n";
        let ways = ways_of(text).unwrap();
        assert_eq!((ways.entry, ways.stats), (5000, Some(8404)));
        assert_eq!((ways.page.path.as_str(), ways.page.section.as_deref()), ("/stats", Some("primary")));
        assert_eq!(ways.page.login, Some(("admin".to_owned(), "word".to_owned())));
        assert_eq!(ways.page.servers["one"], "pg-a");
        assert_eq!(ways.page.servers["two"], "pg-b");
    }

    #[test]
    fn a_pool_that_nothing_leads_to_is_no_entry_point() {
        assert_eq!(
            ways_of("backend primary\n server one alpha:5432 check\nlisten s\n bind *:1\n stats enable\n"),
            None
        );
    }
}
