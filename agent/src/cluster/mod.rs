//! What the DCS holds about one cluster, as types: parsing and serialising of every znode's payload in
//! Patroni's layout (Patroni 4.1, `patroni/dcs/__init__.py` as the authority on meaning). Pure: no I/O.

mod dynamic;
mod failover;
mod history;
pub mod json;
mod lsn;
mod member;
mod status;
mod sync;

use indexmap::IndexMap;

pub use dynamic::DynamicConfig;
pub use failover::Failover;
pub use history::{History, HistoryLine};
pub use lsn::Lsn;
pub use member::{Member, MemberData, MemberRole, PgState};
pub use status::Status;
pub use sync::Sync;

/// A payload together with the version of its znode, which compare-and-set needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    pub value: T,
    pub version: i32,
}

/// The leader key: who holds the lease, and by which ZooKeeper session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderKey {
    pub name: String,
    /// The session that owns the key (`ephemeralOwner`).
    pub session: i64,
    /// The transaction that created the key: a lease taken anew has another one.
    pub created: i64,
}

/// Contents of `initialize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialize {
    /// Empty while somebody bootstraps, then the system identifier.
    pub value: String,
    /// The transaction that created the key.
    pub created: i64,
    pub version: i32,
}

impl Initialize {
    /// The system identifier, if the cluster has been initialised (Patroni: at least 10 digits).
    pub fn system_identifier(&self) -> Option<u64> {
        (self.value.len() >= 10).then(|| self.value.parse().ok())?
    }
}

/// One consistent picture of a cluster in the DCS.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cluster {
    pub initialize: Option<Initialize>,
    pub config: Option<Versioned<DynamicConfig>>,
    pub leader: Option<LeaderKey>,
    /// By name.
    pub members: IndexMap<String, Member>,
    pub status: Option<Versioned<Status>>,
    pub sync: Option<Versioned<Sync>>,
    pub failover: Option<Versioned<Failover>>,
    pub history: Option<Versioned<History>>,
    /// The REST addresses of all members that may lead in failsafe mode, by name.
    pub failsafe: Option<Versioned<IndexMap<String, String>>>,
}

impl Cluster {
    /// The name of whoever holds the leader key.
    pub fn leader_name(&self) -> Option<&str> {
        self.leader.as_ref().map(|leader| leader.name.as_str())
    }

    /// The member that holds the leader key, if its member key exists, too.
    pub fn leader_member(&self) -> Option<&Member> {
        self.members.get(self.leader_name()?)
    }

    /// The sync key's contents; without the key, nobody is synchronous.
    pub fn sync(&self) -> Sync {
        self.sync.as_ref().map(|sync| sync.value.clone()).unwrap_or_default()
    }

    /// Whether the sync key's standbys form a quorum rather than being synchronous each.
    pub fn is_quorum_mode(&self) -> bool {
        let mode = self.config.as_ref().and_then(|config| config.value.get("synchronous_mode")?.as_str());
        mode.is_some_and(|mode| mode.eq_ignore_ascii_case("quorum"))
    }

    /// Whether the whole cluster follows another one: its `standby_cluster` section names a source.
    pub fn is_standby_cluster(&self) -> bool {
        let section = self.config.as_ref().and_then(|config| config.value.get("standby_cluster"));
        let named = |key: &&str| section.is_some_and(|section| section.get(*key).is_some_and(|value| !value.is_null()));
        ["host", "port", "restore_command"].iter().any(named)
    }

    /// The failover key's request, if there is one.
    pub fn failover(&self) -> Option<&Failover> {
        self.failover.as_ref().map(|failover| &failover.value).filter(|failover| !failover.is_empty())
    }

    /// The last WAL position that a leader published.
    pub fn optime(&self) -> Lsn {
        self.status.as_ref().map_or(Lsn(0), |status| status.value.optime)
    }
}

/// The paths of one cluster's znodes: `/<namespace>/<scope>/...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    base: String,
}

impl Paths {
    /// `namespace` as in Patroni's configuration (default `service`); surplus slashes do not matter.
    pub fn new(namespace: &str, scope: &str) -> Paths {
        let parts = namespace.split('/').chain(scope.split('/')).filter(|part| !part.is_empty());
        Paths { base: parts.fold(String::new(), |path, part| path + "/" + part) }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    pub fn members(&self) -> String {
        self.key("members")
    }

    pub fn member(&self, name: &str) -> String {
        format!("{}/members/{name}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_collapse_slashes() {
        let paths = Paths::new("/service/", "my_cluster");
        assert_eq!(paths.base(), "/service/my_cluster");
        assert_eq!(paths.member("pg1"), "/service/my_cluster/members/pg1");
        assert_eq!(Paths::new("a//b", "c").key("leader"), "/a/b/c/leader");
    }

    #[test]
    fn only_ten_digits_make_a_system_identifier() {
        let key = |value: &str| Initialize { value: value.into(), created: 1, version: 0 };
        assert_eq!(key("7711190269678379076").system_identifier(), Some(7711190269678379076));
        assert_eq!(key("").system_identifier(), None);
        assert_eq!(key("123").system_identifier(), None);
        assert_eq!(key("not a number").system_identifier(), None);
    }
}
