#!/bin/sh
# Installs what is needed (once) and runs all tests. Options go to pytest: ./run_tests.sh tests/unit -k settings
set -eu
cd "$(dirname "$0")"
. scripts/setup.sh
set_up_python dev
set_up_test_parts
PATH=$venv/bin:$PATH:/usr/sbin:/sbin
export PATH
# The tests start our programs more than a thousand times: each module is to be compiled once, not at every start.
unset PYTHONDONTWRITEBYTECODE
# All of it: in three processes, because most tests wait most of the time. A file's tests stay together, long ones first.
[ $# -gt 0 ] || set -- --numprocesses 3 --dist loadfile --no-loadscope-reorder
exec "$venv_python" -m pytest "$@"
