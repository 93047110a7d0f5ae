# What the bad agents share; read by each with the path of the real one in `real`. A bad agent is the real one with a
# deed beside it, so that it does everything right but one thing.

# Whatever does not run a node is the real one's.
case "${1:-}" in
*.yml) ;;
*) exec "$real" "$@" ;;
esac

config=$1
# The real agent takes this process over; the deed runs below it and ends with it.
agent=$$
data=$(sed -n 's/^  data_dir: *//p' "$config")
bin=$(sed -n 's/^  bin_dir: *//p' "$config")

# The deed, tried ten times a second until it is done.
misbehave() {
    until ! kill -0 "$agent" 2>/dev/null || "$1"; do
        sleep 0.1
    done
}

# Whether $1:$2 can be reached within half a second.
reaches() {
    timeout 0.5 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null
}

# The agent sees and does no more, and nothing guards its lease: PostgreSQL goes on as it is.
leave_postgresql_alone() {
    kill -STOP "$agent"
    for process in /proc/[0-9]*; do
        mapfile -d '' -t words <"$process/cmdline" || continue
        if [ "${words[0]}" = labrun-guard ] && [ "${words[1]}" = "$data" ]; then
            kill -KILL "${process#/proc/}"
        fi
    done 2>/dev/null
}
