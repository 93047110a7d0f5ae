//! HAProxy's own view of its servers, from the CSV of its statistics page.
//!
//! The columns are those of HAProxy's management guide, section 9.1 «CSV format»; they are found by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use serde::{Deserialize, Serialize};

use super::{ObserveError, http};

/// A backend server as HAProxy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// Its name in haproxy.cfg, which is the node's name.
    pub name: String,
    /// The proxy section that it belongs to.
    pub section: String,
    /// Its state: `UP`, `DOWN`, also on its way (`UP 1/3`, `DOWN 1/2`), `no check`, `MAINT`.
    pub status: String,
    /// How the last health check ended (`L7OK`, `L7STS`, `L4CON`, `INI` before the first).
    pub check_status: String,
    /// The status code of the last health check.
    pub check_code: Option<u16>,
    /// Sessions that are open now.
    pub sessions: u64,
}

impl ServerView {
    /// Whether HAProxy sends it new sessions.
    pub fn is_up(&self) -> bool {
        self.status.starts_with("UP") || self.status == "no check"
    }

    /// How its last health check ended: `L7OK 200`.
    pub fn check(&self) -> String {
        match self.check_code {
            Some(code) => format!("{} {code}", self.check_status),
            None => self.check_status.clone(),
        }
    }

    /// Whether its state is settled: checked at least once and not on its way to the other state.
    pub fn is_settled(&self) -> bool {
        matches!(self.status.as_str(), "UP" | "DOWN" | "no check" | "MAINT") && !self.check_status.contains("INI")
    }
}

/// All servers of one HAProxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyView {
    /// The servers, in the order of haproxy.cfg.
    pub servers: Vec<ServerView>,
    /// Names of those that are up.
    pub up: Vec<String>,
    /// Names of those that are not.
    pub down: Vec<String>,
}

/// How a statistics page is asked, and how its servers are meant. labrun's own configurations need nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Its path (`stats uri`).
    pub path: String,
    /// Name and password, where it asks for them (`stats auth`).
    pub login: Option<(String, String)>,
    /// The section whose servers count, where there are several.
    pub section: Option<String>,
    /// The nodes by their servers' names in haproxy.cfg, where those are not the nodes' own.
    pub servers: BTreeMap<String, String>,
}

impl Default for Page {
    fn default() -> Page {
        Page { path: "/".to_owned(), login: None, section: None, servers: BTreeMap::new() }
    }
}

impl Page {
    /// The path of the same as CSV (HAProxy's management guide, section 9.1).
    pub fn csv(&self) -> String {
        format!("{};csv", self.path)
    }

    /// Only the servers that count, each by its node's name.
    fn meant(&self, view: ProxyView) -> ProxyView {
        let mut meant = ProxyView::default();
        for mut server in view.servers {
            if self.section.as_ref().is_some_and(|section| *section != server.section) {
                continue;
            }
            if let Some(node) = self.servers.get(&server.name) {
                server.name.clone_from(node);
            }
            if server.is_up() { &mut meant.up } else { &mut meant.down }.push(server.name.clone());
            meant.servers.push(server);
        }
        meant
    }
}

/// Ask the statistics page at `address`.
pub async fn statistics(address: SocketAddr, page: &Page, limit: Duration) -> Result<ProxyView, ObserveError> {
    let path = page.csv();
    let login = page.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
    let answer = http::ask(Method::GET, address, &path, login, limit).await?;
    let what = || format!("HAProxy's statistics at http://{address}{path}");
    if answer.status != 200 {
        return Err(ObserveError::Garbage { what: what(), why: format!("status {}", answer.status) });
    }
    parse(&answer.body).map(|view| page.meant(view)).map_err(|why| ObserveError::Garbage { what: what(), why })
}

/// Read the CSV of the statistics page.
pub fn parse(csv: &str) -> Result<ProxyView, String> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap_or("").trim_start_matches('#').trim();
    let columns: Vec<&str> = header.split(',').collect();
    let column = |name: &str| {
        columns.iter().position(|c| *c == name).ok_or_else(|| format!("there is no column `{name}` in {header:?}"))
    };
    let (section, name, status) = (column("pxname")?, column("svname")?, column("status")?);
    let (check, code, sessions) = (column("check_status")?, column("check_code")?, column("scur")?);
    let mut view = ProxyView::default();
    for line in lines.filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |index: usize| cells.get(index).copied().unwrap_or("");
        if matches!(cell(name), "FRONTEND" | "BACKEND" | "") {
            continue;
        }
        let server = ServerView {
            name: cell(name).to_owned(),
            section: cell(section).to_owned(),
            status: cell(status).to_owned(),
            check_status: cell(check).trim_start_matches("* ").to_owned(),
            check_code: cell(code).parse().ok(),
            sessions: cell(sessions).parse().unwrap_or(0),
        };
        if server.is_up() { &mut view.up } else { &mut view.down }.push(server.name.clone());
        view.servers.push(server);
    }
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "# pxname,svname,scur,status,check_status,check_code,\n\
        stats,FRONTEND,1,OPEN,,,\nstats,BACKEND,0,UP,,,\n\
        postgres,FRONTEND,2,OPEN,,,\n\
        postgres,pg-master,2,UP,L7OK,200,\n\
        postgres,pg-slave,0,DOWN,* L7STS,503,\n\
        postgres,BACKEND,2,UP,,,\n";

    #[test]
    fn servers_are_read_and_fronts_left_out() {
        let view = parse(CSV).unwrap();
        assert_eq!(view.up, ["pg-master"]);
        assert_eq!(view.down, ["pg-slave"]);
        assert_eq!(view.servers[1].check_status, "L7STS");
        assert_eq!(view.servers[1].check_code, Some(503));
    }

    #[test]
    fn a_server_on_its_way_down_still_gets_sessions_but_is_not_settled() {
        let view = parse(&CSV.replace(",UP,L7OK", ",UP 1/3,L7STS")).unwrap();
        assert_eq!(view.up, ["pg-master"]);
        assert!(!view.servers[0].is_settled());
        let view = parse(&CSV.replace("L7OK", "INI")).unwrap();
        assert!(!view.servers[0].is_settled(), "never checked yet");
    }

    #[test]
    fn of_a_page_the_servers_of_one_section_count_and_are_called_as_their_nodes() {
        let page = Page {
            path: "/stats".to_owned(),
            section: Some("postgres".to_owned()),
            servers: BTreeMap::from([("pg-slave".to_owned(), "node2".to_owned())]),
            login: None,
        };
        assert_eq!(page.csv(), "/stats;csv");
        let text = format!("{CSV}reads,pg-slave,0,UP,L7OK,200,\n");
        let view = page.meant(parse(&text).unwrap());
        assert_eq!((view.up, view.down), (vec!["pg-master".to_owned()], vec!["node2".to_owned()]));
    }

    #[test]
    fn a_page_without_the_columns_is_refused() {
        assert!(parse("<html>").unwrap_err().contains("pxname"));
    }
}
