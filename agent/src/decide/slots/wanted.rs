//! Which slots a node should have (Patroni, `Cluster.get_replication_slots`).

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::slot_name;
use crate::cluster::{Cluster, Lsn, Member, MemberData};
use crate::config::{ClusterType, Settings, SlotKind};

/// A slot that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Physical {
        /// Up to where its user is known to have read; 0 if nobody says.
        lsn: Lsn,
        /// Whether its user should be connected here; unknown for a member that is away.
        expected_active: Option<bool>,
    },
    Logical {
        database: String,
        plugin: String,
        lsn: Lsn,
    },
}

/// Whose slots are asked for.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    pub name: &'a str,
    pub tags: &'a IndexMap<String, Value>,
    /// It leads: as a primary, or a standby cluster.
    pub leads: bool,
}

impl Whose<'_> {
    fn data(&self) -> MemberData {
        MemberData { tags: self.tags.clone(), ..MemberData::default() }
    }
}

/// All slots that the node should have, by name. `retained` are the slots of members that went not long ago.
pub fn wanted(
    settings: &Settings,
    cluster: &Cluster,
    whose: Whose<'_>,
    retained: &[String],
) -> IndexMap<String, Wanted> {
    if !settings.use_slots {
        return IndexMap::new();
    }
    let mut slots = of_members(settings, cluster, whose);
    let may_lead = whose.data().may_lead();
    let mine = slot_name(whose.name);
    for name in retained.iter().filter(|name| may_lead && **name != mine) {
        slots.entry(name.clone()).or_insert(Wanted::Physical { lsn: Lsn(0), expected_active: None });
    }
    if may_lead {
        permanent(settings, cluster, whose, &mut slots);
    }
    slots
}

fn of_members(settings: &Settings, cluster: &Cluster, whose: Whose<'_>) -> IndexMap<String, Wanted> {
    let may_lead = whose.data().may_lead();
    let retention = !settings.member_slots_ttl.is_zero();
    let old_leader = cluster.leader_member().is_some_and(|leader| major(&leader.data.version) < 4);
    let members = cluster.members.values().filter(|m| m.name != whose.name && !m.data.tag("nostream"));
    let mut slots = IndexMap::new();
    for member in members {
        let from = replicate_from(&member.data.tags);
        let active = match whose.leads {
            true => from.is_none_or(|from| from == whose.name || !cluster.members.contains_key(from)),
            false => from == Some(whose.name) && cluster.leader_name() != Some(&member.name),
        };
        // A node that only passes WAL on needs slots for none but those that it passes it to.
        if if retention { !may_lead && from != Some(whose.name) } else { !active } {
            continue;
        }
        let name = slot_name(&member.name);
        let mut lsn = published(cluster, &name);
        if from.is_some() || old_leader {
            lsn = lsn.max(member.data.xlog_location.unwrap_or_default());
        }
        slots.insert(name, Wanted::Physical { lsn, expected_active: Some(active) });
    }
    slots
}

fn permanent(settings: &Settings, cluster: &Cluster, whose: Whose<'_>, slots: &mut IndexMap<String, Wanted>) {
    let mine = slot_name(whose.name);
    let standby = settings.standby_cluster.is_some();
    // Without streaming nothing tells the primary what a logical slot here still needs.
    let logical = !standby && slot_on_primary(cluster, whose).is_some();
    let cascading = |slot: &str| {
        cluster.members.values().find(|m| slot_name(&m.name) == slot).filter(|m| replicate_from(&m.data.tags).is_some())
    };
    for slot in &settings.slots {
        let lsn = published(cluster, &slot.name);
        match &slot.kind {
            SlotKind::Physical { only_in } => {
                let elsewhere = match only_in {
                    Some(ClusterType::Primary) => standby,
                    Some(ClusterType::Standby) => !standby,
                    None => false,
                };
                if elsewhere || slot.name == mine || slots.contains_key(&slot.name) {
                    continue;
                }
                let member = cascading(&slot.name);
                let lsn = lsn.max(member.and_then(|member| member.data.xlog_location).unwrap_or_default());
                let expected_active = Some(whose.leads && member.is_none());
                slots.insert(slot.name.clone(), Wanted::Physical { lsn, expected_active });
            }
            SlotKind::Logical { database, plugin } if logical && !slots.contains_key(&slot.name) => {
                let (database, plugin) = (database.clone(), plugin.clone());
                slots.insert(slot.name.clone(), Wanted::Logical { database, plugin, lsn });
            }
            SlotKind::Logical { .. } => {}
        }
    }
}

/// The slot that this node's WAL comes through on the primary: that of the first member of its chain. None without
/// streaming, or in a ring.
pub fn slot_on_primary(cluster: &Cluster, whose: Whose<'_>) -> Option<String> {
    let (mut name, mut tags) = (whose.name, whose.tags);
    let mut seen = HashSet::new();
    loop {
        seen.insert(name);
        if (MemberData { tags: tags.clone(), ..MemberData::default() }).tag("nostream") {
            return None;
        }
        let next: Option<&Member> =
            replicate_from(tags).filter(|from| *from != name).and_then(|from| cluster.members.get(from));
        let Some(next) = next else { return Some(slot_name(name)) };
        if seen.contains(next.name.as_str()) {
            return None;
        }
        (name, tags) = (&next.name, &next.data.tags);
    }
}

