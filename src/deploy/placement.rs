//! Where a deployment goes: its folder, its user, its programs, its block of addresses, and the plan with all that in it.
//! Nothing is made here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::create::Request;
use super::deployment::STATE_FORMAT;
use super::differences::differences;
use super::local::{self, addresses, network, programs, run_dir};
use super::{
    BackendKind, DeployError, DeployedNode, Deployment, DockerPlace, Home, LocalPlace, Options, Phase, Place, Programs,
    docker, state,
};
use crate::engine::{Address, Engine};
use crate::lab::Loaded;
use crate::lab::model::{FaultKind, NetworkKind};
use crate::topology::{self, Plan, PlanError, PlanOptions, PlanPlace};

/// The deployment that is there, if it is what is asked for, or can become that where it is; and how it is to change.
pub async fn same(there: Deployment, request: &Request<'_>) -> Result<(Deployment, Vec<String>), DeployError> {
    let lines = match there.phase {
        Phase::Destroying => vec!["it is half destroyed".to_owned()],
        _ => differing(&there, request)?,
    };
    if lines.is_empty() {
        return Ok((there, lines));
    }
    if let (Place::Docker(there_now), false) = (&there.place, there.phase == Phase::Destroying)
        && request.options.backend == BackendKind::Docker
    {
        let plan = replanned(&there, request)?;
        if docker::can_become(&there.plan, &plan) {
            let place = DockerPlace { publish_on: request.options.publish_on, ..there_now.clone() };
            let nodes = docker::nodes(&Engine::connect(&place.engine).await?, &place, &plan).await?;
            let changed = assemble(request, &there.name, &there.dir, plan, nodes, Place::Docker(place));
            return Ok((Deployment { created: there.created, ..changed }, lines));
        }
    }
    let differences = lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n");
    Err(DeployError::Differs { deployment: there.name, differences })
}

/// What differs between the deployment that is there and what is asked for, one line each.
fn differing(there: &Deployment, request: &Request<'_>) -> Result<Vec<String>, DeployError> {
    let (asked, has) = (request.options.backend, there.kind());
    if asked != has {
        return Ok(vec![format!("its nodes run on the backend {}, not {}", has.name(), asked.name())]);
    }
    let plan = replanned(there, request)?;
    let mut lines = differences(&there.plan, &plan);
    if let Place::Local(place) = &there.place
        && request.options.user.is_some()
        && request.options.user != place.user
    {
        lines.push("it runs as another user".to_owned());
    }
    if let Place::Docker(place) = &there.place
        && request.options.publish_on != place.publish_on
    {
        let on = |address: Option<IpAddr>| address.unwrap_or(Ipv4Addr::LOCALHOST.into());
        lines.push(format!("ports are published on {}, not {}", on(request.options.publish_on), on(place.publish_on)));
    }
    Ok(lines)
}

impl Deployment {
    /// What of a lab is not as it was deployed, and so would need a new deployment; one line each. Its checks do not.
    pub fn differs_from(&self, loaded: &Loaded) -> Result<Vec<String>, DeployError> {
        let plan = plan_where(self, loaded, &self.options)?;
        Ok(differences(&self.plan, &plan))
    }
}

/// The plan of what is asked for now, where the deployment is.
fn replanned(there: &Deployment, request: &Request<'_>) -> Result<Plan, DeployError> {
    plan_where(there, request.loaded, &request.options)
}

fn plan_where(there: &Deployment, loaded: &Loaded, options: &Options) -> Result<Plan, DeployError> {
    let (block, place) = match &there.place {
        Place::Local(place) => {
            (inner_block(place.block, place.own_network), local_place(place.nodes_dir(), &place.programs))
        }
        Place::Docker(place) => (place.block, PlanPlace::Docker),
        Place::Attached(_) => return Ok(there.plan.clone()),
    };
    Ok(topology::plan(loaded, &plan_options(options, &there.name, block, place))?)
}

fn plan_options(options: &Options, name: &str, block: [u8; 3], place: PlanPlace) -> PlanOptions {
    PlanOptions {
        deployment: name.to_owned(),
        block: address_of(block),
        place,
        port_offset: options.port_offset,
        publish: options.publish,
    }
}

fn local_place(nodes_dir: PathBuf, programs: &Programs) -> PlanPlace {
    PlanPlace::Local { nodes_dir, postgres_bin: programs.postgres_bin.clone().unwrap_or_default() }
}

/// Decide where a new deployment goes. Nothing is made yet: the state is to be written first.
pub async fn place(request: &Request<'_>, name: &str, dir: &Path) -> Result<Deployment, DeployError> {
    let left = |left: String| DeployError::Left { deployment: name.to_owned(), left };
    if local::Remains::in_folder(dir).exist() {
        return Err(left(format!("{} has nodes, or parts of them, without a state file", dir.display())));
    }
    match request.options.backend {
        BackendKind::Docker => place_in_containers(request, name, dir).await,
        BackendKind::Local | BackendKind::Attached => place_here(request, name, dir),
    }
}

