#!/bin/sh
# Like startup.sh, with every command shown, after a look at each thing that a worker needs.
# `debug.sh --check` only looks, and ends with 1 if something is missing. `--home DIRECTORY` takes what the agent of
# that home was told at its last start (agent.env there); else the environment or /etc/ecloud/worker.env says it.
# Further options are those of python -m worker.debug. May be read from standard input: sh -s -- --check ... < debug.sh
set -u

here_time=$(date +%s)
check=no home=
if [ "${1:-}" = --check ]; then check=yes; shift; fi
if [ "${1:-}" = --home ]; then
    home=${2:-}
    shift 2
    case $home in /*) ;; *) home=$(pwd)/$home ;; esac
fi

ecloud_python=${ECLOUD_PYTHON:-} ecloud_root=
if [ -n "$home" ] && [ -r "$home/agent.env" ]; then
    . "$home/agent.env"
elif [ -n "$home" ] && [ -z "${ECLOUD_WORKER_ID:-}" ]; then
    echo "FAILED  agent.env: $home/agent.env is not readable by $(id -un)"
    echo "        what to do: start the agent there once, as this user, so that it can be known what it was told"
    exit 1
elif [ -r /etc/ecloud/worker.env ]; then
    set -a
    . /etc/ecloud/worker.env
    set +a
fi
[ -n "$home" ] && export ECLOUD_WORKER_HOME="$home"
[ -n "$ecloud_root" ] || ecloud_root=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "$ecloud_python" ]; then
    if [ -x "$ecloud_root/.venv/bin/python" ]; then ecloud_python=$ecloud_root/.venv/bin/python; else ecloud_python=python3; fi
fi

show() { # show COMMAND...: what it is and what it says; a machine that lacks it is no failure
    echo "+ $*"
    command -v "$1" >/dev/null || { echo "  (there is no $1)"; return; }
    "$@" </dev/null 2>&1 | sed 's/^/  /'
}
show uname -a
show id
show uptime
show date -u
show df -h "${ECLOUD_WORKER_HOME:-.}"
show free -m
show ip -brief address
show "$ecloud_python" --version

export PYTHONPATH="$ecloud_root${PYTHONPATH:+:$PYTHONPATH}"
echo "+ $ecloud_python -c 'import msgspec, paho.mqtt, worker.loop'"
if said=$("$ecloud_python" -P -c "import msgspec, paho.mqtt, worker.loop" </dev/null 2>&1); then
    echo "ok      python packages"
    "$ecloud_python" -P -m worker.debug --here-time "$here_time" "$@" </dev/null
    failed=$?
else
    echo "FAILED  python packages: $(printf '%s\n' "$said" | tail -n 1)"
    echo "        what to do: install the packages of requirements.lock for $ecloud_python, and ecloud in $ecloud_root"
    failed=1
fi

[ "$check" = yes ] && exit "$failed"
export ECLOUD_PYTHON="$ecloud_python"
set -x
exec sh -x "$ecloud_root/worker/startup.sh"
