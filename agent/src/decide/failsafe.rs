//! Failsafe mode (Patroni's documentation, "DCS Failsafe Mode"): a leader goes on while the DCS is away, as long as
//! every member that could take over says that it follows.
//!
//! A member that agrees does not race for ttl. So the leader's lease reaches until ttl after it *asked*, if all have
//! agreed: nobody's agreement can end before that. The members are those of the failsafe key, and nobody who is not
//! named there may lead.
//!
//! Patroni demotes at the first loop in which somebody does not answer. That is more than safety asks for: the last
//! agreement still holds. But it is what the documentation promises ("if a response isn't received from all of them
//! the primary is demoted"), and who operates a cluster counts on it: a primary without its replicas would otherwise
//! take writes for most of ttl that nobody else has. So members are asked every loop_wait while the leader lives on
//! their word, and once they have failed to agree twice in a row, a second apart (a REST server that restarts is no
//! reason), their last word is given back. What the leader's own session still covers it keeps: that it needed
//! nobody's word for.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{Action, Chore, Decision, JobKind, Process, View, Write, slots};
use crate::clock::Moment;
use crate::cluster::{Cluster, Lsn};

/// What a leader says of itself when it asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Call {
    pub name: String,
    pub conn_url: String,
    pub api_url: String,
    /// How far its slots are.
    pub slots: IndexMap<String, Lsn>,
}

impl Call {
    /// As it is sent; `None` if it does not say who asks.
    pub fn read(body: &Map<String, Value>) -> Option<Call> {
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let slots = body.get("slots").and_then(Value::as_object).into_iter().flatten();
        let slots = slots.filter_map(|(name, lsn)| Some((name.clone(), Lsn(lsn.as_u64()?)))).collect();
        Some(Call { name: text("name")?, conn_url: text("conn_url")?, api_url: text("api_url")?, slots })
    }

    /// As it is sent.
    pub fn to_json(&self) -> String {
        json!({"name": self.name, "conn_url": self.conn_url, "api_url": self.api_url, "slots": self.slots}).to_string()
    }
}

/// What the members have answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// When the first was asked.
    pub asked: Moment,
    /// How far each is, if all agree; else who does not, and why.
    pub said: Result<IndexMap<String, Lsn>, String>,
}

/// After members that did not all agree, they are asked again this soon.
const AGAIN: Duration = Duration::from_secs(1);
/// So many refusals in a row are taken for final.
const FINAL: u32 = 2;

impl View {
    /// All members were asked. True if all have agreed, until ttl after that.
    pub fn learn_failsafe(&mut self, answers: Answers, now: Moment) -> bool {
        match answers.said {
            Ok(positions) => {
                self.dcs.failsafe_until = self.dcs.failsafe_until.max(answers.asked + self.settings.ttl);
                (self.facts.failsafe_refusals, self.facts.failsafe_positions) = (0, positions);
                true
            }
            Err(_) => {
                self.facts.failsafe_refusals = self.facts.failsafe_refusals.saturating_add(1);
                if self.facts.failsafe_refusals >= FINAL {
                    // Just enough is left for a clean stop, unless the session's own lease is longer.
                    let left = now + super::margin(Duration::from_millis(self.dcs.session_timeout));
                    self.dcs.failsafe_until = self.dcs.failsafe_until.min(left);
                }
                false
            }
        }
    }
}

/// What this node has agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    pub at: Moment,
    pub leader: Call,
}

/// The failsafe key, if this node must write it: all members and their REST addresses.
pub(super) fn key(view: &View, cluster: &Cluster) -> Option<Write> {
    if !view.settings.failsafe_mode {
        return None;
    }
    let known = cluster.members.values().filter(|member| !member.data.api_url.is_empty());
    let mut members: IndexMap<_, _> = known.map(|member| (member.name.clone(), member.data.api_url.clone())).collect();
    members.entry(view.me.name.clone()).or_insert_with(|| view.me.api_url.clone());
    let key = cluster.failsafe.as_ref();
    let version = key.map(|key| key.version);
    (key.map(|key| &key.value) != Some(&members)).then_some(Write::Failsafe { members, version })
}

