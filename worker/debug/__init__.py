"""A look at a worker's machine: each thing that an agent needs, whether it is there, and what to do if it is not.

    worker/debug.sh ── __main__ ── machine_checks    clock, home, disk, EPANET, the agent
                                ├─ broker_checks     does the boss answer HTTP, is the broker there, does it accept us
                                └─ ssh_checks        can a datastore on another host reach the home

Each check gives a Finding (`finding`): what was looked at, whether it is well, and what would help. Started by an
operator on the machine, or by `admin.py debug_worker` from the boss, with the options of the agent.

It changes nothing but a file that it removes again, repairs nothing and decides nothing.
"""
