//! 12. **Commits do not wait for a standby that lags** further than `maximum_lag_on_syncnode` behind the best one (a
//!     single one: behind the primary), if its leader can do anything about it.

use crate::world::World;

/// A leader sees it, writes the sync key, and sets `synchronous_standby_names` within this time.
const WITHIN: u64 = 8000;

impl World {
    /// Each time a client writes.
    pub fn watch_sync_lag(&mut self) {
        for node in 0..self.nodes.len() {
            let late = self.waits_for_who_lags(node);
            let now = self.now;
            let Some(server) = &mut self.nodes[node].server else { continue };
            let Some(who) = late else {
                server.lags = None;
                continue;
            };
            let (before, since) = *server.lags.get_or_insert((who, now));
            if before != who {
                server.lags = Some((who, now));
            } else if now > since + WITHIN {
                let (name, who) = (&self.names[node], &self.names[who]);
                return self.violate(format!("commits on {name} wait for {who}, which lags too far behind"));
            }
        }
    }

    /// The standby that every commit waits for and that is too far behind; `None` too while the leader cannot help it.
    fn waits_for_who_lags(&self, node: usize) -> Option<usize> {
        let limit = self.plan.dynamic.get("maximum_lag_on_syncnode").and_then(|limit| limit.as_u64())?;
        let at = &self.nodes[node];
        let leads = self.zookeeper.keys.leader_name() == Some(&self.names[node]) && at.is_writable() && !at.at_ease;
        let sees = at.agent.is_some() && !at.agent_frozen && at.job.is_none() && !self.zookeeper_frozen;
        let zookeeper = self.network.zookeeper();
        if !leads || !sees || !self.network.is_usual(node, zookeeper) || !self.network.is_usual(zookeeper, node) {
            return None;
        }
        let server = at.server.as_ref()?;
        let (count, of) = server.promise();
        let streaming = || server.senders.iter().filter(|sender| sender.streaming);
        let best = match streaming().count() {
            1 => self.wal.end(at.data.tip),
            _ => streaming().map(|sender| sender.flushed).max()?,
        };
        let waited = |to: usize| count == of.len() && of.contains(&self.names[to]);
        streaming().find(|sender| waited(sender.to) && best.since(sender.flushed) > limit).map(|sender| sender.to)
    }
}
