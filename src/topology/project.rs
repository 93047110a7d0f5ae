//! The compose project: the same topology with the lab's own names and ports and real Patroni in containers.
//!
//! It holds nothing of this machine, so that it can be taken away and brought up by `docker compose up`.

use serde_json::{Map, Value, json};

use super::local::{haproxy_context, without_nulls};
use super::patroni::{self, Place};
use super::render::Renderer;
use super::site::{ELECTION_PORT, PEER_PORT, REST_PORT, SQL_PORT, Site, ZOOKEEPER_PORT};
use super::{ConfigFile, PlanError, Publish};
use crate::lab::model::{HaproxyNode, Node, PostgresNode, ZookeeperNode};
use crate::lab::settings;

/// The image that the first Dockerfile makes.
const BUILT_IMAGE: &str = "my-postgres-patroni";
/// Where the official image of PostgreSQL keeps its data, owned by its user; the data directory lies in it.
const PGDATA: &str = "/var/lib/postgresql/data";

/// All files of the project.
pub fn files(site: &Site<'_>, renderer: &Renderer<'_>) -> Result<Vec<ConfigFile>, PlanError> {
    let images = base_images(site);
    let mut files = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let configs: Vec<_> = built_from(site, image).map(|name| site.postgres_file(name)).collect();
        let content = renderer.file("Dockerfile", &json!({"image": image, "files": configs}))?;
        files.push(plain(dockerfile(index), content));
    }
    for (name, node) in site.nodes() {
        match node {
            Node::Postgres(node) => files.push(postgres(site, name, node, renderer)?),
            Node::Haproxy(node) => files.push(haproxy(site, name, node, renderer)?),
            Node::Zookeeper(_) => {}
        }
    }
    let services: Vec<Value> = site.nodes().map(|(name, node)| service(site, &images, name, node)).collect();
    let volumes: Vec<&str> = services
        .iter()
        .flat_map(|service| service["volumes"].as_array().into_iter().flatten())
        .filter_map(|volume| volume.as_str()?.split(':').next())
        .filter(|source| !source.starts_with('.'))
        .collect();
    let compose = renderer.file("docker-compose.yml", &json!({"services": services, "volumes": volumes}))?;
    let at = files.iter().position(|file| file.path.ends_with(".cfg")).unwrap_or(files.len());
    files.insert(at, plain("docker-compose.yml".to_owned(), compose));
    Ok(files)
}

/// The base images of the postgres nodes, each once: each needs a Dockerfile.
pub fn base_images<'a>(site: &Site<'a>) -> Vec<&'a str> {
    let mut images = Vec::new();
    for (_, node) in site.nodes() {
        if let Node::Postgres(node) = node {
            let image = settings::postgres_image(site.defaults(), node);
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }
    images
}

fn built_from<'a>(site: &Site<'a>, image: &str) -> impl Iterator<Item = &'a str> {
    let defaults = site.defaults();
    site.nodes().filter_map(move |(name, node)| match node {
        Node::Postgres(node) if settings::postgres_image(defaults, node) == image => Some(name),
        _ => None,
    })
}

fn dockerfile(index: usize) -> String {
    if index == 0 { "Dockerfile".to_owned() } else { format!("Dockerfile.{}", index + 1) }
}

pub fn built_image(index: usize) -> String {
    if index == 0 { BUILT_IMAGE.to_owned() } else { format!("{BUILT_IMAGE}-{}", index + 1) }
}

pub fn postgres(
    site: &Site<'_>,
    name: &str,
    node: &PostgresNode,
    renderer: &Renderer<'_>,
) -> Result<ConfigFile, PlanError> {
    let path = site.postgres_file(name);
    let index = path.trim_start_matches("postgres").trim_end_matches(".yml");
    let place = Place {
        listen: "0.0.0.0".to_owned(),
        connect: name.to_owned(),
        sql_port: SQL_PORT,
        rest_port: REST_PORT,
        zookeeper: site.zookeeper_names().map(|zoo| format!("{zoo}:{ZOOKEEPER_PORT}")).collect(),
        data_dir: format!("{PGDATA}/postgresql{index}"),
        bin_dir: major_version(settings::postgres_image(site.defaults(), node))
            .map(|major| format!("/usr/lib/postgresql/{major}/bin")),
        pgpass: format!("/tmp/pgpass{index}"),
    };
    let document = patroni::document(&settings::patroni(site.defaults(), node), site.member(name), &place);
    let content = renderer.file("patroni.yml", &json!({"patroni": document}))?;
    Ok(ConfigFile { path, content, secret: true })
}

/// PostgreSQL's major version, from an official image's tag (`postgres:15`, `postgres:16.4-bookworm`). Without one
/// the programs are found by the PATH of the image.
fn major_version(image: &str) -> Option<u32> {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))?;
    tag[..tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len())].parse().ok()
}

pub fn haproxy(
    site: &Site<'_>,
    name: &str,
    node: &HaproxyNode,
    renderer: &Renderer<'_>,
) -> Result<ConfigFile, PlanError> {
    let context = haproxy_context(site, node, "*", str::to_owned);
    Ok(plain(haproxy_file(site, name), renderer.file("haproxy.cfg", &context)?))
}

/// `haproxy.cfg`, or `NAME.cfg` where there are several proxies.
pub fn haproxy_file(site: &Site<'_>, name: &str) -> String {
    match site.nodes().filter(|(_, node)| matches!(node, Node::Haproxy(_))).count() {
        1 => "haproxy.cfg".to_owned(),
        _ => format!("{name}.cfg"),
    }
}

