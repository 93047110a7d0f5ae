//! Capabilities in a user namespace: its maker has them all, and a program that he starts has none unless told.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    set_capabilities,
};

use crate::supervise::Error;

/// What the programs that set up networks need.
const NEEDED: [CapabilitySet; 3] = [CapabilitySet::NET_ADMIN, CapabilitySet::SYS_ADMIN, CapabilitySet::NET_RAW];

/// Let programs that are started have them.
pub(super) fn pass_on() -> Result<(), Error> {
    let failed = |errno: rustix::io::Errno| Error::System { what: "pass capabilities on", source: errno.into() };
    let mut sets = capabilities(None).map_err(failed)?;
    for needed in NEEDED {
        sets.inheritable |= needed;
    }
    set_capabilities(None, sets).map_err(failed)?;
    NEEDED.into_iter().try_for_each(|needed| configure_capability_in_ambient_set(needed, true)).map_err(failed)
}

/// Give all of them up, for this process and what it starts.
pub(super) fn give_up() -> Result<(), Error> {
    let failed = |errno: rustix::io::Errno| Error::System { what: "give capabilities up", source: errno.into() };
    clear_ambient_capability_set().map_err(failed)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).map_err(failed)
}
