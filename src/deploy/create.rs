//! `deploy`: from a lab to a deployment that is ready, with the state written before every step.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};

use super::deployment::STATE_FORMAT;
use super::differences::differences;
use super::local::{self, addresses, programs, run_dir};
use super::{
    Backend, BackendKind, DeployError, DeployedNode, Deployment, Local, Lock, NodeStatus, Options, Phase, Place,
    Progress, state,
};
use crate::lab::Loaded;
use crate::observe::{Observer, not_ready};
use crate::topology::{self, Plan, PlanError, PlanOptions};
use crate::wait::{Answer, Unmet, until};

/// What is to be deployed.
pub struct Request<'a> {
    /// The lab.
    pub loaded: &'a Loaded,
    /// The output folder; made if there is none.
    pub output: &'a Path,
    /// The deployment's name; the lab's unless told.
    pub name: Option<&'a str>,
    /// What is asked for beside the lab.
    pub options: Options,
    /// Whether to take down what did not become ready.
    pub clean_on_failure: bool,
    /// The command line, for whoever finds the deployment locked.
    pub command: &'a str,
}

/// A deployment that is ready, with the right to change it.
pub struct Deployed {
    /// The deployment.
    pub deployment: Deployment,
    /// Its lock, held on.
    pub lock: Lock,
    /// Whether it was ready already, so that nothing was done.
    pub already: bool,
}

