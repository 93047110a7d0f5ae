//! Scripts of one's own: bootstrap methods, replica methods, hooks and callbacks.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::settings::{REPLICATOR, REPLICATOR_PASSWORD};
use crate::harness::wait::{ensure, holds};
use crate::harness::{Node, Program, Stage, cast, sql, until};

/// A script on the stage.
fn script(stage: &Stage, name: &str, text: &str) -> PathBuf {
    let path = stage.path().join(name);
    stage.script(&path, &format!("#!/bin/sh\nset -eu\n{text}\n"));
    path
}

fn bin(program: &str) -> String {
    cast::postgres_bin().join(program).display().to_string()
}

/// `bootstrap.method` with a command of one's own: it gets the scope and the data directory, and what it makes is
/// taken as the cluster; users and post_bootstrap follow as after initdb.
pub async fn custom_bootstrap(stage: &Stage) {
    let made = stage.path().join("made");
    let initdb = bin("initdb");
    let make = script(
        stage,
        "make.sh",
        &format!(
            "for argument; do case $argument in --datadir=*) data=${{argument#*=}};; esac; done\n\
             echo \"$@\" > {made}\n{initdb} -D $data -U postgres -A trust --no-sync --encoding=UTF8 >/dev/null\n\
             touch $data/made-by-hand",
            made = made.display()
        ),
    );
    // Only the socket is open to all while PostgreSQL runs with the access rules of what the script made.
    let bootstrap = json!({
        "bootstrap": {"method": "by_hand", "by_hand": {"command": make, "extra": "word"}},
        "postgresql": {"use_unix_socket": true},
    });
    let cluster = stage.cluster(2).with(bootstrap).started().await;
    let arguments = std::fs::read_to_string(made).unwrap();
    for expected in ["--scope=custom_bootstrap", "--extra=word"] {
        assert!(arguments.contains(expected), "{arguments}");
    }
    assert!(cluster[0].data().join("made-by-hand").exists());
    let roles = "select string_agg(rolname, ',' order by rolname) from pg_roles where rolcanlogin";
    assert_eq!(cluster[0].value(roles).await.unwrap(), "postgres,replicator");
    let system = cluster[0].value("select system_identifier from pg_control_system()").await.unwrap();
    assert_eq!(cluster.dcs.get("initialize").await.unwrap().data, system);
}

/// A backup of a cluster that allowed more connections is recovered all the same, into a directory that its program
/// insists on making; the new cluster then has its own settings.
pub async fn custom_bootstrap_recovers(stage: &Stage) {
    let more = json!({"postgresql": {"parameters": {"max_connections": 60}}});
    let old = stage.cluster(1).named("old", "old").dcs(more).started().await;
    old[0].execute("create table kept as select 1 as id").await;
    let source = format!("host={} user={REPLICATOR} password={REPLICATOR_PASSWORD}", old[0].address);
    let restore = script(
        stage,
        "restore.sh",
        &format!(
            "for argument; do case $argument in --datadir=*) data=${{argument#*=}};; esac; done\n\
             mkdir -m 700 $data || exit 1\n{} -D $data -X stream -c fast -d '{source}'",
            bin("pg_basebackup")
        ),
    );
    let recovery =
        json!({"recovery_target_action": "promote", "recovery_target_timeline": "latest", "restore_command": "false"});
    let bootstrap = json!({
        "bootstrap": {"method": "restore", "restore": {"command": restore, "recovery_conf": recovery}},
        "postgresql": {"use_unix_socket": true},
    });
    let cluster = stage.cluster(1).with(bootstrap).started().await;
    assert_eq!(cluster[0].value("select id from kept").await.unwrap(), "1");
    cluster.shows(0, "show max_connections", "50").await;
}

