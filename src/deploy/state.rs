//! The state file on disk: written whole or not at all, found by name.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::deployment::STATE_FORMAT;
use super::{DeployError, Deployment};

/// The state file's name in the deployment's folder.
pub const STATE_FILE: &str = "deployment.json";
const LONGEST_NAME: usize = 40;

/// The folder of the deployment `name`; the name is checked, since it becomes a path.
pub fn dir_of(output: &Path, name: &str) -> Result<PathBuf, DeployError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.starts_with('-') || name.len() > LONGEST_NAME || !name.chars().all(good) {
        return Err(DeployError::BadName { name: name.to_owned() });
    }
    let absolute = std::path::absolute(output).map_err(DeployError::io("find", output))?;
    // Processes are found by the real path of their folder.
    Ok(absolute.canonicalize().unwrap_or(absolute).join(name))
}

/// Write the state, so that whatever happens either the old or the new one is there, whole.
pub fn write(deployment: &Deployment) -> Result<(), DeployError> {
    let path = deployment.dir.join(STATE_FILE);
    let fresh = deployment.dir.join(format!(".{STATE_FILE}.new"));
    let text = serde_json::to_vec_pretty(deployment).map_err(|error| DeployError::process("write the state", error))?;
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        File::open(&deployment.dir)?.sync_all()
    })();
    written.map_err(DeployError::io("write", path))
}

/// The state of the deployment in `dir`, where there is one.
pub fn read(dir: &Path) -> Result<Option<Deployment>, DeployError> {
    let path = dir.join(STATE_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(DeployError::io("read", path)(error)),
    };
    let bad = |why: String| DeployError::BadState { path: path.clone(), why };
    let deployment: Deployment = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    if deployment.format != STATE_FORMAT {
        return Err(bad(format!("its format is {}, this labrun knows {STATE_FORMAT}", deployment.format)));
    }
    Ok(Some(deployment))
}

/// Names of the deployments in `output`, sorted.
pub fn names(output: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(output).into_iter().flatten().flatten();
    let mut names: Vec<String> = folders
        .filter(|folder| folder.path().join(STATE_FILE).exists())
        .filter_map(|folder| folder.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The name that is meant: the one that was asked for, or the only deployment there is.
pub fn choose(output: &Path, name: Option<&str>) -> Result<String, DeployError> {
    let mut names = names(output);
    let help = || "make one: labrun deploy".to_owned();
    match (name, names.len()) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, 1) => Ok(names.remove(0)),
        (None, 0) => Err(DeployError::NoDeployment { name: None, output: output.to_owned(), known: help() }),
        (None, _) => Err(DeployError::Several { output: output.to_owned(), names: names.join(", ") }),
    }
}

/// The deployment of that name, or the only one there is.
pub fn find(output: &Path, name: Option<&str>) -> Result<Deployment, DeployError> {
    let name = choose(output, name)?;
    read(&dir_of(output, &name)?)?.ok_or_else(|| missing(output, &name))
}

/// The error for a deployment that is not there.
pub fn missing(output: &Path, name: &str) -> DeployError {
    let names = names(output);
    let known = match names.is_empty() {
        true => "there is none; make one: labrun deploy".to_owned(),
        false => format!("there are: {}", names.join(", ")),
    };
    DeployError::NoDeployment { name: Some(name.to_owned()), output: output.to_owned(), known }
}

/// A folder's last name as text.
pub fn name_of(dir: &Path) -> String {
    dir.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}
