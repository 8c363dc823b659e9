"""Which ready task goes to which worker. Decided at the end of every turn, by `assign`; pure.

    scheduler.settle ── window.update_changed    which workers take more, and how much ahead of their free slots
                     └─ assign.assign             ready tasks by demand meet workers by kind
                        └─ locality               among equally urgent tasks: those whose inputs the worker has

Pools of higher priority are used first, then cheaper ones; slots are filled before anything is sent ahead; what was
sent ahead and has not started is asked back when a slot stands empty elsewhere.

A turn costs what it assigns, not what there is: both sides are kept in groups, tasks by demand, workers by kind. It
starts no worker (`boss.core.scaling` does), and what it assigns leaves as orders, with the turn's other effects.
"""
