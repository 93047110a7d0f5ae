//! A model of a primary and its standbys that carries out [`super::next_step`] step by step, through changes of
//! the mode, of the count and of who is there. Whatever happens: who could win a race now holds every commit
//! that was acknowledged; and when nothing more happens, all standbys that are there are in.

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::setting::{self, Promise};
use crate::cluster::{Lsn, Sync};
use crate::config::SyncMode;

const STANDBYS: [&str; 4] = ["pg2", "pg3", "pg4", "pg5"];

#[derive(Debug, Clone)]
enum Event {
    /// The primary writes; its commit waits.
    Commit,
    /// A standby that streams flushes this much more.
    Flush {
        standby: usize,
        by: u64,
    },
    Appear(usize),
    Vanish(usize),
    Mode(SyncMode),
    Count(usize),
    /// One look of the agent, and what it wants is begun.
    Step,
    /// The setting that was begun comes into force.
    Obeyed,
    /// The agent is killed and started again.
    Forget,
}

struct Model {
    view: View,
    key: Sync,
    written: u64,
    /// By standby.
    flushed: [u64; 4],
    here: [bool; 4],
    /// The settings that commits may obey now: the one in force, and one that is coming.
    obeyed: String,
    coming: Option<String>,
    acknowledged: u64,
    moves: usize,
}

