//! Slow work: whatever takes long, the agent goes on telling and listening.

use std::time::Duration;

use serde_json::json;

use crate::harness::wait::{ensure, holds};
use crate::harness::{Stage, until};

/// A copy of the leader that takes very long: meanwhile the node says in the DCS and by REST what it does, for longer
/// than any round of its loop; and when it is stopped, the copy is given up and nothing of it goes on.
pub async fn slow_copy(stage: &Stage) {
    let begun = stage.path().join("begun");
    let copy = stage.path().join("copy.sh");
    // One process: of a script's children Patroni leaves behind what the script does not end itself.
    stage.script(&copy, &format!("#!/bin/sh\ntouch {}\nexec sleep 600\n", begun.display()));
    let slow = json!({"postgresql": {"create_replica_methods": ["slow"], "slow": {"command": copy}}});
    let cluster = stage.cluster(2).node(1, slow).laid();
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    until("the copy has begun", async || ensure(begun.exists(), || "not yet".to_owned())).await;
    let creating = async || {
        let member = cluster.member(1).await?["state"].clone();
        ensure(member == "creating replica", || format!("its member key says {member}"))?;
        let state = cluster[1].status().await?["state"].clone();
        ensure(state == "creating replica", || format!("its REST says {state}"))?;
        let code = cluster[1].code("/liveness").await?;
        ensure(code == 200, || format!("/liveness answers {code}"))
    };
    until("the node tells that it copies", creating).await;
    holds(Duration::from_secs(8), "the node tells that it copies", creating).await;
    cluster[1].stop().await;
    cluster.leads(0).await;
}
