#!/bin/sh
# All tests: `make test`. With cargo-nextest where it is installed (quicker), with `cargo test` otherwise.
set -eu
cargo build --workspace --locked
if command -v cargo-nextest >/dev/null 2>&1; then
    exec cargo nextest run --workspace --locked --no-fail-fast
fi
exec cargo test --workspace --locked --no-fail-fast