impl Model {
    fn new() -> Model {
        let mut view = primary();
        view.settings.sync_mode = SyncMode::Quorum { strict: false };
        view.facts.sync_setting = None;
        let server = view.pg.server.as_mut().unwrap();
        (server.sync_names, server.wal_senders) = (String::new(), Vec::new());
        for (i, name) in STANDBYS.iter().enumerate() {
            add_member(&mut view, name, &format!("127.0.1.{}", i + 2));
        }
        let key = Sync::new("pg1", []);
        let (obeyed, coming) = (String::new(), None);
        Model { view, key, written: 100, flushed: [0; 4], here: [false; 4], obeyed, coming, acknowledged: 0, moves: 0 }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Commit => self.written += 1,
            Event::Flush { standby, by } if self.here[*standby] => {
                self.flushed[*standby] = (self.flushed[*standby] + by).min(self.written);
            }
            Event::Flush { .. } => {}
            Event::Appear(standby) => self.here[*standby] = true,
            Event::Vanish(standby) => self.here[*standby] = false,
            Event::Mode(mode) => self.view.settings.sync_mode = *mode,
            Event::Count(count) => self.view.settings.sync_node_count = *count,
            Event::Step => self.step(),
            Event::Obeyed => self.obey(),
            Event::Forget => self.view.facts.sync_setting = None,
        }
        self.acknowledge();
    }

    fn step(&mut self) {
        self.look();
        let cluster = self.view.dcs.cluster.clone().unwrap();
        let step = super::next_step(&self.view, &cluster, self.view.pg.server.as_ref().unwrap());
        match step.action {
            Some(Action::Write(Write::Sync { sync, .. })) => {
                assert_ne!(sync, self.key, "a write that changes nothing");
                self.key = sync;
                self.moves += 1;
            }
            Some(Action::Chore(Chore::SyncNames(names))) if self.coming.is_none() => {
                self.coming = Some(names);
                self.view.facts.sync_setting = None;
                self.moves += 1;
            }
            Some(Action::Chore(_)) | None => {}
            other => panic!("{other:?}"),
        }
    }

    fn look(&mut self) {
        let state = |standby: usize| {
            let promise = setting::promise(&self.obeyed);
            match (promise.of.iter().any(|name| name == STANDBYS[standby]), self.obeyed.starts_with("ANY")) {
                (false, _) => "async",
                (true, true) => "quorum",
                (true, false) => "sync",
            }
        };
        let senders = (0..4).filter(|i| self.here[*i]).map(|i| WalSender {
            application_name: STANDBYS[i].into(),
            state: "streaming".into(),
            sync_state: state(i).into(),
            flushed: Lsn(self.flushed[i]),
            ..WalSender::default()
        });
        let senders = senders.collect();
        let server = self.view.pg.server.as_mut().unwrap();
        (server.wal_senders, server.sync_names, server.written) = (senders, self.obeyed.clone(), Lsn(self.written));
        set_sync(&mut self.view, self.key.clone());
    }

    fn obey(&mut self) {
        if let Some(names) = self.coming.take() {
            self.acknowledge();
            self.obeyed = names.clone();
            self.view.facts.sync_setting = Some(SyncSetting { names, since: Lsn(self.written) });
        }
    }

    /// All commits that the laxest of the settings lets pass.
    fn acknowledge(&mut self) {
        for names in [Some(&self.obeyed), self.coming.as_ref()].into_iter().flatten() {
            let up_to = if names.contains('*') { 0 } else { self.held(&setting::promise(names)) };
            self.acknowledged = self.acknowledged.max(up_to);
        }
    }

    fn held(&self, promise: &Promise) -> u64 {
        let here = (0..4).filter(|i| self.here[*i] && promise.of.iter().any(|name| name == STANDBYS[*i]));
        let mut held: Vec<_> = here.map(|i| self.flushed[i]).collect();
        held.sort_by_key(|flushed| std::cmp::Reverse(*flushed));
        match promise.count {
            0 => self.written,
            count => held.get(count - 1).copied().unwrap_or(0),
        }
    }

    /// A standby that could win lacks an acknowledged commit: by the votes of all that are not ahead of it, as
    /// if whoever is ahead could not be reached.
    fn danger(&self) -> Option<String> {
        let position = |name: &str| match STANDBYS.iter().position(|standby| *standby == name) {
            Some(standby) => self.flushed[standby],
            None => self.written,
        };
        let pool: Vec<_> = self.key.standbys.iter().map(String::as_str).chain(["pg1"]).collect();
        let winner = STANDBYS.iter().find(|name| {
            let votes = pool.iter().filter(|voter| *voter != *name && position(voter) <= position(name)).count();
            let own = usize::from(pool.contains(name));
            votes + own > self.key.quorum as usize && position(name) < self.acknowledged
        })?;
        Some(format!(
            "{winner} has {}, acknowledged is {}, by {:?} and '{}' (then {:?})",
            position(winner),
            self.acknowledged,
            self.key,
            self.obeyed,
            self.coming
        ))
    }

    /// Everybody catches up, and the agent goes on until it wants nothing more.
    fn settle(&mut self) -> usize {
        for round in 0..20 {
            self.happen(&Event::Obeyed);
            for standby in 0..4 {
                self.happen(&Event::Flush { standby, by: u64::MAX / 2 });
            }
            let before = self.moves;
            self.happen(&Event::Step);
            assert_eq!(self.danger(), None);
            if self.moves == before {
                return round;
            }
        }
        panic!("no end: {:?}, '{}'", self.key, self.obeyed);
    }
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop_oneof![
        3 => Just(SyncMode::Quorum { strict: false }),
        1 => Just(SyncMode::Quorum { strict: true }),
        2 => Just(SyncMode::On { strict: false }),
        1 => Just(SyncMode::On { strict: true }),
    ];
    prop_oneof![
        6 => Just(Event::Commit),
        8 => (0..4usize, 1..4u64).prop_map(|(standby, by)| Event::Flush { standby, by }),
        2 => (0..4usize).prop_map(Event::Appear),
        2 => (0..4usize).prop_map(Event::Vanish),
        1 => mode.prop_map(Event::Mode),
        1 => (1..4usize).prop_map(Event::Count),
        12 => Just(Event::Step),
        6 => Just(Event::Obeyed),
        1 => Just(Event::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whoever_could_win_a_race_holds_every_acknowledged_commit(events in prop::collection::vec(event(), 0..150)) {
        let mut model = Model::new();
        for event in &events {
            model.happen(event);
            prop_assert_eq!(model.danger(), None, "after {:?}", event);
        }
        model.settle();
        let here = (0..4).filter(|i| model.here[*i]).count();
        let count = model.view.settings.sync_node_count.min(here);
        let (voters, quorum) = match model.view.settings.sync_mode {
            SyncMode::Quorum { .. } => (here, here - count),
            _ => (count, 0),
        };
        prop_assert_eq!((model.key.standbys.len(), model.key.quorum as usize), (voters, quorum));
        prop_assert_eq!(setting::promise(&model.obeyed).count, count);
    }
}

/// The property would show each of these mistakes.
#[test]
fn the_model_shows_a_key_that_is_ahead_of_the_setting() {
    let mut model = Model::new();
    for event in [Event::Appear(0), Event::Appear(1), Event::Commit] {
        model.happen(&event);
    }
    assert_eq!(model.danger(), None);
    model.key = Sync { quorum: 1, ..Sync::new("pg1", ["pg2".into(), "pg3".into()]) };
    assert!(model.danger().is_some());
}
