#!/bin/sh
# Like startup.sh, with every command shown, and a check of each thing that a worker needs.
# `debug.sh --check` only looks, and ends with 1 if something is missing. `--home DIRECTORY` takes the settings of
# the agent's last start in that home (agent.env there); else, on a machine that a boss started, what that gave it
# (/etc/ecloud/guest.json, for root only); else the environment or /etc/ecloud/worker.env says it.
# Further options are those of python -m worker.debug. May be read from standard input: sh -s -- --check ... < debug.sh
set -u

here_time=$(date +%s)
check=no home= ours=no context_file=/etc/ecloud/guest.json
if [ "${1:-}" = --check ]; then check=yes; shift; fi
if [ "${1:-}" = --home ]; then
    home=${2:-}
    shift 2
    case $home in /*) ;; *) home=$(pwd)/$home ;; esac
elif [ -r "$context_file" ]; then
    ours=yes
fi

ecloud_python=${ECLOUD_PYTHON:-} ecloud_root=
if [ "$ours" = yes ]; then
    # What it was given becomes the environment, as at its start.
    given=$(python3 -c 'import json, shlex, sys
for name, value in json.load(open(sys.argv[1])).items():
    print("export", name + "=" + shlex.quote(value))' "$context_file" </dev/null) && eval "$given"
    ecloud_root=$(cd "$(dirname "$0")/.." && pwd)
    if [ "$check" = no ]; then
        echo "+ sh -x $ecloud_root/worker/startup.sh"
        sh -x "$ecloud_root/worker/startup.sh" </dev/null 2>&1 | grep -v '^+ cat'
        # It returns at once: what it has started is waited for a little.
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -r "${ECLOUD_WORKER_HOME:-/var/lib/ecloud/worker}/agent.env" ] && break
            sleep 1
        done
    fi
    log=/var/log/ecloud.log
    if [ -r $log ]; then
        echo "+ tail -n 20 $log"
        tail -n 20 $log | sed 's/^/  /'
    fi
    home=${ECLOUD_WORKER_HOME:-/var/lib/ecloud/worker}
    if [ -r "$home/agent.env" ]; then
        . "$home/agent.env"
    elif [ -r /etc/ecloud/worker.env ]; then
        set -a
        . /etc/ecloud/worker.env
        set +a
    else
        echo "FAILED  login: this machine has not been given its login at the broker"
        echo "        what to do: see the log above; the boss's address and the start token must still hold: else let the"
        echo "        boss make another machine in its place"
    fi
    export ECLOUD_WORKER_SSH_USER="${ECLOUD_WORKER_SSH_USER:-ecloud}"
elif [ -n "$home" ] && [ -r "$home/agent.env" ]; then
    . "$home/agent.env"
elif [ -n "$home" ] && [ -z "${ECLOUD_WORKER_ID:-}" ]; then
    echo "FAILED  agent.env: $home/agent.env is not readable by $(id -un)"
    echo "        what to do: start the agent there once, as this user, so that its settings are known"
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

wanted='(3, 11) <= sys.version_info[:2]'
[ "$ours" = yes ] && wanted='sys.version_info[:2] in ((3, 11), (3, 12))'
if "$ecloud_python" -c "import sys; sys.exit(not ($wanted))" </dev/null 2>/dev/null; then
    echo "ok      Python"
else
    echo "FAILED  Python: $("$ecloud_python" --version 2>&1 </dev/null) does not serve"
    echo "        what to do: install Python 3.11 or 3.12, and name it with ECLOUD_PYTHON if it is not python3"
fi

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

[ "$check" = yes ] || [ "$ours" = yes ] && exit "$failed"
export ECLOUD_PYTHON="$ecloud_python"
set -x
exec sh -x "$ecloud_root/worker/startup.sh"
