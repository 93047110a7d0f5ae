//! labrun-agent: a PostgreSQL node agent, a drop-in for Patroni on ZooKeeper.

pub mod agent;
pub mod api;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod dcs;
pub mod decide;
pub mod exit;
pub mod first_process;
pub mod guard;
pub mod logging;
pub mod postgres;
pub mod supervise;
pub mod tls;
pub mod watchdog;
