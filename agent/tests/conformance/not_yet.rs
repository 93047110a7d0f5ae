//! Scenarios that labrun-agent does not pass yet, each with the reason. They run against Patroni, and against
//! labrun-agent with `LABRUN_CONFORMANCE_NOT_YET=run`.

/// Scenario and reason.
pub const NOT_YET: &[(&str, &str)] = &[];
