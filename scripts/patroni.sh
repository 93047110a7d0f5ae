#!/bin/sh
# Installs the Patroni of PyPI, beside which the agent is tested and measured, into a virtual environment of its own:
# LABRUN_PATRONI_DIR, or /opt/labrun-patroni. Changes nothing when it is there. Its servers run as an unprivileged user,
# who must be able to read it.
set -eu
umask 022

dir=${LABRUN_PATRONI_DIR:-/opt/labrun-patroni}
if [ -x "$dir/bin/patroni" ] || [ -x "$dir/patroni" ]; then exit 0; fi

say() { printf '%s\n' "$*" >&2; }

# A Python below somebody's home (pyenv's, say) cannot be started by the servers' user: then Debian's own is taken.
# The first that is fit is taken; none is fit: `python` stays empty.
fit() {
    at=$("$1" -c 'import ensurepip, venv, os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null) || return 1
    while [ "$at" != / ]; do
        at=$(dirname "$at")
        [ -n "$(find "$at" -maxdepth 0 -perm -o+x)" ] || return 1
    done
}
python=
for candidate in python3 /usr/bin/python3; do
    if fit "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    say "Patroni needs a Python with venv that every user can start. As root: apt-get install python3-venv"
    exit 1
fi
say "installing Patroni into $dir"
if ! "$python" -m venv "$dir"; then
    say "cannot write $dir: set LABRUN_PATRONI_DIR to a folder that everybody can read"
    exit 1
fi
if ! "$dir/bin/pip" install --quiet --disable-pip-version-check 'patroni[zookeeper]>=4.1,<4.2' psycopg2-binary; then
    rm -rf "$dir"
    say "Patroni could not be installed from PyPI; what stands above says why"
    exit 1
fi
