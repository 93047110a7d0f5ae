//! Looking: the DCS, PostgreSQL by SQL, the data directory. Each look is a task with a deadline of its own.

use std::time::Duration;

use super::state::Agent;
use super::{Event, LONGEST};
use crate::clock::Moment;
use crate::decide::{self, Process};
use crate::postgres::{self, datadir, observe, sql::Connection};

/// How long decisions wait for what PostgreSQL says.
pub(super) const LATE: Duration = Duration::from_secs(2);

impl Agent {
    /// Starts the looks that are due.
    pub(super) fn refresh(&mut self, now: Moment) {
        self.notice_silence(now);
        if now >= self.need.snapshot_at && !self.busy.snapshot {
            self.take_snapshot(now);
        }
        // The time to look again is put off by every decision; PostgreSQL is looked at all the same.
        if now >= self.recheck || now >= self.look_at() {
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
        let (events, members, leads) = (self.events.clone(), self.members.clone(), self.leads());
        tokio::spawn(async move {
            let snapshot = store.snapshot(members, leads).await;
            let _ = events.send(Event::Snapshot(snapshot.map(Box::new))).await;
        });
    }

    /// How often the DCS is read even if nothing changes: that is what shows that our session lives.
    pub(super) fn heartbeat(&self) -> Duration {
        let part = Duration::from_millis(self.view.dcs.session_timeout / 15).max(Duration::from_secs(1));
        part.min(self.view.settings.loop_wait)
    }

    fn take_observation(&mut self, asked: Moment) {
        self.busy.observing = true;
        self.observing_since = asked;
        // One that does not answer is not asked again, which would only be more work for it: it is waited for.
        let limit = decide::patience(&self.view);
        let (config, settings) = (self.config.clone(), self.view.settings.clone());
        let (events, observer) = (self.events.clone(), self.observer.clone());
        tokio::spawn(async move {
            let mut place = observer.lock().await;
            let observed = async {
                let connection = match place.take().filter(|connection| !connection.is_closed()) {
                    Some(connection) => connection,
                    None => Connection::local_within(&config, &settings, limit).await?,
                };
                let observed = observe::observe(&connection, &config, limit).await?;
                *place = Some(connection);
                Ok::<_, postgres::Error>(observed)
            };
            let observed = observed.await;
            drop(place);
            let _ = events.send(Event::Observed(observed.map(Box::new), asked)).await;
        });
    }

    /// When PostgreSQL is to be looked at at the latest.
    pub(super) fn look_at(&self) -> Moment {
        if !self.is_up() || self.busy.observing {
            return Moment(u64::MAX);
        }
        self.observing_since + self.look_within()
    }

    /// A question that has been waiting for so long that decisions wait for it no longer.
    pub(super) fn is_late(&self, now: Moment) -> bool {
        self.busy.observing && now.since(self.observing_since) >= LATE
    }

    fn notice_silence(&mut self, now: Moment) {
        // What we ourselves have slept through says nothing about PostgreSQL.
        if now > self.awake_until + LATE {
            self.observing_since = now;
            self.view.pg.silent_since = self.view.pg.silent_since.map(|_| now);
            self.view.pg.wal_stuck_since = self.view.pg.wal_stuck_since.map(|_| now);
        }
        if self.is_late(now) && self.is_up() {
            self.view.pg.silent_since.get_or_insert(self.observing_since);
        }
    }

    fn take_inspection(&mut self) {
        // Whatever asks for another look from now on gets one: what this one sees may be older than that.
        (self.need.inspection, self.busy.inspecting) = (false, true);
        let (config, events) = (self.config.clone(), self.events.clone());
        tokio::spawn(async move {
            let (data, control) = datadir::inspect(&config).await;
            let _ = events.send(Event::Inspected(data, control)).await;
        });
    }
}