/// The DCS is away and we lead: ask, once a third of the lease is over; from then on every loop_wait, and at least as
/// often as that.
pub(super) fn ask(view: &View, now: Moment) -> Option<Decision> {
    let cluster = view.dcs.cluster.as_ref()?;
    let led = cluster.leader_name() == Some(&view.me.name);
    let stops = view.job.as_ref().is_some_and(|job| job.kind == JobKind::Stop);
    let serves = view.pg.process == Process::Up && view.pg.is_primary() && !stops && !view.stopping;
    let key = cluster.failsafe.as_ref().filter(|key| key.value.contains_key(&view.me.name))?;
    if !view.settings.failsafe_mode || view.settings.pause || !led || !serves {
        return None;
    }
    let wait = now.until(due(view, now));
    if !wait.is_zero() {
        return Some(in_between(view, cluster, now).recheck(wait));
    }
    let others = key.value.iter().filter(|(name, _)| **name != view.me.name);
    let members = others.map(|(name, url)| (name.clone(), url.clone())).collect();
    let call = Call {
        name: view.me.name.clone(),
        conn_url: view.me.conn_url.clone(),
        api_url: view.me.api_url.clone(),
        slots: view.pg.server.as_ref().map(|server| slots::published(view, cluster, server)).unwrap_or_default(),
    };
    let ask = Action::AskFailsafe { members, call };
    let mut decision = in_between(view, cluster, now);
    if !is_active(view, now) {
        decision.status = "ZooKeeper is not accessible: asking all members in failsafe mode".into();
    }
    Some(decision.then(ask))
}

/// When the members are to be asked.
fn due(view: &View, now: Moment) -> Moment {
    let third = view.settings.ttl / 3;
    let often = view.settings.loop_wait.min(third);
    match view.facts.failsafe_asked {
        Some(asked) if (1..FINAL).contains(&view.facts.failsafe_refusals) => asked + AGAIN.min(often),
        Some(asked) if is_active(view, now) => asked + often,
        asked => {
            let lease = Moment(view.dcs.session_until.0.saturating_sub((third * 2).as_millis() as u64));
            lease.max(asked.map_or(lease, |asked| asked + often))
        }
    }
}

/// What the leader does while it lives on, and what it says. Slots of members that stream from others are moved on as
/// far as those have told; none is made or dropped, since the picture of the DCS is an old one.
fn in_between(view: &View, cluster: &Cluster, now: Moment) -> Decision {
    let mut decision = Decision::wait(match (is_active(view, now), view.facts.failsafe_refusals) {
        (true, 0) => "continue to run as a leader because failsafe mode is enabled and all members are accessible",
        (true, _) => "failsafe mode: not all members are accessible; asking them once more before demoting",
        (false, _) => "ZooKeeper is not accessible",
    });
    if let Some(server) = view.pg.server.as_ref().filter(|_| is_active(view, now)) {
        let mut cluster = cluster.clone();
        for (name, position) in &view.facts.failsafe_positions {
            if let Some(member) = cluster.members.get_mut(name) {
                member.data.xlog_location = member.data.xlog_location.max(Some(*position));
            }
        }
        decision.actions = slots::chores(view, &cluster, server).into_iter().filter_map(moved_on).collect();
    }
    decision
}

/// The answer to a leader that asks: our WAL position, if we follow it.
pub fn answer(view: &View) -> Result<Option<Lsn>, &'static str> {
    let promoting = view.job.as_ref().is_some_and(|job| matches!(job.kind, JobKind::Promote | JobKind::StartPrimary));
    let runs = view.pg.process == Process::Up && view.pg.is_primary();
    // Who holds the lease is about to lead, if it does not yet.
    if runs || promoting || view.leads() {
        return Err("Running as a leader");
    }
    Ok(view.pg.server.as_ref().map(super::Server::position))
}

/// The leader that we have agreed to follow whatever the leader key says.
pub(super) fn agreed(view: &View, now: Moment) -> Option<&Call> {
    let agreed = view.facts.failsafe.as_ref().filter(|_| view.settings.failsafe_mode)?;
    (now < agreed.at + view.settings.ttl).then_some(&agreed.leader)
}

