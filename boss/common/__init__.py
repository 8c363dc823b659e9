"""Small things that several rooms of the boss need, one idea a module, each with one copy.

    processes       when a process started, and whether it has ended
    private_files   files and folders that only their owner can read, written whole or not at all
    file_lock       one process at a time: flock
    suggestions     "did you mean ...?"
    times           moments as users read and write them
    plural          counts in sentences
    units           how many seconds and bytes a unit is

It lies on the ground: everything of the boss, the settings and the commands may import it, and it imports nothing of
ours and nothing but the standard library. What only one room needs is not here. A worker and a datastore have their
own (`worker.runner.processes`, `datastore.disk`): they share no code with the boss but `wire`
(docs/decisions/0180-small-helpers.md).
"""
