//! The harness' own session with ZooKeeper: reading and writing the keys of one cluster.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use zookeeper_client::{Acls, Client, CreateMode, Error, Stat};

const DEADLINE: Duration = Duration::from_secs(5);

/// One key's text and ZooKeeper's own account of it.
#[derive(Debug, Clone)]
pub struct Key {
    pub data: String,
    pub stat: Stat,
}

impl Key {
    /// Its content as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.data))
    }
}

/// The keys below one base path.
pub struct Dcs {
    hosts: String,
    base: String,
    client: Mutex<Option<Client>>,
}

impl Dcs {
    pub fn new(hosts: &str, base: &str) -> Dcs {
        Dcs { hosts: hosts.to_owned(), base: base.to_owned(), client: Mutex::new(None) }
    }

    /// The key's text; an error says that it is missing.
    pub async fn get(&self, key: &str) -> Result<Key, String> {
        let path = self.path(key);
        let found = self.ask(async |client| match client.get_data(&path).await {
            Ok((data, stat)) => Ok(Some(Key { data: String::from_utf8_lossy(&data).into_owned(), stat })),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        });
        found.await?.ok_or_else(|| format!("there is no key {key}"))
    }

    /// The key's content as JSON.
    pub async fn json(&self, key: &str) -> Result<Value, String> {
        let key = self.get(key).await?;
        serde_json::from_str(&key.data).map_err(|error| format!("{:?}: {error}", key.data))
    }

    /// When `key` goes, as ZooKeeper tells it; at once if it is not there.
    #[allow(dead_code, reason = "the benchmark alone asks")]
    pub async fn vanishes(&self, key: &str) -> Result<Instant, String> {
        let path = self.path(key);
        loop {
            let (stat, watcher) = self.ask(async |client| client.check_and_watch_stat(&path).await).await?;
            if stat.is_none() {
                return Ok(Instant::now());
            }
            watcher.changed().await;
        }
    }

    /// Write `key`, whatever it held.
    pub async fn put(&self, key: &str, data: &str) {
        let path = self.path(key);
        let written = self.ask(async |client| match client.set_data(&path, data.as_bytes(), None).await {
            Err(Error::NoNode) => {
                let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
                client.create(&path, data.as_bytes(), &options).await.map(drop)
            }
            other => other.map(drop),
        });
        written.await.unwrap();
    }

    /// The names of the keys below `key`, sorted; empty where there is no such key.
    pub async fn children(&self, key: &str) -> Result<Vec<String>, String> {
        let path = self.path(key);
        let mut names = self
            .ask(async |client| match client.list_children(&path).await {
                Err(Error::NoNode) => Ok(Vec::new()),
                names => names,
            })
            .await?;
        names.sort();
        Ok(names)
    }

    /// Every key of the cluster by its path below the base.
    pub async fn tree(&self) -> Result<BTreeMap<String, Key>, String> {
        let mut tree = BTreeMap::new();
        for name in self.children("").await? {
            for member in self.children(&name).await? {
                let path = format!("{name}/{member}");
                tree.insert(path.clone(), self.get(&path).await?);
            }
            tree.insert(name.clone(), self.get(&name).await?);
        }
        Ok(tree)
    }

    fn path(&self, key: &str) -> String {
        if key.is_empty() { self.base.clone() } else { format!("{}/{key}", self.base) }
    }

    /// Ask on the session, or on a new one; a session that failed is thrown away.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Result<T, String> {
        let mut slot = self.client.lock().await;
        let exchange = async {
            let client = match slot.take() {
                Some(client) => client,
                None => {
                    let connector = Client::connector().with_fail_eagerly();
                    connector.with_session_timeout(Duration::from_secs(30)).connect(&self.hosts).await?
                }
            };
            let answer = question(&client).await?;
            *slot = Some(client);
            Ok::<T, Error>(answer)
        };
        match tokio::time::timeout(DEADLINE, exchange).await {
            Ok(answer) => answer.map_err(|error| format!("ZooKeeper at {}: {error}", self.hosts)),
            Err(_) => Err(format!("ZooKeeper at {} does not answer", self.hosts)),
        }
    }
}
