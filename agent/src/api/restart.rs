//! `/restart` and `/reinitialize`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::answer::Answer;
use super::{Request as Ask, Shared, http, schedule};
use crate::decide::asked::{Filter, ScheduledRestart};

/// What stopping may take, beside the time that the start has.
const STOPPING: Duration = Duration::from_secs(60);

/// What a restart's body asks for.
#[derive(Debug, Default)]
struct Wish {
    filter: Filter,
    schedule: Option<schedule::Scheduled>,
}

pub(super) async fn restart(request: &mut http::Request, shared: &Shared) -> Result<Answer, Answer> {
    let body = request.json(true).await?;
    let view = shared.view.borrow().clone();
    if view.settings.pause && body.contains_key("schedule") {
        return Ok(Answer::text(500, "Can't schedule restart in the paused state"));
    }
    let Wish { filter, schedule } = wish(&body, Timestamp::now())?;
    let Some(schedule) = schedule else {
        let timeout = filter.timeout.unwrap_or(view.settings.primary_start_timeout);
        let patience = timeout + view.settings.loop_wait * 2 + STOPPING;
        return Ok(now(filter, patience, shared).await);
    };
    let start_time = view.pg.server.as_ref().map(|server| server.start_time.clone());
    let mut published = body;
    published.insert("schedule".into(), schedule.text.into());
    published.insert("postmaster_start_time".into(), start_time.clone().into());
    let plan = ScheduledRestart { published, at: schedule.at, start_time, filter };
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::ScheduleRestart(plan, sender)).await;
    Ok(match receiver.await {
        Ok(true) => Answer::text(202, "Restart scheduled"),
        _ => Answer::text(409, "Another restart is already scheduled"),
    })
}

async fn now(filter: Filter, patience: Duration, shared: &Shared) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::Restart(filter, sender)).await;
    match tokio::time::timeout(patience, receiver).await {
        Ok(Ok(Ok(()))) => Answer::text(200, "restarted successfully"),
        Ok(Ok(Err(why))) => Answer::text(503, &why),
        Ok(Err(_)) => Answer::text(503, "restart failed"),
        Err(_) => Answer::text(503, "postgres is still starting"),
    }
}

/// Reads the body in its order: the first thing that is wrong is the answer.
fn wish(body: &Map<String, Value>, now: Timestamp) -> Result<Wish, Answer> {
    let bad = |text: String| Answer::text(400, &text);
    let mut wish = Wish::default();
    for (key, value) in body {
        let text = value.as_str();
        match key.as_str() {
            "schedule" => wish.schedule = Some(schedule::parse(text.unwrap_or_default(), "restart", now)?),
            "role" => match text {
                Some(role @ ("primary" | "standby_leader" | "replica")) => wish.filter.role = Some(role.into()),
                _ => return Err(bad("PostgreSQL role should be either primary, standby_leader, or replica".into())),
            },
            "postgres_version" => wish.filter.below_version = Some(version(value).map_err(bad)?),
            "timeout" => {
                let seconds = crate::config::seconds(value).filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or_else(|| bad("Timeout should be a positive number of seconds".into()))?;
                wish.filter.timeout = Some(Duration::from_secs(seconds));
            }
            "restart_pending" => wish.filter.pending_only = true,
            other => return Err(bad(format!("Unknown filter for the scheduled restart: {other}"))),
        }
    }
    Ok(wish)
}

/// `15.2` and `9.6.1` as the server numbers itself.
fn version(value: &Value) -> Result<u32, String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok().filter(|n| *n < 100)).collect();
    match parts.as_deref() {
        Some([major, minor]) if *major >= 10 => Ok(major * 10_000 + minor),
        Some([major, minor, patch]) => Ok(major * 10_000 + minor * 100 + patch),
        Some(_) => Err(format!("Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: {text}")),
        None => Err(format!("Invalid PostgreSQL version: {text}")),
    }
}

pub(super) async fn cancel(shared: &Shared) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::CancelRestart(sender)).await;
    match receiver.await {
        Ok(true) => Answer::text(200, "scheduled restart deleted"),
        _ => Answer::text(404, "no restarts are scheduled"),
    }
}

pub(super) async fn reinitialize(request: &mut http::Request, shared: &Shared) -> Result<Answer, Answer> {
    let body = request.json(true).await?;
    let flag = |key: &str| crate::config::flag(body.get(key)).unwrap_or(false);
    let (sender, receiver) = oneshot::channel();
    let (force, from_leader) = (flag("force"), flag("from_leader"));
    let _ = shared.requests.send(Ask::Reinitialize { force, from_leader, answer: sender }).await;
    Ok(match receiver.await {
        Ok(None) => Answer::text(200, "reinitialize started"),
        Ok(Some(why)) => Answer::text(503, &why),
        Err(_) => Answer::text(503, "DCS is not accessible"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Wish, (u16, String)> {
        let body: Map<String, Value> = serde_json::from_str(body).unwrap();
        wish(&body, "2026-06-01T00:00:00Z".parse().unwrap()).map_err(|answer| match answer.body {
            super::super::answer::Body::Text(text) => (answer.code, text),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn filters_are_read_and_wrong_ones_refused_in_patronis_words() {
        let wish =
            read(r#"{"role": "replica", "postgres_version": "15.3", "timeout": "2min", "restart_pending": true}"#);
        let filter = Filter {
            role: Some("replica".into()),
            below_version: Some(150_003),
            pending_only: true,
            timeout: Some(Duration::from_secs(120)),
        };
        assert_eq!(wish.unwrap().filter, filter);
        assert!(read("{}").unwrap().schedule.is_none());
        assert_eq!(read(r#"{"schedule": "2030-01-01T00:00:00Z"}"#).unwrap().schedule.unwrap().at, 1_893_456_000);
        for (body, code, words) in [
            (r#"{"role": "x"}"#, 400, "PostgreSQL role should be either primary, standby_leader, or replica"),
            (r#"{"postgres_version": "9"}"#, 400, "Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: 9"),
            (r#"{"postgres_version": "a.b"}"#, 400, "Invalid PostgreSQL version: a.b"),
            (r#"{"timeout": "0"}"#, 400, "Timeout should be a positive number of seconds"),
            (r#"{"timeout": "soon"}"#, 400, "Timeout should be a positive number of seconds"),
            (r#"{"foo": 1}"#, 400, "Unknown filter for the scheduled restart: foo"),
            (r#"{"schedule": "2020-01-01T00:00:00Z"}"#, 422, "Cannot schedule restart in the past"),
            (
                r#"{"schedule": "2030-01-01T00:00:00"}"#,
                400,
                "Timezone information is mandatory for the scheduled restart",
            ),
        ] {
            assert_eq!(read(body).unwrap_err(), (code, words.to_owned()));
        }
        assert_eq!(version(&"9.6.1".into()), Ok(90_601));
        assert!(version(&"9.6".into()).is_err());
    }
}
