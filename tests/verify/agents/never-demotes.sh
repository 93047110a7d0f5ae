# A primary that does not reach ZooKeeper stays one.
zookeeper=$(sed -n '/^zookeeper:/,/^[a-y]/s/^    - \([0-9.]*\):\([0-9]*\)$/\1 \2/p' "$config")
deed() {
    [ -e "$data/postmaster.pid" ] && [ ! -e "$data/standby.signal" ] || return
    # shellcheck disable=SC2086 # two words
    ! reaches $zookeeper && ! reaches $zookeeper || return
    leave_postgresql_alone
}
misbehave deed >/dev/null &
exec "$real" "$@"
