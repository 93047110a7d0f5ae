//! What fails, and what one is told: a code, whose it is, what to do. A second try works.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};

use bollard::models::{ContainerCreateBody, NetworkCreateRequest};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};

use crate::engine::{Failure, failing};
use crate::support::{Place, Said, on_engine};

const LAB: &str = "builtin:ha-postgres";

/// Only ZooKeeper: what is tried here fails before or after that.
const KEEPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/labs/keeper");

#[track_caller]
fn fails(said: Said, code: &str, words: &[&str]) {
    let said = said.ends(4);
    assert!(said.err.contains(code), "{}", said.err);
    for word in words {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
}

pub fn taken() {
    let place = Place::new();
    let theirs = place.container("pg-slave");
    let body = ContainerCreateBody {
        image: Some("haproxy:2.4".to_owned()),
        labels: Some(HashMap::from([("com.docker.compose.project".to_owned(), "homework".to_owned())])),
        ..Default::default()
    };
    on_engine(async |engine| {
        let options = CreateContainerOptionsBuilder::new().name(&theirs).build();
        engine.docker().create_container(Some(options), body).await.unwrap();
    });
    let said = place.deploy(LAB);
    let left = place.in_engine();
    on_engine(async |engine| {
        let there = engine.container(&theirs).state().await;
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        engine.docker().remove_container(&theirs, Some(options)).await.unwrap();
        there.expect("it was touched");
    });
    fails(said, "LR0809", &[&theirs, "of the compose project homework", "--name OTHER"]);
    assert_eq!(left, Vec::<String>::new());
    assert!(!place.output.join(&place.name).exists());

    let port = 5000 + place.offset().parse::<u16>().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    fails(place.deploy(LAB), "LR0302", &[&port.to_string(), "haproxy"]);
    drop(listener);

    let network = format!("{}_default", place.name);
    on_engine(async |engine| {
        let request = NetworkCreateRequest { name: network.clone(), ..Default::default() };
        engine.docker().create_network(request).await.unwrap();
    });
    let said = place.deploy(KEEPER);
    on_engine(async |engine| engine.docker().remove_network(&network).await.expect("it was touched"));
    fails(said, "LR0809", &[&network, "no label"]);
    place.deploy(KEEPER).ends(0);
}

pub fn build() {
    let place = Place::new();
    let lab = place.lab(str::to_owned);
    let templates = place.dir().join("lab/templates/config");
    std::fs::create_dir_all(&templates).unwrap();
    let template = "FROM {{ image }}\nRUN echo this is the last line && exit 9\n";
    std::fs::write(templates.join("Dockerfile.labrun.j2"), template).unwrap();
    fails(place.deploy(&lab), "LR0808", &["my-postgres-labrun", "exit 9", "this is the last line"]);
    let status = place.labrun(&["destroy"]).ends(0);
    assert!(!status.out.contains("container"), "{}", status.out);
}

pub fn image() {
    let place = Place::new();
    let offset = place.offset();
    let mut nowhere = place.command(&place.words("deploy", LAB, &offset));
    let said = nowhere.env("DOCKER_HOST", "unix:///nonexistent.sock").output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("LR0801") && said.contains("unix:///nonexistent.sock"), "{said}");
    assert!(!place.output.join(&place.name).exists());
    let lab = place.lab(|text| text.replace("image: haproxy:2.4", "image: localhost:1/nobody/has-this:1"));
    fails(place.deploy(&lab), "LR0807", &["localhost:1/nobody/has-this:1", "docker pull"]);
}

pub fn dies() {
    let place = Place::new();
    let through = |socket: &std::path::Path| {
        let offset = place.offset();
        let mut command = place.command(&place.words("deploy", KEEPER, &offset));
        let output = command.env("DOCKER_HOST", format!("unix://{}", socket.display())).output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let full = failing(place.dir(), "/containers/create", Failure::Full);
    fails(through(&full), "LR0805", &["no space left on device", "docker system df"]);
    // The state names the engine that was used; a destroy with that one leaves nothing.
    place.labrun(&["destroy"]).ends(0);
    assert_eq!(place.in_engine(), Vec::<String>::new());

    let dying = failing(place.dir(), "/start", Failure::Dies);
    let said = through(&dying).ends(4);
    assert!(said.err.contains("LR0804") || said.err.contains("LR0801"), "{}", said.err);
    assert!(!place.in_engine().is_empty(), "it died too early");
    // It is back, at the same place.
    let labrun::engine::Address::Unix(real) = labrun::engine::Address::from_env().unwrap() else { return };
    std::os::unix::fs::symlink(real, &dying).unwrap();
    through(&dying).ends(0);
}
