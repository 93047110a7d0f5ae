//! A deployment in containers, from its beginning to its end.

use std::time::{Duration, Instant};

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use labrun::deploy::{NodeStatus, state};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::faults;
use crate::passes::run;
use crate::support::{Place, on_engine};

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(240);
const LAB: &str = "builtin:ha-postgres";

pub fn whole() {
    let place = Place::new();
    let doctor = place.labrun(&["doctor", "--backend", "docker", "--port-offset", &place.offset()]).ends(0);
    assert!(doctor.out.contains("postgres:15") && doctor.out.contains("can run the lab"), "{}", doctor.out);
    let first = run(&place, LAB);
    assert!(first.err.contains("building") && first.err.contains("is ready after"), "{}\n{}", first.err, first.out);
    assert_eq!(place.in_engine().len(), 4 + 1 + 4 + 1, "{:?}", place.in_engine());
    containers_are_as_the_lab_says(&place);
    the_same_again_changes_nothing(&place);
    a_change_replaces_what_it_touches(&place);
    nodes_do_as_they_are_told(&place);
    faults::of_parts(&place, &["pg-slave"]);
    faults::of_ways(&place);
    a_container_that_was_removed_by_hand_is_made_again(&place);
    let said = place.labrun(&["destroy"]).ends(0);
    for what in
        [place.container("zoo"), format!("{}_default", place.name), format!("{}/my-postgres-labrun", place.name)]
    {
        assert!(said.out.contains(&what), "{what}: {}", said.out);
    }
    assert_eq!(place.in_engine(), Vec::<String>::new());
    place.labrun(&["destroy"]).ends(6);
}

fn containers_are_as_the_lab_says(place: &Place) {
    on_engine(async |engine| {
        let found = engine.container(&place.container("pg-slave")).inspect().await.unwrap();
        let (config, host) = (found.config.unwrap(), found.host_config.unwrap());
        assert_eq!(config.hostname.as_deref(), Some("pg-slave"));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGTERM"));
        let labels = config.labels.unwrap();
        assert_eq!(labels["com.docker.compose.project"], place.name);
        assert_eq!(labels["com.docker.compose.service"], "pg-slave");
        let ports = host.port_bindings.unwrap();
        let bound = ports["5432/tcp"].as_ref().unwrap();
        assert_eq!(bound.len(), 1, "{bound:?}");
        assert_eq!(bound[0].host_ip.as_deref(), Some("127.0.0.1"));
        let expected = (5434 + place.offset().parse::<u16>().unwrap()).to_string();
        assert_eq!(bound[0].host_port.as_deref(), Some(expected.as_str()));
        assert_eq!(host.restart_policy.unwrap().name.unwrap().to_string(), "always");
        assert_eq!(host.binds.unwrap(), [format!("{}_pg-slave-data:/var/lib/postgresql/data", place.name)]);
    });
}

fn the_same_again_changes_nothing(place: &Place) {
    let before = ids(place);
    let again = place.deploy(LAB).ends(0);
    assert!(again.out.contains("deployed already: nothing to do"), "{}", again.out);
    let users = place.lab(|text| text.replace("password: rep-pass", "password: other"));
    let refused = place.deploy(&users).ends(7);
    assert!(refused.err.contains("users or passwords differ"), "{}", refused.err);
    let other = place.labrun(&["deploy", LAB, "--name", &place.name, "--port-offset", &place.offset()]).ends(7);
    assert!(other.err.contains("its nodes run on the backend docker, not local"), "{}", other.err);
    assert_eq!(ids(place), before);
}

fn a_change_replaces_what_it_touches(place: &Place) {
    let before = ids(place);
    let longer = place.lab(|text| text.replace("maxconn: 100\n", "maxconn: 99\n"));
    let changed = place.deploy(&longer).ends(0);
    assert!(changed.err.contains("changing haproxy: haproxy.cfg differs from line 2"), "{}", changed.err);
    let after = ids(place);
    assert_eq!(before[..3], after[..3], "only the proxy is touched");
    assert_ne!(before[3], after[3]);
    let again = place.deploy(&longer).ends(0);
    assert!(again.out.contains("deployed already: nothing to do"), "{}", again.out);
}

fn ids(place: &Place) -> Vec<String> {
    on_engine(async |engine| {
        let mut ids = Vec::new();
        for node in ["zoo", "pg-master", "pg-slave", "haproxy"] {
            ids.push(engine.container(&place.container(node)).inspect().await.unwrap().id.unwrap());
        }
        ids
    })
}

