//! `/switchover` and `/failover`: whether it can be done, the failover key, and what came of it.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::answer::Answer;
use super::{Request as Ask, Shared, http, peers, schedule};
use crate::cluster::{Cluster, Failover};
use crate::config::SyncMode;
use crate::decide::View;

/// The outcome is waited for twice as long as this, or as loop_wait where that is longer.
const WATCHED: Duration = Duration::from_secs(10);
/// How soon our own view has the key that we have written.
const SEEN: Duration = Duration::from_secs(3);

/// What is asked for.
#[derive(Debug)]
struct Handover {
    switchover: bool,
    leader: Option<String>,
    candidate: Option<String>,
    schedule: Option<schedule::Scheduled>,
}

impl Handover {
    fn action(&self) -> &'static str {
        if self.switchover { "switchover" } else { "failover" }
    }
}

pub(super) async fn ask(switchover: bool, request: &mut http::Request, shared: &Shared) -> Result<Answer, Answer> {
    let body = request.json(false).await?;
    let view = shared.view.borrow().clone();
    let handover = read(switchover, &body, view.settings.pause)?;
    tracing::info!(
        "received {} request with leader={} candidate={} scheduled_at={}",
        handover.action(),
        handover.leader.as_deref().unwrap_or("None"),
        handover.candidate.as_deref().unwrap_or("None"),
        handover.schedule.as_ref().map_or("None", |schedule| schedule.text.as_str()),
    );
    let none = Cluster::default();
    let cluster = view.dcs.cluster.as_ref().unwrap_or(&none);
    if handover.schedule.is_none() {
        possible(&handover, &view, cluster, shared).await?;
    }
    Ok(perform(handover, cluster, shared).await)
}

/// The request, unless it is none that could be met.
fn read(switchover: bool, body: &Map<String, Value>, paused: bool) -> Result<Handover, Answer> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned).filter(|text| !text.is_empty());
    let leader = text("leader");
    let candidate = text("candidate").or_else(|| text("member"));
    let scheduled_at = body.get("scheduled_at").filter(|value| crate::config::flag(Some(value)) != Some(false));
    let scheduled_at = scheduled_at.filter(|value| !value.is_null() && value.as_str() != Some(""));
    let no = |why: &str| Err(Answer::text(400, why));
    if !switchover && candidate.is_none() {
        return no("Failover could be performed only to a specific candidate");
    }
    if switchover && leader.is_none() {
        return no("Switchover could be performed only from a specific leader");
    }
    let schedule = match scheduled_at {
        None => None,
        Some(_) if !switchover => return no("Failover can't be scheduled"),
        Some(_) if paused => return no("Can't schedule switchover in the paused state"),
        Some(at) => Some(schedule::parse(at.as_str().unwrap_or_default(), "switchover", jiff::Timestamp::now())?),
    };
    if paused && candidate.is_none() {
        return no("Switchover is possible only to a specific candidate in a paused state");
    }
    if leader == candidate {
        return no("Switchover target and source are the same");
    }
    if !switchover && leader.is_some() {
        tracing::warn!("received failover request with leader specified - performing switchover instead");
    }
    Ok(Handover { switchover: switchover || leader.is_some(), leader, candidate, schedule })
}

/// Whether there is somebody who could take over now.
async fn possible(handover: &Handover, view: &View, cluster: &Cluster, shared: &Shared) -> Result<(), Answer> {
    let (members, insist) = candidates(handover, view, cluster).map_err(|why| Answer::text(412, &why))?;
    let access = shared.peers.borrow().clone();
    let answers = peers::ask(&access, members).await.answers;
    let able = answers.values().flatten().any(|peer| peer.may_lead && (peer.position.is_some() || peer.is_primary));
    if able { Ok(()) } else { Err(Answer::text(412, &insist)) }
}

