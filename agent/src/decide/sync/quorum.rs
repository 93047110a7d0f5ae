//! Quorum mode: a commit waits for any `count` of the standbys, and a node needs the votes of enough of them to
//! take over (Patroni's quorum commit).
//!
//! Two rules make each single step safe, from whatever state the last leader or the last life of this agent has
//! left; so there is no plan that must be followed to its end:
//!
//! * The setting may be changed to one that the key *covers*: whatever `count` nodes of the setting hold a
//!   commit, every group that is large enough to win has one of them.
//! * The key may be changed to a *stricter* one, whose every winner would have won by the old one, too. Or to
//!   one that covers the setting in force and whose winners also have one that holds what was acknowledged
//!   before that setting.

use super::super::{Action, Chore, Server, View, Write};
use super::names::Names;
use super::pick::able;
use super::setting::{self, Promise};
use super::{Step, known, names_of_nobody};
use crate::cluster::{Cluster, Sync};

/// The sync key: who has a vote beside the leader, and how many votes a winner needs beside its own.
#[derive(Debug, Clone, PartialEq, Default)]
struct Key {
    voters: Names,
    quorum: usize,
}

impl Key {
    /// Whether every winner holds each commit that is acknowledged under `promise`. The leader holds them all,
    /// so those count that win without it.
    fn covers(&self, promise: &Promise) -> bool {
        self.quorum >= self.voters.len().min(self.voters.with(&promise.of) - promise.count)
    }

    fn is_stricter_than(&self, old: &Key) -> bool {
        self.voters.is_empty() || self.quorum >= old.quorum + self.voters.outside(&old.voters)
    }
}

/// What is known of the setting in force.
struct InForce {
    promise: Promise,
    /// The standbys that have all that was acknowledged before it.
    confirmed: Names,
}

/// The next step. `Sync` names this node as the leader already.
pub(super) fn next_step(view: &View, cluster: &Cluster, server: &Server) -> Step {
    let sync = cluster.sync();
    let key = Key { voters: sync.standbys.iter().cloned().collect(), quorum: sync.quorum as usize };
    let able = able(view, cluster, server.written, &server.wal_senders);
    // Nodes that may not lead would only make votes harder to get; they are taken where there are too few others.
    let count = view.settings.sync_node_count;
    let mut active = Vec::new();
    for able in &able {
        if able.member.data.may_lead() || active.len() < count {
            active.push(able.member.name.clone());
        }
    }
    let of: Names = active.into_iter().collect();
    let goal = Promise { count: count.min(of.len()), of };
    let in_force = known(view, server).map(|since| {
        let has_all = able.iter().filter(|able| able.position >= since);
        let confirmed = has_all.map(|able| able.member.name.clone()).collect();
        InForce { promise: setting::promise(&server.sync_names), confirmed }
    });
    let names = if goal.count == 0 { names_of_nobody(view) } else { setting::any_of(&goal) };
    let set = in_force.is_some() && server.sync_names == names;
    match next(&key, in_force.as_ref(), set, &goal) {
        Next::Key(key) => Step::act(write(view, cluster, key)),
        Next::Setting => Step::act(Chore::SyncNames(names)),
        Next::Wait => Step { action: None, pending: true },
        Next::Nothing => Step { action: None, pending: false },
    }
}

fn write(view: &View, cluster: &Cluster, key: Key) -> Action {
    let sync = Sync::new(&view.me.name, key.voters.into_vec());
    let version = cluster.sync.as_ref().map(|sync| sync.version);
    Write::Sync { sync: Sync { quorum: key.quorum as u32, ..sync }, version }.into()
}

#[derive(Debug, PartialEq)]
enum Next {
    Key(Key),
    /// The setting is changed to the goal.
    Setting,
    /// Until standbys have caught up.
    Wait,
    Nothing,
}

/// `in_force` is `None` while nothing is known for sure; `set`: the setting in force is the goal.
fn next(key: &Key, in_force: Option<&InForce>, set: bool, goal: &Promise) -> Next {
    let may_become = |new: &Key| {
        let proven =
            in_force.is_some_and(|now| new.covers(&now.promise) && new.voters.outside(&now.confirmed) <= new.quorum);
        new.is_stricter_than(key) || proven
    };
    let final_key = Key { voters: goal.of.clone(), quorum: goal.of.len() - goal.count };
    if *key != final_key && may_become(&final_key) {
        return Next::Key(final_key);
    }
    if !set {
        return match key.covers(goal) {
            true => Next::Setting,
            false => Next::Key(strict_enough(key, goal)),
        };
    }
    if *key == final_key {
        return Next::Nothing;
    }
    // Not all that should have caught up have: until then, more votes are needed.
    let unsure = in_force.map_or(goal.of.len(), |now| goal.of.outside(&now.confirmed));
    let interim = Key { quorum: unsure.max(final_key.quorum), ..final_key };
    let better = key.voters.is_empty() && interim.quorum < interim.voters.len() && may_become(&interim);
    if better { Next::Key(interim) } else { Next::Wait }
}

