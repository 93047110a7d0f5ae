//! Faults as facts: what a person reads, and what a step's expressions can.

use serde_json::json;

use super::Injected;
use super::journal::Deed;
use crate::lab::model::FaultKind;
use crate::verify::budget::seconds;
use crate::verify::steps::target::Target;
use crate::verify::{Observation, Source};

/// A fault that was injected; `unmet` says what was not seen of it.
pub(super) fn observation(fault: &Injected, took_ms: u64, unmet: Option<&str>) -> Observation {
    let Target { role, timeline, lease_holder, .. } = &fault.target;
    let mut was = Vec::new();
    was.extend(role.as_ref().map(|role| role.replace('_', " ")));
    was.extend(timeline.map(|timeline| format!("timeline {timeline}")));
    was.extend(lease_holder.as_ref().map(|holder| format!("the leader key was held by {holder}")));
    let was = if was.is_empty() { String::new() } else { format!(" ({})", was.join(", ")) };
    let effect = match unmet {
        None => format!("took effect after {}", seconds(took_ms)),
        Some(why) => why.to_owned(),
    };
    let output = format!("{}{was}: {effect}", fault.deed().words());
    seen(fault.deed(), &fault.target, output, fault.at_us, took_ms)
}

/// Faults that a step undid.
pub(super) fn healed(deed: &Deed, target: &Target, undone: &[String], at_us: u64, took_ms: u64) -> Observation {
    let what = if undone.is_empty() { "nothing was in effect".to_owned() } else { undone.join("; ") };
    let output = format!("undone after {}: {what}", seconds(took_ms));
    seen(deed, target, output, at_us, took_ms)
}

fn seen(deed: &Deed, target: &Target, output: String, at_us: u64, took_ms: u64) -> Observation {
    let Target { node, role, member, timeline, lease_holder } = target;
    let kind = deed.kind.word();
    Observation {
        node: Some(node.clone()),
        role: role.clone(),
        source: Source::Fault { fault: kind.to_owned(), command: command(deed) },
        output,
        value: json!({
            "kind": kind, "node": node, "nodes": deed.nodes, "to": deed.to, "role": role, "member": member,
            "timeline": timeline, "lease_holder": lease_holder, "at": at_us / 1000, "took_ms": took_ms,
        }),
    }
}

/// The command that does the same by hand.
pub fn command(deed: &Deed) -> String {
    let (kind, nodes) = (deed.kind.word(), deed.nodes.join(" "));
    match deed.kind {
        FaultKind::Stop | FaultKind::Kill | FaultKind::Start | FaultKind::Restart => format!("labrun {kind} {nodes}"),
        FaultKind::Heal => "labrun heal".to_owned(),
        _ => {
            let mut words = format!("labrun fault {kind} {nodes}");
            deed.to.iter().for_each(|to| words += &format!(" --to {to}"));
            if deed.one_way {
                words += " --one-way";
            }
            if deed.delay_ms > 0 {
                words += &format!(" --delay {}ms", deed.delay_ms);
            }
            if deed.loss > 0 {
                words += &format!(" --loss {}", deed.loss);
            }
            words
        }
    }
}
