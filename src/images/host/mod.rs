//! What this machine hands in to the images, so that apt and pip work in them as they work here: where packages come
//! from, proxies, and the certificates that this machine trusts beyond the usual ones.

mod apt;
mod certificates;
mod pip;

use std::path::{Path, PathBuf};

pub use apt::SUITE;

use crate::images::ImageError;

/// The folder of an image in which handed-in packages for pip lie.
const WHEELS: &str = "usr/local/share/labrun/wheels";
/// The folder of an image in which handed-in certificates lie.
const CERTIFICATES: &str = "usr/local/share/ca-certificates/labrun";

/// What is handed in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandedIn {
    /// apt's sources, as a file in apt's deb822 format.
    pub sources: String,
    /// Files of the image: their path in it, and their content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Where this machine's settings are read.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    env: Vec<(String, String)>,
}

impl Host {
    /// This machine, and the environment of this process.
    pub fn this() -> Host {
        Host { root: "/".into(), env: std::env::vars().collect() }
    }

    /// Reads all that is handed in.
    pub fn gather(&self) -> Result<HandedIn, ImageError> {
        let sources = apt::sources(self)?;
        let mut files = sources.keyrings;
        if let Some(proxies) = apt::proxies(self) {
            files.push(("etc/apt/apt.conf.d/91host".to_owned(), proxies.into_bytes()));
        }
        let certificates = certificates::own(self);
        let pip = pip::config(self, !certificates.is_empty())?;
        files.extend(certificates.into_iter().enumerate().map(|(number, text)| {
            let path = format!("{CERTIFICATES}/host-{number:02}.crt");
            (path, text.into_bytes())
        }));
        files.extend(pip);
        Ok(HandedIn { sources: sources.text, files })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text; nothing where there is none that can be read.
    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok()
    }

    /// The files of a folder, by name.
    fn listed(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(ImageError::io("read", path))
}

#[cfg(test)]
mod testing {
    use super::Host;

    /// A machine whose files are `files`.
    pub fn host(root: &std::path::Path, files: &[(&str, &str)], env: &[(&str, &str)]) -> Host {
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Host { root: root.to_owned(), env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }
}
