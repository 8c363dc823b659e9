#!/bin/sh
# Brings a worker agent up on this machine. What it is told, it is told by environment variables
# (`python3 -m worker --help` lists them); /etc/ecloud/worker.env may hold them, one NAME=value a line.
# ECLOUD_PYTHON names the Python to use; ECLOUD_WORKER_LOG a file for its log.
set -eu

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
