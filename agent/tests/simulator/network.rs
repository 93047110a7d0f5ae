//! Who can send to whom, and how long it takes. Stations are the nodes and, behind the last of them,
//! ZooKeeper. What is sent into a cut waits, as TCP does, and arrives after it unless somebody hangs up.

use crate::random::Random;

pub struct Network {
    stations: usize,
    /// Whether messages from one station to another do not arrive.
    cut: Vec<bool>,
    /// How slow each way is, in milliseconds.
    slow: Vec<u64>,
}

/// The longest usual way of a message.
const USUAL: u64 = 8;

impl Network {
    pub fn new(nodes: usize) -> Network {
        let stations = nodes + 1;
        Network { stations, cut: vec![false; stations * stations], slow: vec![USUAL; stations * stations] }
    }

    /// ZooKeeper's station.
    pub fn zookeeper(&self) -> usize {
        self.stations - 1
    }

    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut[from * self.stations + to] = true;
    }

    /// Messages take up to `most` milliseconds.
    pub fn slow_down(&mut self, from: usize, to: usize, most: u64) {
        self.slow[from * self.stations + to] = most;
    }

    /// Everything arrives again, and in the usual time.
    pub fn heal(&mut self) {
        self.cut.fill(false);
        self.slow.fill(USUAL);
    }

    /// Nothing is cut or slow.
    pub fn is_whole(&self) -> bool {
        !self.cut.contains(&true) && self.slow.iter().all(|way| *way == USUAL)
    }

    /// What is sent this way arrives, and in the usual time.
    pub fn is_usual(&self, from: usize, to: usize) -> bool {
        self.is_open(from, to) && self.slow[from * self.stations + to] == USUAL
    }

    pub fn is_open(&self, from: usize, to: usize) -> bool {
        !self.cut[from * self.stations + to]
    }

    /// Messages arrive in both directions.
    pub fn connects(&self, one: usize, other: usize) -> bool {
        self.is_open(one, other) && self.is_open(other, one)
    }

    pub fn delay(&self, random: &mut Random, from: usize, to: usize) -> u64 {
        random.delay(1, self.slow[from * self.stations + to])
    }
}
