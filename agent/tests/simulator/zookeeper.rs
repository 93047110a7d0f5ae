//! A ZooKeeper server: sessions that expire on its ticks, ephemeral keys, versions, watches. The keys are
//! kept as the types that the agent reads them as.

use std::collections::BTreeMap;

use labrun_agent::cluster::{Cluster, DynamicConfig, Initialize, LeaderKey, Member, Versioned};
use labrun_agent::decide::Write;

/// What a client sends.
#[derive(Debug, Clone)]
pub enum Request {
    /// A new session, or the old one on a new connection.
    Connect {
        session: Option<i64>,
        timeout: u64,
    },
    Ping,
    /// From now on changes are told.
    Watch,
    /// All keys at once.
    Read,
    Write {
        name: String,
        write: Write,
    },
    Close,
}

/// What the server sends.
#[derive(Debug, Clone)]
pub enum Reply {
    Connected {
        session: i64,
        timeout: u64,
    },
    /// The session is no more.
    Expired,
    Pong,
    Read(Box<Cluster>),
    Written(Outcome),
    /// A watch: something has changed.
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; for a key that was created, by this transaction.
    Done(i64),
    /// Somebody was faster: it exists, it is missing, or has another version.
    Refused,
}

struct Session {
    timeout: u64,
    expires: u64,
    /// The connection it is served on.
    connection: usize,
    watches: bool,
}

pub struct ZooKeeper {
    pub keys: Cluster,
    /// Counts transactions.
    pub zxid: i64,
    tick: u64,
    sessions: BTreeMap<i64, Session>,
    last_session: i64,
}

/// ZooKeeper's limits for a session timeout, in ticks.
const TIMEOUT_IN_TICKS: (u64, u64) = (2, 20);

impl ZooKeeper {
    pub fn new(tick: u64) -> ZooKeeper {
        ZooKeeper { keys: Cluster::default(), zxid: 0, tick, sessions: BTreeMap::new(), last_session: 0x1000 }
    }

