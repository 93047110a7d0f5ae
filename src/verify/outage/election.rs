//! Why no election happened: what kept the leader key, and why each candidate did not take it. Pure, over what the DCS
//! and the agents said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lab::model::Text;
use crate::observe::DcsView;
use crate::verify::say::both;

/// Patroni's default `maximum_lag_on_failover`, in bytes.
const MOST_LAG: u64 = 1024 * 1024;

/// What was known of the candidates at some moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Field {
    /// The keys; none where the DCS did not answer.
    pub dcs: Option<DcsView>,
    /// The last position that a leader published, in bytes.
    pub leader_lsn: Option<u64>,
    /// Nodes, their members, and what `GET /patroni` said, where it answered.
    pub nodes: Vec<(String, String, Option<Value>)>,
}

/// Why no election happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoElection {
    /// What concerns the cluster as a whole.
    pub because: Vec<Text>,
    /// Each candidate with its reasons; one without any could have taken over by all that was seen.
    pub candidates: Vec<Candidate>,
}

/// A node that might have taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The node.
    pub node: String,
    /// Why it did not.
    pub reasons: Vec<Text>,
}

/// Why nobody took the leader key over from `leader` (a node) after a fault that hit `hit`; none where another node was
/// hit and the leader kept its key: there was nothing to elect.
pub fn why(field: &Field, leader: Option<&str>, hit: &str) -> Option<NoElection> {
    let Some(dcs) = &field.dcs else {
        let away = both(
            "ZooKeeper не отвечает: без него лидера не выбрать",
            "ZooKeeper does not answer: without it there is no election",
        );
        return Some(NoElection { because: vec![away], candidates: Vec::new() });
    };
    let holder = dcs.leader.as_deref().map(|member| node_of(field, member));
    if holder.as_deref() == leader && leader.is_some_and(|leader| leader != hit) {
        return None;
    }
    let mut because = Vec::new();
    if let Some(holder) = &holder {
        because.push(held(holder, leader));
    }
    let paused = dcs.config.as_ref().and_then(|config| config.get("pause")).is_some_and(is_true);
    if paused {
        because
            .push(both("кластер на паузе: агенты никого не повышают", "the cluster is paused: agents promote nobody"));
    }
    let candidates = field.nodes.iter().filter(|(node, ..)| Some(node) != holder.as_ref());
    let candidates = candidates.map(|(node, member, rest)| Candidate {
        node: node.clone(),
        reasons: reasons(field, dcs, member, rest.as_ref()),
    });
    Some(NoElection { because, candidates: candidates.collect() })
}

fn held(holder: &str, leader: Option<&str>) -> Text {
    match Some(holder) == leader {
        true => both(
            format!("ключ лидера всё ещё держит {holder}: его сессия в ZooKeeper жива"),
            format!("the leader key is still held by {holder}: its session in ZooKeeper is alive"),
        ),
        false => both(format!("ключ лидера держит {holder}"), format!("the leader key is held by {holder}")),
    }
}

fn reasons(field: &Field, dcs: &DcsView, member: &str, rest: Option<&Value>) -> Vec<Text> {
    let key = dcs.members.iter().find(|(name, _)| name == member).map(|(_, value)| value);
    let mut reasons = Vec::new();
    let mut add = |ru: String, en: String| reasons.push(both(ru, en));
    if rest.is_none() {
        add("агент не отвечает".to_owned(), "its agent does not answer".to_owned());
    }
    let Some(key) = key else {
        add(
            "его нет среди members: сессия в ZooKeeper закончилась".to_owned(),
            "it is not among the members: its session in ZooKeeper has ended".to_owned(),
        );
        return reasons;
    };
    let tag = |name: &str| key.get("tags").and_then(|tags| tags.get(name));
    if tag("nofailover").is_some_and(is_true) {
        add("тег nofailover".to_owned(), "the tag nofailover".to_owned());
    }
    if tag("failover_priority").and_then(Value::as_i64).is_some_and(|priority| priority <= 0) {
        add("тег failover_priority: 0".to_owned(), "the tag failover_priority: 0".to_owned());
    }
    let state = key.get("state").and_then(Value::as_str).unwrap_or("unknown");
    if !matches!(state, "running" | "streaming") {
        add(format!("PostgreSQL: {state}"), format!("PostgreSQL is {state}"));
    }
    let sync = dcs.sync_standbys();
    let is_named = sync.iter().any(|name| name.eq_ignore_ascii_case(member)) || sync_leader(dcs) == Some(member);
    if dcs.is_synchronous() && sync_leader(dcs).is_some() && !is_named {
        let named = if sync.is_empty() { "—".to_owned() } else { sync.join(", ") };
        add(
            format!("ключ sync его не называет (в нём: {named}): на нём может не быть подтверждённых записей"),
            format!("the sync key does not name it (it names: {named}): it may lack acknowledged writes"),
        );
    }
    let own = rest.and_then(position).or_else(|| key.get("xlog_location").and_then(Value::as_u64));
    if let (Some(ahead), Some(own)) = (field.leader_lsn, own) {
        let most = most_lag(dcs);
        let behind = ahead.saturating_sub(own);
        if behind > most {
            add(
                format!("отстаёт на {behind} байт, больше maximum_lag_on_failover ({most})"),
                format!("it is {behind} bytes behind, more than maximum_lag_on_failover ({most})"),
            );
        }
    }
    let timeline = |value: &Value| value.get("timeline").and_then(Value::as_u64);
    let newest = dcs.members.iter().filter_map(|(_, value)| timeline(value)).max();
    let is_checked = dcs.config.as_ref().and_then(|config| config.get("check_timeline")).is_some_and(is_true);
    if let (Some(own), Some(newest), true) = (timeline(key), newest, is_checked)
        && own < newest
    {
        add(
            format!("на линии времени {own}, а кластер на {newest}"),
            format!("it is on timeline {own}, the cluster on {newest}"),
        );
    }
    reasons
}

