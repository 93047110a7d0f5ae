//! A machine's clock: it was started at some time of its own, and runs a little too fast or too slow.

use crate::event::{Event, Target};
use crate::random::Random;
use crate::world::World;

#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: u64,
    /// How many milliseconds it counts in a thousand.
    rate: u64,
}

/// By how much a clock is wrong at the most, in a thousand. (A quartz is by a tenth of one.)
const WRONG: u64 = 8;

impl Clock {
    pub fn draw(random: &mut Random, wrong: bool) -> Clock {
        let rate = if wrong { random.between(1000 - WRONG, 1000 + WRONG) } else { 1000 };
        Clock { started: random.below(1_000_000), rate }
    }

    /// What it shows.
    pub fn shows(self, now: u64) -> u64 {
        self.started + now * self.rate / 1000
    }

    /// How long it takes to count `ticks` milliseconds.
    pub fn lasts(self, ticks: u64) -> u64 {
        (ticks * 1000).div_ceil(self.rate)
    }
}

impl World {
    /// The time by a node's clock.
    pub fn clock(&self, node: usize) -> u64 {
        self.nodes[node].clock.shows(self.now)
    }

    /// Lets `event` happen when the node's clock has gone on by so many milliseconds.
    pub fn after_ticks(&mut self, node: usize, ticks: u64, target: Target, event: Event) {
        let mut delay = self.nodes[node].clock.lasts(ticks);
        // Both sides are rounded.
        while self.nodes[node].clock.shows(self.now + delay) < self.clock(node) + ticks {
            delay += 1;
        }
        self.after(delay, target, event);
    }
}
