//! Replication slots: one physical slot a member, so that the WAL it still needs is kept.

use std::time::Duration;

use super::{Chore, Server, View};
use crate::clock::Moment;
use crate::cluster::Cluster;

/// The slot of a member: its name in lower case, `-` and `.` as `_`, any other character as `u` and its
/// code point, at most 63 bytes (Patroni, `slot_name_from_member_name`).
pub fn slot_name(member: &str) -> String {
    let mut name = String::new();
    for c in member.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => name.push(c),
            '-' | '.' => name.push('_'),
            other => name.push_str(&format!("u{:04x}", other as u32)),
        }
    }
    name.truncate(63);
    name
}

/// The slots that a primary should have: one for each other member and for those that left not long ago.
fn kept(view: &View, cluster: &Cluster, now: Option<Moment>) -> Vec<String> {
    let mut names: Vec<_> = cluster.members.keys().map(|name| slot_name(name)).collect();
    let ttl = view.settings.member_slots_ttl;
    if let Some(now) = now.filter(|_| ttl > Duration::ZERO) {
        let recent = view.facts.members_seen.iter().filter(|(_, seen)| now.since(**seen) < ttl);
        names.extend(recent.map(|(name, _)| name.clone()));
    }
    names.sort();
    names.dedup();
    names
}

/// All slots that are kept, with the leader's own name: `retain_slots` of the status.
pub(super) fn retained(view: &View, cluster: &Cluster, now: Moment) -> Vec<String> {
    kept(view, cluster, Some(now))
}

/// Slots to create and to drop on a primary.
pub(super) fn on_primary(view: &View, cluster: &Cluster, server: &Server) -> Option<Chore> {
    if !view.settings.use_slots {
        return None;
    }
    let mine = slot_name(&view.me.name);
    let wanted: Vec<_> = kept(view, cluster, Some(view.pg.observed)).into_iter().filter(|name| *name != mine).collect();
    let has = |name: &String| server.slots.iter().any(|slot| slot.name == *name);
    let create: Vec<_> = wanted.iter().filter(|name| !has(name)).cloned().collect();
    // Slots that the configuration names are somebody's; without such a list, what nobody uses is left over.
    let drop: Vec<_> = server
        .slots
        .iter()
        .filter(|slot| !slot.logical && !slot.active && !wanted.contains(&slot.name))
        .filter(|_| !view.settings.slots_are_configured)
        .map(|slot| slot.name.clone())
        .collect();
    (!create.is_empty() || !drop.is_empty()).then_some(Chore::Slots { create, drop, advance: Vec::new() })
}

/// A replica holds the other members' slots, too, and moves them on as the leader says, so that they are
/// there when it is promoted.
pub(super) fn on_replica(view: &View, cluster: &Cluster, server: &Server) -> Option<Chore> {
    let status = &cluster.status.as_ref()?.value;
    let theirs = status.slots.as_ref().filter(|_| view.settings.use_slots && server.is_streaming())?;
    let mine = slot_name(&view.me.name);
    let members: Vec<_> = cluster.members.keys().map(|name| slot_name(name)).filter(|name| *name != mine).collect();
    let mut chore = (Vec::new(), Vec::new(), Vec::new());
    for name in &members {
        let Some(position) = theirs.get(name).filter(|position| **position <= server.replayed) else { continue };
        match server.slots.iter().find(|slot| slot.name == *name) {
            None => chore.0.push(name.clone()),
            Some(slot) if !slot.active && slot.restart < *position => chore.2.push((name.clone(), position.0)),
            Some(_) => {}
        }
    }
    let left_over = |slot: &&super::Slot| {
        !slot.logical
            && !slot.active
            && !members.contains(&slot.name)
            && !view.settings.slots_are_configured
            && !theirs.contains_key(&slot.name)
    };
    chore.1.extend(server.slots.iter().filter(left_over).map(|slot| slot.name.clone()));
    let (create, drop, advance) = chore;
    (!create.is_empty() || !drop.is_empty() || !advance.is_empty()).then_some(Chore::Slots { create, drop, advance })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::cluster::{Lsn, Status, Versioned};

    #[test]
    fn slot_names_follow_the_rule() {
        assert_eq!(slot_name("postgresql0"), "postgresql0");
        assert_eq!(slot_name("PG-1.example"), "pg_1_example");
        assert_eq!(slot_name("a@b"), "au0040b");
        assert_eq!(slot_name(&"x".repeat(80)).len(), 63);
    }

    #[test]
    fn a_new_member_gets_its_slot_at_once_and_an_unknown_slot_goes() {
        let mut view = primary();
        add_member(&mut view, "pg3", "127.0.1.3");
        let slots = |create: &[&str], drop: &[&str]| {
            let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            Action::from(Chore::Slots { create: own(create), drop: own(drop), advance: Vec::new() })
        };
        assert_eq!(first(&view), slots(&["pg3"], &[]));
        let server = view.pg.server.as_mut().unwrap();
        server.slots.push(Slot { name: "pg3".into(), ..Default::default() });
        server.slots.push(Slot { name: "left".into(), ..Default::default() });
        server.slots.push(Slot { name: "used".into(), active: true, ..Default::default() });
        server.slots.push(Slot { name: "logical".into(), logical: true, ..Default::default() });
        assert_eq!(first(&view), slots(&[], &["left"]));
        view.settings.slots_are_configured = true;
        assert!(!wanted(&view).iter().any(|action| matches!(action, Action::Chore(_))));
    }

    #[test]
    fn the_slot_of_a_member_that_left_is_kept_for_a_while() {
        let mut view = primary();
        view.pg.server.as_mut().unwrap().slots[0].active = false;
        view.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        view.facts.members_seen.insert("pg2".into(), NOW);
        set_sync(&mut view, crate::cluster::Sync::new("pg1", ["pg2".into()]));
        view.pg.observed = NOW + Duration::from_secs(1799);
        let cluster = view.dcs.cluster.clone().unwrap();
        let server = view.pg.server.clone().unwrap();
        assert_eq!(on_primary(&view, &cluster, &server), None);
        view.pg.observed = NOW + Duration::from_secs(1800);
        let chore = Chore::Slots { create: vec![], drop: vec!["pg2".into()], advance: vec![] };
        assert_eq!(on_primary(&view, &cluster, &server), Some(chore));
    }

    #[test]
    fn a_replica_holds_the_slots_of_the_others_and_moves_them_on() {
        let mut view = replica();
        let slots = [("pg2".to_string(), Lsn(POSITION)), ("pg1".to_string(), Lsn(1))].into_iter().collect();
        let status = Status { slots: Some(slots), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().status = Some(Versioned { value: status, version: 0 });
        let create = Chore::Slots { create: vec!["pg2".into()], drop: vec![], advance: vec![] };
        assert_eq!(first(&view), create.into());
        let slot = Slot { name: "pg2".into(), restart: Lsn(1), ..Default::default() };
        view.pg.server.as_mut().unwrap().slots.push(slot);
        let advance = Chore::Slots { create: vec![], drop: vec![], advance: vec![("pg2".into(), POSITION)] };
        assert_eq!(first(&view), advance.into());
        view.pg.server.as_mut().unwrap().replayed = Lsn(POSITION - 1);
        assert_eq!(wanted(&view), []);
    }
}