    pub fn is_alive(&self, session: i64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// When the next session may end.
    pub fn next_expiry(&self) -> Option<u64> {
        self.sessions.values().map(|session| session.expires).min()
    }

    /// Ends the sessions whose time is over; says which connections must hear of a change.
    pub fn expire(&mut self, now: u64) -> Vec<usize> {
        let over: Vec<_> = self.sessions.iter().filter(|(_, s)| s.expires <= now).map(|(id, _)| *id).collect();
        over.into_iter().flat_map(|session| self.end(session)).collect()
    }

    /// A restarted server gives every session its whole time again.
    pub fn restart(&mut self, now: u64) {
        for session in self.sessions.values_mut() {
            session.expires = round_up(now + session.timeout, self.tick);
            session.watches = false;
        }
    }

    /// Handles a request of `session` on `connection`: the answer, and the connections to tell of a change.
    pub fn handle(
        &mut self,
        now: u64,
        connection: usize,
        session: Option<i64>,
        request: &Request,
    ) -> (Reply, Vec<usize>) {
        if let Request::Connect { session, timeout } = request {
            return (self.connect(now, connection, *session, *timeout), Vec::new());
        }
        let Some((id, entry)) = session.and_then(|id| Some((id, self.sessions.get_mut(&id)?))) else {
            return (Reply::Expired, Vec::new());
        };
        entry.expires = round_up(now + entry.timeout, self.tick);
        match request {
            Request::Connect { .. } | Request::Ping => (Reply::Pong, Vec::new()),
            Request::Close => (Reply::Expired, self.end(id)),
            Request::Watch => {
                entry.watches = true;
                (Reply::Pong, Vec::new())
            }
            Request::Read => (Reply::Read(Box::new(self.keys.clone())), Vec::new()),
            Request::Write { name, write } => {
                self.zxid += 1;
                match self.apply(id, name, write) {
                    true => (Reply::Written(Outcome::Done(self.zxid)), self.watchers()),
                    false => (Reply::Written(Outcome::Refused), Vec::new()),
                }
            }
        }
    }

    fn connect(&mut self, now: u64, connection: usize, session: Option<i64>, timeout: u64) -> Reply {
        let limits = TIMEOUT_IN_TICKS;
        let timeout = timeout.clamp(limits.0 * self.tick, limits.1 * self.tick);
        let expires = round_up(now + timeout, self.tick);
        let id = match session {
            Some(id) if self.is_alive(id) => id,
            Some(_) => return Reply::Expired,
            None => {
                self.last_session += 1;
                self.last_session
            }
        };
        self.sessions.insert(id, Session { timeout, expires, connection, watches: false });
        Reply::Connected { session: id, timeout }
    }

    fn end(&mut self, session: i64) -> Vec<usize> {
        self.sessions.remove(&session);
        self.zxid += 1;
        let leader = self.keys.leader.take_if(|leader| leader.session == session).is_some();
        let members = self.keys.members.len();
        self.keys.members.retain(|_, member| member.session != session);
        if leader || members != self.keys.members.len() { self.watchers() } else { Vec::new() }
    }

    /// Somebody else than an agent writes keys; the connections to tell.
    pub fn edit(&mut self, change: impl FnOnce(&mut Cluster)) -> Vec<usize> {
        self.zxid += 1;
        change(&mut self.keys);
        self.watchers()
    }

    fn watchers(&self) -> Vec<usize> {
        self.sessions.values().filter(|session| session.watches).map(|session| session.connection).collect()
    }

    /// Writes as the agent's `dcs` module does.
    fn apply(&mut self, session: i64, name: &str, write: &Write) -> bool {
        let (zxid, keys) = (self.zxid, &mut self.keys);
        let leader = || LeaderKey { name: name.to_owned(), session, created: zxid };
        match write {
            Write::Member(data) => {
                let member = Member { name: name.to_owned(), session, data: (**data).clone() };
                keys.members.insert(name.to_owned(), member);
                keys.members.sort_keys();
                true
            }
            Write::CreateInitialize => {
                let free = keys.initialize.is_none();
                if free {
                    keys.initialize = Some(Initialize { value: String::new(), created: zxid, version: 0 });
                }
                free
            }
            Write::SetInitialize { system_identifier, version } => {
                let value = system_identifier.to_string();
                let old = keys.initialize.as_ref();
                let fits = old.map(|old| old.version) == *version;
                if fits {
                    let created = old.map_or(zxid, |old| old.created);
                    let version = version.map_or(0, |version| version + 1);
                    keys.initialize = Some(Initialize { value, created, version });
                }
                fits
            }
            Write::DropInitialize { version } => keys.initialize.take_if(|old| old.version == *version).is_some(),
            Write::Config { json, version } => {
                let config = DynamicConfig::parse(json.as_bytes()).unwrap_or_default();
                set(&mut keys.config, &config, *version)
            }
            Write::AcquireLeader { sync } => {
                let unchanged = sync.is_none_or(|sync| keys.sync.as_ref().is_some_and(|key| key.version == sync));
                let free = keys.leader.is_none() && unchanged;
                if free {
                    keys.leader = Some(leader());
                }
                free
            }
            Write::ReclaimLeader { sync } => {
                let version = keys.sync.as_ref().map(|key| key.version);
                let unchanged = sync.is_none() || version == *sync;
                let mine = unchanged && keys.leader.as_ref().is_some_and(|old| old.name == name);
                if mine {
                    keys.leader = Some(leader());
                    keys.sync.iter_mut().filter(|_| sync.is_some()).for_each(|key| key.version += 1);
                }
                mine
            }
            Write::ReleaseLeader => keys.leader.take_if(|old| old.session == session).is_some(),
            Write::Status { status, version } => set(&mut keys.status, status, *version),
            Write::Sync { sync, version } => set(&mut keys.sync, sync, *version),
            Write::Failover { failover, version } => set(&mut keys.failover, failover, *version),
            Write::History { history, version } => set(&mut keys.history, history, *version),
            Write::Failsafe { members, version } => set(&mut keys.failsafe, members, *version),
        }
    }
}

/// Compare-and-set; `None` creates.
fn set<T: Clone>(key: &mut Option<Versioned<T>>, value: &T, version: Option<i32>) -> bool {
    match (key, version) {
        (Some(old), Some(version)) if old.version == version => {
            *old = Versioned { value: value.clone(), version: version + 1 };
            true
        }
        (key @ None, None) => {
            *key = Some(Versioned { value: value.clone(), version: 0 });
            true
        }
        _ => false,
    }
}

/// ZooKeeper's expiry buckets (ExpiryQueue): the next full tick after it.
fn round_up(time: u64, tick: u64) -> u64 {
    (time / tick + 1) * tick
}

#[cfg(test)]
mod tests {
    use super::*;
    use labrun_agent::cluster::Sync;

