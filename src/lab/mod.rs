//! `lab.yaml` as typed and as meant: the raw model with its spans, the validated lab, diagnostics, the JSON Schema.

pub mod expr;
pub mod model;
