//! A compose project that somebody else wrote, read and understood without starting anything.

pub mod project;
