//! Somebody else's cluster as a deployment: a student's compose project, or a cluster anywhere. It is found, understood and
//! mapped to a lab's nodes; nothing of it is changed here.
//!
//! On disk: the deployment's folder with its state, as any deployment's (`output/NAME/deployment.json`), so that `report`,
//! `status`, `sql` and the undoing of faults work from another shell. `labrun destroy` removes that folder alone.

mod cluster;
mod compose;
mod containers;
pub mod endpoints;
mod error;
mod files;
mod leave;
mod mapping;
mod proxy;
mod source;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use error::AttachError;
pub use leave::{Before, before};
pub use mapping::Mapping;
pub use source::Source;

use crate::deploy::deployment::STATE_FORMAT;
use crate::deploy::{AttachedPlace, BackendKind, Deployment, Lock, Options, Phase, Place, state};
use crate::engine::{Address, Engine};
use crate::import::lint;
use crate::lab::model::Text;
use crate::lab::{Diagnostic, Loaded};
use crate::observe::http;
use crate::observe::observer::QUESTION_LIMIT;
use crate::topology::{self, Plan, Timing};
use cluster::Cluster;

/// A cluster that can be verified.
#[derive(Debug)]
pub struct Attached {
    /// It, as a deployment.
    pub deployment: Deployment,
    /// The lab, speaking of its nodes.
    pub loaded: Loaded,
    /// Which of the lab's nodes is which of its.
    pub mapping: Mapping,
    /// What there is to say about it.
    pub notes: Vec<Text>,
    /// The deployment's lock, held on.
    pub lock: Lock,
}

/// Find, understand and map a cluster, and write the deployment's state.
pub async fn attach(
    source: &Source,
    loaded: &Loaded,
    output: &Path,
    name: Option<&str>,
) -> Result<Attached, AttachError> {
    let cluster = match source {
        Source::Endpoints(path) => endpoints::read(path)?,
        Source::Compose(dir) => {
            let engine = Engine::connect(&Address::from_env()?).await?;
            let project = containers::project_in(&engine, dir).await?;
            let found = containers::of_project(&engine, &project).await?;
            compose::understand(&engine, &found, Some(dir)).await?
        }
        Source::Docker(project) => {
            let engine = Engine::connect(&Address::from_env()?).await?;
            let found = containers::of_project(&engine, project).await?;
            // The folder that it was started from may be another machine's.
            let folder = found.folder.as_ref().filter(|_| engine.address().is_here()).map(PathBuf::from);
            compose::understand(&engine, &found, folder.as_deref()).await?
        }
    };
    let mapping = mapping::map(loaded, &cluster)?;
    let own = mapping::rewritten(loaded, &cluster, &mapping);
    let name = name.unwrap_or(&cluster.name).to_owned();
    let dir = state::dir_of(output, &name)?;
    std::fs::create_dir_all(&dir).map_err(crate::deploy::DeployError::io("make", &dir))?;
    let lock = Lock::take(&dir, "labrun verify")?;
    if state::read(&dir)?.is_some_and(|there| there.kind() != BackendKind::Attached) {
        return Err(AttachError::NotAttached { name });
    }
    let timing = timing(&own, &cluster).await;
    let mut notes = cluster.notes.clone();
    if let Source::Compose(dir) = source {
        notes.extend(mistakes(dir));
    }
    let deployment = deployment(name, dir, loaded, cluster, timing);
    state::write(&deployment)?;
    Ok(Attached { deployment, loaded: own, mapping, notes, lock })
}

/// What is wrong with a project's own files: it may explain what the checks will find.
fn mistakes(dir: &Path) -> Vec<Text> {
    // Its ports are taken by itself.
    let found = lint(dir, &|_| None).map(|found| found.findings).unwrap_or_default();
    let errors = found.iter().filter(|finding| !finding.warning);
    let told = |finding: &Diagnostic| {
        let place = finding.place().map(|place| format!("{place}: ")).unwrap_or_default();
        format!("{}: {place}{}", finding.code, finding.message)
    };
    errors.map(|finding| Text::Same(told(finding))).collect()
}

/// The constants of the files, and over them those that are in force: the DCS has the last word.
async fn timing(loaded: &Loaded, cluster: &Cluster) -> Timing {
    let mut timing = topology::timing(&loaded.lab.file);
    for rest in
        cluster.nodes.iter().filter(|node| cluster::kind(&node.service) == "postgres").filter_map(|node| node.side)
    {
        let Some(config) = http::get(rest, "/config", QUESTION_LIMIT).await.ok().and_then(|answer| answer.json())
        else {
            continue;
        };
        let ms = |key: &str| config.get(key).and_then(serde_json::Value::as_u64).map(|seconds| seconds * 1_000);
        timing.ttl_ms = ms("ttl").unwrap_or(timing.ttl_ms);
        timing.loop_wait_ms = ms("loop_wait").unwrap_or(timing.loop_wait_ms);
        timing.retry_timeout_ms = ms("retry_timeout").unwrap_or(timing.retry_timeout_ms);
        break;
    }
    // A cluster whose files say nothing has Patroni's and HAProxy's own defaults.
    let or = |value: &mut u64, usual: u64| *value = if *value == 0 { usual } else { *value };
    or(&mut timing.ttl_ms, 30_000);
    or(&mut timing.loop_wait_ms, 10_000);
    or(&mut timing.retry_timeout_ms, 10_000);
    or(&mut timing.inter_ms, 2_000);
    timing.fall = timing.fall.max(1);
    timing.rise = timing.rise.max(1);
    timing
}

fn deployment(name: String, dir: PathBuf, loaded: &Loaded, cluster: Cluster, timing: Timing) -> Deployment {
    let plan = Plan {
        deployment: name.clone(),
        lab: loaded.lab.file.name.clone(),
        scope: cluster.scope,
        namespace: cluster.namespace,
        credentials: cluster.credentials,
        timing,
        nodes: cluster.nodes.iter().map(cluster::Member::planned).collect(),
        waves: vec![cluster.nodes.iter().map(|node| node.name.clone()).collect()],
        project: cluster.project,
        images: Vec::new(),
    };
    Deployment {
        format: STATE_FORMAT.to_owned(),
        name,
        dir,
        lab_source: std::path::absolute(&loaded.source)
            .ok()
            .filter(|path| path.exists())
            .map_or_else(|| loaded.source.clone(), |path| path.display().to_string()),
        lab_sha256: loaded.sha256.clone(),
        phase: Phase::Ready,
        created: Timestamp::now().to_string(),
        ready_after_ms: None,
        plan,
        nodes: cluster.nodes.iter().map(cluster::Member::deployed).collect(),
        options: Options { backend: BackendKind::Attached, ..Options::default() },
        place: Place::Attached(AttachedPlace { over: cluster.over, page: cluster.page, folder: cluster.folder }),
    }
}
