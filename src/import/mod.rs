//! A compose project that somebody else wrote, read and understood without starting anything.
//!
//! `files` is the only part that touches the disk; all else is a pure function of the files' texts.

mod files;
mod haproxy;
mod lint;
mod member;
pub mod project;
mod restore;
mod submission;

pub use lint::{Lint, lint};
pub use submission::Submission;
