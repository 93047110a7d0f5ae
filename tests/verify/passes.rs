//! The reference lab passes, and passes again once its roles have been swapped.

use std::collections::BTreeSet;

use labrun::verify::Verdict;
use labrun::verify::history::Linearizable;
use labrun::verify::outage::Phase;
use labrun::verify::recheck::{Rechecked, recheck};

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
            for mark in ["detected", "lock_free", "lock_taken", "promoted"] {
                assert!(names.contains(&mark), "{mark} in {names:?}");
            }
            assert_eq!(names.contains(&"proxy_up"), outage.path == "proxy", "{names:?}");
            assert!(outage.closed && outage.gap.0 < outage.gap.1);
            let last = outage.marks.last().unwrap().1;
            assert_eq!(last, outage.gap.1, "the phases end where the gap ends");
            let phases: u64 = outage.phases.iter().map(Phase::took).sum();
            assert_eq!(phases, outage.gap.1 - outage.gap.0, "the phases add up to the gap");
            assert!(outage.dominant.is_some() && outage.advice.is_some(), "{outage:?}");
            assert_eq!(outage.no_election, None);
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
    what_is_left_is_what_the_schemas_say(&place);
}

/// The history on the disk, judged anew, is the one that the run was judged by; `recheck` says so.
fn the_stored_history_tells_the_same(place: &Place) {
    let run = run(place);
    let all = recheck(&run, &newest(place)).unwrap();
    let [Rechecked { recorded, judgement, then }] = &all[..] else { panic!("{} histories", all.len()) };
    assert_eq!((judgement.verdict(), *then), (Verdict::Pass, Some(Verdict::Pass)));
    assert!(recorded.ops.iter().all(|op| op.done_us < u64::MAX), "every operation was seen through");
    let captures = &run.parts[3].checks[0].captures;
    assert_eq!(Some(judgement.acked()), captures["acked"].as_u64());
    let reads = judgement.reads.as_ref().unwrap();
    assert!(Some(reads.answered) == captures["reads"].as_u64() && reads.answered > 0, "{reads:?}");
    assert_eq!(judgement.linearizable, Some(Linearizable::Yes));
    for path in judgement.paths.values() {
        assert_eq!(path.acked_by.len(), 2, "both leaders acknowledged writes: {path:?}");
    }
    let said = place.labrun(&["recheck"]).ends(0);
    assert!(said.out.contains("workload writers") && said.out.contains("pass, as it was then"), "{}", said.out);
}

/// The committed schemas hold for run.json and every line of events.jsonl.
fn what_is_left_is_what_the_schemas_say(place: &Place) {
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let schemas = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let (mut compiled, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let [run, event] = ["run", "event"].map(|name| {
        let schema = serde_json::from_str(&read(&schemas.join(format!("{name}.schema.json")))).unwrap();
        compiler.add_resource(name, schema).unwrap();
        compiler.compile(name, &mut compiled).unwrap()
    });
    let value = serde_json::from_str(&read(&newest(place).join("run.json"))).unwrap();
    compiled.validate(&value, run).unwrap_or_else(|error| panic!("run.json: {error:#}"));
    for line in read(&newest(place).join("events.jsonl")).lines() {
        let value = serde_json::from_str(line).unwrap();
        compiled.validate(&value, event).unwrap_or_else(|error| panic!("{line}: {error:#}"));
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
