//! Making the network, the volumes and the containers, each unless it is there already, made from the same.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use bollard::body_full;
use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    Ipam, IpamConfig, NetworkCreateRequest, NetworkingConfig, PortBinding, PortMap, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectNetworkOptions, RemoveContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};

use super::place::whose;
use super::{DockerError, image, names};
use crate::deploy::containers::stop_limit;
use crate::deploy::local::addresses::endpoints;
use crate::deploy::{DeployError, DeployedNode, Deployment, DockerPlace, Progress};
use crate::engine::{Engine, EngineError};
use crate::topology::{ContainerPlan, NodePlan};

const SECOND_NS: i64 = 1_000_000_000;

/// The deployment's network, with addresses that stay a node's own through every restart.
pub async fn network(engine: &Engine, place: &DockerPlace) -> Result<(), DeployError> {
    let name = names::network(place);
    let found = engine.docker().inspect_network(&name, None::<InspectNetworkOptions>).await;
    match found.map_err(engine.failed(format!("look at the network {name}"))) {
        Ok(there) => return own("network", &name, place, &there.labels.unwrap_or_default()),
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error.into()),
    }
    let [a, b, c] = place.block;
    let subnet = format!("{a}.{b}.{c}.0/24");
    let config = IpamConfig { subnet: Some(subnet.clone()), ..Default::default() };
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        labels: Some(names::network_labels(place)),
        ..Default::default()
    };
    match engine.docker().create_network(request).await.map_err(engine.failed(format!("make the network {name}"))) {
        Ok(_) => Ok(()),
        Err(EngineError::Refused { why, .. }) if why.contains("overlap") || why.contains("is already used") => {
            Err(DockerError::SubnetTaken { subnet, why }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The volumes of a node.
async fn volumes(engine: &Engine, place: &DockerPlace, plan: &ContainerPlan) -> Result<(), DeployError> {
    for (volume, _) in &plan.volumes {
        let name = names::volume(place, volume);
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(names::volume_labels(place, volume)),
            ..Default::default()
        };
        // One that is there is given back as it is.
        let there = engine.docker().create_volume(request).await;
        let there = there.map_err(engine.failed(format!("make the volume {name}")))?;
        own("volume", &name, place, &there.labels)?;
    }
    Ok(())
}

/// That a thing which is there is the deployment's own.
fn own(kind: &'static str, name: &str, place: &DockerPlace, labels: &names::Labels) -> Result<(), DeployError> {
    if labels.get(names::OWNER) == Some(&place.owner) {
        return Ok(());
    }
    Err(DockerError::NameTaken { kind, name: name.to_owned(), whose: whose(labels) }.into())
}

/// The container of a node, made but not started. One that was made from something else is replaced; its data stays.
pub async fn container(
    engine: &Engine,
    deployment: &Deployment,
    place: &DockerPlace,
    plan: &NodePlan,
    progress: &dyn Progress,
) -> Result<(), DeployError> {
    let Some(wanted) = &plan.container else { return Ok(()) };
    let node = deployment.known(&plan.name)?;
    let name = names::container(place, &deployment.plan.lab, &plan.name);
    let tag = image_of(deployment, place, wanted);
    let image_id = image::id(engine, &tag).await?.unwrap_or_default();
    let spec = serde_json::to_vec(&(plan, &node.main, &node.side, &image_id, &place.publish_on));
    let recipe = image::digest(&[&spec.map_err(|error| DeployError::process("write a container's plan", error))?]);
    match engine.container(&name).inspect().await {
        Ok(there) => {
            let labels = there.config.and_then(|config| config.labels).unwrap_or_default();
            own("container", &name, place, &labels)?;
            let never_started =
                there.state.is_some_and(|state| state.status == Some(ContainerStateStatusEnum::CREATED));
            // One that was never started may lack its files: labrun may have been killed before it laid them.
            if labels.get(names::RECIPE) == Some(&recipe) && !never_started {
                return Ok(());
            }
            progress.stage(&format!("replacing {name}"));
            remove(engine, &name).await?;
        }
        Err(EngineError::NoContainer { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    volumes(engine, place, wanted).await?;
    let labels = names::container_labels(deployment, place, &plan.name, &recipe);
    let body = body(place, plan, node, wanted, tag, labels);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let made = engine.docker().create_container(Some(options), body).await;
    made.map_err(engine.failed(format!("make the container {name}")))?;
    put_files(engine, &name, plan, wanted).await
}

/// Remove a container, and not its named volumes.
async fn remove(engine: &Engine, name: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    engine.docker().remove_container(name, Some(options)).await.map_err(engine.failed(format!("remove {name}")))
}

fn image_of(deployment: &Deployment, place: &DockerPlace, wanted: &ContainerPlan) -> String {
    let built = deployment.plan.images.iter().any(|image| image.name == wanted.image);
    if built { names::image(place, &wanted.image) } else { wanted.image.clone() }
}

fn body(
    place: &DockerPlace,
    plan: &NodePlan,
    node: &DeployedNode,
    wanted: &ContainerPlan,
    image: String,
    labels: names::Labels,
) -> ContainerCreateBody {
    let some = |words: &Vec<String>| (!words.is_empty()).then(|| words.clone());
    let ports = ports(place, plan, node);
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig { ipv4_address: Some(plan.address.to_string()), ..Default::default() }),
        aliases: Some(vec![plan.name.clone()]),
        ..Default::default()
    };
    let network = names::network(place);
    let host = HostConfig {
        network_mode: Some(network.clone()),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), ..Default::default() }),
        binds: Some(wanted.volumes.iter().map(|(name, at)| format!("{}:{at}", names::volume(place, name))).collect()),
        port_bindings: Some(ports.clone()),
        ..Default::default()
    };
    ContainerCreateBody {
        hostname: Some(plan.name.clone()),
        image: Some(image),
        env: Some(wanted.environment.clone()),
        cmd: some(&wanted.command),
        healthcheck: some(&wanted.health).map(|test| HealthConfig {
            test: Some(test),
            interval: Some(3 * SECOND_NS),
            timeout: Some(3 * SECOND_NS),
            retries: Some(40),
            ..Default::default()
        }),
        exposed_ports: Some(ports.into_keys().collect()),
        labels: Some(labels),
        // Images name other signals: HAProxy's would wait for its sessions.
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: Some(i64::try_from(stop_limit(&plan.service).as_secs()).unwrap_or(30)),
        host_config: Some(host),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(network, endpoint)])) }),
        ..Default::default()
    }
}

