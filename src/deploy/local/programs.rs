//! Finding the programs that nodes run: where Debian's and Ubuntu's packages put them, or where `LABRUN_*` says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::deploy::{DeployError, Programs};
use crate::lab::model::AgentKind;
use crate::topology::Service;

/// The oldest PostgreSQL that nodes can run.
pub const OLDEST_POSTGRES: u32 = 15;
/// The programs of PostgreSQL that the agent calls.
pub const POSTGRES_TOOLS: [&str; 6] = ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_ctl"];
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEBIAN_JAR: &str = "/usr/share/java/zookeeper.jar";
const DEBIAN_ENV: &str = "/usr/share/zookeeper/bin/zkEnv.sh";
/// Writes ZooKeeper's log to stderr; first on the class path, since the first binding wins.
const LOGGER: &str = "/usr/share/java/slf4j-simple.jar";

/// A program that could not be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program.
    pub program: &'static str,
    /// Where it was looked for.
    pub looked: String,
    /// How it is installed.
    pub install: &'static str,
}

impl From<Missing> for DeployError {
    fn from(missing: Missing) -> DeployError {
        let Missing { program, looked, install } = missing;
        DeployError::MissingProgram { program: program.to_owned(), looked, package: install.to_owned() }
    }
}

/// Where programs are looked for: the environment that matters.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The folders of `PATH`, and those of the system after them.
    path: Vec<PathBuf>,
    /// `LABRUN_*` and `JAVA_HOME`.
    overrides: Vec<(String, PathBuf)>,
    /// The folder of the labrun executable.
    beside: Option<PathBuf>,
}

