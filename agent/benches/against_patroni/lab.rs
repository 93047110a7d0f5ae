//! The reference lab: two nodes, ZooKeeper, HAProxy, at its settings.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::process::Running;
use crate::harness::wait::ensure;
use crate::harness::writer::{self, Target, Writer};
use crate::harness::{Cluster, Stage, sql, until};

/// The proxy's port for clients.
const PROXY_PORT: u16 = 5000;
/// How long a client behind the proxy waits for one write before it opens another session.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lab's servers, up.
pub struct Lab {
    pub cluster: Cluster,
    proxy: Ipv4Addr,
    _haproxy: Running,
    /// From the start of both agents to a streaming synchronous standby.
    pub started_in: Duration,
}

impl Lab {
    /// Start both nodes at once, and HAProxy.
    pub async fn start(stage: &Stage) -> Lab {
        let cluster = stage.cluster(2).with(settings()).laid();
        let start = Instant::now();
        for node in &cluster.nodes {
            node.start();
        }
        let leader = until("a node leads", async || cluster.leader().await).await;
        synchronous_standby(&cluster, leader).await;
        let started_in = start.elapsed();
        let proxy = stage.next_address();
        let haproxy = start_haproxy(stage, &cluster, proxy);
        until("the proxy leads to the leader", async || {
            let client = sql::connect(proxy, PROXY_PORT, PATIENCE).await?;
            client.simple_query("select 1").await.map(drop).map_err(|error| sql::tell(&error))
        })
        .await;
        Lab { cluster, proxy, _haproxy: haproxy, started_in }
    }

    /// Which node leads.
    pub async fn leader(&self) -> usize {
        until("a node leads", async || self.cluster.leader().await).await
    }

    /// Start the clients and wait until all acknowledge.
    pub async fn writer(&self, leader: usize) -> Writer {
        // Every fault's clients count from 1 again.
        self.cluster[leader].execute("drop table if exists written").await;
        self.cluster[leader].execute(writer::TABLE).await;
        // A direct client may wait: what another node acknowledges meanwhile counts as well.
        let patience = Duration::from_secs(300);
        let direct = |index: usize| {
            let node = &self.cluster[index];
            Target { name: node.name.clone(), address: node.address, port: sql::PORT, patience }
        };
        let proxied = Target { name: "proxy".into(), address: self.proxy, port: PROXY_PORT, patience: PATIENCE };
        let writer = Writer::start(vec![direct(0), direct(1), proxied]);
        writer.progresses_on(leader).await;
        writer.progresses_on(PROXY).await;
        writer
    }

    /// Wait until the cluster is whole: a leader, a streaming synchronous standby, both keys, the proxy's route.
    pub async fn whole(&self) -> usize {
        let leader = self.cluster.ready().await;
        synchronous_standby(&self.cluster, leader).await;
        self.cluster.synchronous(leader, &[1 - leader]).await;
        until("the proxy leads to the leader", async || {
            let client = sql::connect(self.proxy, PROXY_PORT, PATIENCE).await?;
            let rows = client.simple_query("select pg_is_in_recovery()").await;
            rows.map(drop).map_err(|error| sql::tell(&error))
        })
        .await;
        leader
    }
}

/// The client behind the proxy, among the writer's targets.
pub const PROXY: usize = 2;

/// Wait until PostgreSQL on the leader has a streaming synchronous standby.
pub async fn synchronous_standby(cluster: &Cluster, leader: usize) {
    until("a synchronous standby streams", async || {
        let sql = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'sync'";
        let count = cluster[leader].value(sql).await?;
        ensure(count == "1", || format!("{count} do"))
    })
    .await;
}

/// The reference lab's YAML, where it differs from the harness' own.
fn settings() -> serde_json::Value {
    json!({
        "bootstrap": {
            "dcs": {
                "ttl": 30,
                "loop_wait": 10,
                "retry_timeout": 10,
                "master_start_timeout": 300,
                "synchronous_mode": true,
                "postgresql": {"parameters": {
                    "fsync": null,
                    "shared_buffers": null,
                    "max_connections": null,
                    // The clients' failed writes would fill the logs that are kept.
                    "log_min_messages": "log",
                    "wal_keep_segments": 8,
                    "archive_mode": "always",
                    "archive_timeout": "1800s",
                    "archive_command": "mkdir -p ../archive && test ! -f ../archive/%f && cp %p ../archive/%f",
                }},
            },
            "initdb": null,
        },
        "tags": {"nofailover": false, "noloadbalance": false, "clonefrom": false, "nosync": false},
    })
}

fn start_haproxy(stage: &Stage, cluster: &Cluster, address: Ipv4Addr) -> Running {
    let dir = stage.folder("haproxy");
    let mut text = format!(
        "global\n    maxconn 100\ndefaults\n    mode tcp\n    retries 2\n    timeout client 30m\n    \
         timeout connect 4s\n    timeout server 30m\n    timeout check 5s\n\
         listen postgres\n    bind {address}:{PROXY_PORT}\n    option httpchk\n    http-check expect status 200\n    \
         default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions\n"
    );
    for node in &cluster.nodes {
        text += &format!("    server {} {}:5432 maxconn 100 check port 8008\n", node.name, node.address);
    }
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let program =
        ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].into_iter().find(|path| std::fs::exists(path).unwrap());
    let mut command = Command::new(program.unwrap_or("haproxy"));
    command.arg("-db").arg("-f").arg(file);
    Running::start(command, &dir, &dir.join("haproxy.log"))
}
