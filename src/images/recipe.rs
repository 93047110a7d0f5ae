//! What the images are made from, and the digest of all that.

use sha2::{Digest, Sha256};

use super::host::HandedIn;
use crate::lab::library::builtin_files;

/// The base system's image.
pub const BASE: &str = "labrun/debian:bookworm";

/// An official image, and what stands in for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandIn {
    /// The official image's name.
    pub image: &'static str,
    /// The folder below `templates/images/`.
    folder: &'static str,
    /// What is in it, for people.
    pub inside: &'static str,
}

/// All of them.
pub const STAND_INS: [StandIn; 3] = [
    StandIn { image: "haproxy:2.4", folder: "haproxy", inside: "HAProxy 2.6" },
    StandIn { image: "confluentinc/cp-zookeeper:7.7.1", folder: "zookeeper", inside: "ZooKeeper 3.8" },
    StandIn { image: "postgres:15", folder: "postgres", inside: "PostgreSQL 15" },
];

/// A file of a folder below `templates/images/`: its name and its text.
type File = (&'static str, &'static str);

/// The files of the base system.
pub fn base_files() -> Vec<File> {
    files("base")
}

impl StandIn {
    /// The files that the engine builds it from.
    pub fn files(&self) -> Vec<File> {
        files(self.folder)
    }

    /// The digest of what it is made from, on a base of that digest.
    pub fn digest(&self, base: &str) -> String {
        digest(&self.files(), |hash| hash.update(base))
    }
}

/// The digest of what the base system is made from.
pub fn base_digest(handed_in: &HandedIn) -> String {
    digest(&base_files(), |hash| {
        part(hash, std::env::consts::ARCH, handed_in.sources.as_bytes());
        for (path, content) in &handed_in.files {
            part(hash, path, content);
        }
    })
}

fn files(folder: &str) -> Vec<File> {
    let prefix = format!("templates/images/{folder}/");
    let named = |(path, text): (&'static str, &'static str)| Some((path.strip_prefix(&prefix)?, text));
    builtin_files(&prefix).filter_map(named).collect()
}

fn digest(files: &[File], more: impl FnOnce(&mut Sha256)) -> String {
    let mut hash = Sha256::new();
    for (name, text) in files {
        part(&mut hash, name, text.as_bytes());
    }
    more(&mut hash);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// With their lengths, so that no two lists of parts read alike.
fn part(hash: &mut Sha256, name: &str, content: &[u8]) {
    hash.update(format!("{} {} {name}", name.len(), content.len()));
    hash.update(content);
}

/// Whether a file is a program of its image.
pub fn is_program(text: &[u8]) -> bool {
    text.starts_with(b"#!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_its_files_and_stands_on_the_base() {
        assert!(!base_files().is_empty());
        for one in STAND_INS {
            let files = one.files();
            let (_, text) = files.iter().find(|(name, _)| *name == "Dockerfile").unwrap();
            assert!(text.contains(&format!("FROM {BASE}\n")) && text.contains(one.image), "{}", one.image);
            assert!(files.iter().any(|(_, text)| is_program(text.as_bytes())), "{}", one.image);
        }
    }

    #[test]
    fn the_digest_follows_everything_that_an_image_is_made_from() {
        let plain = HandedIn::default();
        let base = base_digest(&plain);
        let other = |change: &dyn Fn(&mut HandedIn)| {
            let mut changed = plain.clone();
            change(&mut changed);
            base_digest(&changed)
        };
        assert_eq!(base, base_digest(&plain));
        assert_ne!(base, other(&|host| host.sources.push('x')));
        assert_ne!(base, other(&|host| host.files.push(("etc/pip.conf".to_owned(), Vec::new()))));
        assert_ne!(STAND_INS[0].digest(&base), STAND_INS[0].digest("other"));
        assert_ne!(STAND_INS[0].digest(&base), STAND_INS[1].digest(&base));
    }
}
