//! Replication slots, so that the WAL which a member, a permanent slot's user or a decoder still needs is kept, by
//! the primary and by whoever may become one.

mod wanted;

use std::time::Duration;

use indexmap::IndexMap;

use super::{Chore, Job, JobKind, LogicalSlot, Server, Slot, View};
use crate::clock::Moment;
use crate::cluster::{Cluster, Lsn};
use wanted::{Wanted, Whose};

/// The slot of a member: its name in lower case, `-` and `.` as `_`, any other character as `u` and its
/// code point in decimal, at most 63 bytes (Patroni, `slot_name_from_member_name`).
pub fn slot_name(member: &str) -> String {
    let mut name = String::new();
    for c in member.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => name.push(c),
            '-' | '.' => name.push('_'),
            other => name.push_str(&format!("u{:04}", other as u32)),
        }
    }
    name.truncate(63);
    name
}

/// Whether this node must run with hot_standby_feedback, lest the primary removes what a logical slot here, or below,
/// still needs.
pub fn needs_feedback(me: &super::Me, settings: &crate::config::Settings, cluster: &Cluster) -> bool {
    let whose = Whose { name: &me.name, tags: &me.tags, leads: false };
    settings.standby_cluster.is_none() && wanted::needs_feedback(settings, cluster, whose)
}

/// The slots of members that are there or went less than `member_slots_ttl` ago, the leader's own among them:
/// `retain_slots` of the status. Permanent ones need no such care.
pub(super) fn retained(view: &View, cluster: &Cluster, now: Moment) -> Vec<String> {
    let ttl = view.settings.member_slots_ttl;
    if ttl == Duration::ZERO {
        return Vec::new();
    }
    let streaming = cluster.members.values().filter(|member| !member.data.tag("nostream"));
    let recent = view.facts.members_seen.iter().filter(|(_, seen)| now.since(**seen) < ttl);
    let permanent = |name: &String| view.settings.slots.iter().any(|slot| slot.name == *name);
    let names = streaming.map(|member| slot_name(&member.name)).chain(recent.map(|(name, _)| name.clone()));
    let mut names: Vec<_> = names.filter(|name| !permanent(name)).collect();
    names.sort();
    names.dedup();
    names
}

fn all_wanted(view: &View, cluster: &Cluster) -> IndexMap<String, Wanted> {
    let leads = view.leads() || view.holds_lease(view.made);
    // A replica takes the leader's word for who went not long ago.
    let retained = match leads {
        true => retained(view, cluster, view.pg.observed),
        false => cluster.status.as_ref().and_then(|status| status.value.retain_slots.clone()).unwrap_or_default(),
    };
    let whose = Whose { name: &view.me.name, tags: &view.me.tags, leads };
    wanted::wanted(&view.settings, cluster, whose, &retained)
}

/// The leader's slots with their positions, itself among them: `slots` of the status. Without retention only those
/// that are permanent: nobody else has the others.
pub(super) fn published(view: &View, cluster: &Cluster, server: &Server) -> IndexMap<String, Lsn> {
    let wanted = all_wanted(view, cluster);
    let permanent = |name: &String| view.settings.slots.iter().any(|slot| slot.name == *name);
    let all = !view.settings.member_slots_ttl.is_zero();
    let slots = server.slots.iter().filter(|slot| wanted.get(&slot.name).is_some_and(|wanted| is_one(slot, wanted)));
    let slots = slots.filter(|slot| slot.position > Lsn(0) && (all || permanent(&slot.name)));
    let mut positions: IndexMap<_, _> = slots.map(|slot| (slot.name.clone(), slot.position)).collect();
    let mine = slot_name(&view.me.name);
    if all || permanent(&mine) {
        positions.insert(mine, server.position());
    }
    positions
}

/// The slots whose WAL is gone as `server` has it, and was not when PostgreSQL was last looked at: with the member that
/// each is for, if it is a member's.
pub fn newly_lost<'a>(view: &'a View, server: &'a Server) -> impl Iterator<Item = (&'a Slot, Option<&'a str>)> {
    let known = |slot: &Slot| {
        let before = view.pg.server.iter().flat_map(|server| &server.slots);
        before.into_iter().any(|other| other.name == slot.name && other.lost)
    };
    let members = || view.dcs.cluster.iter().flat_map(|cluster| cluster.members.keys()).map(String::as_str);
    let lost = server.slots.iter().filter(move |slot| slot.lost && !known(slot));
    lost.map(move |slot| (slot, members().find(|member| slot_name(member) == slot.name)))
}

