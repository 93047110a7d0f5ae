#!/bin/sh
# Runs HAProxy with a master process in the foreground, as the official image's entry point does; any other command
# is run as it is.
set -e

case "$1" in
    -*) set -- haproxy "$@" ;;
esac
if [ "$1" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
