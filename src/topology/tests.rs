use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::*;
use crate::lab::{self, Loaded};

fn options() -> PlanOptions {
    PlanOptions {
        deployment: "ha-postgres".to_owned(),
        block: Ipv4Addr::new(127, 77, 3, 0),
        place: place("/srv/out/ha-postgres/nodes"),
        port_offset: 0,
        publish: true,
    }
}

fn place(nodes_dir: &str) -> PlanPlace {
    PlanPlace::Local { nodes_dir: nodes_dir.into(), postgres_bin: "/usr/lib/postgresql/15/bin".into() }
}

fn reference() -> Loaded {
    lab::load("builtin:ha-postgres").expect("the reference lab is sound")
}

/// Three ZooKeeper servers of two kinds of images, three members on two images, two proxies.
fn big() -> Loaded {
    let path = format!("{}/tests/labs/big", env!("CARGO_MANIFEST_DIR"));
    lab::load(&path).unwrap_or_else(|error| panic!("{:?}", error.diagnostics))
}

fn planned(loaded: &Loaded) -> Plan {
    plan(loaded, &options()).expect("a plan")
}

/// All files below one another, each under its path.
fn shown(files: &[ConfigFile]) -> String {
    files
        .iter()
        .map(|file| format!("--- {}{}\n{}", file.path, if file.secret { " (secret)" } else { "" }, file.content))
        .collect()
}

fn file<'a>(files: &'a [ConfigFile], path: &str) -> &'a str {
    &files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}")).content
}