/// What the lab publishes, and the ways in by which labrun reaches what it does not. On the loopback unless told.
fn ports(place: &DockerPlace, plan: &NodePlan, node: &DeployedNode) -> PortMap {
    let ip = place.publish_on.unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string();
    let mut pairs: Vec<(u16, u16)> = plan.publish.iter().map(|port| (port.host_port, port.node_port)).collect();
    let (main, side) = endpoints(plan, place.block);
    let reached = [(Some(main), Some(node.main)), (side, node.side)];
    for (own, at) in reached {
        let (Some(own), Some(at)): (Option<SocketAddr>, Option<SocketAddr>) = (own, at) else { continue };
        if own != at && !pairs.contains(&(at.port(), own.port())) {
            pairs.push((at.port(), own.port()));
        }
    }
    let mut map = PortMap::new();
    for (host, own) in pairs {
        let binding = PortBinding { host_ip: Some(ip.clone()), host_port: Some(host.to_string()) };
        map.entry(format!("{own}/tcp")).or_default().get_or_insert_default().push(binding);
    }
    map
}

/// Lay the node's files in its container: a bind mount would need them on the engine's machine.
async fn put_files(engine: &Engine, name: &str, plan: &NodePlan, wanted: &ContainerPlan) -> Result<(), DeployError> {
    let mut archive = tar::Builder::new(Vec::new());
    for (file, at) in &wanted.files {
        let Some(file) = plan.files.iter().find(|other| other.path == *file) else { continue };
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(0o644);
        let added = archive.append_data(&mut header, at.trim_start_matches('/'), file.content.as_bytes());
        added.map_err(DeployError::io("pack", at))?;
    }
    if wanted.files.is_empty() {
        return Ok(());
    }
    let packed = archive.into_inner().map_err(DeployError::io("pack", name))?;
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let put = engine.docker().upload_to_container(name, Some(options), body_full(packed.into())).await;
    Ok(put.map_err(engine.failed(format!("lay files in {name}")))?)
}