/// Whom to ask, by name and address, and what to say if none of them could; or why nobody need be asked.
fn candidates(handover: &Handover, view: &View, cluster: &Cluster) -> Result<(Vec<(String, String)>, String), String> {
    let action = handover.action();
    if handover.leader.as_deref().is_some_and(|leader| cluster.leader_name() != Some(leader)) {
        return Err("leader name does not match".into());
    }
    let sync = cluster.sync();
    let synchronous = view.settings.sync_mode != SyncMode::Off && !cluster.is_quorum_mode();
    let is_sync = |name: &str| sync.has_standby(name);
    let mut members: Vec<_> = cluster.members.values().collect();
    match &handover.candidate {
        Some(candidate) => {
            if handover.switchover && synchronous && !is_sync(candidate) {
                return Err("candidate name does not match with sync_standby".into());
            }
            members.retain(|member| member.name == *candidate);
            if members.is_empty() {
                return Err("candidate does not exists".into());
            }
        }
        None if synchronous => {
            members.retain(|member| is_sync(&member.name));
            if members.is_empty() {
                return Err(format!("{action} is not possible: can not find sync_standby"));
            }
        }
        None => {
            members.retain(|member| cluster.leader_name() != Some(&member.name) && !member.data.api_url.is_empty());
            if members.is_empty() {
                return Err(format!("{action} is not possible: cluster does not have members except leader"));
            }
        }
    }
    let list = members.into_iter().map(|member| (member.name.clone(), member.data.api_url.clone())).collect();
    Ok((list, format!("{action} is not possible: no good candidates have been found")))
}

async fn perform(handover: Handover, cluster: &Cluster, shared: &Shared) -> Answer {
    let scheduled_at = handover.schedule.as_ref().map(|schedule| schedule.text.clone());
    let failover = Failover { leader: handover.leader.clone(), candidate: handover.candidate.clone(), scheduled_at };
    let before = cluster.failover.as_ref().map(|failover| failover.version);
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::Failover(failover, sender)).await;
    if receiver.await != Ok(true) {
        return Answer::text(503, "failed to write failover key into DCS");
    }
    if handover.schedule.is_some() {
        return Answer::text(202, "Switchover scheduled");
    }
    watch(&handover, cluster.leader_name(), before, shared).await
}

/// Waits for the outcome and puts it in Patroni's words. `before` is the failover key's version before it was
/// written: until the view has a newer one, it tells nothing of this request.
async fn watch(handover: &Handover, from: Option<&str>, before: Option<i32>, shared: &Shared) -> Answer {
    let mut views = shared.view.clone();
    let patience = views.borrow().settings.loop_wait.max(WATCHED) * 2;
    let led_by_another = |cluster: &Cluster| cluster.leader_name().is_some_and(|leader| from != Some(leader));
    let seen = views.wait_for(|view| {
        let Some(cluster) = &view.dcs.cluster else { return false };
        led_by_another(cluster) || cluster.failover.as_ref().map(|failover| failover.version) != before
    });
    let _ = tokio::time::timeout(SEEN, seen).await;
    let outcome = views.wait_for(|view| {
        let Some(cluster) = view.dcs.cluster.as_ref().filter(|_| view.dcs.reachable) else { return false };
        led_by_another(cluster) || (cluster.failover().is_none() && cluster.leader.is_some())
    });
    let (done, passive) = if handover.switchover { ("switched", "Switchover") } else { ("failed", "Failover") };
    let leader = match tokio::time::timeout(patience, outcome).await {
        Ok(Ok(view)) => view.dcs.cluster.as_ref().and_then(|cluster| cluster.leader_name().map(str::to_owned)),
        _ => return Answer::text(503, &format!("{passive} status unknown")),
    };
    let candidate = handover.candidate.as_deref();
    match leader.filter(|leader| from != Some(leader)) {
        Some(leader) if candidate.is_none_or(|candidate| candidate == leader) => {
            Answer::text(200, &format!("Successfully {done} over to \"{leader}\""))
        }
        Some(leader) => {
            let done = format!("{}{}", done[..1].to_uppercase(), &done[1..]);
            Answer::text(200, &format!("{done} over to \"{leader}\" instead of \"{}\"", candidate.unwrap_or_default()))
        }
        None => Answer::text(503, &format!("{passive} failed")),
    }
}