fn node_of(field: &Field, member: &str) -> String {
    let known = field.nodes.iter().find(|(_, other, _)| other == member);
    known.map_or_else(|| member.to_owned(), |(node, ..)| node.clone())
}

fn sync_leader(dcs: &DcsView) -> Option<&str> {
    dcs.sync.as_ref()?.get("leader")?.as_str()
}

/// A standby's position by its own word: what it has received.
fn position(rest: &Value) -> Option<u64> {
    let xlog = rest.get("xlog")?;
    ["received_location", "replayed_location"].iter().filter_map(|name| xlog.get(name)?.as_u64()).max()
}

fn most_lag(dcs: &DcsView) -> u64 {
    let written = dcs.config.as_ref().and_then(|config| config.get("maximum_lag_on_failover"));
    written.and_then(Value::as_u64).unwrap_or(MOST_LAG)
}

fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || matches!(value.as_str(), Some("true" | "on" | "yes"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lab::model::Lang;

    /// A killed leader `a` whose key is gone; `b` (member m1) is the only candidate, and fit.
    fn field() -> Field {
        let member = json!({"state": "running", "role": "replica", "xlog_location": 1000, "timeline": 3});
        let dcs = DcsView {
            leader: None,
            sync: Some(json!({"leader": "m0", "sync_standby": "m1"})),
            config: Some(json!({"synchronous_mode": true})),
            members: vec![("m1".to_owned(), member)],
        };
        let rest = json!({"state": "running", "xlog": {"received_location": 1000, "replayed_location": 900}});
        Field {
            dcs: Some(dcs),
            leader_lsn: Some(1000),
            nodes: vec![("a".into(), "m0".into(), None), ("b".into(), "m1".into(), Some(rest))],
        }
    }

    fn of_b(change: impl FnOnce(&mut DcsView, &mut Option<Value>, &mut Option<u64>)) -> String {
        let mut field = field();
        let mut dcs = field.dcs.take().unwrap();
        change(&mut dcs, &mut field.nodes[1].2, &mut field.leader_lsn);
        field.dcs = Some(dcs);
        let found = why(&field, Some("a"), "a").unwrap();
        let b = found.candidates.iter().find(|candidate| candidate.node == "b").unwrap();
        b.reasons.iter().map(|reason| reason.get(Lang::En)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_fit_candidate_has_no_reason() {
        assert_eq!(of_b(|_, _, _| ()), "");
    }

    #[test]
    fn each_reason_is_told() {
        let set = |dcs: &mut DcsView, key: &str, value: Value| dcs.members[0].1[key] = value;
        assert!(of_b(|_, rest, _| *rest = None).contains("does not answer"));
        assert!(of_b(|dcs, _, _| dcs.members.clear()).contains("session in ZooKeeper has ended"));
        assert!(of_b(|dcs, _, _| set(dcs, "tags", json!({"nofailover": true}))).contains("nofailover"));
        assert!(of_b(|dcs, _, _| set(dcs, "tags", json!({"failover_priority": 0}))).contains("failover_priority"));
        assert!(of_b(|dcs, _, _| set(dcs, "state", json!("starting"))).contains("PostgreSQL is starting"));
        assert!(of_b(|dcs, _, _| dcs.sync = Some(json!({"leader": "m0", "sync_standby": "m2"}))).contains("names: m2"));
        assert!(of_b(|_, _, ahead| *ahead = Some(9_000_000)).contains("8999000 bytes behind"));
        let old = of_b(|dcs, _, _| {
            dcs.config = Some(json!({"check_timeline": true}));
            dcs.members.push(("m2".to_owned(), json!({"timeline": 4})));
        });
        assert!(old.contains("on timeline 3, the cluster on 4"), "{old}");
    }

    #[test]
    fn whoever_holds_the_key_is_told_where_there_was_something_to_elect() {
        let because = |leader: Option<&str>, hit: &str, holder: Option<&str>| {
            let mut field = field();
            field.dcs.as_mut().unwrap().leader = holder.map(str::to_owned);
            let because = why(&field, leader, hit)?.because;
            Some(because.iter().map(|text| text.get(Lang::En)).collect::<Vec<_>>().join("; "))
        };
        assert!(because(Some("a"), "a", Some("m0")).unwrap().contains("session in ZooKeeper is alive"));
        assert_eq!(because(Some("a"), "b", Some("m0")), None, "the standby was hit");
        assert_eq!(
            because(Some("a"), "b", None).as_deref(),
            Some(""),
            "the standby was hit, and the leader lost its key"
        );
        assert_eq!(because(None, "b", Some("m0")).as_deref(), Some("the leader key is held by a"));
        assert_eq!(because(Some("a"), "a", None).as_deref(), Some(""));
    }

    #[test]
    fn a_pause_and_a_dcs_that_is_away_concern_all() {
        let mut paused = field();
        paused.dcs.as_mut().unwrap().config = Some(json!({"pause": true}));
        assert!(why(&paused, Some("a"), "a").unwrap().because[0].get(Lang::En).contains("paused"));
        let away = why(&Field { dcs: None, ..field() }, Some("a"), "a").unwrap();
        assert!(away.because[0].get(Lang::En).contains("does not answer") && away.candidates.is_empty());
    }
}
