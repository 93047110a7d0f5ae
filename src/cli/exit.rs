//! The exit codes of `labrun`, all in one place. Scripts may rely on them.

use crate::verify::Verdict;

/// What was asked for was done; every check passed.
pub const OK: u8 = 0;
/// A check failed: what had to hold was seen not to hold; or a project that was linted has a mistake.
pub const CHECK_FAILED: u8 = 1;
/// The command line or the lab is not valid.
pub const USAGE: u8 = 2;
/// Nothing was proved: checks were inconclusive or skipped.
pub const INCONCLUSIVE: u8 = 3;
/// The deployment, a node, or this machine failed: nothing is said about the lab.
pub const FAILURE: u8 = 4;
/// Another command is changing the deployment.
pub const LOCKED: u8 = 5;
/// There is no such deployment, node or run.
pub const NOT_FOUND: u8 = 6;
/// The deployment is there already, and differs from what is asked for.
pub const DIFFERS: u8 = 7;
/// PostgreSQL refused a statement, or the session broke.
pub const SQL: u8 = 8;
/// A signal asked labrun to stop.
pub const INTERRUPTED: u8 = 130;

/// The exit code of a verdict.
pub fn of_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => OK,
        Verdict::Fail => CHECK_FAILED,
        Verdict::Inconclusive | Verdict::Skipped => INCONCLUSIVE,
        Verdict::InfraError => FAILURE,
    }
}

/// The same for `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done; every check passed
  1    a check failed, or a project has a mistake
  2    the command line or the lab is not valid
  3    nothing was proved: checks were inconclusive or skipped
  4    the deployment, a node or this machine failed
  5    another command is changing the deployment
  6    there is no such deployment, node or run
  7    the deployment is there already and differs from what is asked for
  8    PostgreSQL refused a statement
  130  interrupted

Environment:
  NO_COLOR                  no colours, as --color never
  LABRUN_POSTGRES_BIN, LABRUN_JAVA, LABRUN_ZOOKEEPER, LABRUN_HAPROXY, LABRUN_PATRONI, LABRUN_AGENT
                            where these programs are, if not where the system's packages put them
  LABRUN_LOOPBACK=127.X     take the nodes' addresses from 127.X.0.0/16 (127.64 to 127.127 otherwise)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help() {
        let codes = [OK, CHECK_FAILED, USAGE, INCONCLUSIVE, FAILURE, LOCKED, NOT_FOUND, DIFFERS, SQL, INTERRUPTED];
        for code in codes {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("  {code:<5}"))), "{code}");
        }
        assert_eq!(codes.iter().collect::<std::collections::BTreeSet<_>>().len(), codes.len());
    }
}
