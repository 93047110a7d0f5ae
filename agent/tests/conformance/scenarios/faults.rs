//! Faults at random on a cluster of three under load: whatever comes, no acknowledged write is lost, no two nodes
//! acknowledge at the same time, and after each fault all three are healthy again.
//!
//! `LABRUN_FAULTS` says how many (a few unless set; `make soak-faults` takes 200), `LABRUN_FAULTS_SEED` which.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Cluster, Stage, process};

/// In every run of the suite.
const FEW: u64 = 4;

/// What can happen, to a node or to ZooKeeper, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGTERM to the agent; it is started again.
    Stop,
    /// SIGKILL to everything on the node; the agent is started again.
    Kill,
    /// SIGKILL to the agent alone; it is started again.
    KillAgent,
    /// SIGKILL to the postmaster alone.
    Crash,
    /// SIGSTOP to the agent alone.
    FreezeAgent,
    /// SIGSTOP to every process of PostgreSQL.
    FreezePostgres,
    /// SIGSTOP to everything on the node.
    Pause,
    /// SIGSTOP to ZooKeeper.
    ZooKeeperHangs,
    /// SIGKILL to ZooKeeper.
    ZooKeeperAway,
}

use Fault::*;

const FAULTS: [Fault; 9] =
    [Stop, Kill, KillAgent, Crash, FreezeAgent, FreezePostgres, Pause, ZooKeeperHangs, ZooKeeperAway];

/// A small generator (SplitMix64): the same faults for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub async fn random_faults(stage: &Stage) {
    let count = number("LABRUN_FAULTS").unwrap_or(FEW);
    let seed = number("LABRUN_FAULTS_SEED").unwrap_or(1);
    let mut random = Random(seed);
    let cluster = stage.cluster(3).dcs(json!({"synchronous_mode": true})).started().await;
    let mut leader = healthy(&cluster).await;
    let writer = cluster.writer(leader).await;
    for turn in 1..=count {
        let fault = FAULTS[random.next(FAULTS.len() as u64) as usize];
        // The leader as often as both replicas together.
        let index = [leader, leader, (leader + 1) % 3, (leader + 2) % 3][random.next(4) as usize];
        let whose = if index == leader { "leader" } else { "replica" };
        let span = Duration::from_millis(match fault {
            ZooKeeperHangs | ZooKeeperAway => 5000 + random.next(55_000),
            _ => random.next(35_000),
        });
        eprintln!("seed {seed}, {turn} of {count}: {fault:?} for {span:.1?}, {} ({whose})", cluster[index].name);
        let start = Instant::now();
        happen(stage, &cluster, index, fault, span).await;
        leader = healthy(&cluster).await;
        writer.progresses().await;
        eprintln!("    healthy {:.1?} after its start, {} leads", start.elapsed(), cluster[leader].name);
    }
    cluster.nothing_lost(writer, leader).await;
}

/// The fault, from its beginning to its end.
async fn happen(stage: &Stage, cluster: &Cluster, index: usize, fault: Fault, span: Duration) {
    let node = &cluster[index];
    let wait = || tokio::time::sleep(span);
    match fault {
        Stop => {
            node.stop().await;
            wait().await;
            node.start();
        }
        Kill => {
            node.kill();
            wait().await;
            node.start();
        }
        KillAgent => {
            node.kill_agent();
            wait().await;
            node.start();
        }
        Crash => node.signal_postmaster(Signal::SIGKILL),
        FreezeAgent => {
            node.signal(Signal::SIGSTOP);
            wait().await;
            node.signal(Signal::SIGCONT);
        }
        FreezePostgres => {
            node.signal_postgres(Signal::SIGSTOP);
            wait().await;
            node.signal_postgres(Signal::SIGCONT);
        }
        Pause => {
            process::signal_all(&node.dir, Signal::SIGSTOP);
            wait().await;
            process::signal_all(&node.dir, Signal::SIGCONT);
        }
        ZooKeeperHangs => {
            stage.zookeeper.freeze();
            wait().await;
            stage.zookeeper.thaw();
        }
        ZooKeeperAway => {
            stage.zookeeper.stop();
            wait().await;
            stage.zookeeper.start().await;
        }
    }
}

/// Waits until one leads, the others stream, and one of them is synchronous.
async fn healthy(cluster: &Cluster) -> usize {
    let leader = cluster.ready().await;
    crate::harness::until("a standby is synchronous", async || {
        let sync = cluster.dcs.json("sync").await?;
        let named = sync["leader"] == *cluster[leader].name && sync["sync_standby"].is_string();
        crate::harness::wait::ensure(named, || format!("/sync holds {sync}"))
    })
    .await;
    leader
}
