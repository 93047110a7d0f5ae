//! Taking a deployment down for good, from its state alone or, where that is lost, from its folder.
//!
//! Everything of it goes but `runs/`, the evidence. Nothing is asked to end in order, since its data goes away too; only
//! PostgreSQL is told (SIGQUIT), as it has shared memory to give back. The state file goes last, so that a destroy that
//! was killed can be done again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use labrun_agent::supervise::{pids_in, processes_in};
use nix::sys::signal::Signal;

use super::parts::{is_postgres, is_postmaster};
use super::{node, run_dir, shared_memory, supervisor};
use crate::deploy::{DeployError, Deployment, LocalPlace, Place, Progress, state};
use crate::wait::{Answer, until};

/// How long PostgreSQL may take for an immediate shutdown before it is killed; what it then leaves is removed by us.
const QUIT_LIMIT: Duration = Duration::from_secs(2);
/// What lies in a deployment's folder beside `nodes/`, `runs/` and the lock. The state file is the last.
const OWN: [&str; 6] = ["project", "faults.jsonl", "step.sock", "step.log", ".deployment.json.new", state::STATE_FILE];

/// What is known of a deployment that is to go.
#[derive(Debug, Clone)]
pub struct Remains {
    name: String,
    dir: PathBuf,
    run_dirs: Vec<PathBuf>,
}

impl Remains {
    /// All of a deployment whose state is whole.
    pub fn of(deployment: &Deployment) -> Remains {
        let mut remains = Remains::in_folder(&deployment.dir);
        remains.name.clone_from(&deployment.name);
        if let Place::Local(LocalPlace { run_dir, .. }) = &deployment.place
            && run_dir::is_ours(run_dir)
            && !remains.run_dirs.contains(run_dir)
        {
            remains.run_dirs.push(run_dir.clone());
        }
        remains
    }

    /// What can be known of the deployment in `dir` without its state.
    pub fn in_folder(dir: &Path) -> Remains {
        let run_dirs = std::iter::once(dir.to_owned()).chain(run_dir::of_origin(dir)).collect();
        Remains { name: state::name_of(dir), dir: dir.to_owned(), run_dirs }
    }

    /// Whether there is anything at all.
    pub fn exist(&self) -> bool {
        let nodes = |run_dir: &PathBuf| run_dir::nodes_of(run_dir);
        self.run_dirs.len() > 1
            || self.run_dirs.iter().map(nodes).any(|nodes| nodes.exists() || !pids_in(&nodes).is_empty())
            || OWN.iter().any(|name| self.dir.join(name).exists())
    }
}

/// Take it down, prove that nothing is left, and say what was removed.
pub async fn take_down(remains: &Remains, progress: &dyn Progress) -> Result<Vec<String>, DeployError> {
    let mut removed = Vec::new();
    for run_dir in &remains.run_dirs {
        let nodes = run_dir::nodes_of(run_dir);
        let processes = end_processes(&nodes, progress).await?;
        if processes > 0 {
            removed.push(format!("{processes} processes"));
        }
        let segments: usize = folders_in(&nodes).iter().map(|node| shared_memory::remove_left(node)).sum();
        if segments > 0 {
            removed.push(format!("{segments} shared memory segments of killed servers"));
        }
        remove(&nodes, &mut removed)?;
        if *run_dir != remains.dir {
            remove(run_dir, &mut removed)?;
        }
    }
    prove(remains)?;
    for name in OWN {
        remove(&remains.dir.join(name), &mut removed)?;
    }
    Ok(removed)
}

/// End every process below `nodes`; how many there were.
async fn end_processes(nodes: &Path, progress: &dyn Progress) -> Result<usize, DeployError> {
    let all = processes_in(nodes);
    if all.is_empty() {
        return Ok(0);
    }
    progress.stage(&format!("ending {} processes", all.len()));
    for node in folders_in(nodes) {
        shared_memory::note(&node, &pids_in(&node));
    }
    // First whoever would start something again; then PostgreSQL ends by itself.
    for process in all.iter().filter(|process| !is_postgres(process.pid)) {
        supervisor::signal(process.pid, Signal::SIGKILL)?;
    }
    for process in all.iter().filter(|process| is_postmaster(process.pid)) {
        supervisor::signal(process.pid, Signal::SIGQUIT)?;
        // One that is frozen does not hear it.
        supervisor::signal(process.pid, Signal::SIGCONT)?;
    }
    let gone = until::<(), (), _, _, _>(
        QUIT_LIMIT,
        |left, _| progress.waiting(left),
        || async {
            match pids_in(nodes).len() {
                0 => Answer::Done(()),
                left => Answer::NotYet(format!("{left} processes have not ended yet")),
            }
        },
    );
    // Whoever has not ended by itself is killed.
    let _ = gone.await;
    supervisor::kill_all(nodes).await?;
    Ok(all.len())
}

fn folders_in(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn remove(path: &Path, removed: &mut Vec<String>) -> Result<(), DeployError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(meta) if meta.is_dir() => node::remove_tree(path)?,
        _ => std::fs::remove_file(path).map_err(DeployError::io("remove", path))?,
    }
    removed.push(path.display().to_string());
    Ok(())
}

/// No process lives in its folders; with them the ports and locks that they held are gone.
fn prove(remains: &Remains) -> Result<(), DeployError> {
    let processes = remains.run_dirs.iter().flat_map(|run_dir| processes_in(&run_dir::nodes_of(run_dir)));
    let left: Vec<_> = processes.map(|process| format!("process {} ({})", process.pid, process.command)).collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(DeployError::Left { deployment: remains.name.clone(), left: left.join("; ") })
}