fn nodes_do_as_they_are_told(place: &Place) {
    let said = place.labrun(&["sql", "create table t (id int); insert into t values (1)"]).ends(0);
    assert_eq!(said.out, "OK\n\nOK, 1 row\n");
    let rows = place.labrun(&["sql", "select * from t", "--on", "sync_standby", "--json"]).ends(0).json();
    assert_eq!(rows["results"][0]["rows"], serde_json::json!([["1"]]));
    let log = place.labrun(&["logs", "leader"]).ends(0);
    assert!(log.out.contains("PostgreSQL"), "{}", log.out);

    let old = ready(place)["cluster"]["leader"].as_str().unwrap().to_owned();
    place.labrun(&["stop", "leader"]).ends(0);
    let code = on_engine(async |engine| engine.container(&place.container(&old)).state().await.unwrap().0.exit_code);
    assert_eq!(code, Some(0), "it did not end by itself on SIGTERM");
    when(place, "another leads", |status| {
        status["cluster"]["leader"].as_str().is_some_and(|leader| leader != old) && state_of(status, &old) == "stopped"
    });
    place.labrun(&["start", &old]).ends(0);
    ready(place);
    place.labrun(&["kill", "haproxy"]).ends(0);
    assert_eq!(state_of(&place.labrun(&["status", "--json"]).ends(0).json(), "haproxy"), "stopped");
    place.labrun(&["restart", "haproxy"]).ends(0);
    ready(place);

    let deployment = state::find(&place.output, None).unwrap();
    on_engine(async |_| {
        let backend = deployment.backend();
        backend.freeze(&deployment, "pg-slave").await.unwrap();
        backend.freeze(&deployment, "pg-slave").await.unwrap();
        assert_eq!(backend.status(&deployment, "pg-slave").await.unwrap(), NodeStatus::Frozen);
        backend.thaw(&deployment, "pg-slave").await.unwrap();
        backend.thaw(&deployment, "pg-slave").await.unwrap();
        assert!(matches!(backend.status(&deployment, "pg-slave").await.unwrap(), NodeStatus::Running { .. }));
        let run = async |script: &str, limit: u64| {
            let argv = ["sh", "-c", script].map(str::to_owned);
            backend.exec(&deployment, "pg-slave", &argv, Duration::from_millis(limit)).await
        };
        let said = run("psql -Atc 'select 7' postgres; id -un; echo oops >&2; exit 3", 60_000).await.unwrap();
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(3), "7\npostgres\n", "oops\n"));
        let late = run("sleep 5", 100).await.unwrap_err().to_string();
        assert!(late.contains("has not ended after 100 ms"), "{late}");
        // The first process is labrun-agent's; what loses its parent becomes its child, and is collected.
        let orphan = "tr '\\0' ' ' < /proc/1/cmdline; (sleep 0.2 & echo $!)";
        let said = run(orphan, 60_000).await.unwrap().stdout;
        let (first, pid) = said.split_at(said.rfind(' ').unwrap());
        assert!(first.starts_with("labrun-agent"), "{said}");
        let gone = format!("while [ -e /proc/{} ]; do sleep 0.1; done", pid.trim());
        run(&gone, 60_000).await.unwrap();
    });
    ready(place);
}

fn a_container_that_was_removed_by_hand_is_made_again(place: &Place) {
    let before = ids(place);
    on_engine(async |engine| {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        engine.docker().remove_container(&place.container("haproxy"), Some(options)).await.unwrap();
    });
    let missing = place.labrun(&["start", "haproxy"]).ends(4);
    assert!(missing.err.contains("LR0806"), "{}", missing.err);
    place.deploy(&place.dir().join("lab").display().to_string()).ends(0);
    let after = ids(place);
    assert_eq!(before[..3], after[..3], "the others are left alone");
    assert_ne!(before[3], after[3]);
    ready(place);
}

pub fn ready(place: &Place) -> Value {
    when(place, "ready", |status| status["ready"] == true)
}

fn state_of(status: &Value, name: &str) -> String {
    let node = status["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap();
    node["status"]["state"].as_str().unwrap().to_owned()
}

/// `labrun status --json`, once `holds`.
fn when(place: &Place, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = place.labrun(&["status", "--json"]).ends(0).json();
        if holds(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {status:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Killed as soon as it has made a first node's container, with and without its state left. (An image that is being built
/// has containers, too, under names of the engine's.)
pub fn killed() {
    let place = Place::new();
    let words = place.words("deploy", LAB, "0").into_iter().take(6).chain(["--no-publish"]).collect::<Vec<_>>();
    for state_is_lost in [false, true] {
        let mut deploying = place.command(&words).stdout(std::process::Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + LIMIT;
        let is_node = |what: &String| what.starts_with("container") && what.contains(&place.container(""));
        while !place.in_engine().iter().any(is_node) {
            assert!(Instant::now() < deadline && deploying.try_wait().unwrap().is_none(), "{:?}", place.in_engine());
            std::thread::sleep(Duration::from_millis(10));
        }
        kill(Pid::from_raw(deploying.id() as i32), Signal::SIGKILL).unwrap();
        deploying.wait().unwrap();
        if state_is_lost {
            std::fs::remove_dir_all(place.output.join(&place.name)).unwrap();
        }
        let said = place.labrun(&["destroy", "--name", &place.name]).ends(0);
        assert!(said.out.contains("container"), "{}", said.out);
        assert_eq!(place.in_engine(), Vec::<String>::new());
    }
}
