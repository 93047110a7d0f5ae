//! The simulator.
mod act;
mod agent;
mod data;
mod event;
mod faults;
mod guarding;
mod handle;
mod invariants;
mod jobs;
mod ledger;
mod lifecycle;
mod link;
mod mutations;
mod network;
mod node;
mod observe;
mod plan;
mod random;
mod replication;
mod run;
mod server;
mod trace;
mod wal;
mod world;
mod zookeeper;

#[test]
fn replay() {
    let Ok(seed) = std::env::var("LABRUN_SIM_SEED") else { return };
    let seed = seed.parse().expect("LABRUN_SIM_SEED is a number");
    let (outcome, trace) = run::run(seed, None, true);
    println!("{trace}");
    println!("{outcome:?}");
}

#[test]
fn schedules() {
    let count: u64 = std::env::var("LABRUN_SIM_COUNT").ok().and_then(|c| c.parse().ok()).unwrap_or(20_000);
    let begun = std::time::Instant::now();
    let mut failed = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for seed in 0..count {
        let (outcome, _) = run::run(seed, None, false);
        if let Err(why) = outcome {
            failed.entry(why.chars().filter(|c| !c.is_ascii_digit()).collect()).or_default().push(seed);
        }
    }
    for (why, seeds) in &failed {
        println!("{:5} {why}: {:?}", seeds.len(), &seeds[..seeds.len().min(5)]);
    }
    println!("{count} in {:?}", begun.elapsed());
    assert!(failed.is_empty());
}