/// A custom bootstrap that fails leaves no `initialize` key behind, and no half-made data directory in the way.
pub async fn custom_bootstrap_fails(stage: &Stage) {
    let flag = stage.path().join("works-now");
    let make = script(
        stage,
        "make.sh",
        &format!(
            "for argument; do case $argument in --datadir=*) data=${{argument#*=}};; esac; done\n\
             mkdir -p $data; chmod 700 $data; [ -e {flag} ] || exit 1\n\
             {initdb} -D $data -U postgres -A trust --no-sync >/dev/null",
            flag = flag.display(),
            initdb = bin("initdb")
        ),
    );
    let bootstrap = json!({
        "bootstrap": {"method": "by_hand", "by_hand": {"command": make}},
        "postgresql": {"use_unix_socket": true},
    });
    let cluster = stage.cluster(1).with(bootstrap).laid();
    cluster[0].start();
    let status = cluster[0].ended().await;
    assert!(!status.success(), "a bootstrap that failed is told by the exit code");
    assert!(cluster.dcs.get("initialize").await.is_err(), "another node may try");
    std::fs::write(flag, "").unwrap();
    cluster[0].start();
    cluster.leads(0).await;
}

/// `post_bootstrap` runs once, on the node that bootstrapped, with a connection string of the superuser.
pub async fn post_bootstrap(stage: &Stage) {
    let psql = bin("psql");
    let hook = script(stage, "hook.sh", &format!("{psql} -qX -d \"$1\" -c 'create table hooked (id int)'"));
    let cluster = stage.cluster(2).with(json!({"bootstrap": {"post_bootstrap": hook}})).started().await;
    cluster.shows(0, "select count(*) from pg_class where relname = 'hooked'", "1").await;
    cluster.shows(1, "select count(*) from pg_class where relname = 'hooked'", "1").await;
}

/// A `post_bootstrap` that fails undoes the bootstrap.
pub async fn post_bootstrap_fails(stage: &Stage) {
    let hook = script(stage, "hook.sh", "exit 3");
    let cluster = stage.cluster(1).with(json!({"bootstrap": {"post_bootstrap": hook}})).laid();
    cluster[0].start();
    let status = cluster[0].ended().await;
    assert!(!status.success());
    assert!(cluster.dcs.get("initialize").await.is_err(), "another node may try");
    assert!(cluster.dcs.get("leader").await.is_err());
    assert!(!cluster[0].data().join("PG_VERSION").exists(), "what was made is out of the way");
}

/// Of `create_replica_methods` the first that works makes the replica; it is told of whom to copy.
pub async fn create_replica_methods(stage: &Stage) {
    let told = stage.path().join("told");
    let broken = script(stage, "broken.sh", "exit 1");
    let copy = script(
        stage,
        "copy.sh",
        &format!(
            "for argument; do case $argument in\n\
             --datadir=*) data=${{argument#*=}};; --connstring=*) source=${{argument#*=}};; esac; done\n\
             echo \"$@\" > {}\n{} -D $data -X stream -c fast -d \"$source\"\ntouch $data/copied-by-hand",
            told.display(),
            bin("pg_basebackup")
        ),
    );
    let methods = json!({"postgresql": {
        "create_replica_methods": ["broken", "copy", "basebackup"],
        "broken": {"command": broken},
        "copy": {"command": copy, "extra": "word"},
    }});
    let cluster = stage.cluster(2).with(methods).started().await;
    assert!(cluster[1].data().join("copied-by-hand").exists());
    let told = std::fs::read_to_string(told).unwrap();
    for expected in ["--scope=create_replica_methods", "--role=replica", "--extra=word", "--datadir="] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
}

/// `basebackup` takes options from the YAML, and is what is left when all else fails.
pub async fn basebackup_options(stage: &Stage) {
    let broken = script(stage, "broken.sh", "exit 1");
    let methods = json!({"postgresql": {
        "create_replica_methods": ["broken", "basebackup"],
        "broken": {"command": broken},
        "basebackup": ["no-verify-checksums", {"label": "of-ours"}, {"checkpoint": "fast"}],
    }});
    let cluster = stage.cluster(2).with(methods).started().await;
    let label = std::fs::read_to_string(cluster[1].data().join("backup_label.old")).unwrap();
    assert!(label.contains("LABEL: of-ours"), "{label}");
}

fn callbacks(stage: &Stage, node: &str) -> serde_json::Value {
    let log = stage.path().join(format!("{node}.callbacks"));
    let callback = script(stage, &format!("{node}-callback.sh"), &format!("echo \"$@\" >> {}", log.display()));
    let names = ["on_start", "on_stop", "on_restart", "on_reload", "on_role_change"];
    let entries: serde_json::Map<_, _> = names.iter().map(|name| (name.to_string(), json!(callback))).collect();
    json!({"postgresql": {"callbacks": entries}})
}

