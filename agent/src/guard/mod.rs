//! The guard: a small process beside the agent that keeps the promise of the lease when the agent cannot.
//!
//! The agent stops a PostgreSQL whose lease runs out ([`crate::decide::guard`]). If the agent is killed, stopped or
//! starved, nobody would. So it tells this process, at every extension of the lease, until when PostgreSQL may be
//! writable; when that time is over and no later one was told, the guard ends PostgreSQL: first as an immediate
//! stop, then by SIGKILL to all its processes, also those that hang or are stopped. It needs no word from anybody
//! for that, and reads no disk but /proc.
//!
//! * The agent is gone: PostgreSQL goes on while the lease may be valid, so that a new agent can take it over. The
//!   new agent has a guard of its own; it dismisses the old one when it knows its lease, not before.
//! * Replicas, a PostgreSQL that is down and pause mode are none of its business: it stands aside.
//! * Time is CLOCK_BOOTTIME: what the machine slept through has passed for the lease, too.
//!
//! What it cannot promise: where the whole machine, this process included, is paused and woken after the lease, a
//! commit that was under way may be acknowledged in the moment before this process runs again. Its alarm has rung
//! by then, so it is among the first to run, and ahead of others where it may raise its priority (RLIMIT_NICE).
//! In synchronous mode such a commit is harmless: it was flushed by a standby, or it is not acknowledged. A virtual
//! machine whose clock stood still meanwhile cannot know at all; only a watchdog outside of it helps.
//!
//! Nothing lies on disk. The process is called [`NAME`]; the agent speaks to it by a socket that is its standard
//! input, in lines (see [`order`]).

mod client;
mod order;
mod process;
mod watch;

pub use client::{Given, Guard, Relief};
pub use order::{Order, Postmaster};
pub use process::run;
pub use watch::{Event, Step, Watch};

/// What the process is called, in `ps` and as the argument that starts it.
pub const NAME: &str = "labrun-guard";
