//! For labs in containers: the engine, its images, and the agent that is copied in.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{Finding, Level};
use crate::deploy::docker;
use crate::deploy::local::programs::Search;
use crate::engine::{Address, Engine, EngineError};
use crate::images::STAND_INS;
use crate::lab::model::AgentKind;
use crate::topology::{Plan, Service};

pub async fn examine(plan: &Plan) -> Vec<Finding> {
    let mut findings = Vec::new();
    match reach().await {
        Ok((engine, found)) => {
            findings.push(found);
            for image in docker::base_images(plan) {
                findings.push(of_image(&engine, image).await);
            }
        }
        Err(error) => {
            let remedy = miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
            findings.push(Finding::of(Level::Error, "engine", error.to_string(), remedy));
        }
    }
    let labrun = |service: &Service| matches!(service, Service::Postgres { agent: AgentKind::Labrun, .. });
    if plan.nodes.iter().any(|node| labrun(&node.service)) {
        findings.push(of_agent());
    }
    findings
}

async fn reach() -> Result<(Engine, Finding), EngineError> {
    let engine = Engine::connect(&Address::from_env()?).await?;
    let version = engine.docker().version().await.map_err(engine.failed("tell its version"))?;
    let (version, api) = (version.version.unwrap_or_default(), version.api_version.unwrap_or_default());
    let found = Finding::ok("engine", format!("{version}, API {api} ({})", engine.address()));
    Ok((engine, found))
}

/// What stands for this machine's ports, where the engine publishes them on another one.
pub fn of_ports() -> Option<Finding> {
    let engine = Address::from_env().ok()?;
    let machine = docker::other_machine(&engine)?;
    let found = format!("{engine} is on another machine: what it publishes on its loopback is not reached from here");
    Some(Finding::of(Level::Warning, "ports", found, format!("in a network of your own: --publish-on {machine}")))
}

async fn of_image(engine: &Engine, image: &str) -> Finding {
    match docker::image_id(engine, image).await {
        Ok(Some(_)) => Finding::ok(image, "is there"),
        Ok(None) if STAND_INS.iter().any(|one| one.image == image) => {
            let remedy = "where no registry is reached: labrun images build";
            Finding::of(Level::Warning, image, "will be fetched from its registry", remedy)
        }
        Ok(None) => {
            Finding::of(Level::Warning, image, "will be fetched from its registry", format!("docker pull {image}"))
        }
        Err(error) => Finding::of(Level::Error, image, error.to_string(), "docker version"),
    }
}

fn of_agent() -> Finding {
    match Search::from_env().agent_for_images() {
        Ok(path) if is_static(&path) => Finding::ok("labrun-agent", format!("static ({})", path.display())),
        Ok(path) => {
            let found = format!("{} needs a C library as new as this machine's in the image", path.display());
            Finding::of(Level::Warning, "labrun-agent", found, "make build makes a static one, for every image")
        }
        Err(missing) => Finding::of(Level::Error, "labrun-agent", missing.looked, missing.install),
    }
}

/// Whether a program needs no loader: a 64-bit ELF file without an interpreter.
fn is_static(path: &Path) -> bool {
    interpreted(path).is_ok_and(|interpreted| !interpreted)
}

/// Whether one of the ELF file's program headers names an interpreter (`PT_INTERP`; elf(5)).
fn interpreted(path: &Path) -> std::io::Result<bool> {
    const INTERPRETER: u32 = 3;
    let mut file = File::open(path)?;
    let mut head = [0; 64];
    file.read_exact(&mut head)?;
    if head[..5] != *b"\x7fELF\x02" {
        return Err(std::io::Error::other("it is no 64-bit ELF file"));
    }
    let number = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let offset = u64::from_le_bytes(head[32..40].try_into().unwrap_or_default());
    for header in 0..number(56) {
        let mut kind = [0; 4];
        file.seek(SeekFrom::Start(offset + header * number(54)))?;
        file.read_exact(&mut kind)?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert!(interpreted(Path::new("/bin/sh")).unwrap());
        assert!(interpreted(Path::new("/etc/passwd")).is_err() && !is_static(Path::new("/etc/passwd")));
    }
}
