//! The reference lab, deployed for real and verified by the real `labrun`: as it should be, broken by hand, interrupted,
//! killed.
//!
//! The tests find `labrun-agent` where a user's labrun does: beside it, so the whole workspace must be built.

mod bad_agents;
mod broken;
mod builtin;
mod elections;
mod faults;
mod interrupted;
mod passes;
mod run;
#[path = "../common/said.rs"]
mod said;
mod series;
mod steps;
#[path = "../deploy/support.rs"]
#[allow(dead_code, reason = "shared with the tests of deployments; each uses a part of it")]
mod support;
