//! The conformance suite: what a node agent must do, on real servers, tried with labrun-agent, with the Patroni of
//! PyPI, and with clusters in which both play. The expectations are the same for all; where labrun-agent differs on
//! purpose the scenario says why.
//!
//! `cargo nextest run -p labrun-agent --test conformance labrun::` runs our side; see `select.rs` for what else.

mod harness;
mod not_yet;
mod scenarios;
mod select;

/// The table of scenarios: `name` is a function of `scenarios/`; `basic` scenarios are tried with mixed clusters in
/// every run; `ctl` scenarios use patronictl.
macro_rules! scenarios {
    ($($module:ident :: $name:ident $(($($word:ident),*))?;)*) => {
        scenarios!(@cast labrun, Labrun, $($module::$name $(($($word),*))?;)*);
        scenarios!(@cast patroni, Patroni, $($module::$name $(($($word),*))?;)*);
        mod mixed {
            scenarios!(@cast patroni_first, PatroniFirst, $($module::$name $(($($word),*))?;)*);
            scenarios!(@cast labrun_first, LabrunFirst, $($module::$name $(($($word),*))?;)*);
        }
    };
    (@cast $suite:ident, $cast:ident, $($module:ident :: $name:ident $(($($word:ident),*))?;)*) => {
        mod $suite {
            $(#[test]
            fn $name() {
                #[allow(unused_mut)]
                let mut traits = crate::select::Traits::default();
                $($(traits.$word = true;)*)?
                let scenario = crate::scenarios::$module::$name;
                crate::select::perform(stringify!($name), crate::harness::Cast::$cast, traits, scenario);
            })*
        }
    };
}

scenarios! {
    bootstrap::bootstrap_layout (basic);
    bootstrap::bootstrap_order;
    bootstrap::bootstrap_race;
    rest::rest_status_matrix (basic);
    rest::rest_replica_lag;
    rest::rest_bodies;
    rest::rest_metrics;
    rest::rest_tags;
    replication::replication (basic);
    replication::slots_on_replicas;
    replication::late_member;
    sync::synchronous_mode (basic);
    sync::synchronous_node_count;
    sync::synchronous_mode_changes;
    sync::only_synchronous_standbys_promote;
    failover::stop_leader (basic);
    failover::stop_leader_asynchronous;
    failover::crash_postmaster;
    failover::crash_replica;
    failover::kill_node (basic);
    failover::restart_killed_agent;
    failover::rejoin_with_rewind (basic);
    swap::swap_in_place (basic);
    swap::adopt_running_leader;
}
