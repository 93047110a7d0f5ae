//! A deployment for tests.

use super::deployment::STATE_FORMAT;
use super::{DeployedNode, Deployment, Home, LocalPlace, Options, Phase, Place, Programs};
use crate::lab::model::AgentKind;
use crate::topology::{Credentials, Plan, Service, Timing};

/// The reference topology, as it stands in a state file.
pub fn deployment() -> Deployment {
    let postgres = |member: &str| Service::Postgres {
        member: member.into(),
        agent: AgentKind::Labrun,
        sql_port: 5432,
        rest_port: 8008,
    };
    let node = |number: u8, name: &str, service: Service, main: u16, side: Option<u16>, published: &[(u16, u16)]| {
        let at = |port: u16| ([127, 64, 0, 10 + number], port).into();
        let dir = format!("/lab/output/ha-postgres/nodes/{name}").into();
        DeployedNode {
            name: name.into(),
            service,
            main: at(main),
            side: side.map(at),
            published: published.to_vec(),
            home: Home::Dir(dir),
        }
    };
    let haproxy = Service::Haproxy { sql_port: 5432, stats_port: 7000 };
    Deployment {
        format: STATE_FORMAT.into(),
        name: "ha-postgres".into(),
        dir: "/lab/output/ha-postgres".into(),
        lab_source: "builtin:ha-postgres".into(),
        lab_sha256: String::new(),
        phase: Phase::Ready,
        created: "2026-11-23T06:12:40Z".into(),
        ready_after_ms: Some(5_123),
        plan: plan(),
        nodes: vec![
            node(0, "zoo", Service::Zookeeper { client_port: 2181 }, 2181, None, &[(2181, 2181)]),
            node(1, "pg-master", postgres("postgresql0"), 5432, Some(8008), &[(5433, 5432), (8008, 8008)]),
            node(2, "pg-slave", postgres("postgresql1"), 5432, Some(8008), &[(5434, 5432), (8009, 8008)]),
            node(3, "haproxy", haproxy, 5432, Some(7000), &[(5000, 5432), (7000, 7000)]),
        ],
        options: Options::default(),
        place: Place::Local(LocalPlace {
            run_dir: "/lab/output/ha-postgres".into(),
            user: None,
            block: [127, 64, 0],
            own_network: false,
            programs: Programs::default(),
        }),
    }
}

fn plan() -> Plan {
    Plan {
        deployment: "ha-postgres".into(),
        lab: "ha-postgres".into(),
        scope: "my_cluster".into(),
        namespace: "service".into(),
        credentials: Credentials {
            superuser: "postgres".into(),
            superuser_password: "postgres".into(),
            replication: "replicator".into(),
            replication_password: "rep-pass".into(),
            rest: None,
        },
        timing: Timing {
            ttl_ms: 30_000,
            loop_wait_ms: 10_000,
            retry_timeout_ms: 10_000,
            inter_ms: 3_000,
            fall: 3,
            rise: 2,
            other: Default::default(),
        },
        nodes: Vec::new(),
        waves: Vec::new(),
        project: Vec::new(),
        images: Vec::new(),
    }
}
