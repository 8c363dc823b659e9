#!/bin/sh
# Starts a worker agent on this machine; on a machine that a boss started, the datastore if ECLOUD_ROLE says so.
#
# On a machine that a boss started (ECLOUD_BOSS_URL and ECLOUD_START_TOKEN are set: START_SCRIPT of a VM's CONTEXT, or by
# SSH) it is complete and needs Python 3.11 or 3.12, nothing installed: it keeps the machine's context, starts what
# fetches the bundle and keeps the agent (by systemd, or in a session of its own), and returns at once. It may be run at
# every boot.
#
# Started manually, in a checkout: environment variables configure the agent (`python3 -m worker --help` lists them);
# /etc/ecloud/worker.env may hold them, one NAME=value a line. ECLOUD_WORKER_LOG names a file for its log.
#
# ECLOUD_PYTHON names the Python to use.
set -eu

run_from_checkout() {
    if [ -r /etc/ecloud/worker.env ]; then
        set -a
        . /etc/ecloud/worker.env
        set +a
    fi
    : "${ECLOUD_WORKER_ID:=$(hostname)}"
    export ECLOUD_WORKER_ID

    cd "$(dirname "$0")/.."
    if [ -n "${ECLOUD_PYTHON:-}" ]; then
        python=$ECLOUD_PYTHON
    elif [ -x .venv/bin/python ]; then
        python=.venv/bin/python
    else
        python=python3
    fi
    if [ -n "${ECLOUD_WORKER_LOG:-}" ]; then
        exec >>"$ECLOUD_WORKER_LOG" 2>&1
    fi
    PYTHONPATH=$(pwd)${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
    exec "$python" -m worker "$@"
}

serves() { # serves PYTHON: is it one that a bundle is made for?
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' </dev/null 2>/dev/null
}

if [ -z "${ECLOUD_BOSS_URL:-}" ] || [ -z "${ECLOUD_START_TOKEN:-}" ]; then
    run_from_checkout "$@"
fi

umask 022
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}:/usr/sbin:/sbin
export PATH
python=
for each in ${ECLOUD_PYTHON:-python3 python3.12 python3.11}; do
    if serves "$each"; then
        python=$each
        break
    fi
done
if [ -z "$python" ]; then
    found=$("${ECLOUD_PYTHON:-python3}" --version 2>&1 </dev/null) || found="no Python"
    echo "ecloud: this machine has $found, and its boss has bundles for Python 3.11 and 3.12: take an image of Debian 12," \
        "Ubuntu 24.04 or the like, or name the Python with ECLOUD_PYTHON" >&2
    exit 1
fi
command -v rsync >/dev/null || echo "ecloud: rsync is not installed here: no file gets to or from this machine" >&2
program=$(mktemp)
trap 'rm -f "$program"' EXIT
# The program comes in the place of the mark where this script is handed out (boss/bootstrap/start_script.py).
cat >"$program" <<'END_OF_BOOTSTRAP'
@BOOTSTRAP@
END_OF_BOOTSTRAP
if grep -qx @BOOTSTRAP@ "$program"; then # this is the script of a checkout: the program lies beside it
    case $0 in
    *startup.sh) cp "$(dirname "$0")/bootstrap/bootstrap.py" "$program" ;;
    *)
        echo "ecloud: this copy of startup.sh has no program inside: run worker/startup.sh where it lies" >&2
        exit 1
        ;;
    esac
fi

"$python" -P "$program" start </dev/null
