//! All write-ahead log that was ever written, as a tree: a server's WAL is the path from the root to its
//! tip. Two servers that wrote different WAL at the same position are two branches, even if the timeline
//! numbers and the positions are equal: so the model knows what PostgreSQL itself cannot see.

use labrun_agent::cluster::{History, HistoryLine, Lsn};

/// A record, and with it all WAL up to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot(u32);

/// A branch: one promotion. Its number need not be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch(u32);

struct Record {
    before: Spot,
    /// An ancestor further back, and how many records lie before this one: a walk takes a logarithmic number of
    /// steps (Myers, "An applicative random-access stack").
    jump: Spot,
    depth: u32,
    branch: Branch,
    end: u64,
}

struct BranchInfo {
    before: Branch,
    timeline: u32,
    /// Former timelines and where they ended, oldest first.
    history: Vec<(u32, u64)>,
}

pub struct Wal {
    records: Vec<Record>,
    branches: Vec<BranchInfo>,
}

/// Where the WAL of a new cluster begins.
const FIRST: u64 = 0x100_0000;

impl Wal {
    pub fn new() -> Wal {
        let root = Record { before: Spot(0), jump: Spot(0), depth: 0, branch: Branch(0), end: 0 };
        Wal { records: vec![root], branches: vec![BranchInfo { before: Branch(0), timeline: 0, history: Vec::new() }] }
    }

    /// Nothing at all.
    pub fn root(&self) -> Spot {
        Spot(0)
    }

    /// The first record of a new cluster.
    pub fn initdb(&mut self) -> Spot {
        self.branches.push(BranchInfo { before: Branch(0), timeline: 1, history: Vec::new() });
        let branch = Branch(self.branches.len() as u32 - 1);
        self.push(Spot(0), branch, FIRST)
    }

    /// `size` bytes more after `tip`, on its timeline.
    pub fn append(&mut self, tip: Spot, size: u64) -> Spot {
        let branch = self.record(tip).branch;
        self.push(tip, branch, self.end(tip).0 + size)
    }

    /// The end-of-recovery record after `tip`: the begin of the new timeline `number`.
    pub fn branch(&mut self, tip: Spot, number: u32, size: u64) -> Spot {
        let before = self.record(tip).branch;
        let old = &self.branches[before.0 as usize];
        let mut history = old.history.clone();
        history.push((old.timeline, self.end(tip).0));
        self.branches.push(BranchInfo { before, timeline: number, history });
        let branch = Branch(self.branches.len() as u32 - 1);
        self.push(tip, branch, self.end(tip).0 + size)
    }

    fn push(&mut self, before: Spot, branch: Branch, end: u64) -> Spot {
        let last = self.record(before);
        let middle = self.record(last.jump);
        let depth = |spot: Spot| self.record(spot).depth;
        let even = last.depth - middle.depth == middle.depth - depth(middle.jump);
        let jump = if even { middle.jump } else { before };
        let record = Record { before, jump, depth: last.depth + 1, branch, end };
        self.records.push(record);
        Spot(self.records.len() as u32 - 1)
    }

    fn record(&self, spot: Spot) -> &Record {
        &self.records[spot.0 as usize]
    }

    fn info(&self, spot: Spot) -> &BranchInfo {
        &self.branches[self.record(spot).branch.0 as usize]
    }

    pub fn end(&self, spot: Spot) -> Lsn {
        Lsn(self.record(spot).end)
    }

    /// Where the record begins.
    pub fn start(&self, spot: Spot) -> Lsn {
        self.end(self.record(spot).before)
    }

    pub fn before(&self, spot: Spot) -> Spot {
        self.record(spot).before
    }

    pub fn timeline(&self, spot: Spot) -> u32 {
        self.info(spot).timeline
    }

    /// False if the timeline of `mine` is another one than that of the same number on the way to `theirs` (agent:
    /// `postgres::branch`).
    pub fn shares_timeline(&self, theirs: Spot, mine: Spot) -> bool {
        let ours = self.record(mine).branch;
        let mut branch = self.record(theirs).branch;
        while self.branches[branch.0 as usize].timeline > self.timeline(mine) {
            branch = self.branches[branch.0 as usize].before;
        }
        branch == ours || self.branches[branch.0 as usize].timeline != self.timeline(mine)
    }

    pub fn switchpoints(&self, spot: Spot) -> &[(u32, u64)] {
        &self.info(spot).history
    }

    /// What the timeline's history file says.
    pub fn history(&self, spot: Spot) -> History {
        let line = |&(timeline, switchpoint): &(u32, u64)| HistoryLine {
            timeline,
            switchpoint: Lsn(switchpoint),
            reason: "no recovery target specified".into(),
            at: None,
            leader: None,
        };
        History(self.info(spot).history.iter().map(line).collect())
    }

    /// Whether WAL up to `tip` has all of `spot` in it.
    pub fn contains(&self, tip: Spot, spot: Spot) -> bool {
        self.at(tip, self.end(spot)) == spot
    }

    /// The last record of `tip`'s WAL that ends at or before `position`.
    pub fn at(&self, tip: Spot, position: Lsn) -> Spot {
        let mut here = tip;
        while self.end(here) > position {
            let record = self.record(here);
            here = if self.end(record.jump) > position { record.jump } else { record.before };
        }
        here
    }

    /// The last record that both have.
    pub fn common(&self, one: Spot, other: Spot) -> Spot {
        let (mut one, mut other) = (one, other);
        while one != other {
            let (here, there) = (self.end(one), self.end(other));
            if here >= there {
                one = self.before(one);
            }
            if there >= here {
                other = self.before(other);
            }
        }
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_with_equal_numbers_and_positions_are_told_apart() {
        let mut wal = Wal::new();
        let first = wal.initdb();
        let tip = wal.append(first, 64);
        let (one, other) = (wal.branch(tip, 2, 40), wal.branch(tip, 2, 40));
        assert_eq!((wal.timeline(one), wal.end(one)), (wal.timeline(other), wal.end(other)));
        assert!(!wal.contains(one, other) && wal.contains(one, tip) && !wal.contains(tip, one));
        assert!(!wal.shares_timeline(one, other) && wal.shares_timeline(one, one) && wal.shares_timeline(one, tip));
        assert!(wal.shares_timeline(tip, one));
        assert_eq!(wal.common(one, other), tip);
        assert_eq!(wal.switchpoints(one), [(1, FIRST + 64)]);
        assert_eq!((wal.at(one, Lsn(FIRST + 70)), wal.start(one)), (tip, Lsn(FIRST + 64)));
    }

    #[test]
    fn a_position_is_found_on_a_long_way() {
        let mut wal = Wal::new();
        let mut way = vec![wal.initdb()];
        (0..1000).for_each(|i| way.push(wal.append(way[i], 8)));
        let tip = way[1000];
        assert!(way.iter().all(|spot| wal.at(tip, wal.end(*spot)) == *spot && wal.contains(tip, *spot)));
        assert_eq!(wal.at(tip, Lsn(FIRST + 8 * 500 + 7)), way[500]);
    }

    #[test]
    fn a_crash_that_loses_the_tail_makes_a_branch_of_the_same_timeline() {
        let mut wal = Wal::new();
        let first = wal.initdb();
        let (lost, new) = (wal.append(first, 64), wal.append(first, 64));
        assert!(wal.timeline(lost) == 1 && wal.timeline(new) == 1 && !wal.contains(new, lost));
    }
}
