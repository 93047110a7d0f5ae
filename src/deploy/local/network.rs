//! A network of the nodes' own: the switch, and the rules by which it drops or delays what passes through it.
//!
//! Nodes of such a deployment are reached from outside at their loopback addresses all the same: their supervisors
//! listen there, and carry every connection into the node from within, so that labrun sees what a node does that no
//! other node can reach.
//!
//! On disk: `nodes/.switch/` with the switch's pidfile and log. The rules live in the kernel, and go with the switch;
//! slow ways are processes below that folder.

use std::fs::DirBuilder;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use labrun_agent::supervise::network::Delay;
use labrun_agent::supervise::pids_in;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::programs::Search;
use super::{node, place_of, supervisor};
use crate::deploy::{DeployError, Deployment, LocalPlace, Rule, Way};
use crate::wait::{Answer, Unmet, until};

/// The switch's folder, beside the nodes' own; no node can be named so.
const SWITCH: &str = ".switch";
/// The table that holds the rules.
const TABLE: &str = "bridge labrun";
/// How long the switch may take to stand.
const LIMIT: Duration = Duration::from_secs(20);

/// The addresses of the nodes in their own network: those of loopback with another first byte.
pub fn block([_, x, y]: [u8; 3]) -> [u8; 3] {
    [10, x, y]
}

/// The switch's folder.
pub fn switch_dir(nodes_dir: &Path) -> PathBuf {
    nodes_dir.join(SWITCH)
}

/// Why nodes cannot have a network of their own on this machine, where they cannot.
pub fn missing() -> Option<String> {
    let search = Search::from_env();
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if search.in_path(program).is_none() {
            return Some(format!("`{program}` is not installed (apt-get install {package})"));
        }
    }
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(if Uid::effective().is_root() { &["-n", "true"][..] } else { &["-U", "-n", "true"][..] });
    let tried = unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// Start the switch of a deployment whose nodes have a network of their own, unless it runs.
pub async fn ensure(deployment: &Deployment, place: &LocalPlace) -> Result<(), DeployError> {
    if !place.own_network {
        return Ok(());
    }
    let dir = switch_dir(&place.nodes_dir());
    if supervisor::held(&dir)?.is_some() {
        return Ok(());
    }
    supervisor::kill_all(&dir).await?;
    DirBuilder::new().recursive(true).mode(0o755).create(&dir).map_err(DeployError::io("make", &dir))?;
    let log = node::supervisor_log(&dir, None)?;
    let failed = |why: String| DeployError::Network { deployment: deployment.name.clone(), why };
    let mut command = Command::new(&place.programs.agent);
    command.arg("switch").arg(&dir).current_dir(&dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let stands = until(
        LIMIT,
        |_, _| (),
        || {
            let (ended, held) = (child.try_wait(), supervisor::held(&dir));
            let dir = &dir;
            async move {
                match (held, ended) {
                    (Err(error), _) => Answer::Never(error.to_string()),
                    (Ok(Some(_)), _) => Answer::Done(()),
                    (_, Ok(Some(status))) => {
                        let log = node::tail(&dir.join(node::SUPERVISOR_LOG), 5);
                        Answer::Never(format!("the switch ended with {status}: {log}"))
                    }
                    _ => Answer::NotYet("the switch does not stand yet".to_owned()),
                }
            }
        },
    );
    stands.await.map_err(|unmet| match unmet {
        Unmet::Never(why) => failed(why),
        timed_out => failed(timed_out.to_string()),
    })
}

/// Make these the rules, and end what made others.
pub async fn shape(deployment: &Deployment, rules: &[Rule]) -> Result<(), DeployError> {
    let Some(switch) = Switch::of(deployment)? else {
        // Without a switch there are no rules, and nothing passes either.
        return if rules.is_empty() { Ok(()) } else { Err(no_switch(deployment)) };
    };
    // What is to be slow is carried by processes; the old ones end before the rules change, so that none carries on
    // what is to be cut.
    for pid in switch.carriers() {
        supervisor::signal(pid, Signal::SIGKILL)?;
    }
    let addresses = Addresses(deployment);
    switch.nft(&["-f", "-"], &script(rules, &addresses)).await?;
    for rule in rules {
        let (Way::Slow { ms, loss }, Some((from, to))) = (rule.way, addresses.of(rule)) else { continue };
        switch.carry(&Delay { from, to, ms, loss })?;
    }
    Ok(())
}

/// The rules that are in force.
pub async fn shaped(deployment: &Deployment) -> Result<Vec<Rule>, DeployError> {
    let Some(switch) = Switch::of(deployment)? else { return Ok(Vec::new()) };
    let listed = switch.nft(&["list", "ruleset"], "").await?;
    let mut rules = in_force(&listed);
    rules.sort();
    // A slow way without its carrier is a cut one.
    let slow = rules.iter().filter(|rule| matches!(rule.way, Way::Slow { .. })).count();
    if slow > switch.carriers().len() {
        rules.iter_mut().for_each(|rule| rule.way = Way::Cut);
    }
    Ok(rules)
}

fn no_switch(deployment: &Deployment) -> DeployError {
    let why = "its switch does not run; start a node, or deploy again".to_owned();
    DeployError::Network { deployment: deployment.name.clone(), why }
}

struct Addresses<'a>(&'a Deployment);

