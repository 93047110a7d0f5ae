//! A machine: a data directory, a PostgreSQL, an agent.

use crate::agent::Agent;
use crate::data::Data;
use crate::jobs::Running;
use crate::server::Server;
use crate::wal::Wal;

pub struct Node {
    pub data: Data,
    /// A data directory that a new copy replaces, until that copy streams.
    pub aside: Option<Data>,
    pub server: Option<Server>,
    /// How often PostgreSQL was started.
    pub epochs: u64,
    pub agent: Option<Agent>,
    /// How often the agent was started.
    pub incarnation: u64,
    /// The program that the agent has started and waits for.
    pub job: Option<Running>,
    pub jobs: u64,
    pub agent_frozen: bool,
    pub server_frozen: bool,
    /// The whole machine stands still.
    pub paused: bool,
    /// The whole machine is off.
    pub off: bool,
    /// Until then nobody can be expected to have stopped PostgreSQL: its agent was away.
    pub unguarded_until: u64,
}

impl Node {
    pub fn new(wal: &Wal) -> Node {
        Node {
            data: Data::empty(wal),
            aside: None,
            server: None,
            epochs: 0,
            agent: None,
            incarnation: 0,
            job: None,
            jobs: 0,
            agent_frozen: false,
            server_frozen: false,
            paused: false,
            off: false,
            unguarded_until: 0,
        }
    }

    /// Clients can write here now.
    pub fn is_writable(&self) -> bool {
        !self.server_frozen && !self.paused && self.server.as_ref().is_some_and(Server::is_primary)
    }
}
