#!/bin/sh
# Look at this machine as a host of a worker: each thing that an agent needs, and what to do where one is missing.
# `./debug.sh --home DIRECTORY` takes the settings of the agent of that home; else the environment or
# /etc/ecloud/worker.env says it. Ends with 1 if a check fails. admin.py debug_worker runs the same from the boss.
exec sh "$(dirname "$0")/worker/debug.sh" --check "$@"
