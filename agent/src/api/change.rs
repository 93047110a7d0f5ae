//! The calls that change something: which there are, and those that are done at once.

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::answer::{Answer, Body};
use super::{Request as Ask, Shared, http, restart, switchover};
use crate::decide::failsafe;

/// A call by its method and the first part of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    PatchConfig,
    PutConfig,
    Reload,
    Sigterm,
    Restart,
    CancelRestart,
    Reinitialize,
    Switchover,
    Failover,
    CancelSwitchover,
    Failsafe,
    Citus,
    Mpp,
}

impl Call {
    pub(super) fn of(method: &str, route: &str) -> Option<Call> {
        Some(match (method, route) {
            ("PATCH", "config") => Call::PatchConfig,
            ("PUT", "config") => Call::PutConfig,
            ("POST", "reload") => Call::Reload,
            ("POST", "sigterm") => Call::Sigterm,
            ("POST", "restart") => Call::Restart,
            ("DELETE", "restart") => Call::CancelRestart,
            ("POST", "reinitialize") => Call::Reinitialize,
            ("POST", "switchover") => Call::Switchover,
            ("POST", "failover") => Call::Failover,
            ("DELETE", "switchover") => Call::CancelSwitchover,
            ("POST", "failsafe") => Call::Failsafe,
            ("POST", "citus") => Call::Citus,
            ("POST", "mpp") => Call::Mpp,
            _ => return None,
        })
    }

    /// Whether the caller must be one who may, and then whether being a member of the cluster counts.
    pub(super) fn is_guarded(self) -> Option<bool> {
        match self {
            Call::Mpp => None,
            Call::Failsafe => Some(false),
            _ => Some(true),
        }
    }
}

pub(super) async fn perform(call: Call, request: &mut http::Request, shared: &Shared) -> Answer {
    let done = match call {
        Call::PatchConfig => config(request, shared, patch).await,
        Call::PutConfig => config(request, shared, replace).await,
        Call::Reload => {
            let _ = shared.requests.send(Ask::Reload).await;
            Ok(Answer::text(202, "reload scheduled"))
        }
        // In Patroni, too, it does something only on Windows, for tests.
        Call::Sigterm => Ok(Answer::text(202, "shutdown scheduled")),
        // There is no distributed cluster that could hear of it.
        Call::Citus | Call::Mpp => request.json(false).await.map(|_| Answer::text(200, "OK")),
        Call::Failsafe => failsafe(request, shared).await,
        Call::Restart => restart::restart(request, shared).await,
        Call::CancelRestart => Ok(restart::cancel(shared).await),
        Call::Reinitialize => restart::reinitialize(request, shared).await,
        Call::Switchover => switchover::ask(true, request, shared).await,
        Call::Failover => switchover::ask(false, request, shared).await,
        Call::CancelSwitchover => Ok(switchover::cancel(shared).await),
    };
    done.unwrap_or_else(|refusal| refusal)
}

async fn config(
    request: &mut http::Request,
    shared: &Shared,
    change: impl AsyncFnOnce(Map<String, Value>, &Shared) -> Answer,
) -> Result<Answer, Answer> {
    Ok(change(request.json(false).await?, shared).await)
}

/// A leader that is cut off from the DCS asks whether we follow it.
async fn failsafe(request: &mut http::Request, shared: &Shared) -> Result<Answer, Answer> {
    if !shared.view.borrow().settings.failsafe_mode {
        return Ok(Answer::error(502, "Bad Gateway"));
    }
    let body = request.json(false).await?;
    let Some(leader) = failsafe::Call::read(&body) else { return Err(Answer::error(400, "Bad Request")) };
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::Failsafe(leader, sender)).await;
    Ok(match receiver.await {
        Ok(Ok(position)) => {
            let headers = position.map(|position| ("lsn", position.0.to_string())).into_iter().collect();
            Answer { headers, ..Answer::text(200, "Accepted") }
        }
        Ok(Err(reason)) => Answer::text(500, reason),
        Err(_) => Answer::error(503, "Service Unavailable"),
    })
}

async fn patch(patch: Map<String, Value>, shared: &Shared) -> Answer {
    if shared.view.borrow().dcs.cluster.as_ref().is_none_or(|cluster| cluster.config.is_none()) {
        return Answer::error(503, "Service Unavailable");
    }
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::PatchConfig(patch, sender)).await;
    match receiver.await {
        Ok(Some(json)) => Answer { code: 200, body: Body::Json(json), headers: Vec::new() },
        _ => Answer::error(409, "Conflict"),
    }
}

async fn replace(config: Map<String, Value>, shared: &Shared) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let _ = shared.requests.send(Ask::ReplaceConfig(config, sender)).await;
    match receiver.await {
        Ok(Some(json)) => Answer { code: 200, body: Body::Json(json), headers: Vec::new() },
        _ => Answer::error(502, "Bad Gateway"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_under_one_method_is_unknown_under_another() {
        assert_eq!(Call::of("PATCH", "config"), Some(Call::PatchConfig));
        for (method, route) in
            [("POST", "config"), ("DELETE", "config"), ("PUT", "restart"), ("DELETE", "failover"), ("TRACE", "")]
        {
            assert_eq!(Call::of(method, route), None, "{method} {route}");
        }
        assert_eq!((Call::Mpp.is_guarded(), Call::Failsafe.is_guarded()), (None, Some(false)));
    }
}
