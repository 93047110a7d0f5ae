//! Switchovers and restarts at a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::harness::wait::ensure;
use crate::harness::{Stage, until};

/// Some seconds from now as ISO 8601, and in seconds since 1970.
fn soon(seconds: i64) -> (String, i64) {
    let at = jiff::Timestamp::now() + Duration::from_secs(seconds as u64);
    let at = jiff::Timestamp::from_second(at.as_second()).unwrap();
    (at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(), at.as_second())
}

/// A scheduled switchover happens at its time and not before.
pub async fn scheduled_switchover(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let (text, at) = soon(8);
    let body = json!({"leader": "pg1", "candidate": "pg2", "scheduled_at": text});
    let answer = cluster[0].call("POST", "/switchover", &body).await;
    assert_eq!((answer.status, &*answer.body), (202, "Switchover scheduled"));
    let key = cluster.dcs.json("failover").await.unwrap();
    assert_eq!((&key["leader"], &key["member"]), (&json!("pg1"), &json!("pg2")));
    assert_eq!(key["scheduled_at"], text);
    cluster.leads(1).await;
    let taken = cluster.dcs.get("leader").await.unwrap().stat.ctime;
    assert!(taken >= at * 1000, "the lease changed hands {} ms too early", at * 1000 - taken);
    cluster.streams(0).await;
    assert_eq!(cluster.dcs.get("failover").await.unwrap().data, "{}");
}

/// A scheduled restart happens at its time and not before, once.
pub async fn scheduled_restart(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let before = cluster[1].started_at().await.unwrap();
    let (text, at) = soon(6);
    let answer = cluster[1].call("POST", "/restart", &json!({"schedule": text})).await;
    assert_eq!((answer.status, &*answer.body), (202, "Restart scheduled"));
    let answer = cluster[1].call("POST", "/restart", &json!({"schedule": text})).await;
    assert_eq!((answer.status, &*answer.body), (409, "Another restart is already scheduled"));
    until("PostgreSQL was restarted", async || {
        let now = cluster[1].started_at().await?;
        ensure(now != before, || format!("it runs since {now}"))
    })
    .await;
    let epoch = cluster[1].value("select floor(extract(epoch from pg_postmaster_start_time()))").await.unwrap();
    assert!(epoch.parse::<i64>().unwrap() >= at, "restarted at {epoch}, before {at}");
    cluster.streams(1).await;
    until("nothing is scheduled any more", async || {
        let member = cluster.member(1).await?;
        ensure(member.get("scheduled_restart").is_none(), || member.to_string())
    })
    .await;
    assert_eq!(cluster[1].call("DELETE", "/restart", &json!({})).await.status, 404);
}

/// A switchover whose time is past is refused, as is a time without a zone.
pub async fn schedule_refused(stage: &Stage) {
    let cluster = stage.cluster(2).started().await;
    let past = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60;
    let past = jiff::Timestamp::from_second(past as i64).unwrap().to_string();
    for (when, status, words) in [
        (past.as_str(), 422, "Cannot schedule switchover in the past"),
        ("2199-01-01T00:00:00", 400, "Timezone information is mandatory for the scheduled switchover"),
        (
            "not a time",
            422,
            "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
        ),
    ] {
        let body = json!({"leader": "pg1", "scheduled_at": when});
        let answer = cluster[0].call("POST", "/switchover", &body).await;
        assert_eq!((answer.status, &*answer.body), (status, words), "{when}");
    }
    assert!(
        cluster.dcs.get("failover").await.is_err_and(|_| true)
            || cluster.dcs.get("failover").await.unwrap().data == "{}"
    );
}
