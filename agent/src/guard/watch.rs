//! What the guard does and when: a pure state machine over the agent's orders and the clock.

use std::time::Duration;

use super::Order;
use crate::clock::Moment;

/// Between two rounds of SIGKILL while some process is still seen.
const AGAIN: Duration = Duration::from_millis(20);
/// Between two looks for a PostgreSQL that should not be there, once all of it is gone: an agent that was stopped
/// may have been about to start one.
const LOOK: Duration = Duration::from_millis(500);

/// What happens to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Order(Order),
    /// The agent's end of the socket is closed: it has ended.
    AgentGone,
    /// The postmaster that the order names has ended.
    PostmasterGone,
    /// The time that was slept for is over.
    Time,
    /// SIGKILL was sent to every process that was found; whether there was one.
    Killed {
        some: bool,
    },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait for an event, until this time at the longest.
    Sleep(Option<Moment>),
    /// Ask the postmaster for an immediate stop, then go on.
    Quit,
    /// Send SIGKILL to every process of PostgreSQL, then tell what was found.
    Kill,
    Exit,
}

/// The guard's state.
#[derive(Debug)]
pub struct Watch {
    order: Order,
    /// The agent has ended.
    alone: bool,
    /// The postmaster of the order has ended.
    gone: bool,
    /// It was asked to stop.
    asked: bool,
    /// The last round of SIGKILL, and whether it found anything.
    killed: Option<(Moment, bool)>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch { order: Order::Aside, alone: false, gone: false, asked: false, killed: None }
    }
}

impl Watch {
    /// Takes an event in and says what to do.
    pub fn next(&mut self, event: Event, now: Moment) -> Step {
        match event {
            Event::Order(order) => *self = Watch { order, alone: self.alone, ..Watch::default() },
            Event::AgentGone => self.alone = true,
            Event::PostmasterGone => self.gone = true,
            Event::Time => {}
            Event::Killed { some } => self.killed = Some((now, some)),
        }
        self.step(now)
    }

    fn step(&mut self, now: Moment) -> Step {
        let Order::Until { term, .. } = self.order else {
            return if self.alone { Step::Exit } else { Step::Sleep(None) };
        };
        // With the agent and the postmaster gone there is nothing to wait for.
        if now >= term.kill || (self.alone && self.gone) {
            return self.kill(now);
        }
        if now >= term.quit && !self.asked {
            self.asked = true;
            return Step::Quit;
        }
        Step::Sleep(Some(if self.asked { term.kill } else { term.quit }))
    }

    fn kill(&self, now: Moment) -> Step {
        match self.killed {
            None => Step::Kill,
            Some((_, false)) if self.alone => Step::Exit,
            Some((at, some)) => {
                let next = at + if some { AGAIN } else { LOOK };
                if now >= next { Step::Kill } else { Step::Sleep(Some(next)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Term;
    use crate::guard::Postmaster;

    fn until(quit: u64, kill: u64) -> Event {
        let term = Term { quit: Moment(quit), kill: Moment(kill) };
        Event::Order(Order::Until { term, postmaster: Some(Postmaster { pid: 1, start: 1 }) })
    }

    fn sleep(until: u64) -> Step {
        Step::Sleep(Some(Moment(until)))
    }

    #[test]
    fn a_lease_that_is_extended_is_left_alone() {
        let mut watch = Watch::default();
        assert_eq!(watch.next(until(100, 200), Moment(0)), sleep(100));
        assert_eq!(watch.next(until(150, 250), Moment(50)), sleep(150));
        assert_eq!(watch.next(Event::Time, Moment(149)), sleep(150));
    }

    #[test]
    fn a_lease_that_runs_out_ends_postgresql_first_mildly_then_by_force_until_nothing_is_left() {
        let mut watch = Watch::default();
        watch.next(until(100, 200), Moment(0));
        assert_eq!(watch.next(Event::Time, Moment(100)), Step::Quit);
        assert_eq!(watch.next(Event::Time, Moment(101)), sleep(200));
        assert_eq!(watch.next(Event::Time, Moment(200)), Step::Kill);
        assert_eq!(watch.next(Event::Killed { some: true }, Moment(201)), sleep(221));
        assert_eq!(watch.next(Event::Time, Moment(221)), Step::Kill);
        // The agent may be asleep in the middle of a start: what it starts then must not live.
        assert_eq!(watch.next(Event::Killed { some: false }, Moment(230)), sleep(730));
        assert_eq!(watch.next(Event::Time, Moment(730)), Step::Kill);
        assert_eq!(watch.next(Event::Killed { some: true }, Moment(731)), sleep(751));
    }

    #[test]
    fn woken_after_a_pause_it_kills_at_once() {
        let mut watch = Watch::default();
        watch.next(until(100, 200), Moment(0));
        assert_eq!(watch.next(Event::Time, Moment(45_000)), Step::Kill);
    }

    #[test]
    fn an_order_that_comes_too_late_to_be_of_use_is_obeyed_at_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.next(until(100, 200), Moment(300)), Step::Kill);
    }

    #[test]
    fn an_agent_that_wakes_and_has_the_lease_ends_the_killing() {
        let mut watch = Watch::default();
        watch.next(until(100, 200), Moment(0));
        assert_eq!(watch.next(Event::Time, Moment(150)), Step::Quit);
        assert_eq!(watch.next(until(400, 500), Moment(160)), sleep(400));
        assert_eq!(watch.next(Event::Time, Moment(400)), Step::Quit);
    }

    #[test]
    fn the_agents_death_changes_nothing_until_the_lease_is_over_then_it_goes() {
        let mut watch = Watch::default();
        watch.next(until(100, 200), Moment(0));
        assert_eq!(watch.next(Event::AgentGone, Moment(10)), sleep(100));
        assert_eq!(watch.next(Event::Time, Moment(100)), Step::Quit);
        assert_eq!(watch.next(Event::Time, Moment(200)), Step::Kill);
        assert_eq!(watch.next(Event::Killed { some: true }, Moment(200)), sleep(220));
        assert_eq!(watch.next(Event::Time, Moment(220)), Step::Kill);
        assert_eq!(watch.next(Event::Killed { some: false }, Moment(220)), Step::Exit);
    }

    #[test]
    fn with_the_agent_and_the_postmaster_gone_it_clears_up_and_goes() {
        let mut watch = Watch::default();
        watch.next(until(100, 200), Moment(0));
        assert_eq!(watch.next(Event::PostmasterGone, Moment(5)), sleep(100));
        assert_eq!(watch.next(Event::AgentGone, Moment(10)), Step::Kill);
        assert_eq!(watch.next(Event::Killed { some: false }, Moment(10)), Step::Exit);
    }

    #[test]
    fn aside_it_does_nothing_and_goes_with_the_agent() {
        let mut watch = Watch::default();
        watch.next(until(100, 200), Moment(0));
        assert_eq!(watch.next(Event::Order(Order::Aside), Moment(50)), Step::Sleep(None));
        assert_eq!(watch.next(Event::Time, Moment(10_000)), Step::Sleep(None));
        assert_eq!(watch.next(Event::AgentGone, Moment(10_000)), Step::Exit);
    }
}
