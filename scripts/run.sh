#!/bin/sh
# The reference lab from nothing to its report, and down again: `make run`.
# usage: run.sh LABRUN LANG
set -eu
labrun=$1
lang=$2

status=0
"$labrun" run ha-postgres --lang "$lang" || status=$?
if [ "$status" = 0 ]; then
    "$labrun" destroy
else
    echo "The lab is left up for a look: $labrun status; $labrun logs NODE; $labrun destroy takes it down." >&2
fi
exit "$status"
