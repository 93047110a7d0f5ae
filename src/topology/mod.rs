//! From a [`crate::lab::Lab`] to a [`Plan`]: nodes in start order, addresses, ports, rendered configurations.

pub mod plan;

pub use plan::{ConfigFile, Credentials, NodePlan, Plan, Publish, Service, Timing};