/// The same voters, and so many votes that the key covers `goal`; nobody but the leader if that takes all votes.
fn strict_enough(key: &Key, goal: &Promise) -> Key {
    let quorum = key.quorum.max(key.voters.with(&goal.of) - goal.count);
    if quorum < key.voters.len() { Key { quorum, ..key.clone() } } else { Key::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(quorum: usize, voters: &[&str]) -> Key {
        Key { voters: voters.iter().copied().collect(), quorum }
    }

    fn promise(count: usize, of: &[&str]) -> Promise {
        Promise { count, of: of.iter().copied().collect() }
    }

    /// Every step from `key` and `setting` to `goal`, if all standbys of the goal catch up at once.
    fn steps(mut key: Key, mut setting: Promise, goal: Promise) -> Vec<String> {
        let mut steps = Vec::new();
        let mut sure = true;
        for _ in 0..10 {
            let in_force = sure.then(|| InForce { promise: setting.clone(), confirmed: goal.of.clone() });
            match next(&key, in_force.as_ref(), sure && setting == goal, &goal) {
                Next::Key(new) => {
                    assert_ne!(new, key);
                    key = new;
                    steps.push(format!("{} of {}", key.quorum, key.voters.clone().into_vec().join(",")));
                }
                Next::Setting => {
                    (setting, sure) = (goal.clone(), true);
                    steps.push(setting::any_of(&setting));
                }
                Next::Wait => panic!("waits, after {steps:?}"),
                Next::Nothing => return steps,
            }
        }
        panic!("no end: {steps:?}");
    }

    #[test]
    fn the_first_standbys_enter_the_setting_first() {
        let found = steps(key(0, &[]), promise(0, &[]), promise(1, &["a", "b"]));
        assert_eq!(found, ["ANY 1 (a,b)", "1 of a,b"]);
    }

    #[test]
    fn a_further_one_gets_its_vote_first() {
        let found = steps(key(0, &["a"]), promise(1, &["a"]), promise(1, &["a", "b"]));
        assert_eq!(found, ["1 of a,b", "ANY 1 (a,b)"]);
        let found = steps(key(0, &["a"]), promise(1, &["a"]), promise(2, &["a", "b"]));
        assert_eq!(found, ["ANY 2 (a,b)", "0 of a,b"]);
    }

    #[test]
    fn one_that_goes_leaves_the_setting_first_unless_it_leaves_nobody() {
        let found = steps(key(1, &["a", "b"]), promise(1, &["a", "b"]), promise(1, &["b"]));
        assert_eq!(found, ["ANY 1 (b)", "0 of b"]);
        let found = steps(key(0, &["a", "b"]), promise(2, &["a", "b"]), promise(1, &["b"]));
        assert_eq!(found, ["0 of b", "ANY 1 (b)"]);
        let found = steps(key(0, &["a"]), promise(1, &["a"]), promise(0, &[]));
        assert_eq!(found, ["0 of ", ""]);
    }

    #[test]
    fn one_that_takes_the_place_of_another_is_proven_first() {
        let found = steps(key(0, &["a"]), promise(1, &["a"]), promise(1, &["b"]));
        assert_eq!(found, ["0 of ", "ANY 1 (b)", "0 of b"]);
        let found = steps(key(1, &["a", "b", "c"]), promise(2, &["a", "b", "c"]), promise(2, &["b", "c", "d"]));
        assert_eq!(found, ["2 of a,b,c", "ANY 2 (b,c,d)", "1 of b,c,d"]);
    }

    #[test]
    fn more_confirmations_come_before_fewer_votes_and_more_votes_before_fewer_confirmations() {
        let (one, two) = (promise(1, &["a", "b"]), promise(2, &["a", "b"]));
        assert_eq!(steps(key(1, &["a", "b"]), one.clone(), two.clone()), ["ANY 2 (a,b)", "0 of a,b"]);
        assert_eq!(steps(key(0, &["a", "b"]), two, one), ["1 of a,b", "ANY 1 (a,b)"]);
    }

    #[test]
    fn from_the_plain_mode_the_setting_is_written_anew_even_if_the_standbys_are_the_same() {
        let goal = promise(1, &["a"]);
        let in_force = InForce { promise: goal.clone(), confirmed: goal.of.clone() };
        assert_eq!(next(&key(0, &["a"]), Some(&in_force), false, &goal), Next::Setting);
    }

    #[test]
    fn who_has_not_caught_up_makes_more_votes_necessary() {
        let goal = promise(2, &["a", "b"]);
        let caught_up = |names: &[&str]| InForce { promise: goal.clone(), confirmed: names.iter().copied().collect() };
        assert_eq!(next(&key(0, &[]), Some(&caught_up(&[])), true, &goal), Next::Wait);
        assert_eq!(next(&key(0, &[]), Some(&caught_up(&["b"])), true, &goal), Next::Key(key(1, &["a", "b"])));
        assert_eq!(next(&key(1, &["a", "b"]), Some(&caught_up(&["b"])), true, &goal), Next::Wait);
        assert_eq!(
            next(&key(1, &["a", "b"]), Some(&caught_up(&["B", "a"])), true, &goal),
            Next::Key(key(0, &["a", "b"]))
        );
    }

    #[test]
    fn a_setting_that_is_not_sure_is_made_anew_before_the_key_relies_on_it() {
        let goal = promise(1, &["a"]);
        assert_eq!(next(&key(0, &[]), None, false, &goal), Next::Setting);
        assert_eq!(next(&key(0, &["a"]), None, false, &goal), Next::Setting);
    }
}
