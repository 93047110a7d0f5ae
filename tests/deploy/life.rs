//! A deployment from its beginning to its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use labrun::deploy::{Backend, Home, Local, NodeStatus, state};
use serde_json::{Value, json};

use crate::support::{Place, free_offset, is_free, lab, until};

fn node<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap()
}

fn addresses(state: &Value) -> Vec<SocketAddr> {
    let nodes = state["nodes"].as_array().unwrap();
    let ports = nodes.iter().flat_map(|node| [node["main"].as_str(), node["side"].as_str()]).flatten();
    let published = nodes.iter().flat_map(|node| node["published"].as_array().unwrap());
    let host = published.map(|pair| SocketAddr::from((Ipv4Addr::LOCALHOST, pair[0].as_u64().unwrap() as u16)));
    ports.map(|address| address.parse().unwrap()).chain(host).collect()
}

#[test]
fn a_cluster_is_deployed_used_broken_mended_and_removed() {
    let place = Place::new();
    let offset = free_offset().to_string();
    let reference = lab("reference");
    let deploy = ["deploy", &reference, "--port-offset", &offset];

    let told = place.labrun(&[&deploy[..], &["--json"]].concat()).ends(0).json();
    assert_eq!(told["phase"], "ready");
    assert!(told["ready_after_ms"].as_u64().unwrap() > 0);
    let state = place.state("reference");
    let all = addresses(&state);
    assert_eq!(all.len(), 7 + 7, "{all:?}");
    assert!(all.iter().all(|address| !is_free(*address)), "{all:?}");

    sql_reaches_every_role(&place);
    the_same_again_changes_nothing(&place, &deploy);
    a_stopped_leader_is_replaced_and_comes_back(&place);
    logs_of_a_role(&place);

    let said = place.labrun(&["destroy"]).ends(0);
    assert!(said.out.contains("reference is removed") && said.out.contains("processes"), "{}", said.out);
    // One server was killed, and nobody else gives back what it had.
    assert!(said.out.contains("shared memory segments of killed servers"), "{}", said.out);
    place.assert_nothing_left();
    assert!(all.iter().all(|address| is_free(*address)), "a port is still bound: {all:?}");
    assert!(!place.output.join("reference").exists());
    place.labrun(&["destroy"]).ends(6);
}

fn sql_reaches_every_role(place: &Place) {
    let status = place.status_when("reference", "ready", |status| status["ready"] == true);
    let leader = status["cluster"]["leader"].as_str().unwrap().to_owned();
    let said = place.labrun(&["sql", "create table t (id int, name text); insert into t values (1, null)"]).ends(0);
    assert_eq!(said.out, "OK\n\nOK, 1 row\n");
    let said = place.labrun(&["sql", "select * from t", "--on", "leader", "--json"]).ends(0).json();
    assert_eq!(said["node"], leader.as_str());
    assert_eq!(said["results"][0]["rows"], json!([["1", null]]));
    let said = place.labrun(&["sql", "select * from t", "--on", "sync_standby"]).ends(0);
    assert_eq!(said.out, " id | name\n----+------\n  1 | NULL\n(1 row)\n");
    let refused = place.labrun(&["sql", "insert into t values (2)", "--on", "replica"]).ends(8);
    assert!(refused.err.contains("SQLSTATE 25006"), "{}", refused.err);
    place.labrun(&["sql", "select 1", "--on", "zoo"]).ends(6);
}

fn the_same_again_changes_nothing(place: &Place, deploy: &[&str]) {
    let before = place.state("reference");
    let again = place.labrun(deploy).ends(0);
    assert!(again.out.contains("deployed already: nothing to do"), "{}", again.out);
    assert_eq!(place.state("reference"), before);
    let moved = place.labrun(&[&deploy[..3], &["9"]].concat()).ends(7);
    assert!(moved.err.contains("haproxy: publishes 5009, 7009"), "{}", moved.err);
    assert_eq!(place.state("reference"), before);
}

