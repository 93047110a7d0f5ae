//! What an image is built from, as a tar archive: the Dockerfile, the nodes' files, labrun's agent, and what this machine
//! hands in so that packages are reached from inside a build as they are from here.

use std::path::Path;

use bollard::models::ImageInspect;

use crate::deploy::DeployError;
use crate::images::STAND_IN;
use crate::images::host::{HandedIn, Host};
use crate::topology::{AGENT_FILE, ImagePlan};

/// The folder of handed-in files in the context.
const HANDED_IN: &str = ".labrun";
/// Trust in handed-in certificates, also in an image without the program that manages them.
const TRUST: &str = "RUN if command -v update-ca-certificates; then update-ca-certificates; else \
                     mkdir -p /etc/ssl/certs && cat /usr/local/share/ca-certificates/labrun/*.crt \
                     >> /etc/ssl/certs/ca-certificates.crt; fi";

/// The context of an image on `base`. The same content gives the same bytes.
pub fn pack(image: &ImagePlan, base: &ImageInspect, agent: Option<&Path>) -> Result<Vec<u8>, DeployError> {
    // A stand-in holds all that already; labrun's agent needs nothing from outside.
    let needs_packages = agent.is_none() && !is_stand_in(&image.base, base);
    let handed_in = if needs_packages { Host::this().gather()? } else { HandedIn::default() };
    let agent = agent.map(|path| std::fs::read(path).map_err(DeployError::io("read", path))).transpose()?;
    archive(image, &handed_in, agent.as_deref()).map_err(DeployError::io("pack", &image.name))
}

/// Whether labrun made the image. One that was built from such an image has inherited the label, and is none.
fn is_stand_in(name: &str, image: &ImageInspect) -> bool {
    let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(STAND_IN)).is_some_and(|made_for| made_for == name)
}

fn archive(image: &ImagePlan, handed_in: &HandedIn, agent: Option<&[u8]>) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in &image.files {
        let text = match file.path.as_str() {
            "Dockerfile" => with_handed_in(&file.content, handed_in),
            _ => file.content.clone(),
        };
        add(&mut archive, &file.path, text.as_bytes(), if file.secret { 0o600 } else { 0o644 })?;
    }
    for (path, content) in &handed_in.files {
        add(&mut archive, &format!("{HANDED_IN}/{path}"), content, 0o644)?;
    }
    if let Some(agent) = agent {
        add(&mut archive, AGENT_FILE, agent, 0o755)?;
    }
    archive.into_inner()
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    // The same time at every build: the engine's cache looks at it.
    header.set_mtime(0);
    archive.append_data(&mut header, path, content)
}

/// The Dockerfile with the handed-in files copied right after its first line.
fn with_handed_in(dockerfile: &str, handed_in: &HandedIn) -> String {
    if handed_in.files.is_empty() {
        return dockerfile.to_owned();
    }
    let (first, rest) = dockerfile.split_once('\n').unwrap_or((dockerfile, ""));
    let trusts = handed_in.files.iter().any(|(path, _)| path.ends_with(".crt"));
    let trust = if trusts { format!("{TRUST}\n") } else { String::new() };
    format!("{first}\nCOPY {HANDED_IN}/ /\n{trust}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::model::AgentKind;
    use crate::topology::ConfigFile;

    fn image() -> ImagePlan {
        let file =
            |path: &str, content: &str, secret| ConfigFile { path: path.into(), content: content.into(), secret };
        ImagePlan {
            name: "x".into(),
            base: "postgres:15".into(),
            agent: AgentKind::Labrun,
            files: vec![file("Dockerfile", "FROM postgres:15\nUSER postgres\n", false), file("a.yml", "secret", true)],
        }
    }

    fn unpacked(bytes: &[u8]) -> Vec<(String, u32)> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())).collect()
    }

    #[test]
    fn the_context_holds_the_files_the_agent_and_nothing_else() {
        let packed = archive(&image(), &HandedIn::default(), Some(b"agent")).unwrap();
        let expected = [("Dockerfile", 0o644), ("a.yml", 0o600), (AGENT_FILE, 0o755)];
        assert_eq!(unpacked(&packed), expected.map(|(path, mode)| (path.to_owned(), mode)));
        assert_eq!(packed, archive(&image(), &HandedIn::default(), Some(b"agent")).unwrap());
    }

    #[test]
    fn what_is_handed_in_is_copied_before_anything_else_is_done() {
        let files = vec![("usr/local/share/ca-certificates/labrun/host-00.crt".to_owned(), b"pem".to_vec())];
        let handed_in = HandedIn { files, ..HandedIn::default() };
        let text = with_handed_in("FROM postgres:15\nUSER postgres\n", &handed_in);
        assert!(text.starts_with("FROM postgres:15\nCOPY .labrun/ /\nRUN if command -v update-ca"), "{text}");
        assert!(text.ends_with("\nUSER postgres\n"), "{text}");
        assert_eq!(with_handed_in("FROM x\n", &HandedIn::default()), "FROM x\n");
        assert!(unpacked(&archive(&image(), &handed_in, None).unwrap())[2].0.starts_with(".labrun/usr/local/share/"));
    }
}
