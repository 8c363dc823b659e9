"""The worker's program: takes attempts from the boss, runs their commands or EPANET, reports how they ended.

    __main__ ── loop          one thread owns the agent; everything else puts events into its inbox
                ├─ agent/     what is done about them: pure, events in, effects out
                ├─ runner/    processes of attempts; epanet/ is the program of EPANET tasks, a process of its own
                ├─ cache      inputs by digest (`placing`: into a working directory); filled by the datastore
                ├─ results    what an attempt left, as a manifest
                └─ journal    what survives a killed agent: outcomes that the boss has not acknowledged

`home` is its directory and what a killed agent left in it, `options` what it is started with, `attempt_files` what it
does with the files of attempts, in threads of their own, `replacement` how it gets the boss's version of this program.
bootstrap/, with startup.sh, brings a machine that has nothing yet to a running agent; debug/ and debug.sh look for
what is wrong.

It never imports the boss or the datastore, and opens no connection but to the broker and, for its program, to the boss.
It decides nothing about retries: an attempt has one end here, which is repeated until the boss acknowledges it.
"""
