//! One program in the other's place, on the same data directory and in the same cluster.

use serde_json::json;

use crate::harness::Stage;

/// The replica is stopped and the other program started in its place, and becomes the leader; then the old leader
/// is taken over by the first program. Nothing is cloned anew, nothing is lost.
pub async fn swap_in_place(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let programs = [cluster[0].program(), cluster[1].program()];
    for node in &cluster.nodes {
        std::fs::write(node.data().join("a-file-of-ours"), "").unwrap();
    }
    let writer = cluster.writer(0).await;

    cluster[1].stop().await;
    cluster[1].play(programs[0]);
    cluster[1].start();
    cluster.streams(1).await;
    cluster.synchronous(0, &[1]).await;

    cluster[0].stop().await;
    cluster.leads(1).await;
    cluster[0].play(programs[1]);
    cluster[0].start();
    cluster.streams(0).await;
    cluster.synchronous(1, &[0]).await;
    writer.progresses().await;

    for node in &cluster.nodes {
        assert!(node.data().join("a-file-of-ours").exists(), "{}'s data directory was made anew", node.name);
    }
    cluster.nothing_lost(writer, 1).await;
}

/// A leader's agent is killed and the other program started in its place: it adopts the running PostgreSQL and goes
/// on as the leader.
pub async fn adopt_running_leader(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let postmaster = cluster[0].postmaster();
    let other = cluster[1].program();
    let writer = cluster.writer(0).await;
    cluster[0].kill_agent();
    cluster[0].play(other);
    cluster[0].start();
    cluster.ready().await;
    assert_eq!(cluster.leader().await, Ok(0));
    assert_eq!(cluster[0].postmaster(), postmaster, "PostgreSQL was not restarted");
    cluster.nothing_lost(writer, 0).await;
}