async fn called(stage: &Stage, node: &Node, expected: &[&str]) {
    let log = stage.path().join(format!("{}.callbacks", node.name));
    until(&format!("{}'s callbacks are {expected:?}", node.name), async || {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = lines.lines().collect();
        let expected: Vec<_> = expected.iter().map(|line| format!("{line} {}", stage.name)).collect();
        ensure(lines == expected, || format!("{lines:?}"))
    })
    .await;
}

/// What the former leader says of its stop. Patroni says "primary" or "demoted", as it comes to give the lease back
/// after the stop or during it.
async fn stopped_as(stage: &Stage, node: &Node) -> &'static str {
    let log = stage.path().join(format!("{}.callbacks", node.name));
    let told = async || {
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        ensure(lines.contains("on_stop"), || lines.clone())?;
        Ok(lines.contains("on_stop primary"))
    };
    let as_primary = until("on_stop was called", told).await;
    if as_primary && stage.cast.program(0) == Program::Patroni { "on_stop primary" } else { "on_stop demoted" }
}

/// Each callback is called once for what happened, with the action, the role and the scope.
pub async fn callbacks_are_called(stage: &Stage) {
    let plan = stage.cluster(2).node(0, callbacks(stage, "pg1")).node(1, callbacks(stage, "pg2"));
    let cluster = plan.started().await;
    called(stage, &cluster[0], &["on_start primary"]).await;
    called(stage, &cluster[1], &["on_start replica"]).await;
    cluster[0].call("POST", "/restart", &json!({})).await;
    called(stage, &cluster[0], &["on_start primary", "on_restart primary"]).await;
    cluster.edit_config(json!({"postgresql": {"parameters": {"work_mem": "6MB"}}})).await;
    cluster.shows(0, "show work_mem", "6MB").await;
    called(stage, &cluster[0], &["on_start primary", "on_restart primary", "on_reload primary"]).await;
    let answer = cluster[0].call("POST", "/switchover", &json!({"leader": "pg1", "candidate": "pg2"})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    cluster.streams(0).await;
    called(stage, &cluster[1], &["on_start replica", "on_reload replica", "on_role_change primary"]).await;
    let stopped = stopped_as(stage, &cluster[0]).await;
    let all = ["on_start primary", "on_restart primary", "on_reload primary", stopped, "on_role_change replica"];
    called(stage, &cluster[0], &all).await;
    cluster[0].stop().await;
    called(stage, &cluster[0], &[&all[..], &["on_stop replica"]].concat()).await;
}

/// A node whose `pre_promote` fails gives the lease back instead of leading.
pub async fn pre_promote(stage: &Stage) {
    let flag = stage.path().join("may-lead");
    let hook = script(stage, "hook.sh", &format!("[ -e {} ]", flag.display()));
    let cluster = stage.cluster(2).node(1, json!({"postgresql": {"pre_promote": hook}})).started().await;
    cluster[0].stop().await;
    until("the lease was released", async || {
        ensure(cluster.dcs.get("leader").await.is_err(), || "somebody holds it".to_owned())
    })
    .await;
    holds(std::time::Duration::from_secs(6), "pg2 is not promoted", async || {
        ensure(cluster[1].value("select pg_is_in_recovery()").await? == "t", || "it is a primary".to_owned())
    })
    .await;
    std::fs::write(flag, "").unwrap();
    cluster.leads(1).await;
    cluster[0].start();
    cluster.streams(0).await;
}

/// `before_stop` runs before PostgreSQL is stopped.
pub async fn before_stop(stage: &Stage) {
    let told = stage.path().join("told");
    let ask = format!(
        "PGPASSWORD={} {} -h $(cat {}) -U postgres -AtqXc 'select pg_is_in_recovery()' > {}",
        sql::SUPERUSER_PASSWORD,
        bin("psql"),
        stage.path().join("host").display(),
        told.display()
    );
    let hook = script(stage, "hook.sh", &ask);
    let cluster = stage.cluster(2).node(0, json!({"postgresql": {"before_stop": hook}})).started().await;
    write(&stage.path().join("host"), &cluster[0].address.to_string());
    cluster[0].stop().await;
    cluster.leads(1).await;
    assert_eq!(std::fs::read_to_string(told).unwrap().trim(), "f", "PostgreSQL was up, and a primary");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
