"""The datastore's program: keeps inputs and results in a tree of files, and moves them to and from workers.

    __main__ ── loop         one thread owns the agent; messages and ends of file work come to its inbox
                ├─ agent/    what is done about it: pure, events in, effects out
                └─ work      the threads that carry effects out:
                   ├─ transfers/    inputs into workers' caches, results into incoming; local copies, or rsync over SSH
                   ├─ publish       results from incoming into plain sight: sync, record, rename
                   ├─ store         sent files get their names; names are looked up
                   ├─ exchange      contents between the boss and the tree (`http` where it is on another host)
                   └─ expanding     folders among the inputs become their files

`disk/` is the tree itself, `paths` which names are valid in it. docs/data.md describes all this for users.

It never imports the boss. It believes neither the boss's names nor a worker's files: every name is opened step by step,
every content is checked against its digest, and readers of the tree see whole files only.
"""