impl Search {
    /// From the environment of this process.
    pub fn from_env() -> Search {
        let path = std::env::var("PATH").unwrap_or_default() + ":" + SYSTEM_PATH;
        let overrides = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, PathBuf::from(value))))
            .filter(|(name, value)| (name.starts_with("LABRUN_") || name == "JAVA_HOME") && value != Path::new(""));
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf()));
        Search { path: std::env::split_paths(&path).collect(), overrides: overrides.collect(), beside }
    }

    /// Every program that `services` need, or the first that is missing.
    pub fn all<'a>(&self, services: impl Iterator<Item = &'a Service>) -> Result<Programs, Missing> {
        let mut found = Programs { agent: self.agent()?, ..Programs::default() };
        for service in services {
            match service {
                Service::Zookeeper { .. } => {
                    found.java = Some(self.java()?);
                    found.zookeeper = self.zookeeper()?;
                }
                Service::Postgres { agent, .. } => {
                    found.postgres_bin = Some(self.postgres_bin()?);
                    if *agent == AgentKind::Patroni {
                        found.patroni = Some(self.patroni()?);
                    }
                }
                Service::Haproxy { .. } => found.haproxy = Some(self.haproxy()?),
            }
        }
        Ok(found)
    }

    /// The node agent: beside labrun.
    pub fn agent(&self) -> Result<PathBuf, Missing> {
        let missing = |looked| Missing {
            program: "labrun-agent",
            looked,
            install: "build it together with labrun: cargo build --release --workspace",
        };
        if let Some(path) = self.told("LABRUN_AGENT") {
            return if is_program(&path) { Ok(path) } else { Err(missing(not_there("LABRUN_AGENT", &path))) };
        }
        let beside = self.beside.as_ref().map(|folder| folder.join("labrun-agent"));
        match beside.filter(|path| is_program(path)) {
            Some(path) => Ok(path),
            None => self.in_path("labrun-agent").ok_or_else(|| missing("not beside labrun, not in PATH".to_owned())),
        }
    }

    /// The node agent for images: a static one beside labrun, or the usual one, which runs where its C library is.
    pub fn agent_for_images(&self) -> Result<PathBuf, Missing> {
        const VARIABLE: &str = "LABRUN_AGENT_STATIC";
        match self.told(VARIABLE) {
            Some(path) if is_program(&path) => return Ok(path),
            Some(path) => {
                let (looked, install) = (not_there(VARIABLE, &path), "make build");
                return Err(Missing { program: "a static labrun-agent", looked, install });
            }
            None => {}
        }
        let beside = self.beside.as_ref().map(|folder| folder.join("labrun-agent-static"));
        beside.filter(|path| is_program(path)).map_or_else(|| self.agent(), Ok)
    }

    /// HAProxy.
    pub fn haproxy(&self) -> Result<PathBuf, Missing> {
        self.simple("haproxy", "LABRUN_HAPROXY", "apt-get install haproxy")
    }

    /// Real Patroni.
    pub fn patroni(&self) -> Result<PathBuf, Missing> {
        let install = "python3 -m venv VENV && VENV/bin/pip install 'patroni[zookeeper]' psycopg2-binary, \
                       then LABRUN_PATRONI=VENV/bin/patroni";
        self.simple("patroni", "LABRUN_PATRONI", install)
    }

    /// Java.
    pub fn java(&self) -> Result<PathBuf, Missing> {
        let home = self.told("JAVA_HOME").map(|home| home.join("bin/java")).filter(|java| is_program(java));
        match (self.told("LABRUN_JAVA"), home) {
            (None, Some(java)) => Ok(java),
            _ => self.simple("java", "LABRUN_JAVA", "apt-get install default-jre-headless"),
        }
    }

    /// ZooKeeper's jars: of the Debian package, or of Apache's archive unpacked where `LABRUN_ZOOKEEPER` says.
    pub fn zookeeper(&self) -> Result<Vec<PathBuf>, Missing> {
        let missing = |looked| Missing { program: "zookeeper", looked, install: "apt-get install libzookeeper-java" };
        if let Some(home) = self.told("LABRUN_ZOOKEEPER") {
            let jars = jars_below(&home.join("lib"));
            return if jars.is_empty() {
                Err(missing(format!("LABRUN_ZOOKEEPER says {}, which has no lib/*.jar", home.display())))
            } else {
                Ok(jars)
            };
        }
        if !Path::new(DEBIAN_JAR).exists() {
            return Err(missing(format!("no {DEBIAN_JAR}")));
        }
        let env = std::fs::read_to_string(DEBIAN_ENV).unwrap_or_default();
        Ok(debian_class_path(&env, Path::new(LOGGER).exists()))
    }

    /// PostgreSQL's programs: the newest version that Debian's packages brought, or those in `PATH`.
    pub fn postgres_bin(&self) -> Result<PathBuf, Missing> {
        let missing = |looked| Missing {
            program: "PostgreSQL",
            looked,
            install: "apt-get install postgresql (Debian 12, Ubuntu 24.04 or later; else see apt.postgresql.org)",
        };
        let told = self.told("LABRUN_POSTGRES_BIN");
        if let Some(folder) = &told
            && let Some(tool) = lacks(folder)
        {
            return Err(missing(format!("LABRUN_POSTGRES_BIN says {}, which has no {tool}", folder.display())));
        }
        let packaged = || newest(versions_below(Path::new("/usr/lib/postgresql")));
        let in_path = || self.in_path("initdb").and_then(|tool| Some(tool.canonicalize().ok()?.parent()?.to_owned()));
        let found = told.or_else(packaged).or_else(in_path).filter(|folder| lacks(folder).is_none());
        let folder = found.ok_or_else(|| {
            missing(format!("no version {OLDEST_POSTGRES} or later in /usr/lib/postgresql, none in PATH"))
        })?;
        match postgres_version(&folder) {
            Some(version) if version < OLDEST_POSTGRES => {
                let needed = format!("{OLDEST_POSTGRES} or later is needed");
                Err(missing(format!("{} is version {version}, {needed}", folder.display())))
            }
            _ => Ok(folder),
        }
    }

    fn simple(&self, program: &'static str, variable: &str, install: &'static str) -> Result<PathBuf, Missing> {
        match self.told(variable) {
            Some(path) if is_program(&path) => Ok(path),
            Some(path) => Err(Missing { program, looked: not_there(variable, &path), install }),
            None => self.in_path(program).ok_or_else(|| Missing {
                program,
                looked: format!("not in PATH, and {variable} is not set"),
                install,
            }),
        }
    }

    fn told(&self, variable: &str) -> Option<PathBuf> {
        self.overrides.iter().find(|(name, _)| name == variable).map(|(_, path)| path.clone())
    }

    /// Any program of that name.
    pub fn in_path(&self, program: &str) -> Option<PathBuf> {
        self.path.iter().map(|folder| folder.join(program)).find(|path| path.is_absolute() && is_program(path))
    }
}

fn not_there(variable: &str, path: &Path) -> String {
    format!("{variable} says {}, which is no program", path.display())
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The first of PostgreSQL's programs that the folder lacks.
fn lacks(folder: &Path) -> Option<&'static str> {
    POSTGRES_TOOLS.into_iter().find(|tool| !is_program(&folder.join(tool)))
}

fn versions_below(folder: &Path) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let version = |name: std::ffi::OsString| name.to_str()?.parse().ok();
    entries.filter_map(|entry| Some((version(entry.file_name())?, entry.path().join("bin")))).collect()
}

fn newest(versions: Vec<(u32, PathBuf)>) -> Option<PathBuf> {
    let good = versions.into_iter().filter(|(version, bin)| *version >= OLDEST_POSTGRES && lacks(bin).is_none());
    good.max_by_key(|(version, _)| *version).map(|(_, bin)| bin)
}

