//! Reading the cluster's keys in ZooKeeper, in Patroni's layout. Nothing is ever written here.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use zookeeper_client::{Client, Error, EventType};

use super::ObserveError;

/// One key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DcsKey {
    /// What it holds, as text.
    pub data: String,
    /// How often it was written.
    pub version: i32,
    /// The session that it lives with; 0 for a lasting key.
    pub owner: i64,
    /// When it was made, in ms since 1970, by ZooKeeper's clock.
    pub created_ms: i64,
}

impl DcsKey {
    /// Its content as JSON; a bare word (the leader key's) as a JSON string.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| Value::String(self.data.clone()))
    }
}

/// The keys of one cluster that say who is who.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DcsView {
    /// `leader`: the member that holds the lease.
    pub leader: Option<String>,
    /// `sync`: the leader and its standbys, where synchronous mode is on.
    pub sync: Option<Value>,
    /// `config`: the dynamic configuration.
    pub config: Option<Value>,
    /// `members/*` by member name.
    pub members: Vec<(String, Value)>,
}

impl DcsView {
    /// The members that the `sync` key names as standbys.
    pub fn sync_standbys(&self) -> Vec<String> {
        let names = self.sync.as_ref().and_then(|sync| sync.get("sync_standby")).and_then(Value::as_str).unwrap_or("");
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Where a member says that it is reached: `host:port` of its `conn_url`.
    pub fn connect_address(&self, member: &str) -> Option<String> {
        let (_, said) = self.members.iter().find(|(name, _)| name == member)?;
        let (_, rest) = said.get("conn_url")?.as_str()?.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        (!address.is_empty()).then(|| address.to_owned())
    }

    /// Whether the dynamic configuration asks for synchronous standbys.
    pub fn is_synchronous(&self) -> bool {
        let mode = self.config.as_ref().and_then(|config| config.get("synchronous_mode"));
        matches!(mode, Some(Value::Bool(true))) || mode.and_then(Value::as_str).is_some_and(|word| word != "off")
    }
}

/// A reader of one cluster's keys. It opens its session when first used, and a new one when that is lost.
pub struct Dcs {
    hosts: String,
    base: String,
    limit: Duration,
    client: Mutex<Option<Client>>,
}

impl Dcs {
    /// A reader of the keys below `base` on the ensemble `hosts`; every reading may take `limit`.
    pub fn new(hosts: &[SocketAddr], base: &str, limit: Duration) -> Dcs {
        let hosts = hosts.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
        Dcs { hosts, base: base.trim_end_matches('/').to_owned(), limit, client: Mutex::new(None) }
    }

    /// The full path of `key`.
    pub fn path(&self, key: &str) -> String {
        match key.trim_matches('/') {
            "" => self.base.clone(),
            key => format!("{}/{key}", self.base),
        }
    }

    /// The key, or none where there is no such key.
    pub async fn get(&self, key: &str) -> Result<Option<DcsKey>, ObserveError> {
        let path = self.path(key);
        self.ask(&path, async |client| match client.get_data(&path).await {
            Ok((data, stat)) => Ok(Some(DcsKey {
                data: String::from_utf8_lossy(&data).into_owned(),
                version: stat.version,
                owner: stat.ephemeral_owner,
                created_ms: stat.ctime,
            })),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Watch `key`, whether it is there or not. The future ends with its next change, and says whether it was deleted; a
    /// session that is lost ends it as well.
    pub async fn watch(&self, key: &str) -> Result<impl Future<Output = bool> + Send + use<>, ObserveError> {
        let path = self.path(key);
        let (_, watcher) = self.ask(&path, async |client| client.check_and_watch_stat(&path).await).await?;
        Ok(async move { watcher.changed().await.event_type == EventType::NodeDeleted })
    }

    /// The names of the keys below `key`, sorted; empty where there is no such key.
    pub async fn children(&self, key: &str) -> Result<Vec<String>, ObserveError> {
        let path = self.path(key);
        let mut names = self
            .ask(&path, async |client| match client.list_children(&path).await {
                Err(Error::NoNode) => Ok(Vec::new()),
                names => names,
            })
            .await?;
        names.sort();
        Ok(names)
    }

    /// Who is who.
    pub async fn view(&self) -> Result<DcsView, ObserveError> {
        let value = |key: Option<DcsKey>| key.map(|key| key.value());
        let mut view = DcsView {
            leader: self.get("leader").await?.map(|key| key.data),
            sync: value(self.get("sync").await?),
            config: value(self.get("config").await?),
            members: Vec::new(),
        };
        for name in self.children("members").await? {
            if let Some(key) = self.get(&format!("members/{name}")).await? {
                view.members.push((name, key.value()));
            }
        }
        Ok(view)
    }

    /// Run `question` within the deadline on the session, or on a new one; a session that failed is thrown away.
    async fn ask<T>(
        &self,
        path: &str,
        question: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, ObserveError> {
        let what = || format!("ZooKeeper at {} ({path})", self.hosts);
        let mut slot = self.client.lock().await;
        let exchange = async {
            // The session is taken out for the while: a question that is cut off by the deadline leaves none behind.
            let client = match slot.take() {
                Some(client) => client,
                None => {
                    Client::connector()
                        .with_fail_eagerly()
                        .with_session_timeout(Duration::from_secs(6))
                        .with_connection_timeout(self.limit)
                        .connect(&self.hosts)
                        .await?
                }
            };
            let answer = question(&client).await?;
            *slot = Some(client);
            Ok(answer)
        };
        match tokio::time::timeout(self.limit, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err::<_, Error>(error)) => Err(ObserveError::Unreachable { what: what(), why: error.to_string() }),
            Err(_) => Err(ObserveError::TimedOut { what: what(), ms: self.limit.as_millis() }),
        }
    }
}
