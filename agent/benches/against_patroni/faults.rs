//! The faults: what each does, when it is over, and what undoes it.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::rest::Ask;
use crate::harness::writer::Writer;
use crate::harness::{Stage, process, until, wait};
use crate::lab::{Lab, PROXY};

/// How long a failover is waited for before it counts as none.
const NO_FAILOVER: Duration = Duration::from_secs(90);

/// What is done to the leader, or to ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// SIGTERM to the leader's agent.
    Stop,
    /// SIGKILL to the leader's postmaster.
    Crash,
    /// A switchover by REST.
    Switchover,
    /// SIGKILL to everything on the leader's node.
    Kill,
    /// SIGSTOP to every PostgreSQL process of the leader.
    HungPostgres,
    /// SIGSTOP to the leader's agent alone.
    FrozenAgent,
    /// ZooKeeper hangs for 20 s.
    ZookeeperAway,
    /// SIGSTOP to the leader's agent for 45 s in asynchronous mode.
    FrozenAgentAsync,
}

impl Fault {
    /// The name of its figures.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no fault is hidden").get_name().to_owned()
    }

    /// Whether the old leader is away afterwards, so that its coming back can be measured.
    pub fn takes_the_node(self) -> bool {
        matches!(self, Fault::Stop | Fault::Kill)
    }

    /// Make the cluster as the fault wants it.
    pub async fn prepare(self, lab: &Lab, on: bool) {
        if self == Fault::FrozenAgentAsync {
            lab.cluster.edit_config(json!({"synchronous_mode": !on})).await;
            let leader = lab.leader().await;
            if on {
                lab.cluster.shows(leader, "show synchronous_standby_names", "").await;
            }
        }
    }

    pub async fn inject(self, stage: &Stage, lab: &Lab, leader: usize) {
        let node = &lab.cluster[leader];
        match self {
            Fault::Stop => node.signal(Signal::SIGTERM),
            Fault::Crash => node.signal_postmaster(Signal::SIGKILL),
            Fault::Kill => node.kill(),
            Fault::Switchover => switchover(lab, leader).await,
            Fault::HungPostgres => node.signal_postgres(Signal::SIGSTOP),
            Fault::FrozenAgent | Fault::FrozenAgentAsync => node.signal(Signal::SIGSTOP),
            Fault::ZookeeperAway => stage.zookeeper.freeze(),
        }
    }

    /// Wait until the fault has run its course: whether what it calls for happened in time.
    pub async fn takes_its_course(self, stage: &Stage, leader: usize, writer: &Writer) -> bool {
        let injected = Instant::now();
        let other = 1 - leader;
        match self {
            Fault::Stop | Fault::Kill | Fault::Switchover | Fault::HungPostgres | Fault::FrozenAgent => {
                let before = writer.count_on(other);
                wait::attempt(NO_FAILOVER, async || {
                    wait::ensure(writer.count_on(other) > before, || "the other node takes no writes".to_owned())
                })
                .await
                .is_ok()
            }
            Fault::Crash => {
                // Either node may take over; a write after the crash was noticed is one on a new session.
                let before = (writer.sessions_on(leader), writer.count_on(other));
                until("writes are acknowledged again", async || {
                    let again = writer.sessions_on(leader) > before.0 || writer.count_on(other) > before.1;
                    wait::ensure(again, || "none yet".to_owned())
                })
                .await;
                true
            }
            Fault::ZookeeperAway => {
                pass(injected, Duration::from_secs(20)).await;
                stage.zookeeper.thaw();
                true
            }
            Fault::FrozenAgentAsync => {
                pass(injected, Duration::from_secs(45)).await;
                true
            }
        }
    }

    /// When the lease of a leader that was killed is over: ZooKeeper ends its session, in steps of its tick.
    pub async fn lease_ends(self, lab: &Lab) -> Option<Instant> {
        let ends = lab.cluster.dcs.vanishes("leader");
        match self {
            Fault::Kill => tokio::time::timeout(NO_FAILOVER, ends).await.ok()?.ok(),
            _ => None,
        }
    }

    /// Undo what outlasts the outage.
    pub async fn undo(self, lab: &Lab, leader: usize) {
        let node = &lab.cluster[leader];
        match self {
            Fault::Stop => {
                node.ended().await;
                node.start();
            }
            Fault::Kill => node.start(),
            Fault::HungPostgres => node.signal_postgres(Signal::SIGCONT),
            Fault::FrozenAgent | Fault::FrozenAgentAsync => node.signal(Signal::SIGCONT),
            Fault::Crash | Fault::Switchover | Fault::ZookeeperAway => {}
        }
        process::signal_all(&node.dir, Signal::SIGCONT);
    }
}

/// Clients that write again, directly and through the proxy.
pub async fn settled(writer: &Writer) {
    let direct = writer.count_on(0) + writer.count_on(1);
    let proxied = writer.count_on(PROXY);
    until("writes are acknowledged, directly and by the proxy", async || {
        let now = (writer.count_on(0) + writer.count_on(1), writer.count_on(PROXY));
        wait::ensure(now.0 > direct + 50 && now.1 > proxied + 50, || format!("{direct}, {proxied} -> {now:?}"))
    })
    .await;
}

/// As patronictl does it: by REST, or, where the agent does not know the call, by the failover key.
async fn switchover(lab: &Lab, leader: usize) {
    let body = json!({"leader": lab.cluster[leader].name}).to_string();
    let server = lab.cluster[leader].rest_address();
    // The call answers when all is over; the clients' record is what counts.
    tokio::spawn(async move { Ask::new("POST", "/switchover").body(&body).patient().send(server).await });
    let heard = wait::attempt(Duration::from_secs(2), async || {
        let key = lab.cluster.dcs.get("failover").await?.data;
        wait::ensure(key.contains("leader"), || key)
    });
    let led = lab.cluster.leader().await;
    if heard.await.is_err() && led == Ok(leader) && lab.cluster.leader().await == led {
        let key = json!({"leader": lab.cluster[leader].name}).to_string();
        lab.cluster.dcs.put("failover", &key).await;
    }
}

/// Wait until `span` has passed since `start`: the fault's own length, not a guess at anything.
async fn pass(start: Instant, span: Duration) {
    tokio::time::sleep(span.saturating_sub(start.elapsed())).await;
}