pub(super) async fn cancel(shared: &Shared) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::CancelSwitchover(sender)).await;
    match receiver.await {
        Ok(Some(true)) => Answer::text(200, "scheduled switchover deleted"),
        Ok(Some(false)) => Answer::error(409, "Conflict"),
        _ => Answer::text(404, "no switchover is scheduled"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Body;
    use super::*;
    use crate::cluster::Sync;
    use crate::decide::testing;

    fn words(answer: Answer) -> (u16, String) {
        let Body::Text(text) = answer.body else { panic!("{answer:?}") };
        (answer.code, text)
    }

    fn refused(switchover: bool, body: &str, paused: bool) -> (u16, String) {
        let body: Map<String, Value> = serde_json::from_str(body).unwrap();
        words(read(switchover, &body, paused).unwrap_err())
    }

    #[test]
    fn requests_that_make_no_sense_are_refused_in_patronis_words_and_order() {
        for (switchover, body, paused, code, text) in [
            (false, r#"{"foo": 1}"#, false, 400, "Failover could be performed only to a specific candidate"),
            (
                false,
                r#"{"member": "b", "scheduled_at": "2199-01-01T00:00:00Z"}"#,
                false,
                400,
                "Failover can't be scheduled",
            ),
            (true, r#"{"candidate": "b"}"#, false, 400, "Switchover could be performed only from a specific leader"),
            (true, r#"{"leader": "a", "candidate": "a"}"#, false, 400, "Switchover target and source are the same"),
            (
                true,
                r#"{"leader": "a", "scheduled_at": "2199-01-01T00:00:00Z"}"#,
                true,
                400,
                "Can't schedule switchover in the paused state",
            ),
            (
                true,
                r#"{"leader": "a"}"#,
                true,
                400,
                "Switchover is possible only to a specific candidate in a paused state",
            ),
            (
                true,
                r#"{"leader": "a", "scheduled_at": 5}"#,
                false,
                422,
                "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
            ),
        ] {
            assert_eq!(refused(switchover, body, paused), (code, text.to_owned()), "{body}");
        }
        let body: Map<String, Value> = serde_json::from_str(r#"{"leader": "a", "candidate": "b"}"#).unwrap();
        assert!(read(false, &body, false).unwrap().switchover, "a failover from a leader is a switchover");
    }

    #[test]
    fn candidates_are_those_that_the_mode_allows() {
        let ask = |view: &View, switchover, leader: Option<&str>, candidate: Option<&str>| {
            let (leader, candidate) = (leader.map(Into::into), candidate.map(Into::into));
            let handover = Handover { switchover, leader, candidate, schedule: None };
            candidates(&handover, view, view.dcs.cluster.as_ref().unwrap())
        };
        let view = testing::primary();
        let names = |list: Result<(Vec<(String, String)>, String), String>| {
            list.map(|(list, _)| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(names(ask(&view, true, Some("pg1"), None)).unwrap(), ["pg2"]);
        assert_eq!(names(ask(&view, true, Some("pg2"), None)).unwrap_err(), "leader name does not match");
        let why = "candidate name does not match with sync_standby";
        assert_eq!(names(ask(&view, true, Some("pg1"), Some("pg9"))).unwrap_err(), why);
        assert_eq!(names(ask(&view, false, None, Some("pg9"))).unwrap_err(), "candidate does not exists");
        let mut view = testing::primary();
        testing::set_sync(&mut view, Sync::new("pg1", []));
        let why = "switchover is not possible: can not find sync_standby";
        assert_eq!(names(ask(&view, true, Some("pg1"), None)).unwrap_err(), why);
        view.settings.sync_mode = SyncMode::Off;
        assert_eq!(names(ask(&view, true, Some("pg1"), None)).unwrap(), ["pg2"]);
        view.dcs.cluster.as_mut().unwrap().members.shift_remove("pg2");
        let why = "switchover is not possible: cluster does not have members except leader";
        assert_eq!(names(ask(&view, true, Some("pg1"), None)).unwrap_err(), why);
    }
}
