//! The codes, one for each kind of finding.

use std::fmt;

/// A stable code; `docs/errors/CODE.md` explains it. LR01..: of a lab's file; LR07..: of a compose project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// LR0101: a file cannot be read.
    Unreadable = 100,
    /// LR0102: a file, or what it would become, is too large.
    TooLarge,
    /// LR0103: a file is no well-formed YAML.
    NotYaml,
    /// LR0104: the indentation was lost.
    IndentationLost,
    /// LR0105: a key that is not known at its place.
    UnknownKey,
    /// LR0106: a key is missing.
    MissingKey,
    /// LR0107: a value of the wrong type, or none.
    WrongType,
    /// LR0108: a value that is not one of those allowed.
    UnknownValue,
    /// LR0109: a key or a name twice.
    Twice,
    /// LR0110: not exactly one action.
    NotOneAction,
    /// LR0111: another version of the format.
    WrongFormat,
    /// LR0112: a name with characters that it may not have.
    BadName,
    /// LR0113: a need that is not there.
    UnknownNeed,
    /// LR0114: needs that go round in a circle.
    CyclicNeeds,
    /// LR0115: a check that is not there.
    UnknownCheck,
    /// LR0116: a parameter that a check does not have.
    UnknownParam,
    /// LR0117: a parameter that a check must be given.
    MissingParam,
    /// LR0118: neither a role nor a node.
    UnknownTarget,
    /// LR0119: the topology has no node of a kind that is needed.
    MissingKind,
    /// LR0120: one port of the host for two nodes.
    PortTwice,
    /// LR0121: an expression or template that is not well-formed, or has no value.
    BadExpression,
    /// LR0122: an expression reads a name that is not there.
    UnknownName,
    /// LR0123: a setting that labrun itself makes.
    OwnSetting,
    /// LR0124: a setting where Patroni does not read it.
    Misplaced,
    /// LR0125: timing that Patroni's or ZooKeeper's documents rule out.
    Timing,
    /// LR0126: a check that cannot fail.
    Vacuous,
    /// LR0127: a file or template that is not there.
    MissingFile,
    /// LR0128: a path that leads out of the lab's folder.
    OutsideFolder,
    /// LR0129: no such lab.
    NoSuchLab,
    /// LR0130: a folder for a new lab that is not empty.
    NotEmpty,
    /// LR0131: a health check of HAProxy that passes on replicas too.
    ProxyCheck,
    /// LR0132: a file or folder that cannot be written.
    Unwritable,
    /// LR0133: modes of time that do not fit the step.
    Modes,
    /// LR0134: a fault or an operation that lacks what it needs, or that has what it cannot use.
    FaultShape,
    /// LR0701: a health check of HAProxy that passes on a node that takes no writes.
    HealthCheckPassesOnReplicas = 700,
    /// LR0702: a server of HAProxy that is not checked, or not at the REST API.
    NotChecked,
    /// LR0703: sessions with a dead server are not cut.
    SessionsOutlive,
    /// LR0704: a server of HAProxy that is no node, or not its port.
    WrongServer,
    /// LR0705: a key that Patroni does not read where it stands.
    UnreadKey,
    /// LR0706: pg_rewind is asked for and cannot work.
    RewindCannotWork,
    /// LR0707: ttl, loop_wait and retry_timeout do not fit.
    LeaseTiming,
    /// LR0708: nodes of two clusters.
    OtherScope,
    /// LR0709: two members of one name.
    SameMember,
    /// LR0710: ZooKeeper is not where a node looks for it.
    WrongDcs,
    /// LR0711: an address under which a node cannot be reached.
    WrongAddress,
    /// LR0712: pg_hba keeps the replication user out.
    KeptOut,
    /// LR0713: users or passwords that differ between nodes.
    OtherPassword,
    /// LR0714: no node may take over.
    NobodyMayLead,
    /// LR0715: data that goes with its container.
    NoVolume,
    /// LR0716: depends_on without a condition.
    StartedIsNotReady,
    /// LR0717: a published port on which nothing listens.
    NothingListens,
    /// LR0718: a port of the host that is taken.
    HostPort,
    /// LR0719: one ZooKeeper, or an even number.
    OneZookeeper,
    /// LR0720: a configuration that reaches no container.
    NotReached,
    /// LR0721: a part of the topology that is not there.
    PartMissing,
}

impl Code {
    /// Every code, in order.
    pub const ALL: [Code; 55] = [
        Code::Unreadable,
        Code::TooLarge,
        Code::NotYaml,
        Code::IndentationLost,
        Code::UnknownKey,
        Code::MissingKey,
        Code::WrongType,
        Code::UnknownValue,
        Code::Twice,
        Code::NotOneAction,
        Code::WrongFormat,
        Code::BadName,
        Code::UnknownNeed,
        Code::CyclicNeeds,
        Code::UnknownCheck,
        Code::UnknownParam,
        Code::MissingParam,
        Code::UnknownTarget,
        Code::MissingKind,
        Code::PortTwice,
        Code::BadExpression,
        Code::UnknownName,
        Code::OwnSetting,
        Code::Misplaced,
        Code::Timing,
        Code::Vacuous,
        Code::MissingFile,
        Code::OutsideFolder,
        Code::NoSuchLab,
        Code::NotEmpty,
        Code::ProxyCheck,
        Code::Unwritable,
        Code::Modes,
        Code::FaultShape,
        Code::HealthCheckPassesOnReplicas,
        Code::NotChecked,
        Code::SessionsOutlive,
        Code::WrongServer,
        Code::UnreadKey,
        Code::RewindCannotWork,
        Code::LeaseTiming,
        Code::OtherScope,
        Code::SameMember,
        Code::WrongDcs,
        Code::WrongAddress,
        Code::KeptOut,
        Code::OtherPassword,
        Code::NobodyMayLead,
        Code::NoVolume,
        Code::StartedIsNotReady,
        Code::NothingListens,
        Code::HostPort,
        Code::OneZookeeper,
        Code::NotReached,
        Code::PartMissing,
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LR{:04}", 1 + *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn codes_are_numbered_without_gaps() {
        let codes: Vec<_> = Code::ALL.iter().map(ToString::to_string).collect();
        let expected: Vec<_> = (101..=134).chain(701..=721).map(|number| format!("LR{number:04}")).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn every_code_is_explained() {
        for code in Code::ALL {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/errors/{code}.md"));
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert!(text.starts_with(&format!("# {code}: ")), "{} is missing or has no heading", page.display());
        }
    }
}
