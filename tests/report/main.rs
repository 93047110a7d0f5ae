//! Reports of whole runs: what they say, what they leave unsaid, and that every form of them is well-formed.

mod fixture;
mod look;
