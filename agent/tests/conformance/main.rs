//! The conformance suite: what a node agent must do, on real servers, tried with labrun-agent, with the Patroni of
//! PyPI, and with clusters in which both play. The expectations are the same for all; where labrun-agent differs on
//! purpose the scenario says why.
//!
//! The ordinary run of all tests has the basic ones of them, `make conformance` has them all; `select.rs` says which of
//! them run when. One of them: `LABRUN_CONFORMANCE=full cargo nextest run -p labrun-agent --test conformance NAME`.

mod harness;
mod scenarios;
mod select;

use libtest_mimic::{Arguments, run};
use select::{Level, Scenario, Traits};

/// The table of scenarios: `name` is a function of `scenarios/`. The ordinary run of all tests has the `basic` ones with
/// labrun-agent alone, and the `mixed` ones with both programs in one cluster; `ctl` scenarios use patronictl.
macro_rules! scenarios {
    ($($module:ident :: $name:ident $(($($word:ident),*))?;)*) => {
        const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            traits: Traits { $($($word: true,)*)? ..Traits::NONE },
            perform: |cast| harness::stage::perform(stringify!($name), cast, scenarios::$module::$name),
        }),*];
    };
}

fn main() {
    // What is not in the run is not told of; what cannot be run here is told as ignored, which the usual harness cannot
    // decide when it runs.
    let (trials, skipped) = select::trials(SCENARIOS, Level::from_environment());
    if skipped > 0 {
        eprintln!(
            "no Patroni is found, {skipped} scenarios are skipped: set LABRUN_PATRONI_DIR to its virtual environment"
        );
    }
    run(&Arguments::from_args(), trials).exit();
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
    rest::rest_wire;
    rest::rest_config;
    rest::rest_restart_filters;
    replication::replication (basic);
    replication::slots_on_replicas;
    replication::late_member;
    jobs::slow_copy;
    sync::synchronous_mode (basic);
    sync::synchronous_node_count;
    sync::synchronous_mode_changes;
    sync::only_synchronous_standbys_promote;
    sync::synchronous_standby_leaves_first;
    sync::odd_names;
    failover::stop_leader (basic, mixed);
    failover::stop_leader_asynchronous;
    failover::crash_postmaster;
    failover::crash_replica;
    failover::kill_node (basic);
    failover::restart_killed_agent;
    failover::rejoin_with_rewind (basic);
    archive::rewind_archives_first;
    archive::rewind_restores_from_the_archive;
    archive::clusters_change_roles_by_an_archive;
    swap::swap_in_place (mixed);
    swap::adopt_running_leader;
    ctl::ctl_reads (ctl);
    ctl::ctl_edit_config (ctl);
    ctl::ctl_switchover (ctl);
    ctl::ctl_switchover_refused (ctl);
    ctl::ctl_failover (ctl);
    ctl::ctl_restart (ctl);
    ctl::ctl_reload (ctl);
    ctl::ctl_reinit (ctl);
    ctl::ctl_pause (ctl);
    ctl::ctl_flush (ctl);
    ctl::ctl_remove (ctl);
    schedule::scheduled_switchover;
    schedule::scheduled_restart;
    schedule::schedule_refused;
    pause::pause_leaves_postgres_alone;
    pause::pause_outlives_agent;
    pause::pause_switchover (basic);
    pause::pause_without_zookeeper;
    pause::pause_restart_and_reinitialize;
    dynamic::dynamic_configuration (basic);
    dynamic::dynamic_parameters_that_postgres_refuses;
    dynamic::replica_with_less_room;
    dynamic::dynamic_pg_hba;
    dynamic::log_to_a_folder;
    dynamic::local_goes_before_dynamic;
    dynamic::environment_goes_first;
    dynamic::ttl_changes;
    dynamic::validate_config;
    dynamic::generate_config;
    dynamic::namespace;
    priority::failover_priority;
    priority::tag_nofailover;
    priority::tags_that_contradict;
    priority::tag_noloadbalance;
    priority::tag_nosync_and_sync_priority;
    priority::tag_clonefrom;
    priority::cascading_replication;
    priority::cascading_failover;
    priority::tag_nostream;
    quorum::quorum_commit;
    quorum::quorum_of_two;
    quorum::quorum_needs_votes;
    quorum::quorum_there_and_back;
    quorum::quorum_switches;
    quorum::strict_synchronous_mode;
    quorum::maximum_lag_on_syncnode;
    slots::permanent_slots;
    slots::permanent_slots_change;
    slots::ignore_slots;
    slots::member_slots_ttl;
    standby::standby_cluster;
    standby::standby_cluster_promoted;
    standby::ctl_demote_and_promote_cluster (ctl);
    custom::custom_bootstrap;
    custom::custom_bootstrap_recovers;
    custom::custom_bootstrap_fails;
    custom::post_bootstrap;
    custom::post_bootstrap_fails;
    custom::create_replica_methods;
    custom::basebackup_options;
    custom::callbacks_are_called;
    custom::pre_promote;
    custom::before_stop;
    outage::short_outage (basic);
    outage::outage_within_lease;
    outage::ensemble;
    outage::long_outage;
    outage::failsafe_mode;
    outage::failsafe_needs_everyone;
    outage::failsafe_moves_slots_on;
    outage::failsafe_requests;
    watchdog::watchdog;
    watchdog::watchdog_required;
    secure::rest_authentication (ctl);
    secure::rest_allowlist;
    secure::rest_tls (ctl);
    secure::rest_tls_required;
    secure::rest_tls_reload;
    secure::one_certificate_for_all;
    secure::odd_passwords;
    zookeeper::zookeeper_tls (ctl);
    zookeeper::zookeeper_acls;
    zookeeper::zookeeper_chroot;
    zookeeper::zookeeper_garbage;
    bad::duplicate_name;
    bad::foreign_system_identifier;
    bad::foreign_folder;
    bad::wrong_replication_password;
    bad::bad_yaml;
    bad::bad_bodies;
    bad::full_disk;
    bad::refusals;
    lease::frozen_agent;
    lease::killed_agent;
    lease::agent_replaced_within_lease;
    lease::killed_agent_without_zookeeper;
    lease::paused_node;
    lease::hung_postgres;
    faults::random_faults;
}
