//! What must hold, one function a behaviour.

pub mod archive;
pub mod bad;
pub mod bootstrap;
pub mod ctl;
pub mod custom;
pub mod dynamic;
pub mod failover;
pub mod faults;
pub mod jobs;
pub mod lease;
pub mod outage;
pub mod pause;
pub mod priority;
pub mod quorum;
pub mod replication;
pub mod rest;
pub mod schedule;
pub mod secure;
pub mod shape;
pub mod slots;
pub mod standby;
pub mod swap;
pub mod sync;
pub mod watchdog;
pub mod zookeeper;
