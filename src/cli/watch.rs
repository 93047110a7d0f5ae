//! `labrun watch`: who is who, the proxy, the workload and the faults, live. On a terminal the page is drawn anew; elsewhere
//! a line is printed whenever something changed.

use std::io::IsTerminal;
use std::time::Duration;

use serde::Serialize;

use super::deploy::interrupted;
use super::table::boxed;
use super::{CliError, Globals, exit, output};
use crate::lab::model::{Lang, Span};
use crate::observe::{ClusterView, MemberView, Observer};
use crate::verify::faults::journal::Journal;
use crate::verify::watch::follow::{Follow, Progress};

/// Watch a deployment live: roles, lag, proxy, workload, faults.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The time between two looks.
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = |text: &str| Span::try_from(text.to_owned()))]
    every: Span,
    /// End after N looks [default: with Ctrl-C]
    #[arg(long, value_name = "N")]
    looks: Option<u64>,
    /// The language of what steps wait for.
    #[arg(long, value_name = "LANG", default_value = "ru", env = "LABRUN_LANG", hide_env_values = true)]
    lang: Lang,
}

/// Everything at one moment.
#[derive(Debug, Serialize)]
struct Frame {
    deployment: String,
    at: String,
    cluster: ClusterView,
    faults: Vec<String>,
    progress: Progress,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let observer = Observer::new(&deployment);
        let mut follow = Follow::new(&deployment.dir, self.lang);
        let journal = Journal::of(&deployment.dir);
        let live = std::io::stdout().is_terminal() && !globals.json;
        let mut told = String::new();
        let stop = interrupted();
        tokio::pin!(stop);
        for look in 1.. {
            let began = tokio::time::Instant::now();
            let frame = Frame {
                deployment: deployment.name.clone(),
                at: jiff::Zoned::now().strftime("%H:%M:%S").to_string(),
                cluster: observer.look().await,
                faults: journal.pending().unwrap_or_default().iter().map(fault).collect(),
                progress: follow.look().clone(),
            };
            show(&frame, globals, live, &mut told)?;
            if self.looks.is_some_and(|looks| look >= looks) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(began + self.every.0.max(Duration::from_millis(100))) => {}
                () = &mut stop => break,
            }
        }
        Ok(exit::OK)
    }
}

fn show(frame: &Frame, globals: &Globals, live: bool, told: &mut String) -> Result<(), CliError> {
    if globals.json {
        let text = serde_json::to_string(frame)
            .map_err(|error| CliError::Io { what: "write JSON", source: std::io::Error::other(error) })?;
        return output::line(&text);
    }
    if live {
        // From the top, each line and what is below cleared: no flicker, no trail.
        let page = page(frame).replace('\n', "\x1b[K\n");
        return output::print(&format!("\x1b[H{page}\x1b[J"));
    }
    let line = line(frame);
    if *told != line {
        output::line(&format!("{} {line}", frame.at))?;
        *told = line;
    }
    Ok(())
}

/// A fault that is in effect, in a few words: whatever its journal says of what and where.
fn fault(entry: &impl Serialize) -> String {
    let value = serde_json::to_value(entry).unwrap_or_default();
    let word = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    let nodes = value.get("nodes").and_then(serde_json::Value::as_array);
    let named = nodes.into_iter().flatten().filter_map(serde_json::Value::as_str).chain(word("node"));
    let all: Vec<&str> = word("kind").into_iter().chain(named).collect();
    all.join(" ")
}

/// The whole page.
fn page(frame: &Frame) -> String {
    let mut text = format!("{}  {}\n\n", frame.deployment, frame.at);
    let rows: Vec<Vec<String>> = frame.cluster.members.iter().map(row).collect();
    text += &boxed("", &["Node", "Role", "State", "TL", "Lag, bytes", "Sync"], &rows);
    if let Some(proxy) = &frame.cluster.proxy {
        let servers =
            proxy.servers.iter().map(|server| format!("{} {} ({})", server.name, server.status, server.check()));
        text += &format!("proxy     {}\n", servers.collect::<Vec<_>>().join(", "));
    }
    text += &format!("faults    {}\n", or_none(&frame.faults.join(", ")));
    text += &format!("run       {}\n", doing(&frame.progress));
    for (name, way) in &frame.progress.ways {
        text += &format!(
            "workload  {name}: acked {}, rejected {}, unknown {}, reads {}; last acknowledged {}.{} s ago\n",
            way.acked,
            way.rejected,
            way.indeterminate,
            way.reads,
            way.silent_ms / 1000,
            way.silent_ms % 1000 / 100
        );
    }
    let troubles = frame.cluster.disagreements.iter().chain(&frame.cluster.troubles);
    text.extend(troubles.map(|line| format!("! {line}\n")));
    text
}

