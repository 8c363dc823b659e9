# The menu of what one can do here. Each target works on its own; .venv is made when it is missing.

python = $(or $(ECLOUD_VENV),.venv)/bin/python
SEEDS ?= 3000
KILLS ?= 200
MACHINES ?= 20
TASKS ?= 2000

.PHONY: help set-up check format test simulate torture cloud bench figures docs lock

help:            ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1	/p' Makefile

set-up:          ## make .venv and install the locked packages
	@. scripts/setup.sh && set_up_python dev

check: set-up    ## form, lint, types, dead code, unit tests with architecture and docs: under a minute
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	$(python) -m vulture
	$(python) -m pytest -q --numprocesses 2 tests/unit

format: set-up   ## let ruff put the code in form
	$(python) -m ruff format .
	$(python) -m ruff check --fix .

test:            ## all tests
	./run_tests.sh

simulate: set-up ## the simulation with SEEDS random seeds (default 3000)
	$(python) -m tests.simulation --seeds $(SEEDS)

torture: set-up ## kill -9 under load, KILLS times (default 200) on SQLite and again on MariaDB
	TORTURE_KILLS=$$((2 * $(KILLS))) $(python) -m pytest -q -s tests/acceptance/test_torture.py -k kills

cloud: set-up   ## a study of TASKS tasks (default 2000) on a cloud of hosts, with at most MACHINES machines (default 20)
	CLOUD_MACHINES=$(MACHINES) CLOUD_TASKS=$(TASKS) $(python) -m pytest -q --durations 3 tests/acceptance/test_cloud.py

bench: set-up    ## throughput and the data plane on this machine
	$(python) benchmarks/throughput.py
	$(python) benchmarks/data_plane.py

figures: set-up  ## sizes of files and functions, statements and imports; REVISION=... of a revision
	$(python) scripts/house_figures.py $(REVISION)

docs: set-up     ## write docs/settings.md and docs/states.md from the code
	$(python) scripts/make_docs.py

lock: set-up     ## write requirements*.lock again from pyproject.toml
	$(python) scripts/make_lock.py python3.11 python3.12 python3.13
