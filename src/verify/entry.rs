//! The way in: verify a lab against a deployment.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::course::{Course, CurrentLab, Straight};
use super::faults::Faults;
use super::run::RUN_FORMAT;
use super::runner::InRun;
use super::store::{RunStore, StoreError};
use super::watch::Watcher;
use super::workload::Workloads;
use super::world::live::Live;
use super::{Cancel, Consumer, NodeFacts, Run, Spine, Verdict};
use crate::deploy::{Backend, Deployment};
use crate::lab::Loaded;
use crate::lab::model::Text;

/// What to verify, and where to keep it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The only part to run; all of them otherwise.
    pub only: Option<String>,
    /// The folder of runs; `runs` in the deployment's folder unless told.
    pub runs: Option<PathBuf>,
    /// What there is to say before anything was checked.
    pub notes: Vec<Text>,
}

/// A verification that came to its end, or was interrupted and stored as far as it got.
#[derive(Debug)]
pub struct Verified {
    /// The run.
    pub run: Run,
    /// Its folder.
    pub dir: PathBuf,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// Why a verification could not begin, or could not be kept.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum VerifyError {
    /// There is no such part.
    #[error("there is no part `{part}` in {lab} (its parts: {known})")]
    #[diagnostic(code(LR0501))]
    UnknownPart {
        /// As it was asked for.
        part: String,
        /// The lab.
        lab: String,
        /// All parts.
        known: String,
    },
    /// The lab injects faults that the deployment cannot have.
    #[error("the lab injects `{fault}`, which cannot be done to {deployment}: {why}")]
    #[diagnostic(code(LR0504), help("nothing was started; what each fault needs: labrun faults"))]
    CannotFault {
        /// The fault.
        fault: &'static str,
        /// The deployment.
        deployment: String,
        /// Why not.
        why: String,
    },
    /// The run's folder could not be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The run came to its end, but is not kept as a whole. What was done to the deployment is undone.
    #[error("the verification ended, but {why}")]
    #[diagnostic(code(LR0503), help("what could be kept lies in {}", dir.display()))]
    NotKept {
        /// What could not be kept, and why.
        why: String,
        /// The run's folder.
        dir: PathBuf,
    },
}

/// Verify the lab, telling everything to `consumers` as it happens. `cancel` ends it early: what was done to the
/// deployment is undone, and the run is stored as far as it got.
pub async fn verify(
    loaded: &Loaded,
    deployment: &Deployment,
    backend: &dyn Backend,
    options: &Options,
    consumers: Vec<Box<dyn Consumer>>,
    cancel: Cancel,
) -> Result<Verified, VerifyError> {
    let along = Along { lab: &CurrentLab::of(loaded), course: &Straight };
    verify_along(along, deployment, backend, options, consumers, cancel).await
}

/// By which lab, and when each step is done.
pub(crate) struct Along<'a> {
    /// The lab; the course may put an edited one in its place.
    pub lab: &'a CurrentLab,
    /// Decides when the run goes on.
    pub course: &'a dyn Course,
}

/// Why the lab cannot be verified on the deployment, where that is so: it injects a fault that is not possible there.
pub fn check_faults(loaded: &Loaded, deployment: &Deployment, backend: &dyn Backend) -> Result<(), VerifyError> {
    let lacking = loaded.lab.faults().find_map(|fault| Some((fault, backend.lacks(deployment, fault)?)));
    lacking.map_or(Ok(()), |(fault, why)| {
        Err(VerifyError::CannotFault { fault: fault.word(), deployment: deployment.name.clone(), why })
    })
}

/// [`verify`], along a course.
pub(crate) async fn verify_along(
    Along { lab, course }: Along<'_>,
    deployment: &Deployment,
    backend: &dyn Backend,
    options: &Options,
    mut consumers: Vec<Box<dyn Consumer>>,
    cancel: Cancel,
) -> Result<Verified, VerifyError> {
    let loaded = &*lab.get();
    let only = options.only.as_deref().map(|part| place_of(part, loaded)).transpose()?;
    check_faults(loaded, deployment, backend)?;
    let now = Timestamp::now();
    let runs = options.runs.clone().unwrap_or_else(|| deployment.dir.join("runs"));
    let store = RunStore::create(&runs, now, &loaded.source_text)?;
    consumers.insert(0, Box::new(store.events()?));
    let spine = Arc::new(Spine::new(consumers));
    course.told_by(&spine);
    let history = Arc::new(store.history()?);
    let watcher = Watcher::start(deployment, &spine);
    let world = Live::new(deployment, backend);
    let in_run = InRun {
        id: store.id().to_owned(),
        lab,
        world: &world,
        spine: Arc::clone(&spine),
        workloads: Workloads::new(Arc::clone(&spine), history, watcher.pace.clone()),
        faults: Faults::new(&deployment.dir, store.id()),
        cancel: cancel.clone(),
        watch: Some((watcher.pace.clone(), watcher.samples.clone())),
        course,
    };
    let mut run = empty_run(loaded, deployment, store.id(), now);
    run.notes.clone_from(&options.notes);
    let mut kept = loaded.sha256.clone();
    let mut save = |run: &Run| {
        let now = lab.get();
        if now.sha256 != kept {
            store.keep_lab(&now.source_text)?;
            kept.clone_from(&now.sha256);
        }
        match course.notes(run) {
            notes if notes.is_empty() => store.save(run),
            notes => store.save(&noted(run.clone(), notes)),
        }
    };
    in_run.run(&mut run, only, &mut save).await;
    watcher.end().await;
    let notes = course.notes(&run);
    let run = noted(run, notes);
    match spine.trouble() {
        Some(why) => Err(VerifyError::NotKept { why, dir: store.dir().to_owned() }),
        None => Ok(Verified { run, dir: store.dir().to_owned(), interrupted: cancel.is_cancelled() }),
    }
}

fn noted(mut run: Run, notes: Vec<Text>) -> Run {
    run.notes.extend(notes);
    run
}

fn place_of(part: &str, loaded: &Loaded) -> Result<usize, VerifyError> {
    let parts = &loaded.lab.parts;
    parts.iter().position(|other| other.id == part).ok_or_else(|| VerifyError::UnknownPart {
        part: part.to_owned(),
        lab: loaded.lab.file.name.clone(),
        known: parts.iter().map(|part| part.id.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// A run of which nothing is known yet but what it is about.
pub(crate) fn empty_run(loaded: &Loaded, deployment: &Deployment, id: &str, now: Timestamp) -> Run {
    let nodes = deployment.plan.nodes.iter().map(|plan| NodeFacts {
        name: plan.name.clone(),
        service: plan.service.clone(),
        address: plan.address.to_string(),
        published: deployment.node(&plan.name).map(|node| node.published.clone()).unwrap_or_default(),
    });
    Run {
        format: RUN_FORMAT.to_owned(),
        id: id.to_owned(),
        labrun_version: env!("CARGO_PKG_VERSION").to_owned(),
        deployment: deployment.name.clone(),
        backend: deployment.kind().name().to_owned(),
        started: now.to_string(),
        took_ms: 0,
        ready_after_ms: deployment.ready_after_ms,
        lab: loaded.lab.file.clone(),
        lab_sha256: loaded.sha256.clone(),
        nodes: nodes.collect(),
        versions: Default::default(),
        timing: deployment.timing().clone(),
        project: deployment.plan.project.clone(),
        verdict: Verdict::Inconclusive,
        points: (0, 0),
        parts: Vec::new(),
        facts: Vec::new(),
        timeline: Vec::new(),
        outages: Vec::new(),
        tried: Vec::new(),
        notes: Vec::new(),
    }
}
