//! What happens when a leader goes: stopped, crashed, killed; and how it comes back.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::wait::ensure;
use crate::harness::{Cluster, Program, Stage, process, until};

/// SIGTERM to the leader's agent: the standby takes over at once and has every acknowledged write; the old leader
/// comes back as the synchronous standby. There and back, so that each program plays each part.
pub async fn stop_leader(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    for (old, new, timeline) in [(0, 1, 2), (1, 0, 3)] {
        cluster[old].stop().await;
        // Patroni's own key stays until its session runs out.
        if cluster[old].program() == Program::Labrun {
            assert!(cluster.member(old).await.is_err(), "its member key goes with it");
        }
        cluster.leads(new).await;
        writer.progresses().await;
        assert_eq!(cluster.member(new).await.unwrap()["timeline"], timeline);
        cluster.synchronous(new, &[]).await;
        cluster[old].start();
        cluster.streams(old).await;
        cluster.synchronous(new, &[old]).await;
    }
    history_tells(&cluster, &[(1, "pg2"), (2, "pg1")]).await;
    cluster.nothing_lost(writer, 0).await;
}

/// A clean stop loses nothing in asynchronous mode either: the standby has received the shutdown checkpoint.
pub async fn stop_leader_asynchronous(stage: &Stage) {
    let cluster = stage.cluster(3).started().await;
    let writer = cluster.writer(0).await;
    cluster[0].stop().await;
    let new = cluster.new_leader(0).await;
    writer.progresses().await;
    cluster[0].start();
    assert_eq!(cluster.ready().await, new);
    cluster.caught_up(0, new).await;
    cluster.nothing_lost(writer, new).await;
}

/// SIGKILL to the leader's postmaster: its agent starts it again, as the leader, on the same timeline.
pub async fn crash_postmaster(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    let old = cluster[0].postmaster();
    cluster[0].signal_postmaster(Signal::SIGKILL);
    until("another postmaster takes writes", async || {
        ensure(cluster[0].postmaster() != old, || "it is the old one, or none".to_owned())?;
        cluster[0].is_primary().await
    })
    .await;
    cluster.leads(0).await;
    writer.progresses().await;
    cluster.streams(1).await;
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
    cluster.synchronous(0, &[1]).await;
    cluster.nothing_lost(writer, 0).await;
}

/// SIGKILL to a replica's postmaster: it is started again and streams.
pub async fn crash_replica(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let old = cluster[1].postmaster();
    cluster[1].signal_postmaster(Signal::SIGKILL);
    until("another postmaster runs", async || {
        let new = cluster[1].postmaster();
        ensure(new.is_some() && new != old, || format!("{new:?} instead of {old:?}"))
    })
    .await;
    cluster.streams(1).await;
    cluster[0].execute("create table after as select 1 as id").await;
    cluster.caught_up(1, 0).await;
    assert_eq!(cluster.leader().await, Ok(0));
}

/// SIGKILL to everything on the leader's node: when its lease has run out the standby takes over with every
/// acknowledged write, and the old leader comes back as its standby.
pub async fn kill_node(stage: &Stage) {
    let cluster = stage.cluster(2).dcs(json!({"synchronous_mode": true})).started().await;
    cluster.synchronous(0, &[1]).await;
    let writer = cluster.writer(0).await;
    cluster[0].kill();
    cluster.leads(1).await;
    writer.progresses().await;
    cluster[0].start();
    cluster.streams(0).await;
    cluster.synchronous(1, &[0]).await;
    history_tells(&cluster, &[(1, "pg2")]).await;
    cluster.nothing_lost(writer, 1).await;
}

/// An agent that is killed and started again within its lease goes on with the PostgreSQL that it finds, as the
/// leader that it was.
pub async fn restart_killed_agent(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let postmaster = cluster[0].postmaster();
    let session = cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner;
    cluster[0].kill_agent();
    cluster[0].start();
    until("the lease is the new agent's", async || {
        let owner = cluster.dcs.get("leader").await?.stat.ephemeral_owner;
        ensure(owner != session, || "the old session holds it".to_owned())
    })
    .await;
    assert_eq!(cluster.ready().await, 0);
    assert_eq!(cluster[0].postmaster(), postmaster, "PostgreSQL was not restarted");
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
    cluster[0].stop().await;
    cluster.leads(1).await;
}

/// A leader that wrote what its standby never got has to be rewound before it can follow: its rows of the old
/// timeline go, the new leader's come, and the data directory is not made anew. The rewind's user may do no more than
/// pg_rewind needs.
pub async fn rejoin_with_rewind(stage: &Stage) {
    let rewinder = json!({"username": "rewinder", "password": "secret-of-the-rewinder"});
    let users = json!({"postgresql": {"authentication": {"rewind": rewinder}}});
    let cluster = stage.cluster(2).with(users).started().await;
    cluster[0].execute("create table side (name text)").await;
    cluster.caught_up(1, 0).await;
    cluster[0].kill();
    cluster.leads(1).await;
    cluster[1].execute("insert into side values ('new timeline')").await;
    write_alone(&cluster, 0, "insert into side values ('old timeline')").await;
    let directory = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(cluster[0].data()).unwrap());

    cluster[0].start();
    cluster.streams(0).await;
    cluster.caught_up(0, 1).await;
    assert_eq!(cluster[0].value("select string_agg(name, ',') from side").await.unwrap(), "new timeline");
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 2);
    assert!(cluster[0].log().contains("running pg_rewind from"), "the log tells of the rewind");
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(cluster[0].data()).unwrap()), directory);
}

/// Run `sql` on the data directory of a node that is down, with nobody else knowing: crash recovery, then a
/// transaction on the old timeline.
async fn write_alone(cluster: &Cluster, index: usize, sql: &str) {
    let single = cluster[index].postgres_program("postgres");
    let mut command = std::process::Command::new("sh");
    command.current_dir(&cluster[index].dir);
    command.args(["-c", r#"sql=$1; shift; printf '%s\n' "$sql" | "$@""#, "sh", sql]).arg(single.get_program());
    command.args(["--single", "-D"]).arg(cluster[index].data()).arg("postgres");
    let output = process::run(command, std::time::Duration::from_secs(60)).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!output.stderr.contains("ERROR"), "{output:?}");
}

/// Wait until the history holds one entry a failover: the timeline that ended, and who took over.
pub async fn history_tells(cluster: &Cluster, expected: &[(u64, &str)]) {
    until("the history tells of each failover", async || {
        let history = cluster.dcs.json("history").await?;
        let entries = history.as_array().ok_or("not a list")?;
        let found: Vec<_> = entries.iter().map(|e| (e[0].as_u64(), e[4].as_str())).collect();
        let expected: Vec<_> = expected.iter().map(|(timeline, name)| (Some(*timeline), Some(*name))).collect();
        ensure(found == expected, || history.to_string())
    })
    .await;
}
