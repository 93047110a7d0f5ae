//! From what the samplers see to who has which role when.

use std::collections::BTreeMap;

use super::{NodeWord, Seen};
use crate::deploy::DeployedNode;
use crate::topology::Service;
use crate::verify::run::RoleChange;

/// Follows the roles of the postgres nodes.
pub(super) struct Tracker {
    /// Nodes and their members.
    members: Vec<(String, String)>,
    /// The leader key's holder and the sync key's standbys; none before the keys were seen.
    keys: Option<(Option<String>, Vec<String>)>,
    words: BTreeMap<String, Option<NodeWord>>,
    told: BTreeMap<String, (String, Option<u64>)>,
}

/// A postgres node's name and its member's.
pub(super) fn member_of(node: &DeployedNode) -> Option<(String, String)> {
    match &node.service {
        Service::Postgres { member, .. } => Some((node.name.clone(), member.clone())),
        _ => None,
    }
}

impl Tracker {
    pub fn new(members: Vec<(String, String)>) -> Tracker {
        Tracker { members, keys: None, words: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Take in what was seen, and give the changes of roles that follow from it.
    pub fn saw(&mut self, at_us: u64, seen: &Seen) -> Vec<RoleChange> {
        match seen {
            Seen::Keys { leader, sync } => self.keys = Some((leader.clone(), sync.clone())),
            Seen::Node { node, word } => {
                self.words.insert(node.clone(), *word);
            }
            Seen::Proxy { .. } | Seen::Rest { .. } | Seen::Candidates(_) => return Vec::new(),
        }
        let Some((leader, sync)) = &self.keys else { return Vec::new() };
        let mut changes = Vec::new();
        for (node, member) in &self.members {
            // A node that was not asked yet has no role yet.
            let Some(word) = self.words.get(node) else { continue };
            let role = role(member, *word, leader.as_deref(), sync);
            let timeline = word.and_then(|word| word.timeline);
            let now = (role.to_owned(), timeline);
            let before = self.told.get(node);
            // A timeline that is not known for a moment is no change.
            if before.is_some_and(|before| before.0 == now.0 && (now.1.is_none() || before.1 == now.1)) {
                continue;
            }
            changes.push(RoleChange { at_ms: at_us / 1000, node: node.clone(), role: now.0.clone(), timeline });
            self.told.insert(node.clone(), now);
        }
        changes
    }
}

fn role(member: &str, word: Option<NodeWord>, leader: Option<&str>, sync: &[String]) -> &'static str {
    match word {
        None => "down",
        Some(NodeWord { in_recovery: false, .. }) if leader == Some(member) => "leader",
        // It takes writes without the lease: about to demote, or a split brain.
        Some(NodeWord { in_recovery: false, .. }) => "primary",
        Some(_) if sync.iter().any(|name| name.eq_ignore_ascii_case(member)) => "sync_standby",
        Some(_) => "replica",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(leader: Option<&str>, sync: &[&str]) -> Seen {
        let sync = sync.iter().map(|name| (*name).to_owned()).collect();
        Seen::Keys { leader: leader.map(str::to_owned), sync }
    }

    fn node(node: &str, in_recovery: bool, timeline: u64) -> Seen {
        Seen::Node { node: node.into(), word: Some(NodeWord { in_recovery, timeline: Some(timeline) }) }
    }

    fn down(node: &str) -> Seen {
        Seen::Node { node: node.into(), word: None }
    }

    #[test]
    fn a_failover_is_told_change_by_change() {
        let members = [("pg-master", "m0"), ("pg-slave", "m1")];
        let mut tracker = Tracker::new(members.map(|(node, member)| (node.to_owned(), member.to_owned())).to_vec());
        let mut told = Vec::new();
        for (at_ms, seen) in [
            (1, keys(Some("m0"), &["m1"])),
            (2, node("pg-master", false, 1)),
            (3, node("pg-slave", true, 1)),
            (500, down("pg-master")),
            (510, keys(None, &["m1"])),
            (560, keys(Some("m1"), &[])),
            (600, node("pg-slave", false, 2)),
            (600, node("pg-slave", false, 2)),
            (9_000, node("pg-master", true, 1)),
            (9_900, node("pg-master", true, 2)),
            (9_950, keys(Some("m1"), &["M0"])),
        ] {
            told.extend(tracker.saw(at_ms * 1000, &seen));
        }
        let told: Vec<String> = told
            .iter()
            .map(|change| format!("{} {} {} {}", change.at_ms, change.node, change.role, change.timeline.unwrap_or(0)))
            .collect();
        assert_eq!(
            told,
            [
                "2 pg-master leader 1",
                "3 pg-slave sync_standby 1",
                "500 pg-master down 0",
                "560 pg-slave replica 1",
                "600 pg-slave leader 2",
                "9000 pg-master replica 1",
                "9900 pg-master replica 2",
                "9950 pg-master sync_standby 2",
            ]
        );
    }

    #[test]
    fn a_node_that_takes_writes_without_the_lease_is_no_leader() {
        let mut tracker = Tracker::new(vec![("a".into(), "m0".into())]);
        assert_eq!(tracker.saw(0, &node("a", false, 1)), [], "who holds the lease is not known yet");
        assert_eq!(tracker.saw(1, &keys(Some("m1"), &[]))[0].role, "primary");
    }
}
