//! The reference lab passes in containers, whoever is the agent. (With labrun's alone: see `life`.)

use std::time::Instant;

use crate::faults;
use crate::support::{Place, Said};

/// One after the other while the first is still there: both are built from the same layers.
pub fn patroni() {
    let mixed = Place::new();
    let lab = mixed.lab(|text| text.replace("member: postgresql1\n", "member: postgresql1\n      agent: patroni\n"));
    run(&mixed, &lab);
    faults::of_parts(&mixed, &["pg-master", "pg-slave"]);
    let patroni = Place::new();
    let lab = patroni
        .lab(|text| text.replace("      image: postgres:15\n", "      image: postgres:15\n      agent: patroni\n"));
    run(&patroni, &lab);
}

/// Deploy, verify, report: every part passes.
pub fn run(place: &Place, lab: &str) -> Said {
    let (begun, offset) = (Instant::now(), place.offset());
    let said = place.labrun(&[&place.words("run", lab, &offset)[..], &["--lang", "en"]].concat()).ends(0);
    for part in ["setup", "replication", "routing", "failover", "rejoin"] {
        let line = said.out.lines().find(|line| line.trim_start().starts_with(part));
        assert!(line.is_some_and(|line| line.contains(" pass ")), "{part}: {}", said.out);
    }
    let ready = said.err.lines().find(|line| line.contains("is ready after")).unwrap_or_default();
    eprintln!("{ready}; the whole run took {:.1} s", begun.elapsed().as_secs_f64());
    said
}
