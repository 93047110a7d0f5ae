//! As whom nodes run: never as root, since PostgreSQL refuses that.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::deploy::DeployError;

/// Users that are tried when root names none: PostgreSQL's own, then the one for nobody's processes.
const USUAL: [&str; 2] = ["postgres", "nobody"];

/// The user that nodes run as: `None` where it is the one who runs labrun.
pub fn choose(asked: Option<&str>) -> Result<Option<User>, DeployError> {
    let bad = |user: &str, why: String| DeployError::BadUser { user: user.to_owned(), why };
    let own = Uid::effective();
    let lookup = |name: &str| User::from_name(name).map_err(|errno| bad(name, errno.to_string()));
    let Some(name) = asked else {
        if !own.is_root() {
            return Ok(None);
        }
        for name in USUAL {
            if let Some(user) = lookup(name)? {
                return Ok(Some(user));
            }
        }
        return Err(bad("root", "and neither postgres nor nobody is a user here".to_owned()));
    };
    let user = lookup(name)?.ok_or_else(|| bad(name, "there is no such user".to_owned()))?;
    match (own.is_root(), user.uid) {
        (_, uid) if uid.is_root() => Err(bad(name, "PostgreSQL refuses to run as root".to_owned())),
        (false, uid) if uid == own => Ok(None),
        (false, _) => Err(bad(name, "only root can run nodes as another user".to_owned())),
        (true, _) => Ok(Some(user)),
    }
}

/// The user of that name, for a deployment whose state names it.
pub fn known(name: Option<&str>) -> Result<Option<User>, DeployError> {
    if Uid::effective().is_root() { choose(name) } else { Ok(None) }
}

/// The command with the user's identity and no other groups.
pub fn become_user(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

/// Whether the user can enter `dir`. It is tried, since mode bits alone do not tell (access lists, mount options).
pub fn can_enter(user: Option<&User>, dir: &Path) -> bool {
    tried(user, dir, Path::new("/bin/true"))
}

/// Whether the user can run `program`.
pub fn can_run(user: Option<&User>, program: &Path) -> bool {
    tried(user, Path::new("/"), program)
}

fn tried(user: Option<&User>, dir: &Path, program: &Path) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    become_user(&mut command, user);
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_refused_and_a_stranger_named() {
        assert!(choose(Some("root")).unwrap_err().to_string().contains("refuses"));
        assert!(choose(Some("no-such-user")).unwrap_err().to_string().contains("no-such-user"));
    }

    #[test]
    fn a_closed_folder_cannot_be_entered_by_another_user() {
        let Ok(Some(user)) = choose(None) else { return };
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!can_enter(Some(&user), dir.path()));
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        assert!(can_enter(Some(&user), dir.path()));
        assert!(can_run(Some(&user), Path::new("/bin/true")) && !can_run(Some(&user), Path::new("/etc/passwd")));
    }
}
