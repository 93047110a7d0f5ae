//! The health checks: which role has which code.

use std::time::Duration;

use crate::clock::Moment;
use crate::cluster::{Lsn, MemberRole, PgState};
use crate::decide::{self, Role, Server, View};

/// What a check looks at.
pub struct Health<'a> {
    pub view: &'a View,
    pub now: Moment,
}

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Query {
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(key), decoded(value))
        };
        Query(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// `lag` in bytes; a number alone or with a unit.
    fn lag(&self) -> Option<u64> {
        let text = self.get("lag")?.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim() {
            "" | "B" => 1,
            "kB" => 1 << 10,
            "MB" => 1 << 20,
            "GB" => 1 << 30,
            "TB" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(unit)
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Health<'_> {
    /// We hold the lease, and it cannot have run out.
    pub fn leads(&self) -> bool {
        self.view.holds_lease(self.now)
    }

    pub fn is_running(&self) -> bool {
        decide::state(self.view) == PgState::Running && !decide::hangs(self.view, self.now)
    }

    /// A primary that may be written to: it runs as one and holds the lease.
    pub fn primary(&self) -> bool {
        if self.view.settings.pause && !self.view.dcs.reachable {
            return self.view.pg.role == Role::Primary && self.is_running();
        }
        self.leads() && self.view.pg.role == Role::Primary && self.is_running()
    }

    /// Leads a standby cluster.
    pub fn standby_leader(&self) -> bool {
        self.leads() && decide::role(self.view) == MemberRole::StandbyLeader
    }

    fn is_synchronous(&self) -> bool {
        let cluster = self.view.dcs.cluster.as_ref();
        let named = cluster.is_some_and(|cluster| cluster.sync().has_standby(&self.view.me.name));
        self.view.pg.role == Role::Replica && named
    }

    fn quorum_mode(&self) -> bool {
        self.view.dcs.cluster.as_ref().is_some_and(|cluster| cluster.is_quorum_mode())
    }

    pub fn is_sync_standby(&self) -> bool {
        self.is_synchronous() && !self.quorum_mode()
    }

    pub fn is_quorum_standby(&self) -> bool {
        self.is_synchronous() && self.quorum_mode()
    }

    /// A replica to read from: runs, takes load, and is near enough.
    pub fn replica(&self, query: &Query) -> bool {
        let data = crate::cluster::MemberData { tags: self.view.me.tags.clone(), ..Default::default() };
        decide::role(self.view) == MemberRole::Replica
            && self.is_running()
            && !data.tag("noloadbalance")
            && query.lag().is_none_or(|limit| self.lag() <= limit)
    }

    /// How far the replica is behind what the leader was last known to have.
    fn lag(&self) -> u64 {
        let Some(server) = &self.view.pg.server else { return u64::MAX };
        self.end(server).since(server.replayed)
    }

    /// The newest WAL that the leader is known to have.
    fn end(&self, server: &Server) -> Lsn {
        let optime = self.view.dcs.cluster.as_ref().map_or(Lsn(0), |cluster| cluster.optime());
        let streamed = server.wal_receiver.as_ref().map_or(Lsn(0), |receiver| receiver.latest_end);
        optime.max(streamed)
    }

    /// Every `tag_NAME=VALUE` is so on this node.
    pub fn tags_match(&self, query: &Query) -> bool {
        let tags = decide::tags(self.view);
        query.0.iter().filter_map(|(key, value)| Some((key.strip_prefix("tag_")?, value))).all(|(tag, wanted)| {
            tags.get(tag).is_some_and(|tag| match tag {
                serde_json::Value::String(text) => text == wanted,
                other => other.to_string().to_lowercase() == *wanted,
            })
        })
    }

    /// The agent's loop is alive: it has published a view within ttl (a leader) or twice that.
    pub fn liveness(&self, published: Moment) -> bool {
        let ttl = self.view.settings.ttl;
        let limit = if self.view.pg.role == Role::Primary { ttl } else { ttl * 2 };
        self.view.settings.pause || self.now.since(published) < limit
    }

    /// A starting agent asks by `not=SESSION` whether another one of its name lives; the address in the member key may
    /// lead back to itself.
    pub fn is_excluded(&self, query: &Query) -> bool {
        let asking = query.get("not").and_then(|session| u64::from_str_radix(session, 16).ok());
        asking.is_some_and(|session| Some(session as i64) == self.view.dcs.session)
    }

    /// Ready to be counted on: leads, or streams and is near enough.
    pub fn readiness(&self, query: &Query) -> bool {
        if self.leads() {
            return true;
        }
        let limit = query.lag().unwrap_or(self.view.settings.maximum_lag_on_failover);
        let Some(server) = self.view.pg.server.as_ref().filter(|_| self.is_running()) else { return false };
        let position = if query.get("mode") == Some("write") { server.position() } else { server.replayed };
        server.is_streaming() && self.end(server).since(position) <= limit
    }

    /// The lease was free, or cannot be known to be held, for longer than a lease lasts.
    pub fn unlocked(&self) -> bool {
        let cluster = self.view.dcs.cluster.as_ref();
        let stale = self.now >= self.view.dcs.session_until;
        cluster.is_none_or(|cluster| cluster.leader.is_none()) || stale
    }

    /// Seconds since 1970 when the DCS was heard of last.
    pub fn dcs_last_seen(&self) -> i64 {
        let heard = self.view.dcs.session_until.0.saturating_sub(self.view.dcs.session_timeout);
        let ago = Duration::from_millis(self.now.0.saturating_sub(heard));
        if heard == 0 { 0 } else { jiff::Timestamp::now().as_second() - ago.as_secs() as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("lag=10MB&tag_key=a%20b+c&x");
        assert_eq!((query.lag(), query.get("tag_key"), query.get("x")), (Some(10 << 20), Some("a b c"), Some("")));
        assert_eq!(Query::parse("lag=5kB").lag(), Some(5120));
        assert_eq!(Query::parse("lag=much").lag(), None);
    }
}