pub fn service(site: &Site<'_>, images: &[&str], name: &str, node: &Node) -> Value {
    let own = match node {
        Node::Zookeeper(node) => zookeeper_service(site, name, node),
        Node::Postgres(node) => {
            let base = settings::postgres_image(site.defaults(), node);
            let index = images.iter().position(|image| *image == base).unwrap_or(0);
            postgres_service(site, name, node, index)
        }
        Node::Haproxy(node) => json!({
            "image": settings::haproxy_image(site.defaults(), node),
            "volumes": [format!("./{}:/usr/local/etc/haproxy/haproxy.cfg:ro", haproxy_file(site, name))],
        }),
    };
    let health = |need: &str| match site.nodes().find(|(other, _)| *other == need) {
        Some((_, Node::Haproxy(_))) => "service_started",
        _ => "service_healthy",
    };
    let needs: Map<_, _> = node.needs().iter().map(|need| (need.clone(), json!(health(need)))).collect();
    let publish: Vec<_> = publish(node).into_iter().map(|port| json!(port)).collect();
    let mut service = json!({"name": name, "environment": {}, "volumes": [], "publish": publish, "needs": needs});
    if let (Value::Object(service), Value::Object(own)) = (&mut service, own) {
        service.extend(own);
    }
    service
}

/// The ports of the host, as the lab has them.
pub fn publish(node: &Node) -> Vec<Publish> {
    let pairs = match node {
        Node::Zookeeper(node) => vec![(node.publish.client, ZOOKEEPER_PORT)],
        Node::Postgres(node) => vec![(node.publish.sql, SQL_PORT), (node.publish.rest, REST_PORT)],
        Node::Haproxy(node) => vec![(node.publish.sql, SQL_PORT), (node.publish.stats, super::site::STATS_PORT)],
    };
    pairs.into_iter().filter_map(|(host, node)| host.map(|host_port| Publish { host_port, node_port: node })).collect()
}

/// Confluent's image and the official one name the same settings differently.
fn zookeeper_service(site: &Site<'_>, name: &str, node: &ZookeeperNode) -> Value {
    let image = settings::zookeeper_image(site.defaults(), node);
    let confluent = image.contains("cp-zookeeper");
    let prefix = if confluent { "ZOOKEEPER_" } else { "ZOO_" };
    let mut environment = Map::new();
    if confluent {
        environment.insert("ZOOKEEPER_CLIENT_PORT".to_owned(), json!(ZOOKEEPER_PORT));
    }
    // The limits are for ensembles; of a single server only what the lab itself sets is worth a line.
    let servers: Vec<_> = site.zookeeper_names().collect();
    let mut shown = settings::zookeeper(site.defaults(), node);
    if servers.len() == 1 {
        let kind = &site.defaults().zookeeper.settings;
        shown.init_limit = node.settings.init_limit.or(kind.init_limit);
        shown.sync_limit = node.settings.sync_limit.or(kind.sync_limit);
    }
    if let Value::Object(shown) = without_nulls(json!(shown)) {
        environment.extend(shown.into_iter().map(|(key, value)| (format!("{prefix}{}", screaming(&key)), value)));
    }
    if servers.len() > 1 {
        environment.extend(ensemble(&servers, name, confluent));
    }
    let folders: &[&str] =
        if confluent { &["/var/lib/zookeeper/data", "/var/lib/zookeeper/log"] } else { &["/data", "/datalog"] };
    let volumes: Vec<_> =
        folders.iter().zip(["data", "log"]).map(|(folder, what)| format!("{name}-{what}:{folder}")).collect();
    let probe = format!("exec 3<>/dev/tcp/127.0.0.1/{ZOOKEEPER_PORT} && echo srvr >&3 && grep -q Mode <&3");
    json!({
        "image": image,
        "environment": environment,
        "volumes": volumes,
        "health": ["CMD", "bash", "-c", probe],
    })
}

fn ensemble(servers: &[&str], name: &str, confluent: bool) -> Vec<(String, Value)> {
    let id = servers.iter().position(|server| *server == name).map_or(1, |index| index + 1);
    if confluent {
        let list: Vec<_> = servers.iter().map(|server| format!("{server}:{PEER_PORT}:{ELECTION_PORT}")).collect();
        return vec![
            ("ZOOKEEPER_SERVER_ID".to_owned(), json!(id)),
            ("ZOOKEEPER_SERVERS".to_owned(), json!(list.join(";"))),
        ];
    }
    let server = |(index, server): (usize, &&str)| {
        format!("server.{}={server}:{PEER_PORT}:{ELECTION_PORT};{ZOOKEEPER_PORT}", index + 1)
    };
    let list: Vec<_> = servers.iter().enumerate().map(server).collect();
    vec![("ZOO_MY_ID".to_owned(), json!(id)), ("ZOO_SERVERS".to_owned(), json!(list.join(" ")))]
}

/// `tickTime` as `TICK_TIME`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

fn postgres_service(site: &Site<'_>, name: &str, node: &PostgresNode, image: usize) -> Value {
    let users = patroni::credentials(&settings::patroni(site.defaults(), node));
    json!({
        "image": built_image(image),
        "dockerfile": dockerfile(image),
        "environment": {
            "POSTGRES_USER": users.superuser,
            "POSTGRES_PASSWORD": users.superuser_password,
            "PATRONI_NAME": site.member(name),
        },
        "volumes": [format!("{name}-data:{PGDATA}")],
        "command": format!("patroni /{}", site.postgres_file(name)),
        "health": ["CMD", "curl", "-fsS", "-o", "/dev/null", format!("http://localhost:{REST_PORT}/health")],
    })
}

fn plain(path: String, content: String) -> ConfigFile {
    ConfigFile { path, content, secret: false }
}
