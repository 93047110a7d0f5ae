//! The runner over a pretended world: every built-in check passes where all is well, and never where it is not.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::lab::model::Lang;
use crate::lab::{self, Loaded};
use crate::verify::course::Straight;
use crate::verify::entry::empty_run;
use crate::verify::faults::journal::Journal;
use crate::verify::watch::Pace;
use crate::verify::workload::journal::HistoryLog;
use crate::verify::world::pretended::{Pretended, Quirk};
use crate::verify::{Consumer, Stamped, cancellation};

pub(super) fn reference() -> Loaded {
    lab::load("builtin:ha-postgres").unwrap()
}

/// Verify the reference lab (or one part of it) against a world.
pub(super) async fn verify(world: &Pretended, loaded: &Loaded, only: Option<&str>, cancel: Cancel) -> Run {
    verify_told(world, loaded, only, cancel, Vec::new()).await
}

pub(super) async fn verify_told(
    world: &Pretended,
    loaded: &Loaded,
    only: Option<&str>,
    cancel: Cancel,
    consumers: Vec<Box<dyn Consumer>>,
) -> Run {
    let spine = Arc::new(Spine::new(consumers));
    let log = Arc::new(HistoryLog::over(Box::new(std::io::sink())));
    let in_run = InRun {
        id: "20261123T061240Z".to_owned(),
        lab: &CurrentLab::of(loaded),
        world,
        spine: Arc::clone(&spine),
        workloads: Workloads::new(Arc::clone(&spine), log, Pace::default()),
        faults: Faults::new(&world.deployment().dir, "20261123T061240Z"),
        cancel,
        watch: None,
        course: &Straight,
    };
    let only = only.map(|only| loaded.lab.parts.iter().position(|part| part.id == only).unwrap());
    let mut run = empty_run(loaded, world.deployment(), "20261123T061240Z", Timestamp::now());
    in_run.run(&mut run, only, &mut |_| Ok(())).await;
    run
}

/// Verify a lab along a course.
pub(super) async fn verify_along(world: &Pretended, lab: &CurrentLab, course: &dyn Course) -> Run {
    let loaded = lab.get();
    let spine = Arc::new(Spine::new(Vec::new()));
    let log = Arc::new(HistoryLog::over(Box::new(std::io::sink())));
    let in_run = InRun {
        id: "20261123T061240Z".to_owned(),
        lab,
        world,
        spine: Arc::clone(&spine),
        workloads: Workloads::new(Arc::clone(&spine), log, Pace::default()),
        faults: Faults::new(&world.deployment().dir, "20261123T061240Z"),
        cancel: Cancel::never(),
        watch: None,
        course,
    };
    let mut run = empty_run(&loaded, world.deployment(), "20261123T061240Z", Timestamp::now());
    in_run.run(&mut run, None, &mut |_| Ok(())).await;
    run
}

async fn with_quirk(quirk: Quirk, only: Option<&str>) -> Run {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let world = Pretended::new(&loaded, folder.path(), &[quirk]);
    verify(&world, &loaded, only, Cancel::never()).await
}

fn verdicts(run: &Run) -> Vec<(&str, Verdict)> {
    run.parts.iter().map(|part| (part.id.as_str(), part.verdict)).collect()
}

pub(super) fn told(run: &Run) -> String {
    let reasons = run.parts.iter().flat_map(|part| part.checks.iter()).filter_map(|check| check.reason.as_ref());
    reasons.map(|reason| reason.get(Lang::En)).collect::<Vec<_>>().join("\n")
}

