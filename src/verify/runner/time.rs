//! Modes of time: what must hold at every look (`during`), and what must come to rest (`stable_for`).
//!
//! A look is a sample: what happens between two looks is not seen. So a step tells how many there were and how far
//! apart, and too few of them prove nothing.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::check::CheckRun;
use super::step::{End, LEAST_TRY, TOLD_EVERY, TRY_LIMIT, Try, keep, millis};
use crate::lab::model::{Step, Text};
use crate::verify::budget::{Allowed, seconds};
use crate::verify::{Event, Verdict, say};
use crate::wait::Answer;

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Fewer looks prove nothing of a time.
const FEWEST: usize = 3;

/// The looks of a step that looks all the time.
#[derive(Debug, Default)]
pub(super) struct Looks {
    count: usize,
    longest_gap: Duration,
    allowed: String,
}

impl Looks {
    /// How the time was looked at: `10 s: 98 looks, at most 0.13 s apart`.
    pub(super) fn told(&self, derivation: &str) -> String {
        let Looks { count, longest_gap, .. } = self;
        format!("{derivation}: {count} looks, at most {} apart", seconds(millis(*longest_gap)))
    }

    /// What the last look's verdict comes to for the whole time.
    pub(super) fn rule(&self, last: Verdict, reason: Option<Text>, after: Duration) -> (Verdict, Option<Text>) {
        match (last, reason) {
            (Verdict::Pass, _) if self.count < FEWEST => {
                (Verdict::Inconclusive, Some(say::too_few_looks(self.count, &self.allowed)))
            }
            (Verdict::Fail, Some(reason)) => {
                (last, Some(say::and(reason, " ", &say::broke_after(millis(after), &self.allowed))))
            }
            (last, reason) => (last, reason),
        }
    }
}

/// What must hold without a break for a time.
pub(super) struct Rest {
    time: Duration,
    since: Option<Instant>,
}

impl Rest {
    pub(super) fn new(allowed: Allowed) -> Rest {
        Rest { time: allowed.time, since: None }
    }

    /// A look that passes is not enough: it must have passed for the whole time.
    pub(super) fn judge(&mut self, look: Answer<(), ()>) -> Answer<(), ()> {
        let Answer::Done(()) = look else {
            self.since = None;
            return look;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.time {
            return Answer::Done(());
        }
        Answer::NotYet(format!("it holds, for {} so far", seconds(millis(since.elapsed()))))
    }
}

impl CheckRun<'_> {
    /// Look at the step until its time is over, or a look does not pass.
    pub(super) async fn watch(&self, step: &Step, name: &str, allowed: &Allowed, last: &Mutex<Option<Try>>) -> End {
        let began = Instant::now();
        let ends = began + allowed.time;
        let mut looks = Looks { allowed: allowed.derivation.clone(), ..Looks::default() };
        let (mut previous, mut told) = (began, None::<Instant>);
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            let tried = self.attempt(step, name, TRY_LIMIT.min(left.max(LEAST_TRY))).await;
            looks.count += 1;
            looks.longest_gap = looks.longest_gap.max(previous.elapsed());
            previous = Instant::now();
            let passed = tried.ruling.verdict == Verdict::Pass;
            keep(last, tried);
            if !passed || Instant::now() >= ends {
                return End::Watched(looks);
            }
            if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
                told = Some(Instant::now());
                self.run.spine.tell(Event::Waiting {
                    scope: name.to_owned(),
                    not_yet: say::both("пока держится", "it holds so far"),
                    waited_ms: millis(began.elapsed()),
                    deadline_ms: millis(allowed.time),
                });
            }
            tokio::time::sleep_until(ends.min(Instant::now() + LOOK_EVERY)).await;
        }
    }
}
