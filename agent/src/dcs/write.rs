//! Writing keys. Whatever is in doubt (no answer, somebody was faster) is an error: the caller reads again
//! and decides anew.

use zk::{Acls, CreateMode, CreateOptions};
use zookeeper_client as zk;

use super::{Error, Store, within};
use crate::clock::Moment;
use crate::decide::Write;

/// Whatever version a key has.
const ANY: i32 = -1;

/// What a write has brought about that only the writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Done,
    /// The initialize key is ours; its creating transaction.
    Initialize {
        created: i64,
    },
}

impl Store {
    pub async fn write(&self, write: &Write) -> Result<Written, Error> {
        match write {
            Write::Member(data) => self.member(data.to_json().as_bytes()).await?,
            Write::CreateInitialize => {
                let created = self.create("initialize", b"", CreateMode::Persistent).await?;
                return Ok(Written::Initialize { created });
            }
            Write::SetInitialize { system_identifier, version } => {
                self.put("initialize", system_identifier.to_string().as_bytes(), *version).await?;
            }
            Write::DropInitialize { version } => {
                let path = self.paths.key("initialize");
                self.settle("initialize", within(self.client.delete(&path, Some(*version))).await)?;
            }
            Write::Config { json, version } => self.put("config", json.as_bytes(), *version).await?,
            Write::AcquireLeader { sync: None } => {
                self.create("leader", self.name.as_bytes(), CreateMode::Ephemeral).await?;
            }
            Write::AcquireLeader { sync: Some(version) } => self.acquire(*version).await?,
            Write::ReclaimLeader { sync } => self.reclaim(*sync).await?,
            Write::ReleaseLeader => self.release().await?,
            Write::Status { status, version } => self.put("status", status.to_json().as_bytes(), *version).await?,
            Write::Sync { sync, version } => self.put("sync", sync.to_json().as_bytes(), *version).await?,
            Write::Failover { failover, version } => {
                self.put("failover", failover.to_json().as_bytes(), *version).await?;
            }
            Write::Failsafe { members, version } => {
                let json = serde_json::to_string(members).unwrap_or_default();
                self.put("failsafe", json.as_bytes(), *version).await?;
            }
            Write::History { history, version } => self.put("history", history.to_json().as_bytes(), *version).await?,
        }
        Ok(Written::Done)
    }

    /// Compare-and-set with a version (also with version 0, which Patroni takes as none), else create.
    async fn put(&self, key: &str, data: &[u8], version: Option<i32>) -> Result<(), Error> {
        match version {
            None => self.create(key, data, CreateMode::Persistent).await.map(|_| ()),
            Some(version) => {
                let path = self.paths.key(key);
                self.settle(key, within(self.client.set_data(&path, data, Some(version))).await).map(|_| ())
            }
        }
    }

    /// Creates a key and, where they are missing, its parents; the transaction that did it.
    async fn create(&self, key: &str, data: &[u8], mode: CreateMode) -> Result<i64, Error> {
        let path = self.paths.key(key);
        let options = self.options(mode);
        let mut created = within(self.client.create(&path, data, &options)).await;
        if matches!(created, Err(Error::Client(zk::Error::NoNode))) {
            let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
            within(self.client.mkdir(parent, &self.options(CreateMode::Persistent))).await?;
            created = within(self.client.create(&path, data, &options)).await;
        }
        self.settle(key, created).map(|(stat, _)| stat.czxid)
    }

    fn options(&self, mode: CreateMode) -> CreateOptions<'_> {
        mode.with_acls(Acls::new(&self.acls))
    }

    fn settle<T>(&self, key: &str, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| match error {
            Error::Client(zk::Error::NodeExists | zk::Error::BadVersion | zk::Error::NoNode) => {
                Error::Conflict { key: key.into() }
            }
            other => other,
        })
    }

    /// Our member key; one that an earlier session of this node left behind is replaced in one step.
    async fn member(&self, data: &[u8]) -> Result<(), Error> {
        let path = self.paths.member(&self.name);
        match within(self.client.check_stat(&path)).await? {
            Some(stat) if stat.ephemeral_owner == self.session() => {
                within(self.client.set_data(&path, data, Some(stat.version))).await.map(|_| ())
            }
            Some(stat) => self.replace(&path, stat.version, data).await,
            None => self.create(&format!("members/{}", self.name), data, CreateMode::Ephemeral).await.map(|_| ()),
        }
    }

    async fn replace(&self, path: &str, version: i32, data: &[u8]) -> Result<(), Error> {
        self.commit_replaced(self.client.new_multi_writer(), path, version, data).await
    }

    /// What `writer` holds already, and a key of an earlier session made ours, in one step.
    async fn commit_replaced(
        &self,
        mut writer: zk::MultiWriter<'_>,
        path: &str,
        version: i32,
        data: &[u8],
    ) -> Result<(), Error> {
        writer.add_delete(path, Some(version))?;
        writer.add_create(path, data, &self.options(CreateMode::Ephemeral))?;
        let committed = within(async { writer.commit().await.map_err(zk::Error::from) }).await;
        self.settle(path, committed).map(|_| ())
    }

    /// The leader key, unless it is there or the sync key has another version.
    async fn acquire(&self, sync: i32) -> Result<(), Error> {
        let mut writer = self.client.new_multi_writer();
        writer.add_check_version(&self.paths.key("sync"), sync)?;
        writer.add_create(&self.paths.key("leader"), self.name.as_bytes(), &self.options(CreateMode::Ephemeral))?;
        let committed = within(async { writer.commit().await.map_err(zk::Error::from) }).await;
        self.settle("leader", committed).map(|_| ())
    }

    /// Has the servers agree on a change that changes nothing and that no watch sees; until when our session is
    /// certain to live, if it does.
    pub(super) async fn agree(&self) -> Result<Moment, Error> {
        let sent = Moment::now();
        let mut writer = self.client.new_multi_writer();
        writer.add_check_version(&self.paths.key("leader"), ANY)?;
        let committed = within(async { writer.commit().await.map_err(zk::Error::from) }).await;
        match self.settle("leader", committed) {
            // That the key is missing is agreed on as well.
            Ok(_) | Err(Error::Conflict { .. }) => Ok(sent + self.timeout().saturating_sub(self.unreported)),
            Err(error) => Err(error),
        }
    }

    /// Makes a leader key of our own name, left by an earlier session of this node, ours, and gives the sync key a
    /// new version.
    async fn reclaim(&self, sync: Option<i32>) -> Result<(), Error> {
        let path = self.paths.key("leader");
        let (data, stat) = self.settle("leader", within(self.client.get_data(&path)).await)?;
        if data != self.name.as_bytes() {
            return Err(Error::Conflict { key: "leader".into() });
        }
        if stat.ephemeral_owner == self.session() {
            return Ok(());
        }
        let sync_path = self.paths.key("sync");
        let sync = match sync {
            Some(version) => Some((self.settle("sync", within(self.client.get_data(&sync_path)).await)?.0, version)),
            None => None,
        };
        let mut writer = self.client.new_multi_writer();
        if let Some((data, version)) = &sync {
            writer.add_set_data(&sync_path, data, Some(*version))?;
        }
        self.commit_replaced(writer, &path, stat.version, self.name.as_bytes()).await
    }

    async fn release(&self) -> Result<(), Error> {
        let path = self.paths.key("leader");
        let stat = within(self.client.check_stat(&path)).await?;
        match stat.filter(|stat| stat.ephemeral_owner == self.session()) {
            Some(stat) => self.settle("leader", within(self.client.delete(&path, Some(stat.version))).await),
            None => Ok(()),
        }
    }
}
