//! Looking: the DCS, PostgreSQL by SQL, the data directory. Each look is a task with a deadline of its own.

use std::time::Duration;

use super::state::Agent;
use super::{Event, LONGEST};
use crate::clock::Moment;
use crate::decide::Process;
use crate::postgres::{self, datadir, observe, sql::Connection};

impl Agent {
    /// Starts the looks that are due.
    pub(super) fn refresh(&mut self, now: Moment) {
        if now >= self.need.snapshot_at && !self.busy.snapshot {
            self.take_snapshot(now);
        }
        if now >= self.recheck {
            self.need.observation = true;
            // The next decision, which waits for this look, says when to look again.
            self.recheck = now + LONGEST;
        }
        if self.view.pg.process == Process::Down {
            self.need.observation = false;
        }
        if self.need.observation && !self.busy.observing {
            self.take_observation(now);
        }
        if self.need.inspection && !self.busy.inspecting {
            self.take_inspection();
        }
    }

    fn take_snapshot(&mut self, now: Moment) {
        let Some(store) = self.store.clone() else { return };
        self.need.snapshot_at = now + self.heartbeat();
        self.busy.snapshot = true;
        let (events, members) = (self.events.clone(), self.members.clone());
        tokio::spawn(async move {
            let snapshot = store.snapshot(members).await;
            let _ = events.send(Event::Snapshot(snapshot.map(Box::new))).await;
        });
    }

    /// How often the DCS is read even if nothing changes: that is what shows that our session lives.
    pub(super) fn heartbeat(&self) -> Duration {
        let tenth = Duration::from_millis(self.view.dcs.session_timeout / 10).max(Duration::from_secs(1));
        tenth.min(self.view.settings.loop_wait)
    }

    fn take_observation(&mut self, asked: Moment) {
        self.busy.observing = true;
        let (config, settings) = (self.config.clone(), self.view.settings.clone());
        let (events, observer) = (self.events.clone(), self.observer.clone());
        tokio::spawn(async move {
            let mut place = observer.lock().await;
            let observed = async {
                let connection = match place.take().filter(|connection| !connection.is_closed()) {
                    Some(connection) => connection,
                    None => Connection::local(&config, &settings).await?,
                };
                let observed = observe::observe(&connection, &config).await?;
                *place = Some(connection);
                Ok::<_, postgres::Error>(observed)
            };
            let observed = observed.await;
            drop(place);
            let _ = events.send(Event::Observed(observed.map(Box::new), asked)).await;
        });
    }

    fn take_inspection(&mut self) {
        self.busy.inspecting = true;
        let (config, events) = (self.config.clone(), self.events.clone());
        tokio::spawn(async move {
            let (data, control) = datadir::inspect(&config).await;
            let _ = events.send(Event::Inspected(data, control)).await;
        });
    }
}
