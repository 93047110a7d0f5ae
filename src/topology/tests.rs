use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::*;
use crate::lab;

fn options() -> PlanOptions {
    PlanOptions {
        deployment: "ha-postgres".to_owned(),
        block: Ipv4Addr::new(127, 77, 3, 0),
        nodes_dir: PathBuf::from("/srv/out/ha-postgres/nodes"),
        postgres_bin: PathBuf::from("/usr/lib/postgresql/15/bin"),
        port_offset: 0,
        publish: true,
    }
}

fn reference() -> lab::Loaded {
    lab::load("builtin:ha-postgres").expect("the reference lab is sound")
}

/// All files below one another, each under its path.
fn shown(files: &[ConfigFile]) -> String {
    files
        .iter()
        .map(|file| format!("--- {}{}\n{}", file.path, if file.secret { " (secret)" } else { "" }, file.content))
        .collect()
}

#[test]
fn the_local_files_of_the_reference_lab() {
    let plan = plan(&reference(), &options()).expect("a plan");
    for node in &plan.nodes {
        insta::assert_snapshot!(format!("local-{}", node.name), shown(&node.files));
    }
}

#[test]
fn the_compose_project_of_the_reference_lab() {
    let plan = plan(&reference(), &options()).expect("a plan");
    let paths: Vec<_> = plan.project.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["Dockerfile", "postgres0.yml", "postgres1.yml", "docker-compose.yml", "haproxy.cfg"]);
    insta::assert_snapshot!("project", shown(&plan.project));
}

#[test]
fn addresses_ports_and_waves_of_the_reference_lab() {
    let plan = plan(&reference(), &options()).expect("a plan");
    assert_eq!(plan.waves, [["zoo"], ["pg-master"], ["pg-slave"], ["haproxy"]]);
    let addresses: Vec<_> = plan.nodes.iter().map(|node| node.address.octets()[3]).collect();
    assert_eq!(addresses, [10, 11, 12, 13]);
    let published: Vec<_> = plan.nodes.iter().flat_map(|node| &node.publish).map(|port| port.host_port).collect();
    assert_eq!(published, [2181, 5433, 8008, 5434, 8009, 5000, 7000]);
    assert_eq!((plan.scope.as_str(), plan.namespace.as_str()), ("my_cluster", "service"));
    assert_eq!((plan.timing.ttl_ms, plan.timing.inter_ms, plan.timing.fall, plan.timing.rise), (30_000, 3_000, 3, 2));
}

#[test]
fn published_ports_move_together_or_not_at_all() {
    let lab = reference();
    let moved = plan(&lab, &PlanOptions { port_offset: 10_000, ..options() }).expect("a plan");
    assert_eq!(moved.nodes[1].publish[0], Publish { host_port: 15433, node_port: 5432 });
    let none = plan(&lab, &PlanOptions { publish: false, ..options() }).expect("a plan");
    assert!(none.nodes.iter().all(|node| node.publish.is_empty()));
    assert_eq!(shown(&none.project), shown(&moved.project), "the project keeps the lab's own ports");
    let error = plan(&lab, &PlanOptions { port_offset: 60_000, ..options() }).expect_err("no such port");
    assert!(matches!(error, PlanError::NoSuchPort { port: 68_008, .. }), "{error}");
}
