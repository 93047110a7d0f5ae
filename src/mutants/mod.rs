//! Mutants: a lab with one known mistake in it, and the diagnosis that it must get.
//!
//! A lab's author sees by them what his checks miss: a mutant that nothing stops *survives*. One that is stopped, but
//! not with the diagnosis that would help its author, is *misdiagnosed*.
//!
//! On disk: `labs/LAB/broken/NAME.yaml`, beside the lab; see [`Mutant`].

mod apply;
mod run;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::run::{Fate, Killed, Workshop};
use crate::lab::library::Library;
use crate::lab::model::{FaultKind, Text};
use crate::verify::Verdict;

/// The format of a mutant.
const FORMAT: &str = "labrun/v1";
/// The folder of mutants, beside the lab.
pub const FOLDER: &str = "broken";

/// A known mistake.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// The format version: `labrun/v1`.
    pub mutant: String,
    /// Its name: the file's name without its ending.
    pub name: String,
    /// The mistake, in one line.
    pub title: Text,
    /// The patch: changes to the lab's files, before it is deployed.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// Changes to the files of deployed nodes, as somebody would make them by hand; the node is restarted.
    #[serde(default)]
    pub by_hand: Vec<ByHand>,
    /// What is done to the cluster before it is verified.
    #[serde(default)]
    pub before: Vec<Before>,
    /// The only part that is verified; all of them otherwise.
    #[serde(default)]
    pub only: Option<String>,
    /// What must come of it.
    pub diagnosis: Diagnosis,
}

/// One change of a file of the lab: the text that must be there, and what stands there instead.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, below the lab's folder (`lab.yaml`); a check that the lab takes from the library is copied first.
    #[serde(default = "lab_file")]
    pub file: String,
    /// What must be there.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

fn lab_file() -> String {
    "lab.yaml".to_owned()
}

/// One change of a file of a deployed node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByHand {
    /// The node.
    pub node: String,
    /// The file, below its folder.
    pub file: String,
    /// What must be there.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// Something that is done to a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// What.
    #[serde(rename = "do")]
    pub kind: FaultKind,
    /// To whom: a role or a node.
    pub on: String,
}

/// What must come of a mutant: who stops it, and with which words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase", deny_unknown_fields)]
pub enum Diagnosis {
    /// Reading the lab, with a finding of this code.
    Validate {
        /// The code.
        code: String,
        /// Words that the finding must have.
        #[serde(default)]
        says: Option<String>,
    },
    /// Deploying it: it never becomes ready.
    Deploy {
        /// Words that the error must have.
        says: String,
    },
    /// A check.
    Check {
        /// Its name among the lab's checks.
        check: String,
        /// Its verdict.
        verdict: Verdict,
        /// Words that the reason must have, in English.
        says: String,
    },
}

/// Why there are no mutants to run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MutantError {
    /// A file that is no mutant.
    #[error("{file} is no mutant: {why}")]
    #[diagnostic(code(LR0506), help("labs/ha-postgres/broken/ has examples"))]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        why: String,
    },
    /// None.
    #[error("{lab} has no mutants{named}")]
    #[diagnostic(code(LR0507), help("write them as broken/NAME.yaml beside the lab"))]
    None {
        /// The lab.
        lab: String,
        /// ` named …`, where some were asked for.
        named: String,
    },
    /// The folder to work in.
    #[error("cannot work in {}: {source}", dir.display())]
    #[diagnostic(code(LR0508), help("check the folder's permissions and the free space"))]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The mutants of a lab, in the order of their names.
pub fn of(library: &Library) -> Result<Vec<Mutant>, MutantError> {
    library.own_names(FOLDER, ".yaml").into_iter().map(|name| read(library, &name)).collect()
}

fn read(library: &Library, name: &str) -> Result<Mutant, MutantError> {
    let file = format!("{FOLDER}/{name}.yaml");
    let wrong = |why: String| MutantError::Unreadable { file: file.clone(), why };
    let found = library.file(&file).map_err(|finding| wrong(finding.message))?;
    let found = found.ok_or_else(|| wrong("it is not there".to_owned()))?;
    let mutant: Mutant = serde_saphyr::from_str(&found.text).map_err(|error| wrong(error.to_string()))?;
    if mutant.mutant != FORMAT {
        return Err(wrong(format!("its format is `{}`, not `{FORMAT}`", mutant.mutant)));
    }
    if mutant.name != name {
        return Err(wrong(format!("it is named `{}`", mutant.name)));
    }
    Ok(mutant)
}
