//! labrun-agent: a PostgreSQL node agent, a drop-in for Patroni on ZooKeeper.

pub mod cluster;
pub mod config;
pub mod exit;
pub mod logging;
pub mod supervise;