/// Whether a standby must tell its primary what it still needs: it has logical slots, or passes WAL on to one that
/// has.
pub fn needs_feedback(settings: &Settings, cluster: &Cluster, whose: Whose<'_>) -> bool {
    let logical = |slot: &Wanted| matches!(slot, Wanted::Logical { .. });
    if wanted(settings, cluster, Whose { leads: false, ..whose }, &[]).values().any(logical) {
        return true;
    }
    settings.use_slots && slot_on_primary(cluster, whose).is_some() && {
        let below =
            |m: &&Member| replicate_from(&m.data.tags) == Some(whose.name) && cluster.leader_name() != Some(&m.name);
        let of = |m: &Member| {
            let whose = Whose { name: &m.name, tags: &m.data.tags, leads: false };
            needs_feedback(settings, cluster, whose)
        };
        cluster.members.values().filter(below).any(of)
    }
}

fn replicate_from(tags: &IndexMap<String, Value>) -> Option<&str> {
    tags.get("replicatefrom").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// Where the leader says that the slot is.
fn published(cluster: &Cluster, slot: &str) -> Lsn {
    let slots = cluster.status.as_ref().and_then(|status| status.value.slots.as_ref());
    slots.and_then(|slots| slots.get(slot)).copied().unwrap_or_default()
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{add_member, replica};
    use super::*;
    use crate::config::PermanentSlot;
    use crate::decide::View;
    use std::time::Duration;

    fn names(view: &View, leads: bool) -> Vec<String> {
        let cluster = view.dcs.cluster.as_ref().unwrap();
        let whose = Whose { name: &view.me.name, tags: &view.me.tags, leads };
        let mut names: Vec<_> = wanted(&view.settings, cluster, whose, &["gone".into()]).into_keys().collect();
        names.sort();
        names
    }

    fn tag(view: &mut View, member: &str, tag: &str, value: impl Into<Value>) {
        view.dcs.cluster.as_mut().unwrap().members[member].data.tags.insert(tag.into(), value.into());
    }

    fn three() -> View {
        let mut view = replica();
        add_member(&mut view, "pg3", "127.0.1.3");
        let kind = SlotKind::Logical { database: "d".into(), plugin: "p".into() };
        view.settings.slots = vec![
            PermanentSlot { name: "log".into(), kind },
            PermanentSlot { name: "phys".into(), kind: SlotKind::Physical { only_in: None } },
            PermanentSlot { name: "pg1".into(), kind: SlotKind::Physical { only_in: None } },
        ];
        view
    }

    #[test]
    fn every_node_that_may_lead_has_the_slots_of_all_others() {
        let view = three();
        for leads in [true, false] {
            assert_eq!(names(&view, leads), ["gone", "log", "pg2", "pg3", "phys"]);
        }
    }

    #[test]
    fn a_node_that_may_not_lead_has_only_the_slots_of_those_that_it_feeds() {
        let mut view = three();
        view.me.tags.insert("nofailover".into(), true.into());
        assert_eq!(names(&view, false), [""; 0]);
        tag(&mut view, "pg3", "replicatefrom", "pg1");
        assert_eq!(names(&view, false), ["pg3"]);
    }

    #[test]
    fn without_retention_a_slot_is_where_its_member_is_connected() {
        let mut view = three();
        view.settings.member_slots_ttl = Duration::ZERO;
        view.settings.slots.clear();
        assert_eq!(names(&view, true), ["gone", "pg2", "pg3"]);
        assert_eq!(names(&view, false), ["gone"]);
        tag(&mut view, "pg3", "replicatefrom", "pg2");
        assert_eq!(names(&view, true), ["gone", "pg2"]);
        tag(&mut view, "pg3", "replicatefrom", "pg1");
        assert_eq!(names(&view, false), ["gone", "pg3"]);
    }

    #[test]
    fn without_streaming_there_is_no_slot_and_no_logical_one_either() {
        let mut view = three();
        tag(&mut view, "pg3", "nostream", true);
        assert_eq!(names(&view, true), ["gone", "log", "pg2", "phys"]);
        view.me.tags.insert("replicatefrom".into(), "pg3".into());
        assert_eq!(names(&view, false), ["gone", "pg2", "phys"]);
    }

    #[test]
    fn the_slot_of_a_cascading_member_follows_the_member() {
        let mut view = three();
        tag(&mut view, "pg3", "replicatefrom", "pg2");
        view.dcs.cluster.as_mut().unwrap().members["pg3"].data.xlog_location = Some(Lsn(77));
        let cluster = view.dcs.cluster.as_ref().unwrap();
        let whose = Whose { name: "pg1", tags: &view.me.tags, leads: true };
        let slots = wanted(&view.settings, cluster, whose, &[]);
        assert_eq!(slots["pg3"], Wanted::Physical { lsn: Lsn(77), expected_active: Some(false) });
        assert_eq!(
            slot_on_primary(cluster, Whose { name: "pg3", tags: &cluster.members["pg3"].data.tags, leads: false }),
            Some("pg2".into())
        );
    }

    #[test]
    fn feedback_is_needed_by_nodes_with_logical_slots_and_by_those_above_them() {
        let mut view = three();
        let needs = |view: &View| {
            let whose = Whose { name: "pg1", tags: &view.me.tags, leads: false };
            needs_feedback(&view.settings, view.dcs.cluster.as_ref().unwrap(), whose)
        };
        assert!(needs(&view));
        view.me.tags.insert("nofailover".into(), true.into());
        assert!(!needs(&view));
        tag(&mut view, "pg3", "replicatefrom", "pg1");
        assert!(needs(&view));
        view.settings.slots.clear();
        assert!(!needs(&view));
    }
}
