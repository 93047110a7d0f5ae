#!/bin/sh
# labrun-agent beside Patroni by `labrun compare`: five faults, LABRUN_COMPARE_ROUNDS times (5), at the reference lab's
# settings; half an hour. Writes docs/compare.md and docs/compare.svg.
set -eu
cd "$(dirname "$0")/.."
rounds="${LABRUN_COMPARE_ROUNDS:-5}"
LABRUN_PATRONI="${LABRUN_PATRONI:-${LABRUN_PATRONI_DIR:-/opt/labrun-patroni}/bin/patroni}"
export LABRUN_PATRONI
"${CARGO:-cargo}" build --release --locked --workspace
labrun=target/release/labrun
work=$(mktemp -d)
chmod 755 "$work"
trap '"$labrun" destroy --all --output "$work/out" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
for agent in labrun patroni; do
    mkdir -p "$work/$agent"
    cp -r benches/agents/. "$work/$agent/"
    sed -i "s/agent: labrun/agent: $agent/" "$work/$agent/lab.yaml"
    # A run that does not pass is a result, too: the comparison tells it.
    "$labrun" run "$work/$agent" --name "$agent" --no-publish --lang en --output "$work/out" --repeat "$rounds" || true
    "$labrun" destroy --name "$agent" --output "$work/out"
done
# The series that an agent made; one round alone is a run.
measured() {
    series=$(find "$work/out/$1/runs/series" -mindepth 1 -maxdepth 1 -type d 2>/dev/null || true)
    echo "${series:-$work/out/$1/runs/latest}"
}
"$labrun" compare "$(measured labrun)" "$(measured patroni)" --names labrun-agent Patroni --lang en --to docs