/// Deploy, unless that is done already. `cancel` ends when the user wants no more of it.
pub async fn deploy(
    request: Request<'_>,
    progress: &dyn Progress,
    cancel: impl Future<Output = ()>,
) -> Result<Deployed, DeployError> {
    let begun = Instant::now();
    std::fs::create_dir_all(request.output).map_err(DeployError::io("make", request.output))?;
    let name = request.name.unwrap_or(&request.loaded.lab.file.name);
    let dir = state::dir_of(request.output, name)?;
    let lock = take_lock(&dir, request.command)?;
    let (mut deployment, fresh) = match state::read(&dir)? {
        Some(there) => (same(there, &request)?, false),
        None => match place(&request, name, &dir) {
            Ok(deployment) => (deployment, true),
            Err(error) => {
                // Nothing was begun: leave no empty folder. One with runs of an earlier deployment stays.
                lock.remove()?;
                let _ = std::fs::remove_dir(&dir);
                return Err(error);
            }
        },
    };
    if !fresh && deployment.phase == Phase::Ready && all_run(&deployment).await? {
        return Ok(Deployed { deployment, lock, already: true });
    }
    deployment.phase = Phase::Deploying;
    deployment.ready_after_ms = None;
    state::write(&deployment)?;
    let brought_up = tokio::select! {
        done = bring_up(&deployment, progress) => done,
        () = cancel => return Err(interrupted(&deployment)),
    };
    match brought_up {
        Ok(()) => {
            deployment.phase = Phase::Ready;
            deployment.ready_after_ms = fresh.then(|| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            state::write(&deployment)?;
            Ok(Deployed { deployment, lock, already: false })
        }
        Err(error) => {
            deployment.phase = Phase::Failed;
            state::write(&deployment)?;
            if request.clean_on_failure {
                super::remove::destroy_locked(&dir, lock, progress).await?;
            }
            Err(error)
        }
    }
}

/// The lock of a deployment that may not be there yet. A destroy may remove the folder between our two steps.
fn take_lock(dir: &Path, command: &str) -> Result<Lock, DeployError> {
    loop {
        std::fs::create_dir_all(dir).map_err(DeployError::io("make", dir))?;
        match Lock::take(dir, command) {
            Err(DeployError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            taken => return taken,
        }
    }
}

/// The deployment that is there, if it is what is asked for.
fn same(there: Deployment, request: &Request<'_>) -> Result<Deployment, DeployError> {
    let differs = |lines: Vec<String>| DeployError::Differs {
        deployment: there.name.clone(),
        differences: lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n"),
    };
    if there.phase == Phase::Destroying {
        return Err(differs(vec!["it is half destroyed".to_owned()]));
    }
    let options = PlanOptions {
        deployment: there.name.clone(),
        block: address_of(there.place.block),
        nodes_dir: there.nodes_dir(),
        postgres_bin: there.place.programs.postgres_bin.clone().unwrap_or_default(),
        port_offset: request.options.port_offset,
        publish: request.options.publish,
    };
    let mut lines = differences(&there.plan, &topology::plan(request.loaded, &options)?);
    if request.options.user.is_some() && request.options.user != there.place.user {
        lines.push("it runs as another user".to_owned());
    }
    if lines.is_empty() { Ok(there) } else { Err(differs(lines)) }
}

/// Decide where a new deployment goes. Nothing is made yet: the state is to be written first.
fn place(request: &Request<'_>, name: &str, dir: &Path) -> Result<Deployment, DeployError> {
    if local::Remains::in_folder(dir).exist() {
        let left = format!("{} has nodes, or parts of them, without a state file", dir.display());
        return Err(DeployError::Left { deployment: name.to_owned(), left });
    }
    let user = local::user::choose(request.options.user.as_deref())?;
    let run_dir = run_dir::choose(dir, user.as_ref())?;
    let mut options = PlanOptions {
        deployment: name.to_owned(),
        block: address_of([127, 0, 0]),
        nodes_dir: run_dir::nodes_of(&run_dir),
        postgres_bin: PathBuf::new(),
        port_offset: request.options.port_offset,
        publish: request.options.publish,
    };
    // Which programs are needed does not depend on where they and the nodes are.
    let sketch = topology::plan(request.loaded, &options)?;
    addresses::check_published(&sketch)?;
    let mut programs = programs::Search::from_env().all(sketch.nodes.iter().map(|node| &node.service))?;
    programs.agent = run_dir::agent_for(user.as_ref(), &programs.agent, &run_dir);
    options.postgres_bin = programs.postgres_bin.clone().unwrap_or_default();
    let (block, plan) = free_block(request, options, dir)?;
    let place = Place { run_dir, user: user.as_ref().map(|user: &User| user.name.clone()), block, programs };
    Ok(assemble(request, name, dir, plan, place))
}

/// The plan of a lab somewhere: for what does not depend on the place.
pub fn sketch(loaded: &Loaded, port_offset: u16) -> Result<Plan, PlanError> {
    let options = PlanOptions {
        deployment: loaded.lab.file.name.clone(),
        block: address_of([127, 0, 0]),
        nodes_dir: PathBuf::from("/"),
        postgres_bin: PathBuf::new(),
        port_offset,
        publish: true,
    };
    topology::plan(loaded, &options)
}

/// The first block of addresses that nobody uses, and the plan with it.
fn free_block(request: &Request<'_>, mut options: PlanOptions, dir: &Path) -> Result<([u8; 3], Plan), DeployError> {
    let others = state::names(request.output);
    let others = others.iter().filter_map(|name| state::read(&dir.with_file_name(name)).ok().flatten());
    let used: Vec<_> = others.map(|deployment| deployment.place.block).collect();
    let mut last = None;
    for block in addresses::candidates(addresses::Range::from_env()?, dir, Uid::effective().as_raw()) {
        if used.contains(&block) {
            continue;
        }
        options.block = address_of(block);
        let plan = topology::plan(request.loaded, &options)?;
        match addresses::taken(&plan) {
            None => return Ok((block, plan)),
            Some(address) => last = Some(address),
        }
    }
    let address = last.unwrap_or_else(|| (address_of([127, 0, 0]), 0).into());
    Err(DeployError::NoAddresses { address, holder: addresses::held_by(address) })
}

fn address_of([a, b, c]: [u8; 3]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, 0)
}

fn assemble(request: &Request<'_>, name: &str, dir: &Path, plan: Plan, place: Place) -> Deployment {
    let nodes_dir = run_dir::nodes_of(&place.run_dir);
    let nodes = plan.nodes.iter().map(|node| {
        let dir = nodes_dir.join(&node.name);
        let (main, side) = addresses::endpoints(node);
        DeployedNode {
            name: node.name.clone(),
            service: node.service.clone(),
            main,
            side,
            published: node.publish.iter().map(|port| (port.host_port, port.node_port)).collect(),
            log: dir.join(local::node::LOG_FILE),
            dir,
        }
    });
    Deployment {
        format: STATE_FORMAT.to_owned(),
        name: name.to_owned(),
        dir: dir.to_owned(),
        lab_source: lasting(&request.loaded.source),
        lab_sha256: request.loaded.sha256.clone(),
        backend: BackendKind::Local,
        phase: Phase::Deploying,
        created: jiff::Timestamp::now().to_string(),
        ready_after_ms: None,
        nodes: nodes.collect(),
        options: request.options.clone(),
        place,
        plan,
    }
}

/// The lab's source as a later command, run elsewhere, finds it.
fn lasting(source: &str) -> String {
    let path = Path::new(source);
    let absolute = path.exists().then(|| std::path::absolute(path).ok()).flatten();
    absolute.map_or_else(|| source.to_owned(), |path| path.display().to_string())
}

/// Start everything and wait until the whole cluster is ready.
async fn bring_up(deployment: &Deployment, progress: &dyn Progress) -> Result<(), DeployError> {
    local::node::write_files(&deployment.plan.project, &deployment.dir.join("project"))?;
    Local.up(deployment, progress).await?;
    if deployment.postgres_nodes().next().is_none() {
        // No cluster: each node's own service answers, and that is all there is.
        return Ok(());
    }
    progress.stage("waiting until the cluster is ready");
    until_ready(deployment, ready_limit(deployment), progress).await
}

/// Wait until the ready predicate holds of the whole cluster.
pub async fn until_ready(deployment: &Deployment, limit: Duration, progress: &dyn Progress) -> Result<(), DeployError> {
    let observer = Observer::new(deployment);
    let ready = until::<(), (), _, _, _>(
        limit,
        |not_yet, _| progress.waiting(not_yet),
        || async {
            match not_ready(&observer.look().await, observer.has_proxy()) {
                None => Answer::Done(()),
                Some(not_yet) => Answer::NotYet(not_yet),
            }
        },
    );
    let Err(Unmet::TimedOut { after, last }) = ready.await else { return Ok(()) };
    let guilty = deployment.nodes.iter().find(|node| last.contains(&node.name));
    let guilty = guilty.or_else(|| deployment.postgres_nodes().next());
    Err(DeployError::NotUp {
        node: "the cluster".to_owned(),
        after_s: after.as_secs(),
        last_status: last,
        log_tail: guilty.map(local::log_tail).unwrap_or_default(),
    })
}

/// How long a new cluster may take from its nodes' start until it is ready: a lease may have to run out once, the proxy
/// may have to mark a server down and up again, and every node has a minute for its own work.
fn ready_limit(deployment: &Deployment) -> Duration {
    let timing = deployment.timing();
    let proxy = timing.inter_ms * u64::from(timing.fall + timing.rise);
    Duration::from_millis(60_000 + timing.ttl_ms + timing.loop_wait_ms + proxy)
}

/// Whether every node runs.
pub async fn all_run(deployment: &Deployment) -> Result<bool, DeployError> {
    for node in &deployment.nodes {
        if !matches!(Local.status(deployment, &node.name).await?, NodeStatus::Running { .. }) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn interrupted(deployment: &Deployment) -> DeployError {
    let name = &deployment.name;
    DeployError::Interrupted {
        left: format!(
            "what was started is left running; go on: labrun deploy --name {name}, remove it: labrun destroy --name {name}"
        ),
    }
}
