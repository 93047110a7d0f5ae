//! An operation by itself: whether it has what its kind needs, and nothing that its kind cannot use.

use super::Meaning;
use super::names::ALL;
use crate::lab::diagnostic::Code;
use crate::lab::model::{OperateStep, Operation};

impl Meaning<'_> {
    pub(super) fn operate(&mut self, step: &OperateStep, path: &[&str]) {
        let OperateStep { operation, on, to, set, .. } = step;
        let word = operation.word();
        let mut wrong = Vec::new();
        if to.is_some() && *operation != Operation::Switchover {
            wrong.push(("to", format!("`{word}` has no use for `to`")));
        }
        match (set, operation) {
            (None, Operation::Configure) => wrong.push(("do", format!("`{word}` needs `set`"))),
            (Some(set), Operation::Configure) if set.is_empty() => {
                wrong.push(("set", format!("`{word}` with nothing in `set` changes nothing")));
            }
            (Some(_), Operation::Switchover | Operation::Restart | Operation::Reinitialize) => {
                wrong.push(("set", format!("`{word}` has no use for `set`")));
            }
            _ => {}
        }
        if to.as_ref() == Some(on) {
            wrong.push(("to", "a node cannot hand over to itself".to_owned()));
        }
        if matches!(on.as_str(), "proxy" | "dcs" | "dcs_leader" | "dcs_follower") || on == ALL {
            wrong.push(("on", format!("`{word}` is asked of a node's agent, and `{on}` has none")));
        }
        for (key, words) in wrong {
            let place = self.value(&[path, &["operate", key]].concat());
            self.error(Code::FaultShape, words, place).with_help(
                "`switchover` can have `to`, `configure` needs `set`, `restart` and `reinitialize` need neither",
            );
        }
    }
}