fn a_stopped_leader_is_replaced_and_comes_back(place: &Place) {
    let status = place.labrun(&["status", "--json"]).ends(0).json();
    let old = status["cluster"]["leader"].as_str().unwrap().to_owned();
    let said = place.labrun(&["stop", "leader"]).ends(0);
    assert_eq!(said.out, format!("{old} is stopped\n"));
    place.labrun(&["stop", &old]).ends(0);
    let status = place.status_when("reference", "another leads", |status| {
        let leader = status["cluster"]["leader"].as_str();
        leader.is_some_and(|leader| leader != old) && status["cluster"]["timeline"] == 2
    });
    assert_eq!(node(&status, &old)["status"]["state"], "stopped");
    assert_eq!(status["ready"], false);

    // deploy mends what is down; it need not be told what.
    let said = place.labrun(&["restart", "zoo"]).ends(0);
    assert_eq!(said.out, "zoo is restarted\n");
    place.labrun(&["start", &old]).ends(0);
    place.labrun(&["start", &old]).ends(0);
    place.status_when("reference", "ready again", |status| status["ready"] == true);
    let new = place.labrun(&["kill", "leader", "--json"]).ends(0).json()["nodes"][0].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    let status = place.labrun(&["status", "--json"]).ends(0).json();
    assert_eq!(node(&status, &new)["status"]["state"], "stopped");
}

fn logs_of_a_role(place: &Place) {
    let said = place.labrun(&["logs", "dcs"]).ends(0);
    assert!(said.out.contains("Starting server"), "{}", said.out);
    let last = place.labrun(&["logs", "dcs", "-n", "1"]).ends(0);
    assert_eq!(last.out.lines().count(), 1);
    let unknown = place.labrun(&["logs", "nobody"]).ends(6);
    assert!(unknown.err.contains("zoo, pg-master, pg-slave, haproxy"), "{}", unknown.err);
}

#[tokio::test]
async fn a_frozen_node_is_told_as_such_and_goes_on_when_it_is_thawed() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    let deployment = state::find(&place.output, None).unwrap();
    let before = Local.status(&deployment, "zoo").await.unwrap();
    Local.freeze(&deployment, "zoo").await.unwrap();
    assert_eq!(Local.status(&deployment, "zoo").await.unwrap(), NodeStatus::Frozen);
    Local.freeze(&deployment, "zoo").await.unwrap();
    Local.thaw(&deployment, "zoo").await.unwrap();
    assert_eq!(Local.status(&deployment, "zoo").await.unwrap(), before);
}

#[tokio::test]
async fn a_program_runs_on_a_node_as_its_user_and_within_its_limit() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    let deployment = state::find(&place.output, None).unwrap();
    let exec = async |script: &str, limit: Duration| {
        let argv = ["sh", "-c", script].map(str::to_owned);
        Local.exec(&deployment, "zoo", &argv, limit).await
    };
    let long = Duration::from_secs(60);
    let said = exec("pwd; id -u; echo $HOME; echo $LABRUN_LOOPBACK; echo oops >&2; exit 3", long).await.unwrap();
    let Home::Dir(dir) = &deployment.node("zoo").unwrap().home else { panic!("not in a folder") };
    let dir = dir.display().to_string();
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!((said.code, lines[0], lines[2], said.stderr.as_str()), (Some(3), dir.as_str(), dir.as_str(), "oops\n"));
    assert_ne!(lines[1], "0", "it ran as root");
    assert_eq!(lines[3], "", "it saw the caller's environment");
    let before = place.processes();
    let error = exec("sleep 1000 & sleep 1000", Duration::from_millis(200)).await.unwrap_err().to_string();
    assert!(error.contains("has not ended after 200 ms"), "{error}");
    until("what it started is left", || place.processes().len() == before.len());
    let unbounded = exec("head -c 3000000 /dev/zero | tr '\\0' x", long).await.unwrap();
    assert_eq!((unbounded.code, unbounded.stdout.len()), (Some(0), 256 << 10));
}

#[test]
fn the_same_lab_twice_under_two_names_runs_side_by_side() {
    let place = Place::new();
    let reference = lab("reference");
    let mut both = ["one", "two"]
        .map(|name| place.command(&["deploy", &reference, "--no-publish", "--name", name]).spawn().unwrap());
    for deploying in &mut both {
        assert!(deploying.wait().unwrap().success());
    }
    assert_ne!(place.state("one")["place"]["block"], place.state("two")["place"]["block"]);
    let ambiguous = place.labrun(&["sql", "select 1"]).ends(2);
    assert!(ambiguous.err.contains("one, two"), "{}", ambiguous.err);
    place.labrun(&["sql", "--name", "one", "create table only_here ()"]).ends(0);
    let absent = place.labrun(&["sql", "--name", "two", "table only_here"]).ends(8);
    assert!(absent.err.contains("42P01"), "{}", absent.err);
    place.labrun(&["destroy", "--name", "one"]).ends(0);
    place.status_when("two", "the other one lives on", |status| status["ready"] == true);
}
