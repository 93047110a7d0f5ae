//! How ZooKeeper is reached: over TLS, with rights for some only, below a path, and when what answers is none.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::harness::dcs::Dcs;
use crate::harness::wait::{ensure, holds};
use crate::harness::zookeeper::ZooKeeper;
use crate::harness::{Authority, Cluster, Stage, until};

/// A ZooKeeper of its own that speaks TLS, and what the nodes' YAML says of it.
async fn secure(stage: &Stage) -> (ZooKeeper, Value) {
    let authority = Authority::new(&stage.folder("tls")).await;
    let address = stage.next_address();
    authority.sign(&[address.to_string()]).await;
    let server = ZooKeeper::secure(stage.folder("secure"), address, &authority);
    server.start().await;
    let settings = json!({
        "hosts": [server.secure_hosts()],
        "use_ssl": true,
        "cacert": authority.file("ca.crt"),
        "cert": authority.file("node.crt"),
        "key": authority.file("node.key"),
    });
    (server, settings)
}

async fn start(cluster: &Cluster) {
    cluster[0].start();
    until("pg1 leads", async || {
        let code = cluster[0].code("/primary").await?;
        ensure(code == 200, || code.to_string())
    })
    .await;
    cluster[1].start();
    until("pg2 is a replica", async || {
        let status = cluster[1].status().await?;
        ensure(status["replication_state"] == "streaming", || status.to_string())
    })
    .await;
}

/// A cluster whose nodes reach ZooKeeper over TLS fails over like any other; patronictl finds it with the same YAML.
pub async fn zookeeper_tls(stage: &Stage) {
    let (server, settings) = secure(stage).await;
    let mut cluster = stage.cluster(2).with(json!({"zookeeper": settings})).laid();
    cluster.dcs = Dcs::new(&server.hosts(), &format!("/service/{}", cluster.scope));
    start(&cluster).await;
    cluster.ready().await;
    let list = cluster.ctl(&["list", &cluster.scope, "-f", "json"]).await.json();
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    cluster[0].stop().await;
    cluster.leads(1).await;
    cluster[0].start();
    cluster.streams(0).await;
}

/// With `set_acls` only who has the named certificate reads and writes the keys.
pub async fn zookeeper_acls(stage: &Stage) {
    let (server, mut settings) = secure(stage).await;
    settings["set_acls"] = json!({"CN=node": ["ALL"]});
    let cluster = stage.cluster(2).with(json!({"zookeeper": settings})).laid();
    start(&cluster).await;
    let plain = Dcs::new(&server.hosts(), &format!("/service/{}", cluster.scope));
    for key in ["leader", "config", "initialize", "members/pg1", "members/pg2", "status"] {
        let refused = plain.get(key).await.unwrap_err();
        assert!(refused.to_lowercase().contains("auth"), "{key}: {refused}");
    }
}

/// `hosts` as one text with a path at its end: all keys live below that path.
pub async fn zookeeper_chroot(stage: &Stage) {
    let hosts = format!("{0},{0}/below/this", stage.zookeeper.hosts());
    let settings = json!({"zookeeper": {"hosts": hosts, "auth_data": {"digest": "somebody:password"}}});
    let root = Dcs::new(&stage.zookeeper.hosts(), "/below");
    root.put("", "").await;
    root.put("this", "").await;
    let mut cluster = stage.cluster(2).with(settings).laid();
    cluster.dcs = Dcs::new(&stage.zookeeper.hosts(), &format!("/below/this/service/{}", cluster.scope));
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    cluster.ready().await;
    let elsewhere = Dcs::new(&stage.zookeeper.hosts(), "/service");
    assert_eq!(elsewhere.children("").await.unwrap(), Vec::<String>::new());
    for node in &cluster.nodes {
        assert!(!node.log().contains("somebody:password"), "{}'s log tells the credential", node.name);
    }
}

/// What answers garbage instead of ZooKeeper's protocol is not believed: nothing is started, nothing is lost, and with
/// another server in the list the cluster lives.
pub async fn zookeeper_garbage(stage: &Stage) {
    let address = stage.next_address();
    let listener = tokio::net::TcpListener::bind((address, 2181)).await.unwrap();
    let babbler = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(&[0xff; 4096]).await;
        }
    });
    let garbage = format!("{address}:2181");
    let alone = stage.cluster(1).named("alone", "n").with(json!({"zookeeper": {"hosts": [&garbage]}})).laid();
    alone[0].start();
    holds(std::time::Duration::from_secs(8), "nothing is made of it", async || {
        ensure(!alone[0].data().join("PG_VERSION").exists(), || "a cluster was bootstrapped".to_owned())?;
        let code = alone[0].code("/primary").await.unwrap_or(503);
        ensure(code == 503, || code.to_string())
    })
    .await;
    alone[0].kill();

    let both = json!({"zookeeper": {"hosts": [&garbage, stage.zookeeper.hosts()]}});
    let cluster = stage.cluster(2).with(both).started().await;
    let session = cluster.dcs.get("leader").await.unwrap().stat.ephemeral_owner;
    assert_eq!(cluster.leader().await, Ok(0));
    assert_ne!(session, 0);
    babbler.abort();
}
