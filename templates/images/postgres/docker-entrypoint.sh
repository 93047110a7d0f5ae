#!/bin/bash
# Runs `postgres` on a data directory that is made at the first start, as the official image's entry point does;
# any other command is run as it is.
set -euo pipefail

[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    install -d -m 0700 -o postgres -g postgres "$PGDATA"
    chown -R postgres:postgres "$PGDATA"
    exec gosu postgres "$0" "$@"
fi

# `secret NAME`: the value of NAME, or what the file that NAME_FILE names holds.
secret() {
    local file="${1}_FILE"
    if [ -n "${!file:-}" ]; then cat "${!file}"; else printf %s "${!1:-}"; fi
}

# Everything in /docker-entrypoint-initdb.d, in the order of the names.
run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) "${client[@]}" -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | "${client[@]}" ;;
        esac
    done
}

first_start() {
    local user password database method
    user=$(secret POSTGRES_USER)
    user=${user:-postgres}
    password=$(secret POSTGRES_PASSWORD)
    database=$(secret POSTGRES_DB)
    database=${database:-$user}
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "$password" ] && [ "$method" != trust ]; then
        echo 'Error: POSTGRES_PASSWORD is not set, and POSTGRES_HOST_AUTH_METHOD is not trust.' >&2
        exit 1
    fi
    eval "initdb --username=\"\$user\" --pwfile=<(printf '%s\n' \"\$password\") ${POSTGRES_INITDB_ARGS:-}"
    echo "host all all all $method" >> "$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
    client=(psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$user" --dbname postgres)
    if [ "$database" != postgres ]; then
        "${client[@]}" -v db="$database" <<< 'CREATE DATABASE :"db";'
    fi
    client=(psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$user" --dbname "$database")
    run_init_files
    pg_ctl -D "$PGDATA" -m fast -w stop
}

[ -s "$PGDATA/PG_VERSION" ] || first_start
exec "$@"
