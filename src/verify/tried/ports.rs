//! A node's ports, asked from the host and from the container of another node. The running cluster is only looked at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deploy::{DeployedNode, Deployment, Home};
use crate::lab::model::Text;
use crate::topology::Service;
use crate::verify::spine::Observation;
use crate::verify::{Source, say};

/// More of an answer is not read.
const MOST_ANSWER: u64 = 256;

/// What answers at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The agent's REST API.
    Rest,
    /// PostgreSQL.
    Sql,
}

/// A port of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What answers at it.
    pub kind: Kind,
    /// The node's own port.
    pub own: u16,
    /// Where the host publishes it, if it does.
    pub at: Option<SocketAddr>,
}

/// Who is asked, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The node that is asked.
    pub node: String,
    /// The node from whose container it is asked.
    pub asker: String,
    /// The asker's container.
    pub container: String,
    /// The ports.
    pub ports: [Port; 2],
}

/// The first database node is asked, from the proxy's container, or else from that of another node.
pub fn plan(deployment: &Deployment) -> Option<Plan> {
    let in_container = |node: &&DeployedNode| matches!(node.home, Home::Container(_));
    let (node, sql_port, rest_port) =
        deployment.nodes.iter().filter(in_container).find_map(|node| match node.service {
            Service::Postgres { sql_port, rest_port, .. } => Some((node, sql_port, rest_port)),
            _ => None,
        })?;
    let others = || deployment.nodes.iter().filter(in_container).filter(|other| other.name != node.name);
    let asker = others().find(|other| matches!(other.service, Service::Haproxy { .. })).or_else(|| others().next())?;
    let Home::Container(container) = &asker.home else { return None };
    let at = |own: u16| {
        node.published.iter().find(|(_, inner)| *inner == own).map(|(host, _)| (host_of(node), *host).into())
    };
    let port = |kind, own| Port { kind, own, at: at(own) };
    Some(Plan {
        node: node.name.clone(),
        asker: asker.name.clone(),
        container: container.clone(),
        ports: [port(Kind::Rest, rest_port), port(Kind::Sql, sql_port)],
    })
}

/// The host's address: another machine's where the node is reached by its published ports there.
fn host_of(node: &DeployedNode) -> IpAddr {
    let published = |port: u16| node.published.iter().any(|(host, _)| *host == port);
    if published(node.main.port()) { node.main.ip() } else { Ipv4Addr::LOCALHOST.into() }
}

impl Kind {
    /// What is sent, so that something comes back: PostgreSQL's is the question whether it speaks TLS.
    fn question(self) -> &'static [u8] {
        match self {
            Kind::Rest => b"GET /health HTTP/1.0\r\n\r\n",
            Kind::Sql => &[0, 0, 0, 8, 4, 210, 22, 47],
        }
    }

    /// The same for the shell's `printf`.
    fn printed(self) -> &'static str {
        match self {
            Kind::Rest => r"GET /health HTTP/1.0\r\n\r\n",
            Kind::Sql => r"\0\0\0\010\004\322\026\057",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Rest => "REST",
            Kind::Sql => "SQL",
        }
    }
}

/// What an answer says; none where there was none, or one that is not this service's.
pub fn answer(kind: Kind, bytes: &[u8]) -> Option<String> {
    match kind {
        Kind::Rest => {
            let text = String::from_utf8_lossy(bytes);
            text.lines().next().map(str::trim).filter(|line| line.starts_with("HTTP/")).map(str::to_owned)
        }
        Kind::Sql => matches!(bytes.first(), Some(b'S' | b'N')).then(|| "PostgreSQL".to_owned()),
    }
}

/// Ask from here.
pub async fn ask(at: SocketAddr, kind: Kind, limit: Duration) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(at).await.ok()?;
        stream.write_all(kind.question()).await.ok()?;
        let mut bytes = Vec::new();
        // PostgreSQL answers with one byte, and waits.
        let most = if kind == Kind::Sql { 1 } else { MOST_ANSWER };
        stream.take(most).read_to_end(&mut bytes).await.ok()?;
        answer(kind, &bytes)
    };
    tokio::time::timeout(limit, asked).await.ok().flatten()
}

impl Plan {
    /// What asks a port from the asker's container. No program is needed there but its shell and `head`.
    pub fn argv(&self, port: &Port) -> Vec<String> {
        vec!["bash".to_owned(), "-c".to_owned(), self.script(port)]
    }

    fn script(&self, port: &Port) -> String {
        let read = if port.kind == Kind::Sql { "head -c 1" } else { "head -n 1" };
        let question = port.kind.printed();
        format!("exec 3<>/dev/tcp/{}/{} && printf \"{question}\" >&3 && {read} <&3", self.node, port.own)
    }

    /// What was seen from the host, answer by answer.
    pub fn seen_from_host(&self, answers: &[Option<String>]) -> Observation {
        let line = |port: &Port, said: &Option<String>| match (port.at, said) {
            (None, _) => format!("{} {}: no port of the host leads there", port.own, port.kind.name()),
            (Some(at), Some(said)) => format!("{} {}: {at} answers: {said}", port.own, port.kind.name()),
            (Some(at), None) => format!("{} {}: {at} does not answer", port.own, port.kind.name()),
        };
        let command = |port: &Port| match (port.at, port.kind) {
            (None, _) => format!("docker compose port {} {}", self.node, port.own),
            (Some(at), Kind::Rest) => format!("curl -sI http://{at}/health"),
            (Some(at), Kind::Sql) => format!("pg_isready -h {} -p {}", at.ip(), at.port()),
        };
        let commands: Vec<String> = self.ports.iter().map(command).collect();
        self.observation(commands.join("\n"), answers, line, |port| json!(port.at.map(|at| at.to_string())))
    }

