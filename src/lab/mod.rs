//! `lab.yaml` as typed and as meant: the raw model with its spans, the validated lab, diagnostics, the JSON Schema.

pub mod diagnostic;
pub mod expr;
pub(crate) mod indentation;
mod init;
pub mod library;
mod load;
mod meaning;
mod meant;
pub mod model;
pub mod order;
pub(crate) mod patroni_keys;
pub mod schema;
pub mod settings;
mod shape;
mod validate;
pub(crate) mod yaml;

pub use diagnostic::{Code, Diagnostic, LabError};
pub use init::{NewFile, init, into_new_folder, name_of, write_lab};
pub use library::Library;
pub use load::load;
pub use meaning::project_files;
pub use meant::{Check, Lab, Loaded, Part};
pub use validate::{Kind, Validation, validate};

#[cfg(test)]
mod tests;
