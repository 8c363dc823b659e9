"""The scheduler: events in, rows and effects out. Pure: no I/O, clock, thread or randomness; a replay gives the same.

    scheduler.handle ── accept ── merge               a push meets its project
                     ├─ workers, host_keys, upgrade   reports of workers      ┐  attempts: the life of an attempt
                     ├─ datastore, fetches            reports of the datastore├─ retry:    whether it runs again
                     ├─ commands                      what operators ask for  │  moves:    a task's state, and what
                     └─ instances, nics               reports of providers    ┘            follows from the graph
    scheduler.settle ── deadlines (leases, quarantine, retry), scaling/, assignment/, orders     once a turn
    scheduler.take   ── rows.Changes for the database, effects for the world

`state` is all that is known, of which `graph` is a batch as columns and `ready` the queue. `events`, `effects`, `rows`,
`store` and `policy` are the contract with the outside; `restore` reads a start back. `legal` has the tables of legal
moves: one function for each machine assigns its state. `reasons` and `waits` are why something does not go on, found
by `diagnosis`. `check` holds every redundancy against the others, for tests; `audit` does it for rows.

No effect is the only trace of anything: each can be derived again from rows. No handler assigns a state directly, and
none raises because of what came from outside.
"""
