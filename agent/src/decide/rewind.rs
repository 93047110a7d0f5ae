//! Whether a data directory has gone another way than the leader, so that it must be rewound first.

use super::{Control, ControlState, LeaderTimeline};
use crate::cluster::Lsn;

/// How the local data relates to the leader's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It is an ancestor of what the leader has: it can follow.
    No,
    /// It has WAL that the leader's timeline does not contain.
    Yes,
    /// A former primary that did not stop cleanly: only crash recovery tells where its WAL ends.
    Unknown,
}

/// For a PostgreSQL that is down, by its control file.
pub fn needed(control: &Control, leader: &LeaderTimeline) -> Need {
    // A fresh copy ends where its backup says, on the leader's own way.
    if control.backup_label {
        return Need::No;
    }
    match control.state {
        ControlState::ShutDown => diverged(control.timeline, control.checkpoint, true, leader),
        ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery => {
            let timeline = control.min_recovery_timeline.max(control.timeline);
            diverged(timeline, control.min_recovery, false, leader)
        }
        ControlState::Unclean if control.timeline < leader.timeline => Need::Unknown,
        ControlState::Unclean => diverged(control.timeline, control.checkpoint, true, leader),
        ControlState::Unknown => Need::Unknown,
    }
}

/// For a standby that runs, by the WAL that it has.
pub fn needed_while_running(timeline: u32, position: Lsn, leader: &LeaderTimeline) -> Need {
    diverged(timeline, position, false, leader)
}

/// A former primary's last record is its shutdown checkpoint, which begins at `position`: the leader has it
/// if its timeline branched off behind that. A standby's WAL ends at `position`.
fn diverged(timeline: u32, position: Lsn, record_begins: bool, leader: &LeaderTimeline) -> Need {
    if timeline == leader.timeline {
        return Need::No;
    }
    let gone_too_far = match leader.history.switchpoint(timeline) {
        _ if timeline > leader.timeline => true,
        None => true,
        Some(switchpoint) if record_begins => position >= switchpoint,
        Some(switchpoint) => position > switchpoint,
    };
    if gone_too_far { Need::Yes } else { Need::No }
}

#[cfg(test)]
mod tests {
    use super::super::Upstream;
    use super::*;
    use crate::cluster::History;

    fn leader(timeline: u32) -> LeaderTimeline {
        let upstream = Upstream { host: "h".into(), port: 1 };
        LeaderTimeline {
            upstream,
            created: 1,
            timeline,
            history: History::parse(br#"[[1,1000,"x"],[2,2000,"y"]]"#),
            can_be_source: true,
            shared: true,
        }
    }

    fn control(state: ControlState, timeline: u32, position: u64) -> Control {
        let position = Lsn(position);
        Control {
            state,
            timeline,
            checkpoint: position,
            min_recovery: position,
            min_recovery_timeline: timeline,
            backup_label: false,
        }
    }

    #[test]
    fn a_clean_former_primary_follows_if_its_last_checkpoint_reached_the_leader() {
        let need = |position| needed(&control(ControlState::ShutDown, 2, position), &leader(3));
        assert_eq!(need(1880), Need::No);
        // The branch begins where our shutdown checkpoint does: the leader never had that record.
        assert_eq!(need(2000), Need::Yes);
        assert_eq!(need(2100), Need::Yes);
    }

    #[test]
    fn a_standby_follows_if_its_wal_ends_before_the_branch() {
        for state in [ControlState::ShutDownInRecovery, ControlState::InArchiveRecovery] {
            assert_eq!(needed(&control(state, 2, 2000), &leader(3)), Need::No);
            assert_eq!(needed(&control(state, 2, 2001), &leader(3)), Need::Yes);
        }
        assert_eq!(needed_while_running(1, Lsn(1000), &leader(3)), Need::No);
        assert_eq!(needed_while_running(1, Lsn(1001), &leader(3)), Need::Yes);
    }

    #[test]
    fn timelines_that_the_leader_does_not_know_must_go() {
        assert_eq!(needed(&control(ControlState::ShutDown, 4, 1), &leader(3)), Need::Yes);
        let mut unknown = leader(3);
        unknown.history.0.clear();
        assert_eq!(needed(&control(ControlState::ShutDown, 2, 1), &unknown), Need::Yes);
        assert_eq!(needed(&control(ControlState::ShutDown, 3, 9999), &leader(3)), Need::No);
    }

    #[test]
    fn a_crashed_primary_must_recover_before_it_is_known() {
        assert_eq!(needed(&control(ControlState::Unclean, 2, 1), &leader(3)), Need::Unknown);
        assert_eq!(needed(&control(ControlState::Unclean, 3, 1), &leader(3)), Need::No);
        let mut copy = control(ControlState::Unclean, 2, 1);
        copy.backup_label = true;
        assert_eq!(needed(&copy, &leader(3)), Need::No);
    }
}