fn parsed(files: &[ConfigFile], path: &str) -> Value {
    serde_saphyr::from_str(file(files, path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn write_all(files: &[ConfigFile], dir: &Path) {
    for file in files {
        std::fs::write(dir.join(&file.path), &file.content).expect("written");
    }
}

/// Runs a program that the machine may have; what it said, where it failed.
fn complaint(program: &str, args: &[&str], dir: &Path) -> Option<String> {
    match Command::new(program).args(args).current_dir(dir).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => {
            eprintln!("{program} is not tried: {error}");
            None
        }
    }
}

#[test]
fn the_local_files_of_the_reference_lab() {
    for node in &planned(&reference()).nodes {
        insta::assert_snapshot!(format!("local-{}", node.name), shown(&node.files));
    }
}

#[test]
fn the_compose_project_of_the_reference_lab() {
    let plan = planned(&reference());
    let paths: Vec<_> = plan.project.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["Dockerfile", "postgres0.yml", "postgres1.yml", "docker-compose.yml", "haproxy.cfg"]);
    insta::assert_snapshot!("project", shown(&plan.project));
}

#[test]
fn addresses_ports_and_waves_of_the_reference_lab() {
    let plan = planned(&reference());
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

#[test]
fn a_folder_that_no_configuration_can_hold_is_refused() {
    for dir in ["/srv/a\nb", "/srv/it's", "/srv/a\"b", "/srv/a\\b"] {
        let error = plan(&reference(), &PlanOptions { place: place(dir), ..options() });
        assert!(matches!(error, Err(PlanError::Folder { .. })), "{dir}");
    }
}

#[test]
fn every_project_file_is_known_before() {
    for loaded in [reference(), big()] {
        let mut known = lab::project_files(&loaded.lab.file.topology);
        let mut made: Vec<_> = planned(&loaded).project.iter().map(|file| file.path.clone()).collect();
        known.sort();
        made.sort();
        assert_eq!(known, made);
    }
}

#[test]
fn an_ensemble_several_images_and_several_proxies() {
    let plan = planned(&big());
    insta::assert_snapshot!("big-compose", file(&plan.project, "docker-compose.yml"));
    assert_eq!(plan.waves, [vec!["zoo-1", "zoo-2", "zoo-3"], vec!["pg-1", "pg-2"], vec!["proxy-1", "proxy-2", "pg-3"]]);
    assert_eq!((plan.scope.as_str(), plan.namespace.as_str()), ("big", "labs"));

    let node = |name: &str| plan.nodes.iter().find(|node| node.name == name).expect(name);
    let zoo = file(&node("zoo-2").files, "zoo.cfg");
    for line in ["server.1=127.77.3.12:2888:3888", "server.2=127.77.3.13:2888:3888", "maxSessionTimeout=60000"] {
        assert!(zoo.lines().any(|other| other == line), "{line} in\n{zoo}");
    }
    assert_eq!(file(&node("zoo-2").files, "data/myid"), "2\n");

    let second = parsed(&node("pg-2").files, "postgres1.yml");
    assert_eq!(second["name"], "second");
    assert_eq!(second["tags"]["nofailover"], true);
    assert_eq!(second["bootstrap"]["dcs"].get("loop_wait"), None, "null takes a key away");
    assert_eq!(second["restapi"]["authentication"]["username"], "rest");
    assert_eq!(second["restapi"]["listen"], "127.77.3.16:8008");
    assert_eq!(second["zookeeper"]["hosts"].as_array().map(Vec::len), Some(3));
    assert_eq!(second["postgresql"]["authentication"]["replication"]["password"], "0x10");

    let proxy = file(&node("proxy-1").files, "haproxy.cfg");
    assert!(proxy.contains("option httpchk OPTIONS /primary\n") && !proxy.contains("shutdown-sessions"), "{proxy}");
    assert_eq!(parsed(&plan.project, "postgres1.yml")["postgresql"]["bin_dir"], "/usr/lib/postgresql/16/bin");
    assert!(file(&plan.project, "Dockerfile.2").starts_with("FROM postgres:16-bookworm\n"));
}

#[test]
fn every_yaml_file_is_read_back() {
    for loaded in [reference(), big()] {
        let plan = planned(&loaded);
        let all: Vec<&[ConfigFile]> =
            plan.nodes.iter().map(|node| node.files.as_slice()).chain([plan.project.as_slice()]).collect();
        for files in all {
            for name in files.iter().map(|file| file.path.as_str()).filter(|name| name.ends_with(".yml")) {
                assert!(parsed(files, name).is_object(), "{name}");
            }
        }
        let compose = parsed(&plan.project, "docker-compose.yml");
        let services = compose["services"].as_object().expect("services");
        assert!(services.keys().eq(loaded.lab.file.topology.nodes.keys()));
        // `$` begins a variable in a compose file.
        if let Some(password) = compose["services"]["pg-1"]["environment"]["POSTGRES_PASSWORD"].as_str() {
            assert_eq!(password, "it's $$ecret: yes");
        }
    }
}

#[test]
fn nothing_of_this_machine_is_in_the_project() {
    for loaded in [reference(), big()] {
        let text = shown(&planned(&loaded).project);
        assert!(!text.contains("/srv/") && !text.contains("127.77."), "{text}");
    }
}

#[test]
fn haproxy_accepts_its_configurations() {
    for loaded in [reference(), big()] {
        let plan = planned(&loaded);
        for node in &plan.nodes {
            for file in node.files.iter().filter(|file| file.path == "haproxy.cfg") {
                let dir = tempfile::tempdir().expect("a folder");
                write_all(std::slice::from_ref(file), dir.path());
                assert_eq!(complaint("haproxy", &["-c", "-f", "haproxy.cfg"], dir.path()), None);
            }
        }
        // In the project servers have the names of containers, which this machine does not know.
        for file in plan.project.iter().filter(|file| file.path.ends_with(".cfg")) {
            let dir = tempfile::tempdir().expect("a folder");
            let content: String = file
                .content
                .lines()
                .map(|line| match line.trim_start().strip_prefix("server ") {
                    Some(server) => {
                        let mut words: Vec<&str> = server.split(' ').collect();
                        words[1] = "127.0.0.1:5432";
                        format!("    server {}\n", words.join(" "))
                    }
                    None => format!("{line}\n"),
                })
                .collect();
            write_all(&[ConfigFile { content, ..file.clone() }], dir.path());
            assert_eq!(complaint("haproxy", &["-c", "-f", &file.path], dir.path()), None);
        }
    }
}

#[test]
fn docker_compose_accepts_the_projects() {
    for loaded in [reference(), big()] {
        let dir = tempfile::tempdir().expect("a folder");
        write_all(&planned(&loaded).project, dir.path());
        assert_eq!(complaint("docker-compose", &["config", "-q"], dir.path()), None);
    }
}
