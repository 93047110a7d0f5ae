//! A fault by itself: whether it has what its kind needs, and nothing that its kind cannot use.

use super::Meaning;
use super::names::ALL;
use crate::lab::diagnostic::Code;
use crate::lab::model::{FaultKind, FaultStep};

/// The longest delay of a slow way, in s: more is a cut.
const LONGEST_DELAY_S: u64 = 60;

impl Meaning<'_> {
    pub(super) fn fault(&mut self, fault: &FaultStep, path: &[&str]) {
        let FaultStep { kind, on, to, one_way, delay, loss } = fault;
        let word = kind.word();
        let mut wrong = Vec::new();
        let mut needs = |key: &'static str, there: bool, fits: bool| match (there, fits) {
            (true, false) => wrong.push((key, format!("`{word}` has no use for `{key}`"))),
            (false, true) => wrong.push(("do", format!("`{word}` needs `{key}`"))),
            _ => {}
        };
        needs("to", to.is_some(), kind.is_of_edge());
        if *one_way && !kind.is_of_edge() {
            needs("one_way", true, false);
        }
        if *kind == FaultKind::Slow {
            needs("delay", delay.is_some() || loss.is_some(), true);
        } else {
            needs("delay", delay.is_some(), false);
            needs("loss", loss.is_some(), false);
        }
        if delay.is_some_and(|delay| delay.0.as_secs() > LONGEST_DELAY_S) {
            wrong.push(("delay", format!("a way is slow by at most {LONGEST_DELAY_S} s")));
        }
        if on == ALL && *kind != FaultKind::Heal {
            wrong.push(("on", format!("`{ALL}` is for `heal` alone")));
        }
        if to.as_ref() == Some(on) {
            wrong.push(("to", "there is no way from a node to itself".to_owned()));
        }
        if kind.is_of_postgres() && matches!(on.as_str(), "proxy" | "dcs" | "dcs_leader" | "dcs_follower") {
            wrong.push(("on", format!("`{word}` is done to PostgreSQL or its agent, and `{on}` has neither")));
        }
        for (key, words) in wrong {
            let place = self.value(&[path, &["fault", key]].concat());
            self.error(Code::FaultShape, words, place).with_help("`labrun faults` prints what each fault needs");
        }
    }
}
