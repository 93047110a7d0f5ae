//! Where a cluster is to be found, as the command line says it.

use std::path::PathBuf;
use std::str::FromStr;

/// Where a cluster is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The running containers of the compose project in this folder.
    Compose(PathBuf),
    /// The running containers of the compose project of this name, with or without its files.
    Docker(String),
    /// What this file says.
    Endpoints(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        match text.split_once(':') {
            Some(("compose", dir)) if !dir.is_empty() => Ok(Source::Compose(dir.into())),
            Some(("docker", project)) if !project.is_empty() => Ok(Source::Docker(project.to_owned())),
            _ if text.ends_with(".yaml") || text.ends_with(".yml") => Ok(Source::Endpoints(text.into())),
            _ => Err("compose:DIR, docker:PROJECT, or a file of endpoints that ends in .yaml".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_is_known() {
        assert_eq!("compose:/a:b".parse(), Ok(Source::Compose("/a:b".into())));
        assert_eq!("docker:lab1".parse(), Ok(Source::Docker("lab1".to_owned())));
        assert_eq!("sites/prod.yaml".parse(), Ok(Source::Endpoints("sites/prod.yaml".into())));
        for bad in ["compose:", "docker:", "prod", ""] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }
}