fn place_here(request: &Request<'_>, name: &str, dir: &Path) -> Result<Deployment, DeployError> {
    if let Some(address) = request.options.publish_on {
        let why = "nodes without containers publish on 127.0.0.1 alone";
        return Err(DeployError::process(format!("publish ports on {address}"), why));
    }
    let user = local::user::choose(request.options.user.as_deref())?;
    let run_dir = run_dir::choose(dir, user.as_ref())?;
    let nodes_dir = run_dir::nodes_of(&run_dir);
    let own_network = needs_network(request.loaded);
    if let Some(why) = own_network.then(network::missing).flatten() {
        return Err(DeployError::Network { deployment: name.to_owned(), why });
    }
    // Which programs are needed does not depend on where they and the nodes are.
    let place = local_place(nodes_dir.clone(), &Programs::default());
    let sketch = topology::plan(request.loaded, &plan_options(&request.options, name, [127, 0, 0], place))?;
    addresses::check_published(&sketch)?;
    let mut programs = programs::Search::from_env().all(sketch.nodes.iter().map(|node| &node.service))?;
    programs.agent = run_dir::agent_for(user.as_ref(), &programs.agent, &run_dir);
    let options = plan_options(&request.options, name, [127, 0, 0], local_place(nodes_dir.clone(), &programs));
    let (block, plan) = free_block(request, options, own_network, dir)?;
    let nodes = plan.nodes.iter().map(|node| {
        let (main, side) = addresses::endpoints(node, block);
        DeployedNode {
            name: node.name.clone(),
            service: node.service.clone(),
            main,
            side,
            published: node.publish.iter().map(|port| (port.host_port, port.node_port)).collect(),
            home: Home::Dir(nodes_dir.join(&node.name)),
        }
    });
    let nodes = nodes.collect();
    let place =
        LocalPlace { run_dir, user: user.as_ref().map(|user: &User| user.name.clone()), block, own_network, programs };
    Ok(assemble(request, name, dir, plan, nodes, Place::Local(place)))
}

async fn place_in_containers(request: &Request<'_>, name: &str, dir: &Path) -> Result<Deployment, DeployError> {
    if let Some(user) = &request.options.user {
        let why = "in containers the images say as whom services run".to_owned();
        return Err(DeployError::BadUser { user: user.clone(), why });
    }
    let engine = Engine::connect(&Address::from_env()?).await?;
    let place = docker::choose(&engine, name, dir, request.options.publish_on).await?;
    let plan = topology::plan(request.loaded, &plan_options(&request.options, name, place.block, PlanPlace::Docker))?;
    docker::check(&engine, &place, &plan).await?;
    let nodes = docker::nodes(&engine, &place, &plan).await?;
    Ok(assemble(request, name, dir, plan, nodes, Place::Docker(place)))
}

/// The plan of a lab somewhere: for what does not depend on the place.
pub fn sketch(loaded: &Loaded, port_offset: u16) -> Result<Plan, PlanError> {
    sketch_for(loaded, port_offset, BackendKind::Local)
}

/// The same on a backend.
pub fn sketch_for(loaded: &Loaded, port_offset: u16, backend: BackendKind) -> Result<Plan, PlanError> {
    let place = match backend {
        BackendKind::Docker => PlanPlace::Docker,
        BackendKind::Local | BackendKind::Attached => local_place(PathBuf::from("/"), &Programs::default()),
    };
    let options = PlanOptions {
        deployment: loaded.lab.file.name.clone(),
        block: address_of([127, 0, 0]),
        place,
        port_offset,
        publish: true,
    };
    topology::plan(loaded, &options)
}

/// The first block of addresses that nobody uses, and the plan with it.
fn free_block(
    request: &Request<'_>,
    mut options: PlanOptions,
    own_network: bool,
    dir: &Path,
) -> Result<([u8; 3], Plan), DeployError> {
    let others = state::names(request.output);
    let others = others.iter().filter_map(|name| state::read(&dir.with_file_name(name)).ok().flatten());
    let used: Vec<_> = others.filter_map(|other| local::place_of(&other).ok().map(|place| place.block)).collect();
    let mut last = None;
    for block in addresses::candidates(addresses::Range::from_env()?, dir, Uid::effective().as_raw()) {
        if used.contains(&block) {
            continue;
        }
        options.block = address_of(inner_block(block, own_network));
        let plan = topology::plan(request.loaded, &options)?;
        match addresses::taken(&plan, block) {
            None => return Ok((block, plan)),
            Some(address) => last = Some(address),
        }
    }
    let address = last.unwrap_or_else(|| (address_of([127, 0, 0]), 0).into());
    Err(DeployError::NoAddresses { address, holder: addresses::held_by(address) })
}

/// Whether the lab's nodes need a network of their own: it says so, or one of its faults is done to the network.
fn needs_network(loaded: &Loaded) -> bool {
    loaded.lab.file.topology.network == NetworkKind::Separate || loaded.lab.faults().any(FaultKind::is_of_network)
}

/// The nodes' addresses as they themselves have them.
fn inner_block(block: [u8; 3], own_network: bool) -> [u8; 3] {
    if own_network { network::block(block) } else { block }
}

fn address_of([a, b, c]: [u8; 3]) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, 0)
}

fn assemble(
    request: &Request<'_>,
    name: &str,
    dir: &Path,
    plan: Plan,
    nodes: Vec<DeployedNode>,
    place: Place,
) -> Deployment {
    Deployment {
        format: STATE_FORMAT.to_owned(),
        name: name.to_owned(),
        dir: dir.to_owned(),
        lab_source: lasting(&request.loaded.source),
        lab_sha256: request.loaded.sha256.clone(),
        phase: Phase::Deploying,
        created: jiff::Timestamp::now().to_string(),
        ready_after_ms: None,
        nodes,
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
