"""EPANET on a worker: batches of scenarios of one network, solved by the toolkit library.

This package knows networks, scenarios and result files. It knows nothing of the boss, the agent or the
datastore: it is a program of its own (`python -m worker.epanet`), so that a crash of the native library
ends one process and nothing else. docs/epanet.md describes it for users.
"""
