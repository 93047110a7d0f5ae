#!/bin/sh
# A static labrun-agent beside labrun, which runs in every image: target/release/labrun-agent-static.
# The C library is linked in; its files for that come with the C compiler's (libc6-dev).
set -eu
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
flags=CARGO_TARGET_$(printf %s "$host" | tr 'a-z-' 'A-Z_')_RUSTFLAGS
# With a target of its own, so that macros and build scripts are not static, which they cannot be.
env "$flags=-C target-feature=+crt-static" "$cargo" build --release --locked -p labrun-agent --target "$host"
cp "$target/$host/release/labrun-agent" "$target/release/labrun-agent-static.new"
mv "$target/release/labrun-agent-static.new" "$target/release/labrun-agent-static"
