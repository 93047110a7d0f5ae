//! What the agent tells the guard, and how it is written: `NUMBER aside` or `NUMBER until QUIT KILL [PID START]`, a
//! line each, in milliseconds since boot. The guard answers each with its number, once it obeys it.

use crate::clock::Moment;
use crate::decide::Term;

/// A postmaster, named for good: a pid may be used again, with another start time (in ticks since boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postmaster {
    pub pid: i32,
    pub start: u64,
}

impl Postmaster {
    /// The live process `pid`.
    pub fn of(pid: i32) -> Option<Postmaster> {
        crate::supervise::start_time(pid).map(|start| Postmaster { pid, start })
    }
}

/// What the guard is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing: no PostgreSQL here is writable, or nobody may touch it.
    Aside,
    /// End PostgreSQL unless a later time is told first. Without a postmaster: it is about to be started.
    Until { term: Term, postmaster: Option<Postmaster> },
}

impl Order {
    /// The line that says so.
    pub fn line(self, number: u64) -> String {
        match self {
            Order::Aside => format!("{number} aside\n"),
            Order::Until { term, postmaster: None } => format!("{number} until {} {}\n", term.quit.0, term.kill.0),
            Order::Until { term, postmaster: Some(Postmaster { pid, start }) } => {
                format!("{number} until {} {} {pid} {start}\n", term.quit.0, term.kill.0)
            }
        }
    }

    /// The number and the order of a line; `None` if it is not one.
    pub fn parse(line: &str) -> Option<(u64, Order)> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let moment = |word: &str| word.parse().ok().map(Moment);
        let (number, order) = match words[..] {
            [number, "aside"] => (number, Order::Aside),
            [number, "until", quit, kill] => {
                let term = Term { quit: moment(quit)?, kill: moment(kill)? };
                (number, Order::Until { term, postmaster: None })
            }
            [number, "until", quit, kill, pid, start] => {
                let term = Term { quit: moment(quit)?, kill: moment(kill)? };
                let postmaster = Postmaster { pid: pid.parse().ok()?, start: start.parse().ok()? };
                (number, Order::Until { term, postmaster: Some(postmaster) })
            }
            _ => return None,
        };
        Some((number.parse().ok()?, order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let term = Term { quit: Moment(1000), kill: Moment(1500) };
        for order in [
            Order::Aside,
            Order::Until { term, postmaster: None },
            Order::Until { term, postmaster: Some(Postmaster { pid: 42, start: 777 }) },
        ] {
            assert_eq!(Order::parse(&order.line(7)), Some((7, order)));
        }
    }

    #[test]
    fn nonsense_is_no_order() {
        for line in ["", "1", "aside", "x aside", "1 until 5", "1 until a b", "1 until 1 2 3", "1 until 1 2 3 x"] {
            assert_eq!(Order::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_live_process_has_a_name_for_good() {
        let me = Postmaster::of(std::process::id() as i32).unwrap();
        assert!(me.start > 0);
        assert_eq!(Postmaster::of(i32::MAX), None);
    }
}
