//! Rules of the agent that are weakened, one at a time, to see that the simulator finds it. A mutation bends what
//! `decide` sees, or what it has decided.

mod bend;
mod see;

use labrun_agent::clock::Moment;
use labrun_agent::decide::{self, Decision, Permit, Process, Server, View};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Takes a free lease whatever the sync key says, and is promoted.
    IgnoresTheSyncKey,
    /// Is promoted while the sync key still names the standbys of before.
    KeepsTheSyncKeyOfBefore,
    /// A standby enters the sync key before commits wait for it.
    EntersTheKeyFirst,
    /// Commits stop to wait for a standby before it has left the sync key.
    LeavesTheSettingFirst,
    /// A standby enters the sync key before it has all that was acknowledged without it.
    CountsStandbysThatLag,
    /// Neither the agent nor its guard ever stops a primary whose lease runs out.
    NeverDemotes,
    /// Both do so a margin too late.
    DemotesLate,
    /// The guard's process is told nothing.
    GuardStandsAside,
    /// A lease of an earlier session counts as its own.
    TrustsAFormerLease,
    /// Gives the lease back before PostgreSQL is down.
    ReleasesBeforeTheStop,
    /// Without a leader it comes up as a primary.
    StartsAsPrimaryUnasked,
    /// A former primary follows the new leader as it is.
    NeverRewinds,
    /// What pg_rewind has left half done is started.
    StartsHalfRewoundData,
    /// Timelines are told apart by their numbers only.
    TrustsTimelineNumbers,
    /// A new leader is not followed.
    FollowsNobody,
    /// The slots that standbys ask for are not made.
    MakesNoSlots,
    /// A promotion that has failed keeps the lease.
    KeepsTheLeaseOfAFailedPromotion,
    /// A PostgreSQL that hangs is waited for.
    WaitsForAHang,
    /// Without a data directory it keeps the lease.
    LeadsWithoutData,
    /// A request for a switchover that cannot be met, or is done with, stays.
    NeverClearsARequest,
    /// A standby takes a free lease in a pause.
    LeadsInAPause,
    /// In quorum mode the sync key asks for fewer votes before more standbys confirm each commit.
    LowersTheQuorumFirst,
    /// In quorum mode one vote less is enough.
    NeedsOneVoteLess,
    /// A vote is given by what PostgreSQL said before the question.
    VotesByAnOldLook,
    /// A vote is given before the own WAL has been read.
    VotesUnread,
    /// The lease is taken without asking the others.
    AsksNobody,
    /// However far behind, a standby takes the lease.
    IgnoresTheLag,
    /// Where it has stopped cleanly, a leader does not tell.
    TellsNoLastPosition,
    /// In failsafe mode a member does not keep its word.
    BreaksItsWord,
    /// A member whose agent is started again does not know of its word.
    ForgetsItsWord,
    /// In failsafe mode who does not answer agrees.
    TakesSilenceForConsent,
    /// Commits wait for a standby however far it lags behind.
    WaitsForWhoLags,
}

impl Mutation {
    pub fn is_about_votes(self) -> bool {
        use Mutation::{NeedsOneVoteLess, VotesByAnOldLook, VotesUnread};
        matches!(self, NeedsOneVoteLess | VotesByAnOldLook | VotesUnread)
    }

    pub fn is_about_words(self) -> bool {
        matches!(self, Mutation::BreaksItsWord | Mutation::ForgetsItsWord | Mutation::TakesSilenceForConsent)
    }
}

/// All of them, each with a part of what the invariant that finds it says.
pub const ALL: &[(Mutation, &str)] = {
    use Mutation::*;
    &[
        (IgnoresTheSyncKey, "without the commit acknowledged"),
        (KeepsTheSyncKeyOfBefore, "sync key"),
        (EntersTheKeyFirst, "but synchronous_standby_names is"),
        (LeavesTheSettingFirst, "but synchronous_standby_names is"),
        (CountsStandbysThatLag, "which lacks the commit acknowledged"),
        (NeverDemotes, "takes writes while"),
        (DemotesLate, "takes writes while"),
        (GuardStandsAside, "takes writes while"),
        (TrustsAFormerLease, "takes writes while"),
        (ReleasesBeforeTheStop, "takes writes while"),
        (StartsAsPrimaryUnasked, "takes writes while"),
        (NeverRewinds, "does not stream from the leader"),
        (StartsHalfRewoundData, "that pg_rewind has left half done"),
        (TrustsTimelineNumbers, "WAL that does not continue its own"),
        (FollowsNobody, "does not stream from the leader"),
        (MakesNoSlots, "does not stream from the leader"),
        (KeepsTheLeaseOfAFailedPromotion, "takes no writes"),
        (WaitsForAHang, "and kept the lease"),
        (LeadsWithoutData, "takes no writes"),
        (NeverClearsARequest, "not healthy"),
        (LeadsInAPause, "in a pause, unasked"),
        (LowersTheQuorumFirst, "but synchronous_standby_names is"),
        (NeedsOneVoteLess, "the commit acknowledged"),
        (VotesByAnOldLook, "the commit acknowledged"),
        (VotesUnread, "the commit acknowledged"),
        (AsksNobody, "could be asked"),
        (IgnoresTheLag, "bytes behind the last leader"),
        (TellsNoLastPosition, "bytes behind the last leader"),
        (BreaksItsWord, "takes writes while"),
        (ForgetsItsWord, "takes writes while"),
        (TakesSilenceForConsent, "takes writes while"),
        (WaitsForWhoLags, "which lags too far behind"),
    ]
};

/// `decide::decide`, unless this run weakens it.
pub fn decided(mutation: Option<Mutation>, view: &View, now: Moment) -> Decision {
    let Some(mutation) = mutation else { return decide::decide(view, now) };
    let seen = mutation.see(view);
    let mut decision = decide::decide(&seen, now);
    mutation.bend(&seen, &mut decision.actions);
    decision
}

pub fn guarded(mutation: Option<Mutation>, view: &View, now: Moment) -> Option<Decision> {
    match mutation {
        Some(mutation) => decide::guard(&mutation.see(view), now),
        None => decide::guard(view, now),
    }
}

pub fn permitted(mutation: Option<Mutation>, view: &View) -> Permit {
    match mutation {
        Some(Mutation::GuardStandsAside) => Permit::Aside,
        Some(mutation) => decide::permit(&mutation.see(view)),
        None => decide::permit(view),
    }
}

fn server(view: &View) -> Option<&Server> {
    view.pg.server.as_ref().filter(|_| view.pg.process == Process::Up)
}

fn is_primary(view: &View) -> bool {
    server(view).is_some_and(|server| !server.in_recovery)
}
