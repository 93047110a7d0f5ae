//! Faults of a node's parts and of the ways between nodes, in containers: in effect, and undone by another process.

use std::time::Duration;

use labrun::deploy::state;
use serde_json::Value;

use crate::life::ready;
use crate::support::{Place, on_engine};

/// On each of these nodes, the parts of which its agent is one.
pub fn of_parts(place: &Place, nodes: &[&str]) {
    for node in nodes {
        for kind in ["freeze", "hang", "crash", "pause"] {
            there_and_gone(place, &[kind, node], || ());
        }
    }
}

/// The ways between two nodes, one direction at a time and both.
pub fn of_ways(place: &Place) {
    let both = |there: bool, back: bool| {
        assert_eq!((reaches(place, "pg-slave", "pg-master"), reaches(place, "pg-master", "pg-slave")), (there, back));
    };
    both(true, true);
    there_and_gone(place, &["cut", "pg-slave", "--to", "pg-master"], || both(false, false));
    there_and_gone(place, &["isolate", "pg-slave"], || {
        both(false, false);
        assert!(reaches(place, "haproxy", "pg-master"), "the others are as they were");
        assert!(!reaches(place, "haproxy", "pg-slave"));
        // labrun itself reaches the lonely node, by its published port.
        place.labrun(&["sql", "select 1", "--on", "pg-slave"]).ends(0);
        // A container that is started anew comes with a new network, and the fault is in effect there too.
        place.labrun(&["fault", "restart", "pg-slave"]).ends(0);
        both(false, false);
    });
    both(true, true);
    // What one sends is lost, so that no answer comes back either: who asks is not who is cut off.
    there_and_gone(place, &["cut", "pg-slave", "--to", "zoo", "--one-way"], || {
        assert!(!reaches(place, "pg-slave", "zoo"));
        both(true, true);
    });
    let slow = place.labrun(&["fault", "slow", "pg-slave", "--to", "zoo", "--delay", "50ms"]).ends(4);
    assert!(slow.err.contains("can be cut, and not slowed down"), "{}", slow.err);
}

fn there_and_gone(place: &Place, fault: &[&str], meanwhile: impl FnOnce()) {
    let said = place.labrun(&[&["fault"], fault].concat()).ends(0);
    assert!(said.out.contains("in effect"), "{}", said.out);
    meanwhile();
    let healed = place.labrun(&["heal", "--json"]).ends(0).json();
    let healed = healed.as_array().unwrap();
    assert!(healed.iter().any(|one| one["fault"]["kind"] == fault[0]), "{healed:?}");
    assert!(healed.iter().all(|one| one["trouble"] == Value::Null), "{healed:?}");
    ready(place);
}

/// Whether one node gets through to the main port of another.
fn reaches(place: &Place, from: &str, to: &str) -> bool {
    let deployment = state::find(&place.output, None).unwrap();
    let port = if to == "zoo" { 2181 } else { 5432 };
    let script = format!("exec 3<>/dev/tcp/{to}/{port}");
    let argv = ["timeout", "2", "bash", "-c", &script].map(str::to_owned);
    let ran = on_engine(async |_| {
        deployment.backend().exec(&deployment, from, &argv, Duration::from_secs(60)).await.unwrap()
    });
    assert!(matches!(ran.code, Some(0 | 124)), "silence is what is cut, not a refusal: {ran:?}");
    ran.code == Some(0)
}
