//! A postmaster and its children: what is gone when they are killed.

use std::collections::VecDeque;

use labrun_agent::cluster::Lsn;

use crate::wal::Spot;

/// What a running PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Recovers; connections are refused.
    Starting {
        primary: bool,
    },
    Standby,
    /// A standby that was told to promote.
    Promoting,
    Primary,
    /// Clients are gone; `primary` if it was one.
    Stopping {
        primary: bool,
    },
}

#[derive(Debug)]
pub struct Server {
    /// Which start of PostgreSQL on this node this is.
    pub epoch: u64,
    pub phase: Phase,
    /// Primary: the end of the WAL in memory.
    pub inserted: Spot,
    /// Standby: how far it has replayed.
    pub replayed: Spot,
    /// Standby: what the WAL receiver has flushed since it first ran.
    pub received: Option<Spot>,
    pub receiver: Option<Receiver>,
    pub senders: Vec<Sender>,
    /// `synchronous_standby_names` as sessions show it, and as the WAL senders obey it.
    pub names_shown: String,
    pub names_obeyed: String,
    /// Commits whose clients wait.
    pub commits: VecDeque<Spot>,
    /// The checkpoint after the promotion is done.
    pub checkpointed: bool,
    /// The standby that commits wait for although it lags too far behind, and since when.
    pub lags: Option<(usize, u64)>,
    /// A stop waits for these standbys to have the shutdown checkpoint.
    pub shutdown: Option<Spot>,
}

/// The WAL receiver's connection.
#[derive(Debug, Clone, Copy)]
pub struct Receiver {
    pub from: usize,
    pub epoch: u64,
    pub heard: u64,
}

/// A WAL sender's connection.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    pub to: usize,
    pub epoch: u64,
    /// Has caught up: "streaming" rather than "catchup".
    pub streaming: bool,
    pub flushed: Lsn,
    pub heard: u64,
    /// When the last message on its way will arrive: they do not overtake each other.
    pub busy_until: u64,
}

impl Server {
    pub fn new(epoch: u64, primary: bool, data: &crate::data::Data) -> Server {
        Server {
            epoch,
            phase: Phase::Starting { primary },
            inserted: data.tip,
            replayed: data.checkpoint,
            received: None,
            receiver: None,
            senders: Vec::new(),
            names_shown: data.sync_names.clone(),
            names_obeyed: data.sync_names.clone(),
            commits: VecDeque::new(),
            checkpointed: true,
            lags: None,
            shutdown: None,
        }
    }

    pub fn answers(&self) -> bool {
        matches!(self.phase, Phase::Standby | Phase::Promoting | Phase::Primary)
    }

    pub fn is_primary(&self) -> bool {
        self.phase == Phase::Primary
    }

    /// Up to where commits are acknowledged (PostgreSQL's syncrep.c): what is flushed here and, with
    /// synchronous standbys, on as many of the chosen ones that stream.
    pub fn acknowledged(&self, names: &[String], flushed: Lsn) -> Lsn {
        let setting = SyncNames::parse(&self.names_obeyed);
        if setting.count == 0 {
            return flushed;
        }
        let streaming = self.senders.iter().filter(|sender| sender.streaming);
        let mut ranked: Vec<_> = streaming.filter_map(|s| Some((setting.rank(&names[s.to])?, s.flushed))).collect();
        match setting.any {
            true => ranked.sort_by_key(|(_, flushed)| std::cmp::Reverse(*flushed)),
            false => ranked.sort_by_key(|(rank, _)| *rank),
        }
        match ranked.get(..setting.count) {
            Some(chosen) => chosen.iter().map(|(_, flushed)| *flushed).fold(flushed, Lsn::min),
            None => Lsn(0),
        }
    }

    /// A sender's `sync_priority` and `sync_state` in pg_stat_replication.
    pub fn sync_state(&self, names: &[String], sender: &Sender) -> (i32, &'static str) {
        let setting = SyncNames::parse(&self.names_obeyed);
        let rank = |sender: &Sender| setting.rank(&names[sender.to]);
        let Some(mine) = rank(sender) else { return (0, "async") };
        if setting.any {
            return (1, "quorum");
        }
        let better = self.senders.iter().filter(|s| s.streaming && rank(s).is_some_and(|rank| rank < mine)).count();
        let chosen = sender.streaming && better < setting.count;
        (mine as i32 + 1, if chosen { "sync" } else { "potential" })
    }

