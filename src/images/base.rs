//! The base system: a tar archive that mmdebstrap makes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::ImageError;
use super::build::Last;
use super::host::{HandedIn, SUITE};
use super::recipe::{base_files, is_program};
use crate::deploy::Progress;

/// Where the files of `templates/images/base/` lie in the system.
const PLACES: [(&str, &str); 2] =
    [("apt.conf", "etc/apt/apt.conf.d/90labrun"), ("policy-rc.d", "usr/sbin/policy-rc.d")];
/// What dpkg leaves out, from the first package on.
const DPKG: &str = "dpkg.cfg";

/// Makes the archive in `folder`.
pub async fn make(handed_in: &HandedIn, folder: &Path, progress: &dyn Progress) -> Result<PathBuf, ImageError> {
    may_make(Uid::effective().is_root(), &|path| std::fs::read_to_string(path).unwrap_or_default())?;
    let tree = folder.join("tree");
    lay_out(handed_in, folder, &tree)?;
    let archive = folder.join("base.tar");
    let mut child = Command::new("mmdebstrap")
        .args(["--variant=apt", "--include=ca-certificates", "--format=tar", "--skip=output/mknod"])
        .arg(format!("--dpkgopt={}", folder.join(DPKG).display()))
        .arg(format!("--customize-hook=sync-in {} /", tree.display()))
        .arg("--customize-hook=chroot \"$1\" update-ca-certificates")
        .arg(SUITE)
        .arg(&archive)
        .arg(folder.join("debian.sources"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ImageError::NoTool,
            _ => ImageError::io("run", "mmdebstrap")(error),
        })?;
    let mut last = Last::default();
    let told = tokio::select! {
        told = follow(&mut child, &mut last, progress) => told,
        _ = tokio::signal::ctrl_c() => {
            end(&mut child).await;
            return Err(ImageError::Interrupted);
        }
    };
    let status = told.map_err(ImageError::io("run", "mmdebstrap"))?;
    match status.success() {
        true => Ok(archive),
        false => Err(ImageError::Bootstrap { ended: status.to_string(), last: last.text() }),
    }
}

/// Tells every line that it prints, until its end.
async fn follow(
    child: &mut Child,
    last: &mut Last,
    progress: &dyn Progress,
) -> std::io::Result<std::process::ExitStatus> {
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next_line().await? {
            last.keep(&line);
            progress.waiting(line.strip_prefix("I: ").unwrap_or(&line));
        }
    }
    child.wait().await
}

/// It takes down what it has mounted when it is asked to end, and would not when killed.
async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    let _ = child.wait().await;
}

/// Root may, and a user who may make user namespaces and has subordinate ids.
fn may_make(root: bool, text: &dyn Fn(&str) -> String) -> Result<(), ImageError> {
    if root {
        return Ok(());
    }
    let refused = |why: &str, allow: &str| Err(ImageError::NoRight { why: why.to_owned(), allow: allow.to_owned() });
    if text("/proc/sys/kernel/unprivileged_userns_clone").trim() == "0" {
        return refused("user namespaces are switched off", "sysctl kernel.unprivileged_userns_clone=1");
    }
    if text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").trim() == "1" {
        return refused("AppArmor restricts user namespaces", "sysctl kernel.apparmor_restrict_unprivileged_userns=0");
    }
    let user = nix::unistd::User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name).unwrap_or_default();
    let lacks = |path: &str| !text(path).lines().any(|line| line.split(':').next() == Some(user.as_str()));
    if !user.is_empty() && (lacks("/etc/subuid") || lacks("/etc/subgid")) {
        let allow = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}");
        return refused(&format!("{user} has no subordinate ids"), &allow);
    }
    Ok(())
}

/// Writes the sources, dpkg's options, and the tree of files that the system gets.
fn lay_out(handed_in: &HandedIn, folder: &Path, tree: &Path) -> Result<(), ImageError> {
    write(&folder.join("debian.sources"), handed_in.sources.as_bytes())?;
    for (name, text) in base_files() {
        let place = PLACES.iter().find(|(file, _)| *file == name).map(|(_, place)| tree.join(place));
        write(&place.unwrap_or_else(|| folder.join(name)), text.as_bytes())?;
    }
    for (path, content) in &handed_in.files {
        write(&tree.join(path), content)?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(ImageError::io("make", parent))?;
    }
    std::fs::write(path, content).map_err(ImageError::io("write", path))?;
    let mode = if is_program(content) { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(ImageError::io("set the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_the_right_is_told_what_allows_it() {
        assert!(may_make(true, &|_| String::new()).is_ok());
        let off = |path: &str| if path.ends_with("userns_clone") { "0\n".to_owned() } else { String::new() };
        let ImageError::NoRight { why, allow } = may_make(false, &off).unwrap_err() else { panic!() };
        assert_eq!(
            (why.as_str(), allow.as_str()),
            ("user namespaces are switched off", "sysctl kernel.unprivileged_userns_clone=1")
        );
        let none = may_make(false, &|_| "1\n".to_owned()).unwrap_err().to_string();
        assert!(none.contains("AppArmor"), "{none}");
        assert!(may_make(false, &|_| String::new()).unwrap_err().to_string().contains("subordinate"));
    }

    #[test]
    fn every_file_of_the_base_has_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let handed_in =
            HandedIn { sources: "Types: deb\n".into(), files: vec![("etc/pip.conf".into(), b"[global]\n".to_vec())] };
        let tree = dir.path().join("tree");
        lay_out(&handed_in, dir.path(), &tree).unwrap();
        for path in
            ["etc/pip.conf", "etc/apt/apt.conf.d/90labrun", "usr/sbin/policy-rc.d", "../debian.sources", "../dpkg.cfg"]
        {
            assert!(tree.join(path).is_file(), "{path}");
        }
        let mode = std::fs::metadata(tree.join("usr/sbin/policy-rc.d")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(base_files().len(), 3, "a new file needs a place");
    }
}
