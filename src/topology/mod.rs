//! From a [`crate::lab::Lab`] to a [`Plan`]: nodes in start order, addresses, ports, rendered configurations.

mod docker;
mod local;
mod make;
mod patroni;
pub mod plan;
mod project;
mod render;
mod site;

pub use docker::AGENT_FILE;
pub use make::{PlanError, PlanOptions, PlanPlace, plan, timing};
pub use plan::{ConfigFile, ContainerPlan, Credentials, ImagePlan, NodePlan, Plan, Publish, Service, Timing};
pub use site::{MAX_NODES, node_address, node_ports};

#[cfg(test)]
mod tests;
