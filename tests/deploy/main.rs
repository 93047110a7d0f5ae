//! Deployments of real servers by the real `labrun`: brought up, looked at, broken, taken down; and nothing left.
//!
//! The tests find `labrun-agent` where a user's labrun does: beside it, so the whole workspace must be built.

mod errors;
mod interrupted;
mod life;
mod places;
#[path = "../common/said.rs"]
mod said;
mod support;
