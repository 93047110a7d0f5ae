//! `labrun-agent supervise NODE.json`: the local "container" of one node.
//!
//! It keeps the node's one service process running, forwards the node's published ports, bounds the
//! log and outlives the command that started it. Every process of a node keeps its working directory
//! inside the node's folder, which is how all of them can be found again whatever happened.
//!
//! On disk, all in the node's folder (`cwd` of the [`Spec`]):
//! * `supervisor.pid`: pid and start time of the supervisor; locked (`flock`) as long as it lives.
//! * `supervisor.json`: a [`Status`], replaced atomically on every change.
//! * the log named by the spec (stdout and stderr of the service, raw) and one rotation, `<log>.1`.

mod error;
mod forward;
mod log;
pub mod network;
pub mod pidfile;
pub mod ports;
mod processes;
mod run;
mod service;
mod spec;
mod status;

pub use error::Error;
pub use processes::{Process, pids_below, pids_in, processes_in, start_time};
use run::become_user;
pub use run::run;
pub use spec::{Publish, Restart, Spec};
pub use status::{LastExit, STATUS_FILE, State, Status};