    /// What the setting in force promises: of how many of these standbys every commit waits for. Of any (`*`) is no
    /// promise that anybody could rely on.
    pub fn promise(&self) -> (usize, Vec<String>) {
        let setting = SyncNames::parse(&self.names_obeyed);
        let anybody = setting.listed.iter().any(|name| name == "*");
        let listed = if anybody { Vec::new() } else { setting.listed };
        (setting.count.min(listed.len()), listed)
    }
}

/// `synchronous_standby_names`. Names are as our model cluster has them, plain.
struct SyncNames {
    any: bool,
    count: usize,
    listed: Vec<String>,
}

impl SyncNames {
    fn parse(setting: &str) -> SyncNames {
        let (head, list) = match setting.split_once('(') {
            Some((head, list)) => (head.to_ascii_lowercase(), list.trim().trim_end_matches(')')),
            None => (String::new(), setting),
        };
        let plain = |name: &str| name.trim().trim_matches('"').to_owned();
        let listed: Vec<_> = list.split(',').map(plain).filter(|name| !name.is_empty()).collect();
        let count = head.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(1);
        SyncNames { any: head.contains("any"), count: if listed.is_empty() { 0 } else { count }, listed }
    }

    fn rank(&self, name: &str) -> Option<usize> {
        self.listed.iter().position(|listed| listed == "*" || listed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Data;
    use crate::wal::Wal;

    fn names() -> Vec<String> {
        vec!["pg1".into(), "pg2".into(), "pg3".into()]
    }

    fn primary(names: &str, flushed: [u64; 2]) -> Server {
        let mut server = Server::new(1, true, &Data::empty(&Wal::new()));
        server.names_obeyed = names.into();
        for (i, flushed) in flushed.into_iter().enumerate() {
            let flushed = Lsn(flushed);
            server.senders.push(Sender { to: i + 1, epoch: 1, streaming: true, flushed, heard: 0, busy_until: 0 });
        }
        server
    }

    #[test]
    fn a_commit_waits_for_the_first_standbys_of_the_list_that_stream() {
        let up_to = |server: Server| server.acknowledged(&names(), Lsn(100)).0;
        assert_eq!(up_to(primary("", [10, 20])), 100);
        assert_eq!(up_to(primary("pg2", [10, 20])), 10);
        assert_eq!(up_to(primary("2 (pg2,pg3)", [10, 20])), 10);
        assert_eq!(up_to(primary("FIRST 1 (\"pg3\",pg2)", [10, 20])), 20);
        assert_eq!(up_to(primary("pg9", [10, 20])), 0);
        assert_eq!(up_to(primary("ANY 1 (pg2,pg3)", [10, 20])), 20);
        assert_eq!(up_to(primary("ANY 2 (pg2,pg3)", [10, 20])), 10);
        let mut away = primary("FIRST 1 (pg3,pg2)", [10, 20]);
        away.senders[1].streaming = false;
        assert_eq!(away.sync_state(&names(), &away.senders[0]), (2, "sync"));
        assert_eq!(away.sync_state(&names(), &away.senders[1]).1, "potential");
        assert_eq!(up_to(away), 10);
    }

    #[test]
    fn a_setting_promises_so_many_of_those_that_it_names() {
        let promise = |names: &str| primary(names, [0; 2]).promise();
        let both = || vec!["pg2".to_owned(), "pg3".to_owned()];
        assert_eq!(promise("2 (pg2,pg3)"), (2, both()));
        assert_eq!(promise("FIRST 1 (pg2,pg3)"), (1, both()));
        assert_eq!(promise("ANY 1 (pg2,pg3)"), (1, both()));
        assert_eq!(promise("ANY 1 (*)"), (0, Vec::new()));
        assert_eq!(promise("pg2"), (1, vec!["pg2".to_owned()]));
    }
}
