//! A machine: a data directory, a PostgreSQL, an agent.

use labrun_agent::decide::failsafe::Agreed;
use serde_json::{Map, Value};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::data::Data;
use crate::guarding::Guard;
use crate::hangs::Hang;
use crate::jobs::Running;
use crate::server::Server;
use crate::wal::Wal;

pub struct Node {
    pub clock: Clock,
    pub data: Data,
    /// Data directories that a new copy replaces, until that copy streams.
    pub aside: Vec<Data>,
    pub server: Option<Server>,
    /// How often PostgreSQL was started.
    pub epochs: u64,
    pub agent: Option<Agent>,
    pub guards: Vec<Guard>,
    /// The dynamic configuration that the agent has last put aside (`patroni.dynamic.json`).
    pub dynamic: Option<Map<String, Value>>,
    /// Its agent, or the last one that it had, knows of a pause.
    pub at_ease: bool,
    /// How often the agent was started.
    pub incarnation: u64,
    /// The program that the agent has started and waits for.
    pub job: Option<Running>,
    pub jobs: u64,
    /// The leader that it has agreed to follow in failsafe mode, and when.
    pub agreed: Option<(usize, u64)>,
    /// The same, as its agents put it down (agent: `agent::word`).
    pub word: Option<Agreed>,
    pub agent_frozen: bool,
    pub server_frozen: bool,
    pub hang: Option<Hang>,
    /// The whole machine stands still.
    pub paused: bool,
    /// The whole machine is off.
    pub off: bool,
    /// The whole machine was away, or a pause has ended: a primary without a lease has until then to be stopped.
    pub unguarded_until: u64,
}

impl Node {
    pub fn new(wal: &Wal, clock: Clock) -> Node {
        Node {
            clock,
            data: Data::empty(wal),
            aside: Vec::new(),
            server: None,
            epochs: 0,
            agent: None,
            guards: Vec::new(),
            dynamic: None,
            at_ease: false,
            incarnation: 0,
            job: None,
            jobs: 0,
            agreed: None,
            word: None,
            agent_frozen: false,
            server_frozen: false,
            hang: None,
            paused: false,
            off: false,
            unguarded_until: 0,
        }
    }

    /// A PostgreSQL without a lease can be expected to have been stopped.
    pub fn is_guarded(&self, now: u64) -> bool {
        !self.paused && now >= self.unguarded_until
    }

    /// Clients can write here now.
    pub fn is_writable(&self) -> bool {
        !self.server_frozen && !self.paused && self.server.as_ref().is_some_and(Server::is_primary)
    }
}