impl Addresses<'_> {
    fn of(&self, rule: &Rule) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let of = |name: &str| self.0.plan.nodes.iter().find(|node| node.name == name).map(|node| node.address);
        Some((of(&rule.from)?, of(&rule.to)?))
    }
}

/// The whole table, replaced at one stroke. A rule's comment says what it is.
fn script(rules: &[Rule], addresses: &Addresses<'_>) -> String {
    let mut text = format!("table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n  chain forward {{\n");
    text += "    type filter hook forward priority 0; policy accept;\n";
    for rule in rules {
        let Some((from, to)) = addresses.of(rule) else { continue };
        text += &format!("    ip saddr {from} ip daddr {to} drop comment \"{}\"\n", comment(rule));
    }
    text + "  }\n}\n"
}

fn comment(rule: &Rule) -> String {
    let Rule { from, to, way } = rule;
    match way {
        Way::Cut => format!("{from}>{to}"),
        Way::Slow { ms, loss } => format!("{from}>{to} {ms} {loss}"),
    }
}

fn in_force(listed: &str) -> Vec<Rule> {
    let comments = listed.lines().filter_map(|line| line.split("comment \"").nth(1)?.split('"').next());
    let rule = |comment: &str| {
        let mut words = comment.split(' ');
        let (from, to) = words.next()?.split_once('>')?;
        let way = match (words.next(), words.next()) {
            (Some(ms), Some(loss)) => Way::Slow { ms: ms.parse().ok()?, loss: loss.parse().ok()? },
            _ => Way::Cut,
        };
        Some(Rule { from: from.to_owned(), to: to.to_owned(), way })
    };
    comments.filter_map(rule).collect()
}

/// A switch that runs.
struct Switch<'a> {
    place: &'a LocalPlace,
    dir: PathBuf,
    pid: i32,
}

impl<'a> Switch<'a> {
    fn of(deployment: &'a Deployment) -> Result<Option<Switch<'a>>, DeployError> {
        let place = place_of(deployment)?;
        let dir = switch_dir(&place.nodes_dir());
        Ok(supervisor::held(&dir)?.map(|pid| Switch { place, dir, pid }))
    }

    /// The processes that carry slow ways.
    fn carriers(&self) -> Vec<i32> {
        pids_in(&self.dir).into_iter().filter(|pid| *pid != self.pid).collect()
    }

    /// labrun-agent, about to run something in the switch's network as its administrator.
    fn within(&self) -> Command {
        let mut command = Command::new(&self.place.programs.agent);
        command.args(["enter", &self.pid.to_string(), "--admin", "--"]).current_dir(&self.dir);
        command
    }

    async fn nft(&self, args: &[&str], input: &str) -> Result<String, DeployError> {
        let failed = |why: String| DeployError::process(format!("set the rules in {}", self.dir.display()), why);
        let mut command = self.within();
        // Not from the folder of the switch: what runs there is taken for a carrier.
        command.arg("nft").args(args).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
        }
        let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
        let output = output.map_err(|_| failed("nft does not end".to_owned()))?;
        let output = output.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Start a process that carries a slow way, and outlives us.
    fn carry(&self, delay: &Delay) -> Result<(), DeployError> {
        let failed = |error: &dyn std::fmt::Display| DeployError::process("slow a way down", error);
        let what = serde_json::to_string(delay).map_err(|error| failed(&error))?;
        let log = node::supervisor_log(&self.dir, None)?;
        let mut command = self.within();
        command.arg(&self.place.programs.agent).args(["delay", &what]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map(drop).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_read_back_as_they_were_written() {
        let mut deployment = crate::deploy::testing::deployment();
        let plan = |name: &str, last: u8| crate::topology::NodePlan {
            name: name.into(),
            address: Ipv4Addr::new(10, 64, 0, last),
            service: crate::topology::Service::Zookeeper { client_port: 2181 },
            publish: Vec::new(),
            needs: Vec::new(),
            files: Vec::new(),
            container: None,
        };
        deployment.plan.nodes = vec![plan("a", 10), plan("b", 11)];
        let rule = |from: &str, to: &str, way| Rule { from: from.into(), to: to.into(), way };
        let rules = [rule("a", "b", Way::Cut), rule("b", "a", Way::Slow { ms: 200, loss: 5 })];
        let text = script(&rules, &Addresses(&deployment));
        assert!(text.contains("ip saddr 10.64.0.10 ip daddr 10.64.0.11 drop"), "{text}");
        assert_eq!(in_force(&text), rules);
        assert_eq!(in_force(&script(&[], &Addresses(&deployment))), []);
    }
}
