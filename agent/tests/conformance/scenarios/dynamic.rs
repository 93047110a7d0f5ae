//! Configuration: from the DCS, from the file, from the environment.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::wait::ensure;
use crate::harness::{Program, Stage, cast, process, until};

/// What can be reloaded is; what needs a restart is told as pending on the member key, in REST, and done by
/// `restart_pending`.
pub async fn dynamic_configuration(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let answer = cluster[0]
        .call("PATCH", "/config", &json!({"postgresql": {"parameters": {"work_mem": "7MB", "max_connections": 60}}}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["postgresql"]["parameters"]["max_connections"], 60);
    for index in [0, 1] {
        cluster.shows(index, "show work_mem", "7MB").await;
        until("a restart is pending, for that reason", async || {
            let member = cluster.member(index).await?;
            let reason = json!({"max_connections": {"old_value": "50", "new_value": "60"}});
            let told = member["pending_restart"] == true && member["pending_restart_reason"] == reason;
            ensure(told, || member.to_string())
        })
        .await;
        assert_eq!(cluster[index].status().await.unwrap()["pending_restart"], true);
        assert_eq!(cluster[index].value("show max_connections").await.unwrap(), "50");
    }
    for index in [0, 1] {
        let answer = cluster[index].call("POST", "/restart", &json!({"restart_pending": true})).await;
        assert_eq!((answer.status, &*answer.body), (200, "restarted successfully"));
        cluster.shows(index, "show max_connections", "60").await;
        until("nothing is pending", async || {
            let member = cluster.member(index).await?;
            ensure(member.get("pending_restart").is_none(), || member.to_string())
        })
        .await;
        let answer = cluster[index].call("POST", "/restart", &json!({"restart_pending": true})).await;
        assert_eq!((answer.status, &*answer.body), (503, "restart conditions are not satisfied"));
    }
    assert_eq!(cluster.ready().await, 0);
}

/// A parameter of the node's own YAML goes before one of the DCS; SIGHUP reads the file again; what a node may not
/// take from the DCS it does not.
pub async fn local_goes_before_dynamic(stage: &Stage) {
    let local = json!({"postgresql": {"parameters": {"work_mem": "5MB"}}});
    let dcs =
        json!({"postgresql": {"parameters": {"work_mem": "6MB"}, "listen": "127.0.0.1:1", "data_dir": "/nowhere"}});
    let cluster = stage.cluster(2).dcs(dcs).node(1, local).started().await;
    assert_eq!(cluster[0].value("show work_mem").await.unwrap(), "6MB");
    assert_eq!(cluster[1].value("show work_mem").await.unwrap(), "5MB");
    cluster[1].reconfigure(&json!({"postgresql": {"parameters": {"work_mem": null}}}));
    cluster[1].signal(Signal::SIGHUP);
    cluster.shows(1, "show work_mem", "6MB").await;
}

/// `PATRONI_*` goes before the YAML.
pub async fn environment_goes_first(stage: &Stage) {
    let hosts = format!("'{}'", stage.zookeeper.hosts());
    let cluster = stage
        .cluster(2)
        .with(json!({"zookeeper": {"hosts": ["127.0.0.1:1"]}, "postgresql": {"parameters": {"work_mem": "5MB"}}}))
        .environment("PATRONI_ZOOKEEPER_HOSTS", &hosts)
        .environment("PATRONI_RESTAPI_USERNAME", "someone")
        .environment("PATRONI_RESTAPI_PASSWORD", "something")
        .started()
        .await;
    assert_eq!(cluster[0].value("show work_mem").await.unwrap(), "5MB");
    assert_eq!(cluster[0].call("POST", "/reload", &json!({})).await.status, 401, "REST asks for who one is");
    let environment = std::fs::read(format!("/proc/{}/environ", cluster[0].postmaster().unwrap())).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(!environment.contains("PATRONI_"), "PostgreSQL sees none of it: {environment}");
}

/// A longer ttl is negotiated anew; nobody loses the lease for it.
pub async fn ttl_changes(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let sessions = [0, 1].map(|index| cluster[index].name.clone());
    let mut owners = Vec::new();
    for name in &sessions {
        owners.push(cluster.dcs.get(&format!("members/{name}")).await.unwrap().stat.ephemeral_owner);
    }
    cluster.edit_config(json!({"ttl": 30})).await;
    for (name, owner) in sessions.iter().zip(owners) {
        until(&format!("{name} has a new session"), async || {
            let now = cluster.dcs.get(&format!("members/{name}")).await?.stat.ephemeral_owner;
            ensure(now != owner, || "the old one".to_owned())
        })
        .await;
    }
    assert_eq!(cluster.ready().await, 0);
    assert_eq!(cluster.member(0).await.unwrap()["timeline"], 1);
}

/// A file can be tried before it is used.
pub async fn validate_config(stage: &Stage) {
    let cluster = stage.cluster(1).laid();
    let node = &cluster[0];
    let validate = async || {
        let program = match node.program() {
            Program::Labrun => stage.labrun.clone(),
            Program::Patroni => cast::patroni_bin().unwrap().join("patroni"),
        };
        let mut command = std::process::Command::new(program);
        command.arg("--validate-config").arg(node.yaml());
        process::run(command, std::time::Duration::from_secs(60)).await
    };
    let output = validate().await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for (patch, word) in [
        (json!({"scope": null}), "scope"),
        (json!({"restapi": {"listen": "nonsense"}}), "listen"),
        (json!({"postgresql": {"authentication": null}}), "authentication"),
    ] {
        let patched = stage.cluster(1).named("other", "n").with(patch).laid();
        std::fs::copy(patched[0].yaml(), node.yaml()).unwrap();
        let output = validate().await;
        assert_ne!(output.code, Some(0), "without {word}: {output:?}");
        assert!(output.text().contains(word), "{output:?}");
    }
}

/// The keys live below `namespace`.
pub async fn namespace(stage: &Stage) {
    let plan = stage.cluster(2).with(json!({"namespace": "/elsewhere/"}));
    let mut cluster = plan.laid();
    cluster.dcs = crate::harness::dcs::Dcs::new(&stage.zookeeper.hosts(), &format!("/elsewhere/{}", cluster.scope));
    for node in &cluster.nodes {
        node.start();
    }
    cluster.ready().await;
}
