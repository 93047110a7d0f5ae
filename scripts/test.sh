#!/bin/sh
# All tests: `make test`. First the simulator, whose threads take every core; what it finds ends the run, since an agent
# that decides wrongly need not be tried on servers. Then the rest, with cargo-nextest where it is installed (quicker),
# with `cargo test` otherwise.
set -eu
cargo build --workspace --locked
LABRUN_SIM_COUNT="${LABRUN_SIM_COUNT:-20000}" sh "$(dirname "$0")/simulate.sh"
if [ -z "${DOCKER_HOST:-}" ] && [ ! -S /var/run/docker.sock ]; then
    echo "No container engine: the tests of the docker backend are skipped." >&2
else
    # Once, before any test waits for it; a test's time is its own then. What fails here, the tests tell.
    cargo run --locked --quiet -p labrun -- images build || echo "The base images could not be built." >&2
fi
if command -v cargo-nextest >/dev/null 2>&1; then
    exec cargo nextest run --workspace --locked --no-fail-fast
fi
exec cargo test --workspace --locked --no-fail-fast