/// The major version that `postgres --version` tells (`postgres (PostgreSQL) 15.20 (Debian …)`).
fn postgres_version(folder: &Path) -> Option<u32> {
    let said = Command::new(folder.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    major(&String::from_utf8_lossy(&said.stdout))
}

fn major(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn jars_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut jars: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("jar".as_ref())).collect();
    jars.sort();
    jars
}

/// The class path of Debian's package. Its `zkEnv.sh` names it, since in some releases the jar itself names no others;
/// their logging backends give way to one that writes to stderr.
fn debian_class_path(env: &str, logger: bool) -> Vec<PathBuf> {
    let line = env.lines().find_map(|line| line.trim().strip_prefix("CLASSPATH=")).unwrap_or_default();
    let named = line.trim_matches('"').split(':').filter(|entry| entry.starts_with('/') && entry.ends_with(".jar"));
    let backends = ["slf4j-log4j12.jar", "logback-classic.jar", "slf4j-simple.jar"];
    let kept = named.filter(|entry| !logger || !backends.iter().any(|backend| entry.ends_with(backend)));
    let mut path: Vec<PathBuf> =
        logger.then(|| PathBuf::from(LOGGER)).into_iter().chain(kept.map(PathBuf::from)).collect();
    if !path.iter().any(|entry| entry == Path::new(DEBIAN_JAR)) {
        path.push(PathBuf::from(DEBIAN_JAR));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variable: &str, path: &str) -> Search {
        Search { overrides: vec![(variable.to_owned(), PathBuf::from(path))], ..Search::default() }
    }

    #[test]
    fn what_labrun_is_told_is_believed_or_refused_but_never_passed_over() {
        assert_eq!(with("LABRUN_HAPROXY", "/bin/sh").haproxy(), Ok(PathBuf::from("/bin/sh")));
        let missing = with("LABRUN_HAPROXY", "/nonexistent/haproxy").haproxy().unwrap_err();
        assert_eq!(missing.looked, "LABRUN_HAPROXY says /nonexistent/haproxy, which is no program");
        assert!(missing.install.contains("haproxy"));
        assert!(with("LABRUN_POSTGRES_BIN", "/bin").postgres_bin().unwrap_err().looked.contains("no postgres"));
        assert!(with("LABRUN_ZOOKEEPER", "/nonexistent").zookeeper().unwrap_err().looked.contains("lib/*.jar"));
    }

    #[test]
    fn a_program_is_looked_for_in_path_only_where_it_can_be_executed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("haproxy"), "").unwrap();
        let search = Search { path: vec![dir.path().to_owned()], ..Search::default() };
        assert!(search.haproxy().unwrap_err().looked.contains("PATH"));
    }

    #[test]
    fn the_class_path_is_that_of_the_package_with_a_logger_that_writes_to_stderr() {
        let bookworm = "CLASSPATH=\"/etc/zookeeper/conf:/usr/share/java/zookeeper.jar\"\n";
        assert_eq!(debian_class_path(bookworm, true), [LOGGER, DEBIAN_JAR].map(PathBuf::from));
        let older = "A=1\nCLASSPATH=\"$ZOOCFGDIR:/usr/share/java/netty.jar:/usr/share/java/slf4j-log4j12.jar:/usr/share/java/zookeeper.jar\"";
        assert_eq!(
            debian_class_path(older, true),
            [LOGGER, "/usr/share/java/netty.jar", DEBIAN_JAR].map(PathBuf::from)
        );
        assert_eq!(debian_class_path("", false), [PathBuf::from(DEBIAN_JAR)]);
    }

    #[test]
    fn an_old_server_is_refused_wherever_it_is() {
        assert_eq!(major("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!((major("postgres (PostgreSQL) 18beta1\n"), major("nonsense")), (Some(18), None));
        let dir = tempfile::tempdir().unwrap();
        for tool in POSTGRES_TOOLS {
            let path = dir.path().join(tool);
            std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n").unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let refused = with("LABRUN_POSTGRES_BIN", dir.path().to_str().unwrap()).postgres_bin().unwrap_err();
        assert!(refused.looked.contains("is version 14, 15 or later is needed"), "{}", refused.looked);
    }

    #[test]
    fn the_newest_version_that_is_whole_is_taken_and_an_old_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let version = |number: &str, tools: &[&str]| {
            let bin = dir.path().join(number).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for tool in tools {
                std::os::unix::fs::symlink("/bin/sh", bin.join(tool)).unwrap();
            }
            bin
        };
        version("14", &POSTGRES_TOOLS);
        assert_eq!(newest(versions_below(dir.path())), None);
        let whole = version("16", &POSTGRES_TOOLS);
        version("17", &["postgres"]);
        assert_eq!(newest(versions_below(dir.path())), Some(whole));
    }
}