    fn session(server: &mut ZooKeeper, connection: usize) -> i64 {
        match server.handle(0, connection, None, &Request::Connect { session: None, timeout: 60_000 }).0 {
            Reply::Connected { session, timeout: 40_000 } => session,
            other => panic!("{other:?}"),
        }
    }

    fn write(server: &mut ZooKeeper, session: i64, write: Write) -> bool {
        let request = Request::Write { name: "pg1".into(), write };
        matches!(server.handle(1, 0, Some(session), &request).0, Reply::Written(Outcome::Done(_)))
    }

    #[test]
    fn a_session_ends_on_a_tick_with_its_keys_and_the_watchers_hear_of_it() {
        let mut server = ZooKeeper::new(2000);
        let (one, other) = (session(&mut server, 1), session(&mut server, 2));
        let acquire = |sync| Write::AcquireLeader { sync };
        assert!(!write(&mut server, one, acquire(Some(0))) && write(&mut server, one, acquire(None)));
        assert!(!write(&mut server, other, acquire(None)));
        server.handle(3000, 2, Some(other), &Request::Watch);
        assert_eq!(server.next_expiry(), Some(42_000));
        assert!(server.expire(41_999).is_empty());
        assert_eq!(server.expire(42_000), [2]);
        assert!(server.keys.leader.is_none() && server.is_alive(other) && !server.is_alive(one));
    }

    #[test]
    fn a_lease_that_is_taken_over_leaves_nothing_to_what_a_former_session_has_sent() {
        let mut server = ZooKeeper::new(2000);
        let (former, new) = (session(&mut server, 1), session(&mut server, 2));
        let sync = |version| Write::Sync { sync: Sync::new("pg1", []), version };
        assert!(write(&mut server, former, Write::AcquireLeader { sync: None }));
        assert!(write(&mut server, former, sync(None)));
        let reclaim = |version| Write::ReclaimLeader { sync: Some(version) };
        assert!(!write(&mut server, new, reclaim(1)) && write(&mut server, new, reclaim(0)));
        assert!(!write(&mut server, former, sync(Some(0))) && write(&mut server, new, sync(Some(1))));
        assert_eq!(server.keys.leader.as_ref().map(|leader| leader.session), Some(new));
    }

    #[test]
    fn a_key_is_set_only_in_the_version_that_was_read() {
        let mut server = ZooKeeper::new(2000);
        let one = session(&mut server, 1);
        let sync = |version| Write::Sync { sync: Sync::new("pg1", []), version };
        assert!(!write(&mut server, one, sync(Some(0))) && write(&mut server, one, sync(None)));
        assert!(!write(&mut server, one, sync(None)) && write(&mut server, one, sync(Some(0))));
        assert!(!write(&mut server, one, sync(Some(0))));
    }
}
