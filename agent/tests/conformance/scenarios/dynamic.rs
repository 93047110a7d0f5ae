//! Configuration: from the DCS, from the file, from the environment.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::wait::ensure;
use crate::harness::{Program, Stage, cast, process, settings, sql, until};

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

/// A replica with less room than its primary has to stop replaying. Unasked it is restarted with room enough.
pub async fn replica_with_less_room(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    cluster.patch_config(0, json!({"postgresql": {"parameters": {"max_connections": 60}}})).await;
    until("a restart of the leader is pending", async || {
        let member = cluster.member(0).await?;
        ensure(member["pending_restart"] == true, || member.to_string())
    })
    .await;
    let answer = cluster[0].call("POST", "/restart", &json!({})).await;
    assert_eq!((answer.status, &*answer.body), (200, "restarted successfully"));
    cluster[0].execute("create table after as select 1 as id").await;
    cluster.shows(1, "select count(*) from after", "1").await;
    cluster.shows(1, "show max_connections", "60").await;
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

/// The configuration of a PostgreSQL that runs is written down: what the cluster shares, what is the node's own, and
/// how the superuser connects. Who may not see everything is refused.
pub async fn generate_config(stage: &Stage) {
    let archive = json!({"postgresql": {"parameters": {
        "archive_mode": "on", "archive_command": "cp %p /dev/null", "work_mem": "7MB",
    }}});
    let cluster = stage.cluster(1).dcs(archive).started().await;
    let node = &cluster[0];
    let generate = async |user: &str, password: &str| {
        let program = match node.program() {
            Program::Labrun => stage.labrun.clone(),
            Program::Patroni => cast::patroni_bin().unwrap().join("patroni"),
        };
        let mut command = std::process::Command::new(program);
        command.arg("--generate-config").arg(node.dir.join("new/config.yml"));
        command.args(["--dsn", &format!("host={} user={user} dbname=postgres", node.address)]);
        command.env("PGPASSWORD", password).env("PGPORT", sql::PORT.to_string());
        process::run(command, std::time::Duration::from_secs(60)).await
    };
    let output = generate(sql::SUPERUSER, sql::SUPERUSER_PASSWORD).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let text = std::fs::read_to_string(node.dir.join("new/config.yml")).unwrap();
    let found: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(found["scope"], *cluster.scope, "{text}");
    let shared = &found["bootstrap"]["dcs"]["postgresql"]["parameters"];
    assert_eq!((&shared["work_mem"], &shared["archive_command"]), (&json!("7MB"), &json!(null)), "{text}");
    let own = &found["postgresql"];
    assert_eq!(own["parameters"]["archive_command"], "cp %p /dev/null", "{text}");
    assert_eq!(own["data_dir"], *node.data().to_str().unwrap());
    assert_eq!(own["bin_dir"], *cast::postgres_bin().to_str().unwrap());
    assert_eq!(own["listen"], format!("{}:{}", node.address, sql::PORT));
    assert_eq!(own["authentication"]["superuser"]["password"], sql::SUPERUSER_PASSWORD);
    assert_eq!(own["pg_hba"].as_array().map(Vec::len), Some(3), "{text}");

    let output = generate(settings::REPLICATOR, settings::REPLICATOR_PASSWORD).await;
    assert_ne!(output.code, Some(0), "{output:?}");
    // Words of ours are wrapped.
    let words: Vec<_> = output.text().split_whitespace().filter(|word| *word != "│").map(str::to_owned).collect();
    assert!(words.join(" ").contains("does not have superuser privilege"), "{output:?}");
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

/// A parameter that PostgreSQL does not know, and a value that it does not take, do no harm: all others hold, and a
/// restart brings PostgreSQL up again.
pub async fn dynamic_parameters_that_postgres_refuses(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let parameters = json!({"no_such_parameter": "on", "maintenance_work_mem": "much", "work_mem": "7MB"});
    cluster.patch_config(0, json!({"postgresql": {"parameters": parameters}})).await;
    for index in [0, 1] {
        cluster.shows(index, "show work_mem", "7MB").await;
        assert_eq!(cluster[index].value("show maintenance_work_mem").await.unwrap(), "64MB");
        let answer = cluster[index].call("POST", "/restart", &json!({})).await;
        assert_eq!((answer.status, &*answer.body), (200, "restarted successfully"));
        cluster.shows(index, "show work_mem", "7MB").await;
    }
    assert_eq!(cluster.ready().await, 0);
}

/// Rules of pg_hba.conf and maps of pg_ident.conf come from the DCS, unless the node has its own.
pub async fn dynamic_pg_hba(stage: &Stage) {
    let none = json!({"postgresql": {"pg_hba": null}});
    let own = json!({"postgresql": {"pg_hba": [
        "local all all trust", "host replication replicator 127.0.0.0/8 md5", "host all all 127.0.0.0/8 md5",
        "host own all 10.0.0.1/32 reject",
    ]}});
    let rules = |database: &str| {
        json!({"postgresql": {
            "pg_hba": [
                "local all all trust", "host replication replicator 127.0.0.0/8 md5", "host all all 127.0.0.0/8 md5",
                format!("host {database} all 10.0.0.1/32 reject"),
            ],
            "pg_ident": [format!("{database} somebody postgres")],
        }})
    };
    let cluster = stage.cluster(2).dcs(rules("first")).with(none).node(1, own).started().await;
    let listed = "select string_agg(array_to_string(database, ' '), ' ' order by line_number) from pg_hba_file_rules \
                  where address = '10.0.0.1'";
    cluster.shows(0, listed, "first").await;
    cluster.shows(1, listed, "own").await;
    cluster.patch_config(1, rules("second")).await;
    cluster.shows(0, listed, "second").await;
    cluster.shows(1, listed, "own").await;
    for index in [0, 1] {
        until("pg_ident.conf has the new map", async || {
            let text = std::fs::read_to_string(cluster[index].data().join("pg_ident.conf")).unwrap_or_default();
            ensure(text.contains("second somebody postgres"), || text)
        })
        .await;
    }
}

/// `log:` moves the log to a folder, in the words' own format, at the level that is asked for; a reload follows it.
pub async fn log_to_a_folder(stage: &Stage) {
    let folder = stage.folder("logs");
    let log = json!({"log": {"dir": &folder, "level": "INFO", "format": "<%(levelname)s> %(message)s"}});
    let cluster = stage.cluster(1).with(log).started().await;
    let text = || std::fs::read_to_string(folder.join("patroni.log")).unwrap_or_default();
    until("the log is in the folder", async || {
        ensure(text().contains("\n<INFO> ") || text().starts_with("<INFO> "), text)
    })
    .await;
    assert!(!cluster[0].log().contains("the leader with the lock"), "{}", cluster[0].log());
    cluster[0].reconfigure(&json!({"log": {"format": "[%(levelname)s] %(message)s"}}));
    cluster[0].signal(Signal::SIGHUP);
    until("the new format holds", async || ensure(text().contains("\n[INFO] "), text)).await;
}
