//! What the agent must refuse, or bear without doing harm.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Lab, Setup, eventually};
use labrun_agent::exit;

#[tokio::test]
async fn a_directory_that_is_not_postgresqls_is_left_alone() {
    let mut lab = Lab::new("foreign", Setup { nodes: 1, ..Setup::default() }).await;
    let node = &mut lab.nodes[0];
    std::fs::create_dir(&node.data_dir).unwrap();
    std::fs::write(node.data_dir.join("precious"), "do not lose").unwrap();
    node.start();
    assert_eq!(node.ended().await.code(), Some(i32::from(exit::FOREIGN_DATA)));
    assert!(node.log().contains("is left untouched"), "{}", node.log());
    assert_eq!(std::fs::read_to_string(node.data_dir.join("precious")).unwrap(), "do not lose");
    assert_eq!(std::fs::read_dir(&node.data_dir).unwrap().count(), 1);
}

#[tokio::test]
async fn data_of_another_cluster_is_left_alone_and_the_cluster_goes_on() {
    let mut lab = Lab::new("othersysid", Setup::default()).await;
    let other = lab.nodes[1].data_dir.clone();
    let status =
        common::server(&common::node::bin_dir().join("initdb"), &lab.nodes[1].dir, &lab.nodes[1].dir.join("log"))
            .arg("-D")
            .arg(&other)
            .status()
            .unwrap();
    assert!(status.success());
    let before = std::fs::read(other.join("global/pg_control")).unwrap();
    lab.nodes[0].start();
    lab.ready().await;
    lab.nodes[1].start();
    assert_eq!(lab.nodes[1].ended().await.code(), Some(i32::from(exit::FOREIGN_DATA)));
    assert!(lab.nodes[1].log().contains("system identifier"), "{}", lab.nodes[1].log());
    assert_eq!(std::fs::read(other.join("global/pg_control")).unwrap(), before);
    assert_eq!(lab.nodes[0].code("/primary").await, 200);
}

#[tokio::test]
async fn a_wrong_replication_password_is_named_and_harms_nobody() {
    let mut lab = Lab::new("password", Setup::default()).await;
    lab.nodes[0].start();
    lab.ready().await;
    lab.nodes[1].edit("rep-pass", "wrong-pass");
    lab.nodes[1].start();
    eventually("the reason is in the log", async || {
        lab.nodes[1].log().contains("password authentication failed").then_some(())
    })
    .await;
    assert!(!lab.nodes[1].log().contains("wrong-pass"), "the password is in the log");
    eventually("nothing half-made is left", async || {
        std::fs::read_dir(&lab.nodes[1].data_dir).is_ok_and(|mut dir| dir.next().is_none()).then_some(())
    })
    .await;
    assert_eq!(lab.nodes[0].code("/primary").await, 200);
    lab.nodes[1].stop().await;
    lab.nodes[1].edit("wrong-pass", "rep-pass");
    lab.nodes[1].start();
    lab.ready().await;
}

#[tokio::test]
async fn a_failing_initdb_lays_its_remains_aside_and_lets_another_node_bootstrap() {
    let mut lab = Lab::new("diskfull", Setup::default()).await;
    // Programs as they are, but an initdb that writes something and then finds the disk full.
    let bin = lab.dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for entry in std::fs::read_dir(common::node::bin_dir()).unwrap().flatten() {
        std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name())).unwrap();
    }
    std::fs::remove_file(bin.join("initdb")).unwrap();
    let script =
        "#!/bin/sh\nmkdir \"$2/base\" && echo 15 > \"$2/PG_VERSION\"\necho 'No space left on device' >&2\nexit 1\n";
    std::fs::write(bin.join("initdb"), script).unwrap();
    std::fs::set_permissions(bin.join("initdb"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let real = common::node::bin_dir().display().to_string();
    lab.nodes[0].edit(&real, &bin.display().to_string());

    lab.nodes[0].start();
    assert_eq!(lab.nodes[0].ended().await.code(), Some(i32::from(exit::BOOTSTRAP)));
    assert!(lab.nodes[0].log().contains("No space left on device"), "{}", lab.nodes[0].log());
    // As Patroni does: what is left may tell why, and must not be in the way of the next try.
    let data_dir = &lab.nodes[0].data_dir;
    assert!(!data_dir.exists(), "the data directory is in the way");
    assert!(std::path::PathBuf::from(format!("{}.failed", data_dir.display())).join("PG_VERSION").exists());
    assert!(lab.cluster().await.initialize.is_none(), "the initialize key is left behind");

    lab.nodes[1].start();
    lab.ready().await;
    lab.nodes[0].start();
    lab.ready().await;
}

#[tokio::test]
async fn a_node_killed_in_the_middle_of_anything_comes_up_again() {
    let mut lab = Lab::new("midway", Setup::default()).await;
    // Killed during its bootstrap, wherever that is, several times.
    for moment in ["initializing new cluster", "running"] {
        lab.nodes[0].start();
        eventually("it has begun", async || {
            let members = lab.cluster().await.members;
            members.get("pg1").filter(|member| member.data.state == moment).map(|_| ())
        })
        .await;
        lab.nodes[0].kill().await;
    }
    lab.nodes[0].start();
    lab.ready().await;
    // And during its copy.
    lab.nodes[1].start();
    eventually("the copy has begun", async || {
        let members = lab.cluster().await.members;
        members.get("pg2").filter(|member| member.data.state == "creating replica").map(|_| ())
    })
    .await;
    lab.nodes[1].kill().await;
    lab.nodes[1].start();
    lab.ready().await;
}

#[tokio::test]
async fn root_a_busy_port_and_a_wrong_file_have_codes_of_their_own() {
    let mut lab = Lab::new("codes", Setup { nodes: 1, ..Setup::default() }).await;
    let node = &mut lab.nodes[0];
    let _busy = std::net::TcpListener::bind((node.address.as_str(), 8008)).unwrap();
    node.start();
    assert_eq!(node.ended().await.code(), Some(i32::from(exit::PORT_BUSY)));
    assert!(node.log().contains(":8008"), "{}", node.log());
    node.edit("name: pg1", "nam: pg1");
    node.start();
    assert_eq!(node.ended().await.code(), Some(i32::from(exit::CONFIG)));
    assert!(node.log().contains("`name` is missing"), "{}", node.log());
    if nix::unistd::Uid::effective().is_root() {
        let output = std::process::Command::new(&node.program).arg(node.config()).output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(exit::WRONG_USER)));
    }
}
