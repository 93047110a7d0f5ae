//! labrun: a declarative runner for labs that are verified.
//!
//! Arrows point one way: `cli -> verify, report, deploy -> topology -> lab`, `cli, report -> import -> lab`. The node agent's crate is used for
//! the types of what the DCS holds, and for its supervisor, only.

pub mod attach;
pub mod cli;
pub mod deploy;
pub mod engine;
pub mod explain;
pub mod images;
pub mod import;
pub mod lab;
pub mod mutants;
pub mod observe;
pub mod report;
pub mod topology;
pub mod verify;
pub mod wait;
