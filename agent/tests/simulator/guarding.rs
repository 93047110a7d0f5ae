//! The guards' processes: the real state machine (`guard::Watch`) in virtual time. One belongs to each life of an
//! agent; it outlives it until PostgreSQL is gone, or the next agent knows its lease (agent: `agent::guarding`).

use labrun_agent::clock::Moment;
use labrun_agent::decide::{self, Permit, StopMode};
use labrun_agent::guard::{Event as Happens, Order, Postmaster, Step, Watch};

use crate::event::{Event, Target};
use crate::world::World;

/// One process.
#[derive(Debug)]
pub struct Guard {
    /// Which life of the agent it belongs to.
    pub of: u64,
    watch: Watch,
    order: Order,
    /// The number of the alarm that counts.
    alarm: u64,
}

impl Guard {
    pub fn new(of: u64) -> Guard {
        Guard { of, watch: Watch::default(), order: Order::Aside, alarm: 0 }
    }
}

impl World {
    /// The agent tells its guard until when PostgreSQL may be writable; former guards go when it knows.
    pub fn tend_guard(&mut self, node: usize) {
        let (mutation, of) = (self.plan.mutation, self.nodes[node].incarnation);
        let Some(agent) = &self.nodes[node].agent else { return };
        let permit = crate::mutations::permitted(mutation, &agent.view);
        let order = match permit {
            Permit::Aside => Order::Aside,
            Permit::Until(term) => Order::Until { term, postmaster: agent.epoch.map(postmaster) },
        };
        let knows = decide::knows_the_term(&agent.view);
        if self.nodes[node].guards.iter().any(|guard| guard.of == of && guard.order != order) {
            self.guard_hears(node, of, Happens::Order(order));
        }
        if knows {
            self.nodes[node].guards.retain(|guard| guard.of == of);
        }
    }

    /// Its alarm rings.
    pub fn on_guard(&mut self, node: usize, of: u64, event: Event) {
        let Event::GuardAlarm(number) = event else { unreachable!("{event:?} does not happen to a guard") };
        if self.nodes[node].guards.iter().any(|guard| guard.of == of && guard.alarm == number) {
            self.guard_hears(node, of, Happens::Time);
        }
    }

    /// An agent is gone, and with it its end of the socket.
    pub fn guard_is_alone(&mut self, node: usize) {
        let of = self.nodes[node].incarnation;
        self.guard_hears(node, of, Happens::AgentGone);
    }

    /// A postmaster has ended: the guards that watch it see that.
    pub fn postmaster_gone(&mut self, node: usize, epoch: u64) {
        let watches =
            |order: &Order| matches!(order, Order::Until { postmaster: Some(p), .. } if *p == postmaster(epoch));
        let watching = self.nodes[node].guards.iter().filter(|guard| watches(&guard.order));
        for of in watching.map(|guard| guard.of).collect::<Vec<_>>() {
            self.guard_hears(node, of, Happens::PostmasterGone);
        }
    }

    fn guards_in_pause(&mut self, node: usize) {
        if self.nodes[node].at_ease {
            self.violate(format!("the guard of {} stops PostgreSQL in a pause", self.names[node]));
        }
    }

    fn guard_hears(&mut self, node: usize, of: u64, mut event: Happens) {
        let now = Moment(self.clock(node));
        loop {
            let Some(guard) = self.nodes[node].guards.iter_mut().find(|guard| guard.of == of) else { return };
            if let Happens::Order(order) = event {
                guard.order = order;
            }
            match guard.watch.next(event, now) {
                Step::Sleep(until) => {
                    guard.alarm += 1;
                    let alarm = Event::GuardAlarm(guard.alarm);
                    if let Some(until) = until {
                        let ticks = until.0.saturating_sub(now.0).max(1);
                        self.after_ticks(node, ticks, Target::Guard(node, of), alarm);
                    }
                    return;
                }
                Step::Quit => {
                    self.guards_in_pause(node);
                    self.tell(node, || "the guard stops PostgreSQL at once".into());
                    if let Some(target) = self.server_target(node) {
                        self.after(1, target, Event::Stop(StopMode::Immediate));
                    }
                    event = Happens::Time;
                }
                Step::Kill => {
                    let some = self.nodes[node].server.is_some();
                    if some {
                        self.guards_in_pause(node);
                        self.tell(node, || "the guard kills PostgreSQL".into());
                        self.kill_server(node, false);
                    }
                    event = Happens::Killed { some };
                }
                Step::Exit => return self.nodes[node].guards.retain(|guard| guard.of != of),
            }
        }
    }
}

/// A PostgreSQL of the model by the name that the guard knows it by.
fn postmaster(epoch: u64) -> Postmaster {
    Postmaster { pid: epoch as i32, start: epoch }
}
