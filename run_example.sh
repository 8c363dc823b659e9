#!/bin/sh
# Installs what is needed (once) and runs the Net3 study to its end: 1,000 EPANET simulations in 20 tasks,
# with a boss, a broker, a datastore and a worker that start and end with it. Options go to push_tasks.py.
set -eu
cd "$(dirname "$0")"
. scripts/setup.sh
set_up_python run
"$venv_python" push_tasks.py examples/net3_study/tasks.json "$@"
picture=ecloud-data/net3_study/net3_study.png
[ ! -f "$picture" ] || say "the study's picture: $PWD/$picture"
