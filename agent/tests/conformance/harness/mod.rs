//! Real servers for a scenario: a ZooKeeper of its own, PostgreSQL nodes under the agent that is tried, and clients.
//!
//! On disk a scenario owns one folder, `$TMPDIR/labrun-conformance-*/`: `zookeeper/` and `SCOPE/NODE/` (the node's
//! `postgres.yml`, `agent.log`, `pgpass`, `data/`). Every process of the scenario has its working directory in
//! there: that is how all of them are found and ended, and how a process that was left behind is noticed.

pub mod address;
pub mod authority;
pub mod cast;
pub mod cluster;
pub mod ctl;
pub mod dcs;
pub mod disk;
pub mod node;
pub mod process;
pub mod rest;
pub mod settings;
#[path = "../../common/shared_memory.rs"]
mod shared_memory;
pub mod sql;
pub mod stage;
pub mod wait;
pub mod writer;
pub mod zookeeper;

pub use authority::Authority;
pub use cast::{Cast, Program};
pub use cluster::Cluster;
pub use node::Node;
pub use stage::Stage;
pub use wait::until;
