//! Programs and their versions.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Finding, Level};
use crate::deploy::local::programs::{Missing, Search};
use crate::lab::model::AgentKind;
use crate::topology::{Plan, Service};

pub fn examine(plan: &Plan) -> Vec<Finding> {
    let search = Search::from_env();
    let has = |wanted: fn(&Service) -> bool| plan.nodes.iter().any(|node| wanted(&node.service));
    let mut findings = vec![tool("labrun-agent", search.agent(), &["--version"])];
    if has(|service| matches!(service, Service::Postgres { .. })) {
        let server = search.postgres_bin().map(|bin| bin.join("postgres"));
        findings.push(tool("PostgreSQL", server, &["--version"]));
    }
    if has(|service| matches!(service, Service::Postgres { agent: AgentKind::Patroni, .. })) {
        findings.push(tool("Patroni", search.patroni(), &["--version"]));
    }
    if has(|service| matches!(service, Service::Zookeeper { .. })) {
        findings.push(tool("Java", search.java(), &["-version"]));
        findings.push(match search.zookeeper() {
            Ok(jars) => Finding::ok("ZooKeeper", zookeeper_version(&jars)),
            Err(missing) => not_there("ZooKeeper", missing),
        });
    }
    if has(|service| matches!(service, Service::Haproxy { .. })) {
        findings.push(tool("HAProxy", search.haproxy(), &["-v"]));
    }
    findings
}

fn tool(subject: &str, found: Result<impl AsRef<Path>, Missing>, ask: &[&str]) -> Finding {
    let path = match found {
        Ok(path) => path,
        Err(missing) => return not_there(subject, missing),
    };
    let path = path.as_ref();
    match version(path, ask) {
        Some(version) => Finding::ok(subject, format!("{version} ({})", path.display())),
        None => Finding::of(Level::Error, subject, format!("{} does not run", path.display()), "install it again"),
    }
}

fn not_there(subject: &str, missing: Missing) -> Finding {
    Finding::of(Level::Error, subject, missing.looked, missing.install)
}

/// The first line of what the program says when asked for its version; some say it on stderr.
fn version(program: &Path, ask: &[&str]) -> Option<String> {
    let output = Command::new(program).args(ask).stdin(Stdio::null()).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&text);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// From a name like `zookeeper-3.8.0.jar`: the jar's own, or that of a link to it beside it.
fn zookeeper_version(jars: &[impl AsRef<Path>]) -> String {
    let jars = jars.iter().map(AsRef::as_ref);
    let main = jars.filter(|jar| jar.file_name().is_some_and(|name| name.to_string_lossy().starts_with("zookeeper")));
    let Some(main) = main.last() else { return "unknown version".to_owned() };
    let beside = main.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let names = beside.filter_map(|entry| entry.file_name().into_string().ok());
    let version = names.filter_map(|name| name.strip_prefix("zookeeper-")?.strip_suffix(".jar").map(str::to_owned));
    let version = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit())).max();
    format!("{} ({})", version.unwrap_or_else(|| "unknown version".to_owned()), main.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_zookeeper_is_in_a_name_beside_the_jar() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["zookeeper.jar", "zookeeper-3.8.0.jar", "zookeeper-jute-3.8.0.jar", "other-9.jar"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(zookeeper_version(&[dir.path().join("zookeeper.jar")]).starts_with("3.8.0 ("));
        assert_eq!(zookeeper_version(&["/nonexistent/x.jar"]), "unknown version");
    }

    #[test]
    fn a_program_that_does_not_run_is_an_error() {
        assert_eq!(tool("x", Ok("/bin/false"), &[]).level, Level::Error);
        assert!(tool("x", Ok("/bin/sh"), &["-c", "echo 1.2 >&2"]).found.starts_with("1.2 ("));
    }
}
