//! The exit codes of `labrun-agent`, all in one place. Scripts and the runner may rely on them.

/// The work was done, or the agent was asked to stop and did so cleanly.
pub const OK: u8 = 0;
/// Something failed that no code below names; the message says what. (Patroni's own only failure code.)
pub const FAILURE: u8 = 1;
/// The command line could not be understood (clap's own code).
pub const USAGE: u8 = 2;
/// A configuration file is missing, unreadable or wrong.
pub const CONFIG: u8 = 3;
/// An address that must be listened on is held by somebody else.
pub const PORT_BUSY: u8 = 4;
/// Another process already does this very job (a locked pidfile, a live member of the same name).
pub const ALREADY_RUNNING: u8 = 5;
/// A program that is needed is missing or cannot be executed.
pub const PROGRAM: u8 = 6;
/// The data directory belongs to something else; it was left untouched.
pub const FOREIGN_DATA: u8 = 7;
/// The process runs as a user that it must not run as (root), or cannot become the user it should.
pub const WRONG_USER: u8 = 8;
/// The cluster could not be initialised: initdb, users or the hooks after it failed.
pub const BOOTSTRAP: u8 = 9;
