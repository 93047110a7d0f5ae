#!/bin/sh
# Installs the programs that labrun needs and that are missing, from the system's own packages.
# Changes nothing when all is there. Needs root (or sudo) only when something is missing.
set -eu

say() { printf '%s\n' "$*" >&2; }

# Rust is not installed here: Debian's own is too old, and how to install a toolchain is the user's choice.
rust_line='curl --proto =https --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal && . "$HOME/.cargo/env"'
minimum=$(sed -n 's/^rust-version = "\([0-9.]*\)"/\1/p' Cargo.toml | head -1)
if ! command -v cargo >/dev/null 2>&1; then
    say "Rust is missing. This line installs it:"
    say "  $rust_line"
    exit 1
fi
have=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$minimum" "$have" | sort -V | head -1)" != "$minimum" ]; then
    say "Rust $have is too old, labrun needs $minimum or later. This line installs it:"
    say "  $rust_line"
    exit 1
fi

# The newest PostgreSQL server's bin folder, or nothing.
postgres_dir() { ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -1; }

missing=''
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
[ -n "$(postgres_dir)" ] || missing="$missing postgresql"
{ command -v haproxy >/dev/null 2>&1 || [ -x /usr/sbin/haproxy ]; } || missing="$missing haproxy"
[ -e /usr/share/java/zookeeper.jar ] || missing="$missing libzookeeper-java"
command -v java >/dev/null 2>&1 || missing="$missing default-jre-headless"
# Base images for labs in containers, where there is an engine.
if [ -n "${DOCKER_HOST:-}" ] || [ -S /var/run/docker.sock ]; then
    command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    say "Missing:$missing. These are Debian's names; install their like with this system's package manager."
    exit 1
fi
if [ "$(id -u)" = 0 ]; then sudo=''; else sudo='sudo'; fi
if [ -n "$sudo" ] && ! command -v sudo >/dev/null 2>&1; then
    say "Missing:$missing. Run as root: apt-get install$missing"
    exit 1
fi
say "Installing:$missing"
# labrun starts its own servers; the packages need not make a cluster of theirs.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $sudo mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086  # one word a package
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold $missing >&2

major=$(postgres_dir | sed 's|^/usr/lib/postgresql/\([0-9]*\)/.*|\1|')
if [ "${major:-0}" -lt 15 ]; then
    say "PostgreSQL ${major:-?} is too old, labrun needs 15 or later: Debian 12, Ubuntu 24.04, or the packages of apt.postgresql.org."
    exit 1
fi
