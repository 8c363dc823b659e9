"""EPANET on a worker: batches of scenarios of one network, solved by the toolkit library. docs/epanet.md is for users.

    __main__ ── serve         the warm child process: a line of JSON in for each task, lines out
             ├─ check         `check NET.inp`: can this network be solved?
             └─ batch         one task: everything checked, scenario after scenario, files, a summary
                ├─ specification, scenarios ── setpaths    what is asked for: output, options, the table
                ├─ warm ── project ── library              a network, open in EPANET, kept for the next batch
                ├─ changes ── attributes                   a scenario's values into the network, and out again
                ├─ solve, assess                           one simulation; can it be believed; what all sum up to
                └─ results                                 what is kept, and its Parquet files

It is a program of its own (`python -m worker.epanet`), so that a crash of the native library ends one process and
nothing else. It knows networks, scenarios and result files, and nothing of the boss, the agent or the datastore. No
scenario starts from the one before it: values always start from the network's own.
"""
