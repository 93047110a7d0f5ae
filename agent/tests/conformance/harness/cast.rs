//! Which program plays which node.

use std::fmt;
use std::path::PathBuf;

/// An agent program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Labrun,
    Patroni,
}

/// The programs of a scenario's nodes, in the order in which they start: the first becomes the first leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    Labrun,
    Patroni,
    /// Patroni and labrun-agent in turn.
    PatroniFirst,
    /// labrun-agent and Patroni in turn.
    LabrunFirst,
}

impl Cast {
    /// The program of node `index`.
    pub fn program(self, index: usize) -> Program {
        let even = index.is_multiple_of(2);
        match self {
            Cast::Labrun => Program::Labrun,
            Cast::Patroni => Program::Patroni,
            Cast::PatroniFirst if even => Program::Patroni,
            Cast::LabrunFirst if !even => Program::Patroni,
            Cast::PatroniFirst | Cast::LabrunFirst => Program::Labrun,
        }
    }

    pub fn has_patroni(self) -> bool {
        self != Cast::Labrun
    }
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cast::Labrun => "labrun",
            Cast::Patroni => "patroni",
            Cast::PatroniFirst => "mixed::patroni_first",
            Cast::LabrunFirst => "mixed::labrun_first",
        })
    }
}

/// The folder of Patroni's programs: `bin/` of its virtual environment, from `LABRUN_PATRONI_DIR` or where the
/// project's own scripts put it.
pub fn patroni_bin() -> Option<PathBuf> {
    let dir =
        std::env::var_os("LABRUN_PATRONI_DIR").map_or_else(|| PathBuf::from("/opt/labrun-patroni"), PathBuf::from);
    [dir.join("bin"), dir].into_iter().find(|bin| bin.join("patroni").is_file())
}

/// The newest PostgreSQL's programs.
pub fn postgres_bin() -> PathBuf {
    if let Some(dir) = std::env::var_os("LABRUN_PG_BIN") {
        return PathBuf::from(dir);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/postgres")).is_file())
        .max();
    let newest = newest.expect("no PostgreSQL server below /usr/lib/postgresql: install it, or set LABRUN_PG_BIN");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}
