//! A compose project that somebody else wrote, read and understood without starting anything.
//!
//! `files` is the only part that touches the disk; all else is a pure function of the files' texts.

mod export;
mod files;
pub mod haproxy;
mod lint;
mod member;
pub mod project;
mod restore;
mod submission;
mod to_lab;

pub use export::write_project;
pub use files::read as read_files;
pub use lint::{Lint, lint};
pub use member::is_one as is_patroni;
pub use submission::Submission;
pub use to_lab::{Imported, to_lab, topology};

use project::Service;

/// ZooKeeper's port for clients, unless set.
const CLIENT_PORT: u16 = 2181;

/// The port that a ZooKeeper service listens on for clients.
pub fn client_port(service: &Service) -> u16 {
    let set = ["ZOOKEEPER_CLIENT_PORT", "ZOO_PORT_NUMBER"].iter().find_map(|name| service.environment.get(*name));
    set.and_then(|port| port.parse().ok()).unwrap_or(CLIENT_PORT)
}

/// Reads and understands the project in a folder.
pub fn read(dir: &std::path::Path) -> Result<Submission, crate::lab::Diagnostic> {
    Ok(Submission::of(&files::read(dir)?.0))
}
