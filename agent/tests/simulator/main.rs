//! The simulator: many agents, each the real `decide`, around models of ZooKeeper, PostgreSQL, the network and the
//! clock. A seed decides everything: faults, interleavings, settings. `make simulate` tries many, `make soak` tries
//! until it is stopped, `LABRUN_SIM_SEED=N make replay` shows one.

mod act;
mod agent;
mod clock;
mod data;
mod event;
mod failsafe;
mod faults;
mod guarding;
mod handle;
mod hangs;
mod invariants;
mod jobs;
mod ledger;
mod lifecycle;
mod link;
mod mutations;
mod network;
mod node;
mod observe;
mod peers;
mod plan;
mod races;
mod random;
mod replication;
mod run;
mod server;
mod sync_lag;
mod trace;
mod wal;
mod world;
mod zookeeper;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutations::Mutation;

/// How many schedules a run tries, and how many a mutation may take to be found.
const SCHEDULES: u64 = 20_000;
const FOUND_WITHIN: u64 = 4000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{value}`")))
}

/// Tries seeds on every core, from `first` on, until `each` has had enough.
fn try_seeds(first: u64, mutation: Option<Mutation>, each: impl Fn(u64, Result<run::Summary, String>) -> bool + Sync) {
    let (next, threads) = (AtomicU64::new(first), std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !each(seed, run::run(seed, mutation, false).0) {
                        return;
                    }
                }
            });
        }
    });
}

/// The rule that LABRUN_SIM_MUTATION names.
fn named_mutation() -> Option<Mutation> {
    let name = std::env::var("LABRUN_SIM_MUTATION").ok()?;
    let found = mutations::ALL.iter().map(|(mutation, _)| *mutation).find(|mutation| format!("{mutation:?}") == name);
    Some(found.unwrap_or_else(|| panic!("there is no mutation {name}")))
}

/// What happens in the schedule of LABRUN_SIM_SEED (with the rule of LABRUN_SIM_MUTATION weakened), line by line.
#[test]
fn replay() {
    let Some(seed) = number("LABRUN_SIM_SEED") else { return };
    let (outcome, trace) = run::run(seed, named_mutation(), true);
    println!("{trace}\n{outcome:?}");
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// In none of LABRUN_SIM_COUNT schedules does an invariant fail.
#[test]
fn schedules() {
    let count = number("LABRUN_SIM_COUNT").unwrap_or(SCHEDULES);
    let (begun, failed) = (std::time::Instant::now(), Mutex::new(BTreeMap::new()));
    try_seeds(0, None, |seed, outcome| {
        if let Err(why) = outcome
            && seed < count
        {
            failed.lock().expect("no thread has panicked").insert(seed, why);
        }
        seed < count
    });
    println!("{count} schedules in {:?}", begun.elapsed());
    let failed = failed.into_inner().expect("no thread has panicked");
    let list: Vec<_> = failed.iter().map(|(seed, why)| format!("LABRUN_SIM_SEED={seed}: {why}")).collect();
    assert!(list.is_empty(), "of {count} schedules; `make replay` shows one:\n{}", list.join("\n"));
}

/// Each weakened rule (LABRUN_SIM_MUTATION names one) is found, by the invariant that is meant to.
#[test]
fn mutations() {
    let mut unfound = Vec::new();
    let only = named_mutation();
    for &(mutation, finding) in mutations::ALL {
        if only.is_some_and(|only| only != mutation) {
            continue;
        }
        let found = Mutex::new(None);
        try_seeds(0, Some(mutation), |seed, outcome| {
            let mut found = found.lock().expect("no thread has panicked");
            if let Err(why) = outcome
                && why.contains(finding)
            {
                found.get_or_insert((seed, why));
            }
            found.is_none() && seed < FOUND_WITHIN
        });
        match found.into_inner().expect("no thread has panicked") {
            Some((seed, why)) => println!("{mutation:?}: seed {seed}: {why}"),
            None => unfound.push(mutation),
        }
    }
    assert!(unfound.is_empty(), "not found within {FOUND_WITHIN} schedules: {unfound:?}");
}

/// Until it is stopped: every failing seed is named.
#[test]
#[ignore = "runs until it is stopped"]
fn soak() {
    let first =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_millis();
    let done = AtomicU64::new(0);
    try_seeds(first as u64 * 1000, None, |seed, outcome| {
        if let Err(why) = outcome {
            println!("{why}\n`LABRUN_SIM_SEED={seed} make replay` shows how");
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(10_000) {
            println!("{done} schedules");
        }
        true
    });
}
