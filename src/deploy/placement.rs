//! Where a deployment goes: its folder, its user, its programs, its block of addresses, and the plan with all that in it.
//! Nothing is made here.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::create::Request;
use super::deployment::STATE_FORMAT;
use super::differences::differences;
use super::local::{self, addresses, programs, run_dir};
use super::{DeployError, DeployedNode, Deployment, Home, LocalPlace, Phase, Place, state};
use crate::lab::Loaded;
use crate::topology::{self, Plan, PlanError, PlanOptions};

/// The deployment that is there, if it is what is asked for.
pub fn same(there: Deployment, request: &Request<'_>) -> Result<Deployment, DeployError> {
    let differs = |lines: Vec<String>| DeployError::Differs {
        deployment: there.name.clone(),
        differences: lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n"),
    };
    if there.phase == Phase::Destroying {
        return Err(differs(vec!["it is half destroyed".to_owned()]));
    }
    let there_at = local::place_of(&there)?;
    let options = PlanOptions {
        deployment: there.name.clone(),
        block: address_of(there_at.block),
        nodes_dir: there_at.nodes_dir(),
        postgres_bin: there_at.programs.postgres_bin.clone().unwrap_or_default(),
        port_offset: request.options.port_offset,
        publish: request.options.publish,
    };
    let mut lines = differences(&there.plan, &topology::plan(request.loaded, &options)?);
    if request.options.user.is_some() && request.options.user != there_at.user {
        lines.push("it runs as another user".to_owned());
    }
    if lines.is_empty() { Ok(there) } else { Err(differs(lines)) }
}

/// Decide where a new deployment goes. Nothing is made yet: the state is to be written first.
pub fn place(request: &Request<'_>, name: &str, dir: &Path) -> Result<Deployment, DeployError> {
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
    let place = LocalPlace { run_dir, user: user.as_ref().map(|user: &User| user.name.clone()), block, programs };
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
    let used: Vec<_> = others.filter_map(|other| local::place_of(&other).ok().map(|place| place.block)).collect();
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

fn assemble(request: &Request<'_>, name: &str, dir: &Path, plan: Plan, place: LocalPlace) -> Deployment {
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
            home: Home::Dir(dir),
        }
    });
    Deployment {
        format: STATE_FORMAT.to_owned(),
        name: name.to_owned(),
        dir: dir.to_owned(),
        lab_source: lasting(&request.loaded.source),
        lab_sha256: request.loaded.sha256.clone(),
        phase: Phase::Deploying,
        created: jiff::Timestamp::now().to_string(),
        ready_after_ms: None,
        nodes: nodes.collect(),
        options: request.options.clone(),
        place: Place::Local(place),
        plan,
    }
}

/// The lab's source as a later command, run elsewhere, finds it.
fn lasting(source: &str) -> String {
    let path = Path::new(source);
    let absolute = path.exists().then(|| std::path::absolute(path).ok()).flatten();
    absolute.map_or_else(|| source.to_owned(), |path| path.display().to_string())
}