fn pending_faults(dir: &Path) -> usize {
    Journal::of(dir).pending().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn where_all_is_well_every_part_passes_and_again_with_swapped_roles() {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let mut leaders = Vec::new();
    for _ in 0..3 {
        let run = verify(&world, &loaded, None, Cancel::never()).await;
        assert_eq!(run.verdict, Verdict::Pass, "{:?}\n{}", verdicts(&run), told(&run));
        assert_eq!(run.points, (5, 5));
        let captures = &run.parts[3].checks[0].captures;
        assert!(captures["outage_proxy_ms"].as_u64() > captures["outage_direct_ms"].as_u64(), "{captures:?}");
        assert_eq!(run.parts[4].checks[0].params["node"], captures["old_leader"]);
        assert_eq!(run.outages.len(), 2);
        leaders.push(captures["old_leader"].as_str().unwrap().to_owned());
        assert_eq!(pending_faults(folder.path()), 0);
    }
    assert_eq!(leaders, ["pg-master", "pg-slave", "pg-master"]);
}

#[tokio::test(start_paused = true)]
async fn a_standby_may_know_its_leader_by_the_connect_address_alone() {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    for (quirks, verdict) in [
        (&[Quirk::OtherHostNames][..], Verdict::Pass),
        (&[Quirk::OtherHostNames, Quirk::RejoinsElsewhere], Verdict::Fail),
    ] {
        let world = Pretended::new(&loaded, folder.path(), quirks);
        let run = verify(&world, &loaded, None, Cancel::never()).await;
        assert_eq!(run.parts[4].verdict, verdict, "{}", told(&run));
    }
}

/// Each mistake, the part in which it must show, its verdict there, and words that the reason must have.
const MISTAKES: &[(Quirk, &str, Verdict, &str)] = &[
    (Quirk::StandbyDown, "setup", Verdict::Fail, "something cannot be seen yet"),
    (Quirk::TwoPrimaries, "setup", Verdict::Fail, "not exactly one node acts as primary"),
    (Quirk::LastingLeaderKey, "setup", Verdict::Fail, "ephemeral"),
    (Quirk::ProxyHasBoth, "setup", Verdict::Fail, "leader alone up"),
    (Quirk::RejoinsAsync, "rejoin", Verdict::Fail, "does not name the node yet"),
    (Quirk::RejoinsStale, "rejoin", Verdict::Fail, "no such table"),
    (Quirk::RejoinsOnOldTimeline, "rejoin", Verdict::Fail, "not on the leader's timeline yet"),
    (Quirk::RejoinsElsewhere, "rejoin", Verdict::Fail, "10.9.9.9"),
    (Quirk::StandbyDown, "replication", Verdict::Inconclusive, "no replica is alive"),
    (Quirk::ReplicationStands, "replication", Verdict::Fail, "no such table"),
    (Quirk::ReplicaTakesWrites, "replication", Verdict::Fail, "took the statement"),
    (Quirk::StandbyDown, "routing", Verdict::Inconclusive, "With one live node any routing looks right"),
    (Quirk::ProxyHasBoth, "routing", Verdict::Fail, "the health check passes on it as well"),
    (Quirk::ProxyStrays, "routing", Verdict::Fail, "Not all sessions ended on the leader"),
    (Quirk::StandbyDown, "failover", Verdict::Inconclusive, "Without a live synchronous standby"),
    (Quirk::ProxyHasBoth, "failover", Verdict::Inconclusive, "right routing"),
    (Quirk::NoElection, "failover", Verdict::Fail, "no other node holds the leader key yet"),
    (Quirk::TimelineStays, "failover", Verdict::Fail, "the timeline did not rise yet"),
    (Quirk::ProxyStays, "failover", Verdict::Fail, "up == [new_leader]"),
    (Quirk::LosesWrites, "failover", Verdict::Fail, "lost == []"),
    (Quirk::DoublesWrites, "failover", Verdict::Fail, "duplicated == []"),
    (Quirk::OldLeaderLivesOn, "failover", Verdict::Fail, "lost == []"),
    (Quirk::StopFails, "failover", Verdict::InfraError, "no such process"),
    (Quirk::StopHasNoEffect, "failover", Verdict::InfraError, "still runs"),
];

async fn no_mistake_passes_unnoticed_in(part: &str) {
    for (quirk, _, verdict, words) in MISTAKES.iter().filter(|mistake| mistake.1 == part) {
        let only = (part != "rejoin").then_some(part);
        let run = with_quirk(*quirk, only).await;
        let found = run.parts.iter().find(|result| result.id == part).unwrap();
        assert_eq!(found.verdict, *verdict, "{quirk:?} in {part}: {}", told(&run));
        assert!(told(&run).contains(words), "{quirk:?} in {part}: {}", told(&run));
        assert_ne!(run.verdict, Verdict::Pass);
    }
}

#[tokio::test(start_paused = true)]
async fn no_mistake_passes_unnoticed_in_setup() {
    no_mistake_passes_unnoticed_in("setup").await;
}

#[tokio::test(start_paused = true)]
async fn no_mistake_passes_unnoticed_in_replication() {
    no_mistake_passes_unnoticed_in("replication").await;
}

#[tokio::test(start_paused = true)]
async fn no_mistake_passes_unnoticed_in_routing() {
    no_mistake_passes_unnoticed_in("routing").await;
}

#[tokio::test(start_paused = true)]
async fn no_mistake_passes_unnoticed_in_failover() {
    no_mistake_passes_unnoticed_in("failover").await;
}

#[tokio::test(start_paused = true)]
async fn no_mistake_passes_unnoticed_in_rejoin() {
    no_mistake_passes_unnoticed_in("rejoin").await;
}

#[tokio::test(start_paused = true)]
async fn an_old_leader_that_goes_on_writing_is_shown_as_two_writers() {
    let run = with_quirk(Quirk::OldLeaderLivesOn, Some("failover")).await;
    let judged: Vec<_> = run.facts.iter().filter(|fact| fact.output.contains("two writers")).collect();
    assert!(!judged.is_empty(), "{}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn the_wrong_target_is_told_and_undone() {
    let (mut loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    loaded.lab.parts[3].checks[0].params.insert("target".to_owned(), "replica".into());
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify(&world, &loaded, Some("failover"), Cancel::never()).await;
    assert_eq!(run.verdict, Verdict::Inconclusive);
    assert!(
        told(&run).contains("No election happened: pg-slave was stopped, and it was a sync_standby"),
        "{}",
        told(&run)
    );
    assert_eq!(pending_faults(folder.path()), 0, "the standby is started again");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.cluster_now().nodes.iter().all(|node| node.up));
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_part_that_did_not_pass_is_skipped_and_names_it() {
    let run = with_quirk(Quirk::ProxyStrays, None).await;
    let found = verdicts(&run);
    assert_eq!(found[2], ("routing", Verdict::Fail));
    assert_eq!(&found[3..], [("failover", Verdict::Skipped), ("rejoin", Verdict::Skipped)]);
    let reason = run.parts[3].reason.as_ref().unwrap();
    assert_eq!(reason.get(Lang::En), "skipped because of part `routing`: fail");
    assert_eq!((run.verdict, run.points), (Verdict::Fail, (2, 5)));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_fails_costs_no_point() {
    let run = with_quirk(Quirk::StopFails, None).await;
    assert_eq!(run.parts[3].verdict, Verdict::InfraError);
    assert_eq!(run.points, (3, 4), "the failover's point is in neither; the rejoin was skipped");
}

#[tokio::test(start_paused = true)]
async fn one_part_alone_says_that_what_it_needs_was_not_verified() {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify(&world, &loaded, Some("rejoin"), Cancel::never()).await;
    assert_eq!((run.parts.len(), run.verdict), (1, Verdict::Inconclusive));
    assert!(told(&run).contains("checks.failover"), "{}", told(&run));
    assert!(run.notes[0].get(Lang::En).contains("only part `rejoin` was verified"), "{:?}", run.notes);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_expects_nothing_cannot_pass() {
    let (mut loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let check = Arc::make_mut(&mut loaded.lab.parts[0].checks[0].check);
    check.steps.truncate(2);
    check.steps.remove(0);
    check.steps[0].expect.clear();
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify(&world, &loaded, Some("setup"), Cancel::never()).await;
    assert_eq!(run.verdict, Verdict::Inconclusive);
    assert!(told(&run).contains("expects nothing"), "{}", told(&run));
}

/// Interrupts the run at the first event that `at` chooses.
struct InterruptAt(Mutex<Option<crate::verify::Canceller>>, fn(&Event) -> bool);

impl Consumer for InterruptAt {
    fn hear(&mut self, event: &Stamped) -> std::io::Result<()> {
        if (self.1)(&event.event) {
            self.0.lock().unwrap().take().iter().for_each(crate::verify::Canceller::cancel);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_undoes_its_faults_and_is_told_as_far_as_it_got() {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let (canceller, cancel) = cancellation();
    let waits = |event: &Event| matches!(event, Event::Waiting { scope, .. } if scope.ends_with("/new-leader"));
    let consumer = InterruptAt(Mutex::new(Some(canceller)), waits);
    let run = verify_told(&world, &loaded, None, cancel, vec![Box::new(consumer)]).await;
    let found = verdicts(&run);
    assert_eq!(
        &found[2..],
        [("routing", Verdict::Pass), ("failover", Verdict::Inconclusive), ("rejoin", Verdict::Skipped)]
    );
    assert!(told(&run).contains("the verification was interrupted"));
    assert_eq!(pending_faults(folder.path()), 0);
    assert_eq!(run.outages.len(), 2, "the workload is judged all the same");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.cluster_now().nodes.iter().all(|node| node.up));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_run_left_stopped_is_started_first() {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let entry = crate::verify::faults::journal::Entry {
        id: "killed-1".into(),
        state: crate::verify::faults::journal::State::Active,
        deed: crate::verify::faults::journal::Deed::to_node(crate::lab::model::FaultKind::Stop, "pg-slave"),
        role: None,
        at: String::new(),
    };
    Journal::of(folder.path()).write(&entry).unwrap();
    world.cluster_now().stop("pg-slave").unwrap();
    let run = verify(&world, &loaded, None, Cancel::never()).await;
    assert_eq!(run.verdict, Verdict::Pass, "{}", told(&run));
    assert!(run.notes[0].get(Lang::En).contains("undone: stop pg-slave"), "{:?}", run.notes);
}

struct FullAfter(usize);

impl Consumer for FullAfter {
    fn hear(&mut self, _: &Stamped) -> std::io::Result<()> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Err(std::io::Error::from(std::io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_the_run_as_the_machines_fault() {
    let (loaded, folder) = (reference(), tempfile::tempdir().unwrap());
    let world = Pretended::new(&loaded, folder.path(), &[]);
    let run = verify_told(&world, &loaded, None, Cancel::never(), vec![Box::new(FullAfter(20))]).await;
    assert_eq!(run.verdict, Verdict::InfraError, "{:?}", verdicts(&run));
    assert!(told(&run).contains("could not be kept"), "{}", told(&run));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_failed_is_followed_by_what_explains_it() {
    let run = with_quirk(Quirk::LosesWrites, Some("failover")).await;
    let collected: Vec<&str> =
        run.facts.iter().filter_map(|fact| fact.scope.strip_prefix("failover/failover/collect/")).collect();
    for expected in ["cluster", "dcs-leader", "dcs-sync", "replication-pg-slave", "statistics-haproxy", "log-pg-slave"]
    {
        assert!(collected.contains(&expected), "{expected} in {collected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_summary_shows_every_check_with_its_reason_in_both_languages() {
    let run = with_quirk(Quirk::NoElection, None).await;
    let summary = |lang| crate::verify::terminal::summary(&run, lang, false);
    insta::with_settings!({filters => vec![(r"\d+[.,]\d", "N")]}, {
        insta::assert_snapshot!(format!("{}\n\n{}", summary(Lang::Ru), summary(Lang::En)));
    });
}
