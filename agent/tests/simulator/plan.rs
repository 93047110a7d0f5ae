//! What a seed decides before anything happens: how many nodes, which settings, how bad the world is.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::mutations::Mutation;
use crate::random::Random;

#[derive(Debug, Clone)]
pub struct Plan {
    pub nodes: usize,
    /// ZooKeeper's tickTime, in milliseconds.
    pub tick: u64,
    pub dynamic: Map<String, Value>,
    /// Acknowledged commits are promised to survive: synchronous mode, plain or by a quorum.
    pub synchronous: bool,
    pub use_slots: bool,
    /// pg_rewind works with a leader as its source (agent: `LeaderTimeline::can_be_source`).
    pub can_be_source: bool,
    /// When a clean stop of the leader becomes an immediate one.
    pub stop_timeout: Option<u64>,
    /// In percent of all jobs: those that take much longer.
    pub slow_jobs: u64,
    /// In percent of all promotions: those that a `pre_promote` script keeps from beginning.
    pub failed_promotions: u64,
    /// Somebody pauses the cluster, and resumes it.
    pub pauses: bool,
    /// The nodes' clocks run at different rates.
    pub wrong_clocks: bool,
    /// Average pause between two writes of clients, in milliseconds.
    pub write_pause: u64,
    /// Average pause between two faults, in milliseconds.
    pub fault_pause: u64,
    /// How long faults go on, in milliseconds.
    pub faults_last: u64,
    /// A rule of the agent that is weakened, to see that the simulator notices.
    pub mutation: Option<Mutation>,
}

impl Plan {
    pub fn draw(random: &mut Random, mutation: Option<Mutation>) -> Plan {
        // What is wrong with a vote or a word shows in quorum or failsafe mode alone, and where much goes wrong at once.
        let votes = mutation.is_some_and(Mutation::is_about_votes);
        let words = mutation.is_some_and(Mutation::is_about_words);
        let nodes = if votes { 3 } else { random.pick(&[2, 2, 3, 3, 3, 3, 4, 5]) };
        let synchronous = votes || !random.one_in(5);
        let quorum = synchronous && (votes || random.one_in(3));
        let sync_node_count = if nodes > 2 && random.one_in(3) { 2 } else { 1 };
        let use_slots = !random.one_in(4);
        let primary_stop_timeout = random.pick(&[0, 0, 5]);
        let dynamic = json!({
            "ttl": random.pick(&[20, 30, 30]),
            "loop_wait": 10,
            "retry_timeout": 5,
            "maximum_lag_on_failover": random.pick(&[1 << 20, 1 << 20, 1 << 12]),
            "check_timeline": random.one_in(3),
            "failsafe_mode": words || random.one_in(4),
            "maximum_lag_on_syncnode": random.pick(&[-1, -1, 1 << 20, 1 << 14]),
            "primary_start_timeout": random.pick(&[300, 300, 5, 0]),
            "primary_stop_timeout": primary_stop_timeout,
            "synchronous_mode": if quorum { json!("quorum") } else { json!(synchronous) },
            "synchronous_mode_strict": random.one_in(4),
            "synchronous_node_count": sync_node_count,
            "postgresql": {
                "use_slots": use_slots,
                "use_pg_rewind": !random.one_in(4),
                "remove_data_directory_on_rewind_failure": true,
                "remove_data_directory_on_diverged_timelines": true,
            },
        });
        let Value::Object(dynamic) = dynamic else { unreachable!("it is written as one") };
        Plan {
            nodes,
            tick: random.pick(&[500, 2000, 2000]),
            dynamic,
            synchronous,
            use_slots,
            can_be_source: !random.one_in(8),
            stop_timeout: (primary_stop_timeout > 0 && synchronous).then_some(primary_stop_timeout * 1000),
            slow_jobs: random.pick(&[0, 5, 30]),
            failed_promotions: random.pick(&[0, 0, 0, 20]),
            pauses: random.one_in(4),
            wrong_clocks: random.one_in(2),
            write_pause: if votes { 50 } else { random.pick(&[50, 200, 1000]) },
            fault_pause: if votes || words { 2000 } else { random.pick(&[2000, 5000, 12_000]) },
            faults_last: random.pick(&[20_000, 40_000, 80_000]),
            mutation,
        }
    }

    /// What a job takes longer than usual.
    pub fn slow_job(&self, random: &mut Random) -> u64 {
        if random.percent(self.slow_jobs) { random.between(2000, 25_000) } else { 0 }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes, tick {} ms, {}", self.nodes, self.tick, Value::Object(self.dynamic.clone()))?;
        write!(
            f,
            "; {} % slow jobs, {} % failed promotions{}",
            self.slow_jobs,
            self.failed_promotions,
            if self.pauses { ", pauses" } else { "" }
        )?;
        write!(f, ", a write every {} ms", self.write_pause)?;
        write!(f, ", a fault every {} ms for {} ms", self.fault_pause, self.faults_last)
    }
}
