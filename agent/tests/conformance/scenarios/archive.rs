//! WAL that goes by an archive: of a former primary before it is rewound, to a rewind, and between two clusters.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::wait::ensure;
use crate::harness::{Cluster, Program, Stage, until};

/// Settings of a cluster that archives to `folder`, once the file `open` is there.
fn archiving(folder: &Path) -> Value {
    let folder = folder.display();
    json!({"postgresql": {"parameters": {
        "archive_mode": "on",
        "archive_command": format!("test -f {folder}/open && test ! -f {folder}/%f && cp %p {folder}/%f"),
    }}})
}

fn restoring(folder: &Path) -> String {
    format!("cp {}/%f %p", folder.display())
}

fn archive(stage: &Stage) -> PathBuf {
    stage.folder("archive")
}

fn open(folder: &Path) {
    std::fs::write(folder.join("open"), "").unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The leader is killed when nothing of its WAL has reached the archive, which works again afterwards: before the old
/// data are rewound, their finished WAL files are archived.
pub async fn rewind_archives_first(stage: &Stage) {
    let folder = archive(stage);
    let cluster = stage.cluster(2).dcs(archiving(&folder)).started().await;
    cluster[0].execute("create table kept as select 1 as id").await;
    let segment = cluster[0].value("select pg_walfile_name(pg_switch_wal())").await.unwrap();
    cluster[0].execute("insert into kept values (2)").await;
    cluster.caught_up(1, 0).await;
    cluster[0].kill();
    cluster.leads(1).await;
    assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    open(&folder);
    cluster[0].start();
    cluster.streams(0).await;
    assert!(names(&folder).contains(&segment), "{segment} is not in {:?}", names(&folder));
}

/// The WAL back to where the two ways parted is gone from the old data, and is in the archive: pg_rewind fetches it
/// from there, and no new copy is made. (Patroni 4.1.5 knows of no restore_command once it has finished the crash
/// recovery of a former primary: its pg_rewind fails, and what it starts then never follows.)
pub async fn rewind_restores_from_the_archive(stage: &Stage) {
    if stage.cast.program(0) == Program::Patroni {
        return;
    }
    let folder = archive(stage);
    open(&folder);
    let dcs = json!({"member_slots_ttl": 0});
    // The other node would restore from the archive what the leader writes alone.
    let restore = json!({"postgresql": {"parameters": {"restore_command": restoring(&folder)}}});
    let cluster = stage.cluster(2).dcs(archiving(&folder)).dcs(dcs).node(0, restore).started().await;
    cluster[0].execute("create table kept as select 1 as id").await;
    cluster[0].execute("checkpoint").await;
    cluster.caught_up(1, 0).await;
    cluster[1].stop().await;
    let parting = cluster[0].value("select pg_walfile_name(pg_current_wal_lsn())").await.unwrap();
    cluster.shows(0, "select count(*) from pg_replication_slots", "0").await;
    until("the leader has no WAL of that time any more", async || {
        cluster[0].execute("insert into kept values (0)").await;
        cluster[0].execute("select pg_switch_wal()").await;
        cluster[0].execute("checkpoint").await;
        let wal = "select count(*) from pg_ls_waldir() where name = ";
        let found = cluster[0].value(&format!("{wal}'{parting}'")).await?;
        ensure(found == "0", || format!("{parting} is there"))
    })
    .await;
    assert!(names(&folder).contains(&parting), "{parting} is not in {:?}", names(&folder));
    let directory = inode(&cluster);
    cluster[0].kill();
    // pg2 takes over with what it has.
    cluster.dcs.put("status", "{\"optime\":0}").await;
    cluster[1].start();
    cluster.leads(1).await;
    cluster[1].execute("insert into kept values (7)").await;
    cluster[0].start();
    cluster.streams(0).await;
    cluster.caught_up(0, 1).await;
    assert_eq!(cluster[0].value("select string_agg(id::text, ',') from kept").await.unwrap(), "1,7");
    assert_eq!(inode(&cluster), directory, "a new copy was made");
}

fn inode(cluster: &Cluster) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(cluster[0].data()).unwrap())
}

/// Two clusters that know of each other by an archive alone change roles: the main one is demoted, the standby cluster
/// promoted. The former main cluster goes on behind it, without a rewind: the end of its WAL was archived, too.
pub async fn clusters_change_roles_by_an_archive(stage: &Stage) {
    let folder = archive(stage);
    open(&folder);
    let restore = json!({"restore_command": restoring(&folder)});
    let main = stage.cluster(1).dcs(archiving(&folder)).started().await;
    let source = json!({"host": main[0].address.to_string(), "port": 5432, "create_replica_methods": ["basebackup"]});
    let other = stage.cluster(1).named("other", "ot").dcs(archiving(&folder)).dcs(json!({"standby_cluster": source}));
    let other = other.laid();
    other[0].start();
    leads_a_standby_cluster(&other).await;
    main[0].execute("create table first as select 1 as id").await;
    main[0].execute("select pg_switch_wal()").await;
    other.shows(0, "select count(*) from first", "1").await;

    let by_archive = json!({"host": null, "port": null, "restore_command": restore["restore_command"]});
    other.patch_config(0, json!({"standby_cluster": by_archive})).await;
    until("it restores from the archive", async || {
        let state = other[0].status().await?["replication_state"].clone();
        ensure(state == "in archive recovery", || state.to_string())
    })
    .await;
    // Not in the archive until the main cluster's PostgreSQL has stopped.
    main[0].execute("insert into first values (2)").await;
    main.patch_config(0, json!({"standby_cluster": restore})).await;
    leads_a_standby_cluster(&main).await;
    other.shows(0, "select count(*) from first", "2").await;

    other.patch_config(0, json!({"standby_cluster": null})).await;
    other.leads(0).await;
    other[0].execute("create table second as select 1 as id").await;
    other[0].execute("select pg_switch_wal()").await;
    main.shows(0, "select count(*) from second", "1").await;
    assert!(!main[0].log().contains("running pg_rewind"), "the former main cluster was rewound");
}

async fn leads_a_standby_cluster(cluster: &Cluster) {
    until(&format!("{} is a standby cluster", cluster.scope), async || {
        let member = cluster.member(0).await?;
        let leads = cluster.leader().await? == 0 && member["role"] == "standby_leader" && member["state"] == "running";
        ensure(leads, || member.to_string())
    })
    .await;
}
