//! Where deployments live and as whom they run.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::support::{Place, Said, lab, run_folders};

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn secrets_and_nodes_are_their_owners_alone() {
    let place = Place::new();
    place.labrun(&["deploy", &lab("reference"), "--no-publish"]).ends(0);
    let dir = place.output.join("reference");
    assert_eq!(mode(dir.join("deployment.json")), 0o600);
    for node in ["zoo", "pg-master", "pg-slave", "haproxy"] {
        assert_eq!(mode(dir.join("nodes").join(node)), 0o700, "{node}");
    }
    assert_eq!(mode(dir.join("nodes/pg-master/postgres0.yml")), 0o600);
    // No process runs as root, and none has a password in its command line or in what others may read.
    for line in place.processes() {
        let process = PathBuf::from(line.split(' ').next().unwrap());
        assert_ne!(std::fs::metadata(&process).unwrap().uid(), 0, "{line}");
        assert!(!line.contains("rep-pass"), "{line}");
    }
    assert!(place.processes().len() > 8);
}

/// Root's output folder may be closed to the user that nodes run as.
#[test]
fn behind_a_closed_folder_nodes_live_elsewhere() {
    if !Uid::effective().is_root() {
        return;
    }
    let place = Place::with_mode(0o700);
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    let [folder] = run_folders(&place.output).try_into().unwrap();
    assert_eq!(mode(&folder), 0o711);
    assert_eq!(std::fs::metadata(&folder).unwrap().uid(), 0);
    assert!(folder.join("nodes/zoo/supervisor.pid").exists());
    let said = place.labrun(&["destroy"]).ends(0);
    assert!(said.out.contains(folder.to_str().unwrap()), "{}", said.out);
    assert!(!folder.exists());

    // Its state lost, it is found by what it says of its origin.
    place.labrun(&["deploy", &lab("keeper"), "--no-publish"]).ends(0);
    std::fs::remove_dir_all(place.output.join("keeper")).unwrap();
    assert_eq!(run_folders(&place.output).len(), 1);
    place.labrun(&["destroy", "--name", "keeper"]).ends(0);
    place.assert_nothing_left();
}

/// What most people are: an ordinary user.
#[test]
fn an_ordinary_user_needs_no_root() {
    let Ok(Some(user)) = User::from_name("nobody") else { return };
    if !Uid::effective().is_root() {
        // Then every other test here is this one.
        return;
    }
    let place = Place::new();
    std::fs::create_dir(&place.output).unwrap();
    std::os::unix::fs::chown(&place.output, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    let as_user = |args: &[&str]| {
        let mut command = place.command(args);
        Said::of(command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).output().unwrap())
    };
    as_user(&["deploy", &lab("reference"), "--no-publish"]).ends(0);
    as_user(&["sql", "select 1"]).ends(0);
    let other = as_user(&["deploy", &lab("keeper"), "--no-publish", "--user", "root"]).ends(4);
    assert!(other.err.contains("root"), "{}", other.err);
    let said = as_user(&["destroy"]).ends(0);
    assert!(said.out.contains("reference is removed"), "{}", said.out);
    place.assert_nothing_left();
}
