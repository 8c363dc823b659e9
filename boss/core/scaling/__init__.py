"""How many workers each pool has. Decided when something changed, at most every few seconds, by `scale`; pure.

    scheduler.settle ── scale        pool by pool, in the order in which they are used: what to start and stop
                        ├─ demand    the live graph and the pool's workers, as the next two take them
                        │  └─ forecast    the graph played forward: what will be runnable, and when
                        └─ decide    one decision: a number with its reason, why not more, why not fewer

`decide` weighs boots against waiting (its docstring has the formula; docs/decisions/0110 why). `boss.core.pools` is
what was learned of boots and spending, `boss.core.instances` writes the intent of each start and stop.

The boss's own processes and the datastore's machine are kept at their number instead. Nothing here calls a provider or
stops a worker that holds work; a plan that cannot be carried out is decided again from what is there then.
"""
