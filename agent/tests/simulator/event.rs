//! What can happen, and to whom.

use labrun_agent::cluster::{History, Lsn};
use labrun_agent::decide::failsafe::Call;
use labrun_agent::decide::{Chore, Job, Peer, Server as Seen, StopMode, Upstream};

use crate::faults::{Fault, Mend};
use crate::wal::Spot;

/// Who something happens to. What is frozen gets it later; what has ended (numbers tell one life from the
/// next) never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    World,
    ZooKeeper,
    /// A node's agent in one of its lives.
    Agent(usize, u64),
    /// A node's PostgreSQL in one of its lives.
    Server(usize, u64),
    /// A program that an agent has started.
    Job(usize, u64),
    /// The guard of one of the agent's lives.
    Guard(usize, u64),
}

#[derive(Debug, Clone)]
pub enum Event {
    // The world.
    Fault(Fault),
    Mend(Mend),
    FirstFault,
    FaultsEnd,
    /// A client tries to write on every node that takes it.
    Write,
    /// A supervisor starts an agent.
    StartAgent {
        node: usize,
    },

    // ZooKeeper, and the links to it.
    Arrival {
        link: usize,
    },
    Expiry,
    Answer {
        link: usize,
    },

    // PostgreSQL.
    /// WAL has reached the disk.
    Flushed(Spot),
    /// WAL from the upstream.
    Received {
        from: usize,
        epoch: u64,
        spot: Spot,
    },
    /// What a standby has flushed.
    Confirmed {
        from: usize,
        epoch: u64,
        flushed: Lsn,
    },
    Replayed(Spot),
    /// The WAL receiver tries to connect.
    Connect,
    /// Both ends look whether the other is still there.
    Keepalive,
    Recovered,
    Promoted,
    Checkpointed,
    /// SIGINT or SIGQUIT has been received.
    Stop(StopMode),
    /// The shutdown checkpoint is written.
    ShutDown,
    /// The standbys need not be waited for any longer.
    StopWaiting,
    /// A changed synchronous_standby_names reaches the sessions, and the WAL senders.
    NamesShown,
    NamesObeyed,

    // A guard.
    GuardAlarm(u64),

    // An agent.
    Wake(u64),
    LinkTimer,
    LinkReset {
        links: usize,
    },
    /// A postmaster has ended.
    Exited {
        epoch: u64,
    },
    /// PostgreSQL is asked by SQL, and answers if it can.
    Query {
        asked: u64,
    },
    /// PostgreSQL's answer, asked for at a time; `None` if it refuses.
    Observed {
        asked: u64,
        epoch: u64,
        server: Option<Box<Seen>>,
    },
    /// There was no answer for so long that it is not waited for any more.
    Silent {
        asked: u64,
    },
    Inspected,
    JobStep {
        number: u64,
    },
    JobEnded {
        number: u64,
        job: Job,
        result: Result<(), String>,
    },
    /// What a chore does when it is due.
    ChoreStep {
        chore: Chore,
        epoch: u64,
    },
    ChoreEnded {
        chore: Chore,
        epoch: u64,
    },
    /// GET <api_url>, by a peer.
    Asked {
        by: usize,
        incarnation: u64,
        round: u64,
    },
    /// The look that a peer's question has waited for takes too long.
    LookTimeout {
        by: usize,
        round: u64,
    },
    /// `None`: the port is closed.
    Told {
        round: u64,
        from: usize,
        peer: Option<Box<Peer>>,
    },
    /// Who has not answered by now, does not answer.
    PeersTimeout {
        round: u64,
    },
    /// POST /failsafe, by a leader.
    FailsafeAsked {
        by: usize,
        incarnation: u64,
        number: u64,
        call: Box<Call>,
    },
    FailsafeSaid {
        number: u64,
        from: usize,
        said: Result<Option<Lsn>, String>,
    },
    /// Who has not answered by now, is asked again, or does not answer.
    FailsafeTimeout {
        number: u64,
        from: usize,
        tried: u32,
    },
    /// What the leader says of its timelines, if it does, and whether it has our newest one.
    LeaderTimeline {
        upstream: Upstream,
        created: i64,
        told: Option<(u32, History, bool)>,
    },
    /// A request to ZooKeeper has had all the time that it gets.
    RequestTimeout {
        id: u64,
    },
}
