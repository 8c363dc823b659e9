"""From task files to a Submission: what users write, checked, in the words of `boss.core.model`. Two ends use it.

    push_tasks.py:  reader ── document              the file as JSON, and on which line what stands
                           ├─ describe ── fields    one task of either dialect, field by field, to a line of the stream
                           │           └─ epanet    the files that an EPANET run needs and leaves
                           ├─ local_files           the files that it names: found, measured, with their digests
                           ├─ create_ids            ids from contents (--create_ids)
                           └─ collector             the boss's own checks, before anything is sent
    the boss:       collector ── columns ── rules      each task on its own, into compact columns
                              └─ finish ── producers, graph         what concerns several: producers, cycles, inputs
                                 `shape`: levels and critical path of the graph, for who wrote it

`stream` is the canonical form in between, `errors` what is wrong, each with its place; all of it is reported at once.
`derive` says in shell words what a worker does for a task.

The boss trusts nothing that a client has checked: that may be curl. This package knows no database, no network and no
worker, and opens no file but the task file and those that it names.
"""
