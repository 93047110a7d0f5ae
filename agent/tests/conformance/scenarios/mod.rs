//! What must hold, one function a behaviour.

pub mod bootstrap;
pub mod failover;
pub mod replication;
pub mod rest;
pub mod shape;
pub mod swap;
pub mod sync;