/// The DCS is away and we follow by agreement: slots are moved on as far as the leader has told, so that they do not
/// hold WAL back. None is made or dropped: the picture of the DCS is an old one.
pub(super) fn follow(view: &View, now: Moment) -> Option<Decision> {
    let leader = agreed(view, now)?;
    let mut cluster = view.dcs.cluster.clone()?;
    let server = view.pg.server.as_ref().filter(|server| server.in_recovery)?;
    if view.job.is_some() || view.settings.pause {
        return None;
    }
    if let Some(status) = &mut cluster.status {
        status.value.slots = Some(leader.slots.clone());
    }
    let mut decision = Decision::wait(format!("following {} in failsafe mode", leader.name));
    decision.actions = slots::chores(view, &cluster, server).into_iter().filter_map(moved_on).collect();
    Some(decision.recheck(view.settings.loop_wait))
}

fn moved_on(action: Action) -> Option<Action> {
    match action {
        Action::Chore(Chore::Slots { advance, .. }) if !advance.is_empty() => {
            Some(Chore::Slots { create: Vec::new(), drop: Vec::new(), advance }.into())
        }
        Action::Chore(Chore::LogicalSlots { advance, .. }) if !advance.is_empty() => {
            Some(Chore::LogicalSlots { create: Vec::new(), advance }.into())
        }
        _ => None,
    }
}

/// Whether this cluster lives on by agreement: as the leader, or as one of those who have agreed.
pub fn is_active(view: &View, now: Moment) -> bool {
    let leads = now < view.dcs.failsafe_until && !(view.dcs.reachable && view.leads());
    leads || agreed(view, now).is_some()
}

/// Why this node must not race.
pub(super) fn bars(view: &View, cluster: &Cluster, now: Moment) -> Option<String> {
    if !view.settings.failsafe_mode {
        return None;
    }
    if let Some(leader) = agreed(view, now).filter(|leader| leader.name != view.me.name) {
        return Some(format!("{} leads in failsafe mode", leader.name));
    }
    let key = cluster.failsafe.as_ref().filter(|key| !key.value.is_empty())?;
    (!key.value.contains_key(&view.me.name)).then(|| "the failsafe key does not name this node".into())
}