fn row(member: &MemberView) -> Vec<String> {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let sync = member.sync_state.clone().unwrap_or_default();
    let [node, role, state] = [&member.node, &member.role, &member.state].map(Clone::clone);
    vec![node, role, state, number(member.timeline), number(member.lag), sync]
}

/// The same in one line, without what changes all the time.
fn line(frame: &Frame) -> String {
    let members = frame.cluster.members.iter().map(|member| {
        let timeline = member.timeline.map(|timeline| format!(" TL {timeline}")).unwrap_or_default();
        format!("{} {} {}{timeline}", member.node, member.role, member.state)
    });
    let mut parts = vec![members.collect::<Vec<_>>().join(", ")];
    parts.extend(frame.cluster.proxy.as_ref().map(|proxy| format!("proxy {}", or_none(&proxy.up.join(", ")))));
    parts.push(format!("faults {}", or_none(&frame.faults.join(", "))));
    parts.push(doing(&frame.progress));
    // A way is told of when it falls silent, and when it is heard again.
    let silent = frame.progress.ways.iter().filter(|(_, way)| way.silent_ms >= 1_000 && !frame.progress.ended);
    parts.extend(silent.map(|(name, _)| format!("{name} silent")));
    parts.join(" | ")
}

fn doing(progress: &Progress) -> String {
    match (&progress.run, &progress.step) {
        (None, _) => "no run".to_owned(),
        (Some(run), _) if progress.ended => format!("{run} ended"),
        (Some(_), Some((step, Some(waits)))) => format!("{step}: {waits}"),
        (Some(_), Some((step, None))) => step.clone(),
        (Some(run), None) => run.clone(),
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ProxyView;

    fn frame() -> Frame {
        let member = |node: &str, role: &str, state: &str, lag| MemberView {
            node: node.to_owned(),
            role: role.to_owned(),
            state: state.to_owned(),
            timeline: Some(3),
            lag,
            ..MemberView::default()
        };
        let cluster = ClusterView {
            members: vec![
                member("pg-master", "leader", "running", None),
                member("pg-slave", "sync_standby", "streaming", Some(160)),
            ],
            proxy: Some(ProxyView { up: vec!["pg-master".into()], ..ProxyView::default() }),
            ..ClusterView::default()
        };
        let step = Some(("failover/failover/new-leader".to_owned(), Some("nobody holds the key".to_owned())));
        let mut progress = Progress { run: Some("r1".into()), step, ..Progress::default() };
        progress.ways.entry("writers · proxy".to_owned()).or_default().silent_ms = 1_250;
        Frame {
            deployment: "ha".into(),
            at: "12:00:00".into(),
            cluster,
            faults: vec!["stop pg-slave".into()],
            progress,
        }
    }

    #[test]
    fn a_page_shows_everything_at_once() {
        insta::assert_snapshot!(page(&frame()), @r"
        ha  12:00:00

        +-----------+--------------+-----------+----+------------+------+
        | Node      | Role         | State     | TL | Lag, bytes | Sync |
        +-----------+--------------+-----------+----+------------+------+
        | pg-master | leader       | running   | 3  |            |      |
        | pg-slave  | sync_standby | streaming | 3  | 160        |      |
        +-----------+--------------+-----------+----+------------+------+
        proxy     
        faults    stop pg-slave
        run       failover/failover/new-leader: nobody holds the key
        workload  writers · proxy: acked 0, rejected 0, unknown 0, reads 0; last acknowledged 1.2 s ago
        ");
    }

    #[test]
    fn a_line_says_what_changes_seldom() {
        let words = "pg-master leader running TL 3, pg-slave sync_standby streaming TL 3 | proxy pg-master | faults stop pg-slave \
                     | failover/failover/new-leader: nobody holds the key | writers · proxy silent";
        assert_eq!(line(&frame()), words);
    }

    #[test]
    fn a_fault_is_told_by_its_kind_and_node() {
        assert_eq!(fault(&serde_json::json!({"kind": "stop", "node": "pg-slave", "more": 1})), "stop pg-slave");
        assert_eq!(fault(&serde_json::json!({"kind": "cut", "nodes": ["a", "b"]})), "cut a b");
    }
}
