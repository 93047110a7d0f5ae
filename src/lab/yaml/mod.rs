//! YAML as a tree that knows where everything stands, read within bounds.

mod bounds;
mod tree;

pub use bounds::{MAX_BYTES, parse};
pub use tree::Node;
