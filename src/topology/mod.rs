//! From a [`crate::lab::Lab`] to a [`Plan`]: nodes in start order, addresses, ports, rendered configurations.

mod local;
mod make;
mod patroni;
pub mod plan;
mod project;
mod render;
pub mod settings;
mod site;
pub mod waves;

pub use make::{PlanError, PlanOptions, plan, timing};
pub use plan::{ConfigFile, Credentials, NodePlan, Plan, Publish, Service, Timing};
pub use site::{MAX_NODES, node_address, node_ports};

#[cfg(test)]
mod tests;
