//! A visit to a container's network: a program of ours, run in a container that lives as long as the program does and
//! shares the other one's network.
//!
//! It is made from the other one's own image, which is there for sure, and the program is laid in it; so the program had
//! better be a static one. A visitor that is left behind by a labrun that was killed bears the labels that it was given.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptionsBuilder,
    UploadToContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;

use super::container::{Pieces, Ran};
use super::{Engine, EngineError};

/// How long a visit may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Where the program lies.
const PROGRAM: &str = "/labrun-visitor";

impl Engine {
    /// Run `program` with `args` in the network of the container `host`, as root there with the right to change that
    /// network and no other. Packed, it is handed over as [`pack`] makes it.
    pub async fn visit(
        &self,
        host: &str,
        packed: bytes::Bytes,
        args: &[String],
        labels: HashMap<String, String>,
    ) -> Result<Ran, EngineError> {
        let what = format!("visit the network of {host}");
        let image = self.container(host).inspect().await?.image;
        let body = ContainerCreateBody {
            image,
            entrypoint: Some(vec![PROGRAM.to_owned()]),
            cmd: Some(args.to_vec()),
            user: Some("0".to_owned()),
            labels: Some(labels),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{host}")),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(vec!["NET_ADMIN".to_owned()]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let made = self.docker().create_container(None::<CreateContainerOptions>, body).await;
        let visitor = made.map_err(self.failed(&what))?.id;
        let ran = tokio::time::timeout(LIMIT, self.carry_out(&visitor, packed, &what)).await;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker().remove_container(&visitor, Some(options)).await.map_err(self.failed(&what));
        let why = || format!("it has not ended after {} s", LIMIT.as_secs());
        let ran = ran.map_err(|_| EngineError::Refused { what: what.clone(), status: 408, why: why() })??;
        removed.map(|()| ran)
    }

    async fn carry_out(&self, visitor: &str, packed: bytes::Bytes, what: &str) -> Result<Ran, EngineError> {
        let docker = self.docker();
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        docker.upload_to_container(visitor, Some(options), body_full(packed)).await.map_err(self.failed(what))?;
        let options = AttachContainerOptionsBuilder::new().stdout(true).stderr(true).stream(true).logs(true).build();
        let mut attached = docker.attach_container(visitor, Some(options)).await.map_err(self.failed(what))?;
        self.container(visitor).start().await?;
        let mut pieces = Pieces::default();
        while let Some(piece) = attached.output.next().await {
            pieces.keep(&piece.map_err(self.failed(what))?);
        }
        // What it prints ends a moment before it does.
        let mut ended = docker.wait_container(visitor, None::<WaitContainerOptions>);
        let code = match ended.next().await {
            Some(Ok(ended)) => Some(ended.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Some(code),
            Some(Err(error)) => return Err(self.failed(what)(error)),
            None => None,
        };
        Ok(pieces.end(code))
    }
}

/// The program as the engine takes files.
pub fn pack(program: &Path) -> std::io::Result<bytes::Bytes> {
    let content = std::fs::read(program)?;
    let mut archive = tar::Builder::new(Vec::with_capacity(content.len() + 4096));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, PROGRAM.trim_start_matches('/'), content.as_slice())?;
    Ok(archive.into_inner()?.into())
}
