# A standby that does not reach its primary takes itself for the next one, and asks nobody.
deed() {
    [ -e "$data/standby.signal" ] && [ -e "$data/postmaster.pid" ] || return
    primary=$(sed -n "s/^primary_conninfo = .* host=\([0-9.]*\) port=\([0-9]*\) .*/\1 \2/p" "$data/postgresql.conf")
    [ -n "$primary" ] || return
    # shellcheck disable=SC2086 # two words
    ! reaches $primary && ! reaches $primary && ! reaches $primary || return
    leave_postgresql_alone
    "$bin/pg_ctl" promote -D "$data"
}
misbehave deed >/dev/null &
exec "$real" "$@"
