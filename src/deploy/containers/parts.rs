//! The processes of a node's parts inside its container, and signals to them.
//!
//! A container shows its processes to a shell of its own, whatever else its image has. Numbers are those that the
//! container itself gives. Its first process cannot be struck from within; Patroni and labrun-agent both run below it.

use std::time::Duration;

use crate::deploy::{Blow, DeployError, Part, Processes};
use crate::engine::container::Container;

/// How long the container may take.
const LIMIT: Duration = Duration::from_secs(10);
/// One line a process: proc(5)'s `stat`, a tab, and its words. One that ends meanwhile has none.
const LIST: &str = r#"for p in /proc/[0-9]*; do
    read -r stat <"$p/stat" && words=$(tr '\0' ' ' <"$p/cmdline") && printf '%s\t%s\n' "$stat" "$words"
done 2>/dev/null; true"#;
/// The signal, then the processes. Whoever has gone meanwhile is fine.
const KILL: &str = r#"kill -"$0" "$@" 2>/dev/null; true"#;

/// The programs that are a node's HA agent, by the last part of their path.
const AGENTS: [&str; 2] = ["patroni", "labrun-agent"];

/// The processes of `part`.
pub async fn processes(container: &Container<'_>, part: Part) -> Result<Processes, DeployError> {
    let listed = shell(container, LIST, &[]).await?;
    Ok(of_part(&listed, part))
}

/// Signal the processes of `part`.
pub async fn strike(container: &Container<'_>, part: Part, blow: Blow) -> Result<(), DeployError> {
    let signal = match blow {
        Blow::Kill => "KILL",
        Blow::Stop => "STOP",
        Blow::Continue => "CONT",
    };
    let pids = processes(container, part).await?.pids;
    if pids.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = std::iter::once(signal.to_owned()).chain(pids.iter().map(i32::to_string)).collect();
    shell(container, KILL, &words).await.map(drop)
}

async fn shell(container: &Container<'_>, script: &str, args: &[String]) -> Result<String, DeployError> {
    let mut argv: Vec<String> = ["sh", "-c", script].map(str::to_owned).into();
    argv.extend_from_slice(args);
    let ran = container.exec_as(Some("0"), &argv, &[], LIMIT).await?;
    match ran.code {
        Some(0) => Ok(ran.stdout),
        code => {
            let code = code.map_or_else(String::new, |code| format!(" (exit code {code})"));
            Err(DeployError::process("look at a container's processes", format!("{}{code}", ran.stderr.trim())))
        }
    }
}

/// A process of a container.
struct Process<'a> {
    pid: i32,
    name: &'a str,
    state: &'a str,
    parent: i32,
    words: &'a str,
}

fn of_part(listed: &str, part: Part) -> Processes {
    let all: Vec<Process<'_>> =
        listed.lines().filter_map(process).filter(|it| !matches!(it.state, "Z" | "X")).collect();
    let is_postgres = |pid: i32| all.iter().any(|it| it.pid == pid && it.name.starts_with("postgres"));
    let chosen = all.iter().filter(|it| match part {
        Part::Node => true,
        Part::Postgres => is_postgres(it.pid),
        Part::Postmaster => is_postgres(it.pid) && !is_postgres(it.parent),
        Part::Agent => it.pid != 1 && !is_postgres(it.pid) && is_agent(it.words),
    });
    let chosen: Vec<&Process<'_>> = chosen.collect();
    let stopped = chosen.iter().filter(|it| matches!(it.state, "T" | "t")).count();
    Processes { pids: chosen.iter().map(|it| it.pid).collect(), stopped }
}

/// Whether a command line is an agent's: the program itself, or what an interpreter runs.
fn is_agent(words: &str) -> bool {
    let called = |word: &str| word.rsplit('/').next().is_some_and(|name| AGENTS.contains(&name));
    let mut words = words.split(' ');
    let program = words.next().unwrap_or_default();
    let is_python = program.rsplit('/').next().is_some_and(|name| name.starts_with("python"));
    called(program) || (is_python && words.find(|word| !word.starts_with('-')).is_some_and(called))
}

/// The name in a process's `stat` may hold blanks and brackets.
fn process(line: &str) -> Option<Process<'_>> {
    let (stat, words) = line.split_once('\t')?;
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    Some(Process { pid: pid.parse().ok()?, name, state, parent, words })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATRONI: &str = "\
1 (patroni) S 0 1 1\t/usr/bin/python3 /usr/local/bin/patroni /etc/patroni.yml \n\
7 (patroni) S 1 1 1\t/usr/bin/python3 -u /usr/local/bin/patroni /etc/patroni.yml \n\
20 (postgres) T 7 20 20\tpostgres -D /data --config_file=/data/postgresql.conf \n\
22 (postgres) S 20 22 22\tpostgres: demo: checkpointer  \n\
23 (postgres) Z 20 23 23\t\n\
30 (a) b (c) S 7 1 1\tpatronictl list \n\
40 (sh) S 0 1 1\tsh -c for p in /proc; patroni \n";

    const LABRUN: &str = "\
1 (labrun-agent) S 0 1 1\tlabrun-agent /etc/patroni.yml \n\
8 (labrun-agent) T 1 1 1\tlabrun-agent /etc/patroni.yml \n\
9 (labrun-agent) S 8 1 1\tlabrun-guard /data \n";

    #[test]
    fn a_part_is_known_by_its_processes() {
        let pids = |listed, part| of_part(listed, part).pids;
        assert_eq!(pids(PATRONI, Part::Agent), [7]);
        assert_eq!(pids(PATRONI, Part::Postgres), [20, 22]);
        assert_eq!(pids(PATRONI, Part::Postmaster), [20]);
        assert_eq!(pids(PATRONI, Part::Node), [1, 7, 20, 22, 30, 40]);
        assert_eq!(of_part(PATRONI, Part::Postgres).stopped, 1);
        assert_eq!(of_part(LABRUN, Part::Agent), Processes { pids: vec![8], stopped: 1 });
        assert_eq!(of_part("", Part::Node), Processes::default());
    }
}
