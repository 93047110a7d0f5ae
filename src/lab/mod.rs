//! `lab.yaml` as typed and as meant: the raw model with its spans, the validated lab, diagnostics, the JSON Schema.

pub mod diagnostic;
pub mod expr;
mod indentation;
pub mod library;
mod load;
mod meant;
pub mod model;
mod yaml;

pub use diagnostic::{Code, Diagnostic, LabError};
pub use library::Library;
pub use load::load;
pub use meant::{Check, Lab, Loaded, Part};