/// What is to be done about this node's slots while it runs and is nobody's candidate.
pub(super) fn chores(view: &View, cluster: &Cluster, server: &Server) -> Vec<super::Action> {
    if cluster.config.is_none() {
        return Vec::new();
    }
    let wanted = all_wanted(view, cluster);
    let (mut create, mut advance) = (Vec::new(), Vec::new());
    let (mut new_logical, mut move_logical, mut copy) = (Vec::new(), Vec::new(), Vec::new());
    let drop = to_drop(view, &wanted, server);
    for (name, wanted) in wanted.iter().filter(|(name, _)| !drop.contains(name)) {
        let slot = server.slots.iter().find(|slot| slot.name == *name);
        match (wanted, slot) {
            (Wanted::Physical { .. }, None) => create.push(name.clone()),
            (Wanted::Physical { lsn, expected_active }, Some(slot)) => {
                let reach = (*lsn).min(server.position_in_data());
                let idle = !slot.active && !slot.has_xmin && *expected_active != Some(true);
                if idle && reach > slot.position {
                    advance.push((name.clone(), reach.0));
                }
            }
            (Wanted::Logical { database, plugin, lsn }, slot) => {
                let logical =
                    |lsn| LogicalSlot { name: name.clone(), database: database.clone(), plugin: plugin.clone(), lsn };
                match slot {
                    None if !server.in_recovery => new_logical.push(logical(Lsn(0))),
                    None if *lsn > Lsn(0) => copy.push(name.clone()),
                    Some(slot) if server.in_recovery && !slot.active => {
                        let reach = (*lsn).min(server.replayed);
                        if reach > slot.position {
                            move_logical.push(logical(reach));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    let mut actions: Vec<super::Action> = Vec::new();
    if !create.is_empty() || !drop.is_empty() || !advance.is_empty() {
        actions.push(Chore::Slots { create, drop, advance }.into());
    }
    if !new_logical.is_empty() || !move_logical.is_empty() {
        actions.push(Chore::LogicalSlots { create: new_logical, advance: move_logical }.into());
    }
    actions.extend(copy_job(view, cluster, server, copy).map(Into::into));
    actions
}

fn is_one(slot: &Slot, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Physical { .. } => !slot.logical,
        Wanted::Logical { database, plugin, .. } => {
            slot.logical && slot.database == *database && slot.plugin == *plugin
        }
    }
}

/// Slots that nobody speaks of, or that are of no use any more. One in use is let alone.
fn to_drop(view: &View, wanted: &IndexMap<String, Wanted>, server: &Server) -> Vec<String> {
    let useless = |slot: &&Slot| match wanted.get(&slot.name) {
        Some(wanted) if !is_one(slot, wanted) => true,
        Some(_) if slot.lost => may_drop(view, slot),
        // Nobody is there who could move its xmin on: the primary would never clean up behind it.
        Some(Wanted::Physical { expected_active: Some(false), .. }) if slot.has_xmin => true,
        // Somebody else made it, without reserving any WAL: it cannot be moved on.
        Some(Wanted::Physical { expected_active: Some(false) | None, .. }) => slot.position == Lsn(0),
        Some(_) => false,
        None => may_drop(view, slot),
    };
    server.slots.iter().filter(|slot| !slot.active).filter(useless).map(|slot| slot.name.clone()).collect()
}

fn may_drop(view: &View, slot: &Slot) -> bool {
    let kind = if slot.logical { "logical" } else { "physical" };
    let fits = |m: &crate::config::SlotMatcher| m.fits(&slot.name, kind, &slot.database, &slot.plugin);
    !view.settings.pause && !view.settings.ignore_slots.iter().any(fits)
}

/// A standby gets a logical slot by a copy of the primary's: PostgreSQL must be stopped for that. Not again and again,
/// should a copy turn out to be of no use.
fn copy_job(view: &View, cluster: &Cluster, server: &Server, names: Vec<String>) -> Option<Job> {
    let leader = cluster.leader_member().filter(|leader| leader.data.is_running() && leader.name != view.me.name)?;
    let ready = !names.is_empty() && server.in_recovery && server.is_streaming() && view.job.is_none();
    let now = view.made;
    let recent = view.facts.slots_copied.is_some_and(|at| now.since(at) < view.settings.loop_wait);
    if !ready || recent || view.settings.pause || view.cooling(JobKind::CopySlots, now).is_some() {
        return None;
    }
    Some(Job::CopySlots { names, from: super::view::upstream(leader)?, follow: server.upstream.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::cluster::{Status, Versioned};
    use crate::config::{PermanentSlot, SlotKind, SlotMatcher};

    fn slots(create: &[&str], drop: &[&str], advance: &[(&str, u64)]) -> Action {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let advance = advance.iter().map(|(name, lsn)| (name.to_string(), *lsn)).collect();
        Chore::Slots { create: own(create), drop: own(drop), advance }.into()
    }

    fn server(view: &mut View) -> &mut Server {
        view.pg.server.as_mut().unwrap()
    }

    fn slot(name: &str) -> Slot {
        Slot { name: name.into(), position: Lsn(POSITION), ..Default::default() }
    }

    fn logical(name: &str) -> Slot {
        Slot { logical: true, database: "d".into(), plugin: "p".into(), ..slot(name) }
    }

    fn publish(view: &mut View, slots: &[(&str, u64)]) {
        let slots = slots.iter().map(|(name, lsn)| (name.to_string(), Lsn(*lsn))).collect();
        let status = Status { slots: Some(slots), ..Default::default() };
        view.dcs.cluster.as_mut().unwrap().status = Some(Versioned { value: status, version: 0 });
    }

    fn decoder(view: &mut View) {
        let kind = SlotKind::Logical { database: "d".into(), plugin: "p".into() };
        view.settings.slots = vec![PermanentSlot { name: "decoder".into(), kind }];
    }

    fn chores_of(view: &View) -> Vec<Action> {
        let is_chore = |action: &Action| !matches!(action, Action::Write(_));
        wanted(view).into_iter().filter(is_chore).collect()
    }

    #[test]
    fn a_slot_that_has_lost_its_wal_is_told_once_and_with_its_member() {
        let mut view = primary();
        let mut looked = view.pg.server.clone().unwrap();
        looked.slots.extend([slot("theirs"), slot("fine")]);
        looked.slots[0].lost = true;
        looked.slots[1].lost = true;
        let told: Vec<_> = newly_lost(&view, &looked).map(|(slot, member)| (slot.name.as_str(), member)).collect();
        assert_eq!(told, [("pg2", Some("pg2")), ("theirs", None)]);
        view.pg.server = Some(looked.clone());
        assert_eq!(newly_lost(&view, &looked).count(), 0);
    }

    #[test]
    fn slot_names_follow_the_rule() {
        assert_eq!(slot_name("postgresql0"), "postgresql0");
        assert_eq!(slot_name("PG-1.example"), "pg_1_example");
        assert_eq!(slot_name("a@b"), "au0064b");
        assert_eq!(slot_name(&"x".repeat(80)).len(), 63);
    }

    #[test]
    fn a_new_member_gets_its_slot_at_once_and_an_unknown_slot_goes() {
        let mut view = primary();
        add_member(&mut view, "pg3", "127.0.1.3");
        assert_eq!(first(&view), slots(&["pg3"], &[], &[]));
        server(&mut view).slots.push(slot("pg3"));
        server(&mut view).slots.push(slot("left"));
        server(&mut view).slots.push(Slot { active: true, ..slot("used") });
        server(&mut view).slots.push(logical("their"));
        assert_eq!(first(&view), slots(&[], &["left", "their"], &[]));
        view.settings.ignore_slots = vec![SlotMatcher { kind: Some("logical".into()), ..Default::default() }];
        assert_eq!(first(&view), slots(&[], &["left"], &[]));
        view.settings.pause = true;
        assert_eq!(chores_of(&view), []);
    }

    #[test]
    fn slots_that_are_of_no_use_are_dropped_to_be_made_anew() {
        let mut view = primary();
        server(&mut view).slots[0].active = false;
        assert_eq!(chores_of(&view), []);
        server(&mut view).slots[0].lost = true;
        assert_eq!(first(&view), slots(&[], &["pg2"], &[]));
        decoder(&mut view);
        server(&mut view).slots = vec![slot("pg2"), Slot { plugin: "other".into(), ..logical("decoder") }];
        assert_eq!(first(&view), slots(&[], &["decoder"], &[]));
        // pg3 gets its WAL from pg2: nothing moves the xmin of its slot here.
        let mut view = primary();
        add_member(&mut view, "pg3", "127.0.1.3");
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.members["pg3"].data.tags.insert("replicatefrom".into(), "pg2".into());
        server(&mut view).slots.push(Slot { has_xmin: true, ..slot("pg3") });
        assert_eq!(first(&view), slots(&[], &["pg3"], &[]));
        server(&mut view).slots[1] = Slot { position: Lsn(0), ..slot("pg3") };
        assert_eq!(first(&view), slots(&[], &["pg3"], &[]));
        server(&mut view).slots[1] = Slot { position: Lsn(1), ..slot("pg3") };
        view.dcs.cluster.as_mut().unwrap().members["pg3"].data.xlog_location = Some(Lsn(5));
        assert_eq!(first(&view), slots(&[], &[], &[("pg3", 5)]));
    }

    #[test]
    fn the_slot_of_a_member_that_left_is_kept_for_a_while() {
        let mut view = primary();
        server(&mut view).slots[0].active = false;
        view.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        view.facts.members_seen.insert("pg2".into(), NOW);
        set_sync(&mut view, crate::cluster::Sync::new("pg1", ["pg2".into()]));
        let chores_at = |view: &mut View, after: u64| {
            view.pg.observed = NOW + Duration::from_secs(after);
            chores(view, &view.dcs.cluster.clone().unwrap(), &view.pg.server.clone().unwrap())
        };
        assert_eq!(chores_at(&mut view, 1799), []);
        assert_eq!(chores_at(&mut view, 1800), [slots(&[], &["pg2"], &[])]);
    }

    #[test]
    fn a_replica_holds_the_slots_of_the_others_and_moves_them_on() {
        let mut view = replica();
        server(&mut view).slots.clear();
        publish(&mut view, &[("pg2", POSITION), ("pg1", 1)]);
        assert_eq!(first(&view), slots(&["pg2"], &[], &[]));
        server(&mut view).slots.push(Slot { position: Lsn(1), ..slot("pg2") });
        assert_eq!(first(&view), slots(&[], &[], &[("pg2", POSITION)]));
        server(&mut view).replayed = Lsn(POSITION - 1);
        server(&mut view).received = Lsn(POSITION - 1);
        assert_eq!(first(&view), slots(&[], &[], &[("pg2", POSITION - 1)]));
        view.settings.use_slots = false;
        server(&mut view).upstream_slot = String::new();
        assert_eq!(first(&view), slots(&[], &["pg2"], &[]));
    }

    #[test]
    fn logical_slots_are_made_on_the_primary_and_copied_to_standbys_that_stream() {
        let made =
            |lsn| LogicalSlot { name: "decoder".into(), database: "d".into(), plugin: "p".into(), lsn: Lsn(lsn) };
        let mut view = primary();
        decoder(&mut view);
        let create = Chore::LogicalSlots { create: vec![made(0)], advance: vec![] };
        assert_eq!(chores_of(&view), [create.into()]);

        let mut view = replica();
        decoder(&mut view);
        assert_eq!(chores_of(&view), []);
        publish(&mut view, &[("decoder", POSITION)]);
        let pg2 = Upstream { host: "127.0.1.2".into(), port: 5432 };
        let copy = Job::CopySlots { names: vec!["decoder".into()], from: pg2.clone(), follow: Some(pg2) };
        assert_eq!(chores_of(&view), [copy.into()]);
        let mut waits = view.clone();
        waits.facts.slots_copied = Some(NOW);
        assert_eq!(chores_of(&waits), []);
        let mut waits = view.clone();
        fail(&mut waits, JobKind::CopySlots);
        assert_eq!(chores_of(&waits), []);

        server(&mut view).slots.push(Slot { position: Lsn(1), ..logical("decoder") });
        let advance = Chore::LogicalSlots { create: vec![], advance: vec![made(POSITION)] };
        assert_eq!(chores_of(&view), [advance.into()]);
        server(&mut view).replayed = Lsn(9);
        assert_eq!(chores_of(&view), [Chore::LogicalSlots { create: vec![], advance: vec![made(9)] }.into()]);
    }

    #[test]
    fn the_status_tells_of_managed_slots_and_of_the_leader_itself() {
        let mut view = primary();
        decoder(&mut view);
        server(&mut view).slots.extend([Slot { position: Lsn(7), ..logical("decoder") }, slot("foreign")]);
        let told = |view: &View| {
            let positions = published(view, view.dcs.cluster.as_ref().unwrap(), view.pg.server.as_ref().unwrap());
            positions.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(told(&view), ["pg2", "decoder", "pg1"]);
        view.settings.member_slots_ttl = Duration::ZERO;
        assert_eq!(told(&view), ["decoder"]);
    }
}
