#!/bin/sh
# The simulator of the agent's decisions; arguments go to `cargo test`.
# The agent's crate is optimised for it: a schedule takes 6 ms instead of 30.
set -eu
exec "${CARGO:-cargo}" test --config 'profile.dev.package.labrun-agent.opt-level=2' -p labrun-agent --locked \
    --features simulation --test simulator "$@"
