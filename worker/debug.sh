#!/bin/sh
# Like startup.sh, with every command shown, after a look at each thing that a worker needs.
# `debug.sh --check` only looks, and ends with 1 if something is missing.
set -u

if [ -r /etc/ecloud/worker.env ]; then
    set -a
    . /etc/ecloud/worker.env
    set +a
fi
here=$(cd "$(dirname "$0")/.." && pwd)
python=${ECLOUD_PYTHON:-}
if [ -z "$python" ]; then
    if [ -x "$here/.venv/bin/python" ]; then python=$here/.venv/bin/python; else python=python3; fi
fi
host=${ECLOUD_BROKER_HOST:-127.0.0.1}
port=${ECLOUD_BROKER_PORT:-1883}
home=${ECLOUD_WORKER_HOME:-ecloud-worker}
failed=0

step() { # step NAME WHAT-TO-DO COMMAND...
    name=$1 advice=$2
    shift 2
    if said=$("$@" 2>&1); then
        echo "ok      $name"
    else
        failed=1
        echo "FAILED  $name: $advice"
        printf '%s\n' "$said" | tail -n 3 | sed 's/^/        /'
    fi
}
run_python() { PYTHONPATH=$here "$python" -c "$1"; }
has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
writable() { mkdir -p "$home" && touch "$home/.try" && rm "$home/.try"; }
room() { [ "$(df -Pk "$home" | awk 'NR==2 {print $4}')" -gt 100000 ]; }
clock() { [ "$(date +%Y)" -ge 2025 ]; }
broker_is_there() { run_python "import socket; socket.create_connection(('$host', $port), 5).close()"; }
login() {
    run_python "
import os, queue, sys
from wire.link import Connected, Disconnected, Link, LinkOptions
from worker.options import read_options
from wire.topics import Topics
options = read_options([], os.environ)
told = queue.SimpleQueue()
link = Link(LinkOptions(options.broker_host, options.broker_port, options.id + '-debug', options.username, options.password), told.put)
link.subscribe(Topics(options.mqtt_prefix).orders(options.id))
link.start()
event = told.get(timeout=15)
link.stop(1)
sys.exit(0 if isinstance(event, Connected) else str(event))"
}

step "python packages" "install the packages of requirements.lock" run_python "import msgspec, paho.mqtt, worker.loop"
step "options" "set what is named below (python3 -m worker --help)" run_python "
import os, sys
from worker.options import OptionError, read_options
try: read_options([], os.environ)
except OptionError as error: sys.exit(str(error))"
step "network: the boss's address $host" "check the name and the route" getent hosts "$host"
step "broker at $host:$port" "is it running, is the port open?" broker_is_there
step "login as ${ECLOUD_WORKER_USERNAME:-${ECLOUD_WORKER_ID:-?}}" "check ECLOUD_WORKER_PASSWORD_FILE and the broker's access list" login
step "clock" "set it: certificates and logs depend on it" clock
step "home $home is writable" "set ECLOUD_WORKER_HOME" writable
step "room on its disk (100 MB)" "free some, or set ECLOUD_WORKER_HOME" room
if [ "${ECLOUD_WORKER_PLACE:-local}" = ssh ]; then
    step "sshd" "apt-get install openssh-server" has sshd
    step "rsync" "apt-get install rsync" has rsync
fi
step "EPANET" "install owa-epanet (or, from Python 3.13 on, EPyT)" run_python "from worker.epanet.library import load; load()"

[ "${1:-}" = --check ] && exit $failed
set -x
exec sh -x "$here/worker/startup.sh" "$@"
