//! The Linux watchdog, through the testing driver, which writes to a file what would go to the device.

use serde_json::json;

use crate::harness::wait::ensure;
use crate::harness::{Stage, until};

/// A leader sets the timeout to ttl - safety_margin, keeps the device alive, and disarms it when it is stopped; a
/// replica does not touch it.
pub async fn watchdog(stage: &Stage) {
    let device = |name: &str| stage.folder("devices").join(name);
    for name in ["pg1", "pg2"] {
        std::fs::write(device(name), "").unwrap();
        if let Some(user) = crate::harness::process::unprivileged_user() {
            nix::unistd::chown(&device(name), Some(user.uid), Some(user.gid)).unwrap();
        }
    }
    let watched = |name: &str| json!({"watchdog": {"mode": "required", "driver": "testing", "device": device(name)}});
    let cluster = stage.cluster(2).node(0, watched("pg1")).node(1, watched("pg2")).started().await;
    let written = |name: &str| std::fs::read_to_string(device(name)).unwrap();
    let keeps_alive = async |index: usize| {
        let name = cluster[index].name.as_str();
        until(&format!("{name} sets its watchdog's time and keeps it alive"), async || {
            let text = written(name);
            let beats = text.strip_prefix("Ctimeout=15\n").ok_or_else(|| text.clone())?.trim_end_matches('V');
            ensure(beats.len() >= 3 && beats.chars().all(|c| c == '1'), || text.clone())
        })
        .await;
    };
    keeps_alive(0).await;
    assert_eq!(written("pg2"), "", "a replica has no watchdog");
    cluster[0].stop().await;
    assert!(written("pg1").ends_with('V'), "it is disarmed: {:?}", written("pg1"));
    cluster.leads(1).await;
    keeps_alive(1).await;
}

/// Where a watchdog is required and there is none, a node does not lead.
pub async fn watchdog_required(stage: &Stage) {
    let missing = json!({"watchdog": {"mode": "required", "driver": "testing", "device": "/nowhere/watchdog"}});
    let cluster = stage.cluster(2).node(1, missing).started().await;
    cluster[0].stop().await;
    crate::harness::wait::holds(std::time::Duration::from_secs(10), "pg2 is not promoted", async || {
        ensure(cluster[1].value("select pg_is_in_recovery()").await? == "t", || "it is a primary".to_owned())
    })
    .await;
    cluster[0].start();
    cluster.leads(0).await;
    cluster.streams(1).await;
}
