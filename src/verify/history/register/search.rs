//! The same question answered by search, after Wing, Gong and Lowe: try every order that keeps to real time, remembering
//! what was tried. Slow and plain: the tests' measure for the checker by zones.

use std::collections::HashSet;

/// An operation of one register: what it sets or returns, and when. A write of unknown outcome has no end.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub write: bool,
    pub value: u64,
    pub from: u64,
    pub to: Option<u64>,
}

/// Whether some order explains all of `steps`; a write of unknown outcome may be left out.
pub fn explained(steps: &[Step]) -> bool {
    assert!(steps.len() <= 64);
    search(steps, 0, 0, &mut HashSet::new())
}

fn search(steps: &[Step], done: u64, value: u64, tried: &mut HashSet<(u64, u64)>) -> bool {
    let is_done = |at: usize| done & (1 << at) != 0;
    let left = |at: &usize| !is_done(*at);
    if (0..steps.len()).filter(left).all(|at| steps[at].to.is_none()) {
        return true;
    }
    if !tried.insert((done, value)) {
        return false;
    }
    // Only what began before everything that is left had ended can be next.
    let horizon = (0..steps.len()).filter(left).filter_map(|at| steps[at].to).min().unwrap_or(u64::MAX);
    (0..steps.len()).filter(left).filter(|at| steps[*at].from <= horizon).any(|at| {
        let step = steps[at];
        let legal = step.write || step.value == value;
        legal && search(steps, done | 1 << at, if step.write { step.value } else { value }, tried)
    })
}