/// The members that the failsafe key names and whose member keys are gone: in a race they are asked, too.
pub(super) fn absent(view: &View, cluster: &Cluster) -> Vec<(String, String)> {
    let sync = cluster.sync();
    let counts = |name: &str| {
        name != view.me.name && !cluster.members.contains_key(name) && (!sync.is_active() || sync.names(name))
    };
    let key = cluster.failsafe.iter().filter(|_| view.settings.failsafe_mode).flat_map(|key| &key.value);
    key.filter(|(name, _)| counts(name)).map(|(name, url)| (name.clone(), url.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::cluster::{Sync, Versioned};

    fn members(names: &[&str]) -> IndexMap<String, String> {
        names.iter().map(|name| (name.to_string(), format!("http://127.0.1.{}:8008/patroni", &name[2..]))).collect()
    }

    fn in_failsafe_mode(mut view: View) -> View {
        view.settings.failsafe_mode = true;
        let key = Versioned { value: members(&["pg1", "pg2"]), version: 3 };
        view.dcs.cluster.as_mut().unwrap().failsafe = Some(key);
        view
    }

    /// pg1 leads, and the DCS has been away for this many seconds.
    fn cut_off(seconds: u64) -> View {
        let mut view = in_failsafe_mode(primary());
        (view.dcs.reachable, view.dcs.session_until) = (false, Moment(NOW.0 + 30_000 - seconds * 1000));
        view
    }

    #[test]
    fn a_call_is_read_as_it_was_sent() {
        let slots = [("pg2".to_string(), Lsn(7))].into_iter().collect();
        let call = Call { name: "pg1".into(), conn_url: "c".into(), api_url: "a".into(), slots };
        let Value::Object(body) = serde_json::from_str(&call.to_json()).unwrap() else { panic!() };
        assert_eq!(Call::read(&body), Some(call));
        let Value::Object(body) = json!({"name": "pg1"}) else { panic!() };
        assert_eq!(Call::read(&body), None);
    }

    #[test]
    fn the_leader_keeps_the_key_and_only_in_failsafe_mode() {
        let mut view = primary();
        assert_eq!(wanted(&view), []);
        view.settings.failsafe_mode = true;
        assert_eq!(wanted(&view), [Write::Failsafe { members: members(&["pg1", "pg2"]), version: None }.into()]);
        let mut view = in_failsafe_mode(view);
        assert_eq!(wanted(&view), []);
        view.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        let key = Write::Failsafe { members: members(&["pg1"]), version: Some(3) };
        assert!(wanted(&view).contains(&key.into()));
    }

    #[test]
    fn cut_off_the_leader_asks_all_others_in_time_and_not_too_often() {
        assert_eq!(wanted(&cut_off(9)), []);
        let Action::AskFailsafe { members, call } = first(&cut_off(10)) else { panic!() };
        assert_eq!(members, [("pg2".to_string(), "http://127.0.1.2:8008/patroni".to_string())]);
        assert_eq!((call.name.as_str(), call.slots["pg1"]), ("pg1", Lsn(POSITION)));
        let mut view = cut_off(10);
        view.facts.failsafe_asked = Some(Moment(NOW.0 - 9_999));
        assert_eq!(wanted(&view), []);
        view.facts.failsafe_asked = Some(Moment(NOW.0 - 10_000));
        assert!(matches!(first(&view), Action::AskFailsafe { .. }));
        // On their word alone they are asked as often.
        view.dcs.failsafe_until = NOW + Duration::from_secs(21);
        assert!(matches!(first(&view), Action::AskFailsafe { .. }));
        view.facts.failsafe_asked = Some(Moment(NOW.0 - 9_999));
        assert_eq!(wanted(&view), []);
        assert!(is_active(&view, NOW));
    }

    fn answers(said: Result<&[(&str, u64)], &str>) -> Answers {
        let positions = |said: &[(&str, u64)]| said.iter().map(|(name, lsn)| (name.to_string(), Lsn(*lsn))).collect();
        Answers { asked: NOW, said: said.map(positions).map_err(str::to_owned) }
    }

    #[test]
    fn members_that_fail_to_agree_twice_in_a_row_end_what_they_have_granted_and_not_the_sessions_lease() {
        let mut view = cut_off(31);
        view.dcs.session = None;
        assert!(view.learn_failsafe(answers(Ok(&[])), NOW));
        assert_eq!((view.dcs.failsafe_until, guard(&view, NOW)), (NOW + Duration::from_secs(30), None));
        assert!(decide(&view, NOW).status.contains("all members are accessible"));
        view.facts.failsafe_asked = Some(NOW);
        assert!(!view.learn_failsafe(answers(Err("pg2 does not answer")), NOW));
        assert_eq!(guard(&view, NOW), None);
        let decision = decide(&view, NOW);
        assert!(decision.status.contains("not all members are accessible"), "{}", decision.status);
        assert_eq!(decision.recheck, Duration::from_secs(1));
        let soon = NOW + Duration::from_secs(1);
        assert!(matches!(decide(&view, soon).actions[..], [Action::AskFailsafe { .. }]));
        let mut back = view.clone();
        assert!(back.learn_failsafe(answers(Ok(&[])), soon));
        assert!(!back.learn_failsafe(answers(Err("pg2 does not answer")), soon));
        assert_eq!(guard(&back, soon), None, "the count begins anew");
        assert!(!view.learn_failsafe(answers(Err("pg2 does not answer")), soon));
        let stop = guard(&view, soon).map(|decision| decision.actions);
        assert_eq!(stop, Some(vec![Job::Stop { mode: StopMode::Fast { checkpoint: false } }.into()]));
        let mut view = cut_off(10);
        view.facts.failsafe_refusals = 1;
        assert!(!view.learn_failsafe(answers(Err("pg2 does not answer")), NOW));
        assert_eq!(guard(&view, NOW), None, "the session's lease lasts for 20 s more");
    }

    #[test]
    fn the_leader_moves_the_slots_of_members_that_stream_from_others_on_as_far_as_they_have_told() {
        let mut view = cut_off(31);
        view.dcs.session = None;
        add_member(&mut view, "pg3", "127.0.1.3");
        let pg3 = &mut view.dcs.cluster.as_mut().unwrap().members["pg3"].data;
        pg3.tags.insert("replicatefrom".into(), "pg2".into());
        let slot = Slot { name: "pg3".into(), position: Lsn(1), ..Slot::default() };
        view.pg.server.as_mut().unwrap().slots.push(slot);
        view.facts.failsafe_asked = Some(NOW);
        view.learn_failsafe(answers(Ok(&[])), NOW);
        assert_eq!(wanted(&view), []);
        view.learn_failsafe(answers(Ok(&[("pg2", 8), ("pg3", 9)])), NOW);
        let advance = vec![("pg3".to_string(), 9)];
        assert_eq!(wanted(&view), [Chore::Slots { create: vec![], drop: vec![], advance }.into()]);
    }

    #[test]
    fn nobody_asks_without_the_mode_the_key_the_lease_or_a_primary() {
        let mut view = cut_off(20);
        view.settings.failsafe_mode = false;
        assert_eq!(wanted(&view), []);
        let mut view = cut_off(20);
        view.dcs.cluster.as_mut().unwrap().failsafe.as_mut().unwrap().value.shift_remove("pg1");
        assert_eq!(wanted(&view), []);
        let mut view = cut_off(20);
        view.settings.pause = true;
        assert_eq!(wanted(&view), []);
        let mut view = in_failsafe_mode(replica());
        (view.dcs.reachable, view.dcs.session_until) = (false, Moment(NOW.0 + 10_000));
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_replica_agrees_with_its_position_and_whoever_leads_does_not() {
        assert_eq!(answer(&replica()), Ok(Some(Lsn(POSITION))));
        assert_eq!(answer(&primary()), Err("Running as a leader"));
        let mut view = replica();
        lead_by(&mut view, "pg1");
        assert_eq!(answer(&view), Err("Running as a leader"));
    }

    #[test]
    fn whoever_has_agreed_does_not_race_for_ttl_nor_does_whom_the_key_does_not_name() {
        let mut view = in_failsafe_mode(replica());
        view.dcs.cluster.as_mut().unwrap().leader = None;
        set_sync(&mut view, Sync::default());
        view.peers = Some(Peers { asked: NOW, answers: [("pg2".to_string(), None)].into_iter().collect() });
        assert_eq!(first(&view), Write::AcquireLeader { sync: Some(0) }.into());
        let leader = Call { name: "pg2".into(), ..Call::default() };
        view.facts.failsafe = Some(Agreed { at: Moment(NOW.0 - 29_999), leader });
        assert_eq!(wanted(&view), []);
        assert!(is_active(&view, NOW));
        view.facts.failsafe.as_mut().unwrap().at = Moment(NOW.0 - 30_000);
        assert_eq!(first(&view), Write::AcquireLeader { sync: Some(0) }.into());
        view.dcs.cluster.as_mut().unwrap().failsafe.as_mut().unwrap().value.shift_remove("pg1");
        assert_eq!(wanted(&view), []);
    }

    #[test]
    fn a_replica_moves_its_slots_on_as_far_as_the_leader_has_told_and_makes_none() {
        let mut view = in_failsafe_mode(replica());
        add_member(&mut view, "pg3", "127.0.1.3");
        let slot = |name: &str, position| Slot { name: name.into(), position: Lsn(position), ..Slot::default() };
        view.pg.server.as_mut().unwrap().slots = vec![slot("pg2", 1), slot("pg3", 1)];
        view.dcs.reachable = false;
        let slots = [("pg3".to_string(), Lsn(9))].into_iter().collect();
        let leader = Call { name: "pg2".into(), slots, ..Call::default() };
        view.facts.failsafe = Some(Agreed { at: NOW, leader });
        let wanted = wanted(&view);
        let [Action::Chore(Chore::Slots { create, drop, advance })] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!((create.len(), drop.len()), (0, 0));
        assert!(advance.contains(&("pg3".to_string(), 9)), "{advance:?}");
    }

    #[test]
    fn a_lease_that_came_after_the_agreement_is_given_back() {
        let mut view = in_failsafe_mode(replica());
        lead_by(&mut view, "pg1");
        let leader = Call { name: "pg2".into(), ..Call::default() };
        view.facts.failsafe = Some(Agreed { at: NOW, leader });
        assert_eq!(first(&view), Write::ReleaseLeader.into());
    }

    #[test]
    fn the_members_that_only_the_key_names_are_asked_in_a_race_too() {
        let mut view = in_failsafe_mode(replica());
        let cluster = view.dcs.cluster.as_mut().unwrap();
        cluster.leader = None;
        cluster.members.shift_remove("pg2");
        set_sync(&mut view, Sync::default());
        let pg2 = ("pg2".to_string(), "http://127.0.1.2:8008/patroni".to_string());
        assert_eq!(first(&view), Action::AskPeers(vec![pg2]));
    }
}