    /// What was seen from the asker's container.
    pub fn seen_from_container(&self, answers: &[Option<String>]) -> Observation {
        let line = |port: &Port, said: &Option<String>| {
            let at = format!("{} {}: {}:{}", port.own, port.kind.name(), self.node, port.own);
            match said {
                Some(said) => format!("{at} answers: {said}"),
                None => format!("{at} does not answer"),
            }
        };
        let command = |port: &Port| format!("docker exec {} bash -c '{}'", self.container, self.script(port));
        let commands: Vec<String> = self.ports.iter().map(command).collect();
        self.observation(commands.join("\n"), answers, line, |port| json!(format!("{}:{}", self.node, port.own)))
    }

    fn observation(
        &self,
        command: String,
        answers: &[Option<String>],
        line: impl Fn(&Port, &Option<String>) -> String,
        at: impl Fn(&Port) -> Value,
    ) -> Observation {
        let pairs = || self.ports.iter().zip(answers);
        let lines: Vec<String> = pairs().map(|(port, said)| line(port, said)).collect();
        let ports = pairs().map(|(port, said)| json!({ "port": port.own, "at": at(port), "answer": said }));
        Observation {
            node: Some(self.node.clone()),
            role: None,
            source: Source::Tried { command },
            output: lines.join("\n"),
            value: json!({ "node": self.node, "asker": self.asker, "ports": ports.collect::<Vec<_>>() }),
        }
    }
}

/// What the step from the host does.
pub fn from_host() -> Text {
    say::both("Порты узла спрошены с хоста", "The node's ports are asked from the host")
}

/// What the step from a container does.
pub fn from_container(asker: &str) -> Text {
    say::both(
        format!("Те же порты спрошены из контейнера {asker}"),
        format!("The same ports are asked from the container of {asker}"),
    )
}

/// Without two containers there is nobody to ask.
pub fn nobody() -> Text {
    say::both("нет двух узлов в контейнерах", "there are no two nodes in containers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::testing::deployment;

    fn in_containers() -> Deployment {
        let mut deployment = deployment();
        deployment.nodes.iter_mut().for_each(|node| node.home = Home::Container(format!("lab-{}", node.name)));
        deployment
    }

    #[test]
    fn the_proxys_container_asks_the_first_database_node_whose_ports_are_looked_up() {
        let found = plan(&in_containers()).unwrap();
        assert_eq!((found.node.as_str(), found.asker.as_str()), ("pg-master", "haproxy"));
        let at = found.ports.each_ref().map(|port| (port.own, port.at.unwrap().to_string()));
        assert_eq!(at, [(8008, "127.0.0.1:8008".to_owned()), (5432, "127.0.0.1:5433".to_owned())]);
        assert_eq!(plan(&deployment()), None, "processes have no ports of their own");
        // Through published ports on another machine.
        let mut remote = in_containers();
        remote.nodes[1].main = ([10, 0, 0, 7], 5433).into();
        assert_eq!(plan(&remote).unwrap().ports[0].at.unwrap().to_string(), "10.0.0.7:8008");
    }

    #[test]
    fn a_port_that_is_not_published_is_told_as_such_and_is_asked_from_inside_all_the_same() {
        let mut deployment = in_containers();
        deployment.nodes[1].published.retain(|(_, own)| *own == 5432);
        let found = plan(&deployment).unwrap();
        let host = found.seen_from_host(&[None, Some("PostgreSQL".into())]);
        insta::assert_snapshot!(host.output, @r"
        8008 REST: no port of the host leads there
        5432 SQL: 127.0.0.1:5433 answers: PostgreSQL
        ");
        let inside = found.seen_from_container(&[Some("HTTP/1.0 200 OK".into()), None]);
        insta::assert_snapshot!(inside.output, @r"
        8008 REST: pg-master:8008 answers: HTTP/1.0 200 OK
        5432 SQL: pg-master:5432 does not answer
        ");
        let Source::Tried { command } = inside.source else { panic!() };
        assert!(command.starts_with("docker exec lab-haproxy bash -c 'exec 3<>/dev/tcp/pg-master/8008"), "{command}");
        assert_eq!(inside.value["ports"][0]["at"], "pg-master:8008");
        assert_eq!(host.value["ports"][0]["at"], Value::Null);
    }

    #[tokio::test]
    async fn only_the_services_own_answer_counts() {
        assert_eq!(answer(Kind::Rest, b"HTTP/1.0 503 \r\nx").as_deref(), Some("HTTP/1.0 503"));
        assert_eq!(answer(Kind::Rest, b"SSH-2.0"), None);
        assert_eq!(
            (answer(Kind::Sql, b"N").is_some(), answer(Kind::Sql, b"H"), answer(Kind::Sql, b"")),
            (true, None, None)
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 8];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(b"N").await.unwrap();
            question
        });
        assert_eq!(ask(at, Kind::Sql, Duration::from_secs(10)).await.as_deref(), Some("PostgreSQL"));
        assert_eq!(server.await.unwrap(), [0, 0, 0, 8, 4, 210, 22, 47]);
        assert_eq!(ask(at, Kind::Sql, Duration::from_secs(10)).await, None, "nobody listens any more");
    }
}
