//! Reading all keys of the cluster in one request, so that they belong together.

use zk::MultiReadResult as Read;
use zookeeper_client as zk;

use super::{Error, Snapshot, Store, within};
use crate::clock::Moment;
use crate::cluster::{
    Cluster, DynamicConfig, Failover, History, Initialize, LeaderKey, Member, MemberData, Status, Sync, Versioned,
};

/// Read beside the members.
const KEYS: [&str; 8] = ["initialize", "config", "leader", "status", "sync", "failover", "history", "failsafe"];

impl Store {
    /// The cluster's keys. `expected` are the members as they were last seen: if they are still the same, one
    /// request is enough.
    ///
    /// That our leader key can be read proves nothing in an ensemble: a server that is cut off from the others goes
    /// on answering for a while, and they may end our session meanwhile. Only what they agree on counts. So whoever
    /// `leads`, as far as is known, first has the ensemble agree on a change that changes nothing; if our key is
    /// there afterwards, our session lived then.
    pub async fn snapshot(&self, expected: Vec<String>, leads: bool) -> Result<Snapshot, Error> {
        let mut names = expected;
        let mut agreed = if leads { Some(self.agree().await?) } else { None };
        loop {
            let sent = Moment::now();
            let mut answers = self.read(&names).await?.into_iter();
            let session_until = sent + self.timeout();
            let present = match answers.next() {
                Some(Read::Children { mut children }) => {
                    children.sort();
                    children
                }
                _ => Vec::new(),
            };
            if present != names {
                names = present;
                continue;
            }
            let cluster = picture(&names, answers);
            let leads = cluster.leader.as_ref().is_some_and(|leader| leader.session == self.session());
            if !leads {
                return Ok(Snapshot { cluster, session_until });
            }
            if let Some(session_until) = agreed {
                return Ok(Snapshot { cluster, session_until });
            }
            agreed = Some(self.agree().await?);
        }
    }

    async fn read(&self, members: &[String]) -> Result<Vec<Read>, Error> {
        let mut reader = self.client.new_multi_reader();
        reader.add_get_children(&self.paths.members())?;
        for key in KEYS {
            reader.add_get_data(&self.paths.key(key))?;
        }
        for name in members {
            reader.add_get_data(&self.paths.member(name))?;
        }
        within(reader.commit()).await
    }
}

/// The answers in the order of [`KEYS`] and `members`; a key that is missing is an error among them.
fn picture(members: &[String], mut answers: impl Iterator<Item = Read>) -> Cluster {
    let mut next = || match answers.next() {
        Some(Read::Data { data, stat }) => Some((data, stat)),
        _ => None,
    };
    let mut cluster = Cluster {
        initialize: next().map(|(data, stat)| Initialize {
            value: String::from_utf8_lossy(&data).trim().to_owned(),
            created: stat.czxid,
            version: stat.version,
        }),
        config: next().and_then(|(data, stat)| versioned(DynamicConfig::parse(&data)?, &stat)),
        leader: next().map(|(data, stat)| LeaderKey {
            name: String::from_utf8_lossy(&data).into_owned(),
            session: stat.ephemeral_owner,
            created: stat.czxid,
        }),
        status: next().and_then(|(data, stat)| versioned(Status::parse(&data), &stat)),
        sync: next().and_then(|(data, stat)| versioned(Sync::parse(&data), &stat)),
        failover: next().and_then(|(data, stat)| versioned(Failover::parse(&data), &stat)),
        history: next().and_then(|(data, stat)| versioned(History::parse(&data), &stat)),
        failsafe: next().and_then(|(data, stat)| versioned(serde_json::from_slice(&data).ok()?, &stat)),
        ..Cluster::default()
    };
    for name in members {
        if let Some((data, stat)) = next() {
            let data = MemberData::parse(&data);
            let member = Member { name: name.clone(), session: stat.ephemeral_owner, data };
            cluster.members.insert(name.clone(), member);
        }
    }
    cluster
}

fn versioned<T>(value: T, stat: &zk::Stat) -> Option<Versioned<T>> {
    Some(Versioned { value, version: stat.version })
}
