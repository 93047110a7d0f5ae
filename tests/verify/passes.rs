//! The reference lab passes, and passes again once its roles have been swapped.

use std::collections::BTreeSet;

use labrun::verify::Verdict;
use labrun::verify::history::judge::Evidence;
use labrun::verify::history::{Line, judge};

use crate::run::{deployed, newest, run, step, verdicts, verify};
use crate::support::Place;

#[test]
fn all_parts_pass_twice_in_a_row() {
    let place = deployed();
    let mut leaders = Vec::new();
    for _ in 0..2 {
        let said = verify(&place, &[]).ends(0);
        assert!(said.out.contains("verdict: pass, points: 5/5"), "{}", said.out);
        let run = run(&place);
        assert!(verdicts(&run).iter().all(|(_, verdict)| *verdict == Verdict::Pass), "{:?}", verdicts(&run));
        let failover = &run.parts[3].checks[0].captures;
        leaders.push(failover["old_leader"].as_str().unwrap().to_owned());
        assert_eq!(run.outages.len(), 2);
        for outage in &run.outages {
            let names: Vec<&str> = outage.marks.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((names.first(), names.last()), (Some(&"fault"), Some(&"first_ack")), "{names:?}");
            for mark in ["lock_taken", "promoted"] {
                assert!(names.contains(&mark), "{mark} in {names:?}");
            }
            assert_eq!(names.contains(&"proxy_up"), outage.path == "proxy", "{names:?}");
            assert!(outage.closed && outage.gap.0 < outage.gap.1);
            let last = outage.marks.last().unwrap().1;
            assert_eq!(last, outage.gap.1, "the phases end where the gap ends");
        }
        let roles: BTreeSet<&str> = run.timeline.iter().map(|change| change.role.as_str()).collect();
        for role in ["leader", "sync_standby", "down", "replica"] {
            assert!(roles.contains(role), "{role} in {roles:?}");
        }
        let back = run.timeline.iter().rfind(|change| change.node == leaders[leaders.len() - 1]);
        assert_eq!(back.map(|change| change.role.as_str()), Some("sync_standby"), "{:?}", run.timeline);
        assert_eq!(step(&run, "rejoin", "refuse").verdict, Verdict::Pass);
        for program in ["postgres", "zookeeper", "haproxy"] {
            assert!(run.versions.contains_key(program), "{program} in {:?}", run.versions);
        }
    }
    assert_ne!(leaders[0], leaders[1], "the roles were swapped");
    the_stored_history_tells_the_same(&place);
}

/// The history on the disk, judged anew, is the one that the run was judged by.
fn the_stored_history_tells_the_same(place: &Place) {
    let text = std::fs::read_to_string(newest(place).join("history.jsonl")).unwrap();
    let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut ops, mut invoked, mut stored) = (Vec::new(), 0, None);
    for line in lines {
        match line {
            Line::Invoke { .. } => invoked += 1,
            Line::End { op, .. } => ops.push(op),
            Line::Stored { ids, .. } => stored = Some(ids),
            Line::Begin { .. } => {}
        }
    }
    assert_eq!(invoked, ops.len(), "every write was seen through");
    let paths = ["proxy".to_owned(), "direct".to_owned()];
    let end = ops.iter().map(|op| op.done_us).max().unwrap();
    let evidence = Evidence { ops: &ops, stored: stored.as_deref(), paths: &paths, span_us: (0, end), fault_us: None };
    let judgement = judge(&evidence);
    let captures = &run(place).parts[3].checks[0].captures;
    assert_eq!(Some(judgement.acked()), captures["acked"].as_u64());
    let losses = judgement.losses.unwrap();
    assert!(losses.lost.is_empty() && losses.unexpected.is_empty() && losses.duplicated.is_empty(), "{losses:?}");
    assert!(judgement.overlaps.is_empty(), "{:?}", judgement.overlaps);
    for path in judgement.paths.values() {
        assert_eq!(path.acked_by.len(), 2, "both leaders acknowledged writes: {path:?}");
    }
}

/// A lab of its own whose failover check is the built-in one with another fault.
fn lab_with_fault(place: &Place, fault: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = place.dir().join("lab");
    std::fs::create_dir_all(folder.join("checks")).unwrap();
    std::fs::copy(format!("{root}/labs/ha-postgres/lab.yaml"), folder.join("lab.yaml")).unwrap();
    let check = std::fs::read_to_string(format!("{root}/checks/failover.yaml")).unwrap();
    assert!(check.contains("      do: stop\n"));
    let check = check.replace("      do: stop\n", &format!("      do: {fault}\n"));
    std::fs::write(folder.join("checks/failover.yaml"), check).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn a_leader_that_is_killed_loses_its_lease_and_comes_back() {
    let place = Place::new();
    let lab = lab_with_fault(&place, "kill");
    place.labrun(&["deploy", &lab, "--no-publish"]).ends(0);
    verify(&place, &[]).ends(0);
    let run = run(&place);
    assert!(verdicts(&run).iter().all(|(_, verdict)| *verdict == Verdict::Pass), "{:?}", verdicts(&run));
    let fault = run.facts.iter().find(|fact| fact.scope == "failover/failover/stop").unwrap();
    assert_eq!((fault.value["kind"].as_str(), fault.value["role"].as_str()), (Some("kill"), Some("leader")));
    assert_eq!(fault.value["node"], fault.value["lease_holder"]);
}
