"""The kinds of transfer, under one pure agent: `local` copies within one machine, `ssh` runs rsync to other hosts.

    ssh ── sending                         inputs into a worker's cache, each version once
        └─ fetching ── receiving           results of many attempts at once, verified one by one
           both by runs ── rsync ── children    one rsync: arguments, run, end
                        ├─ connections ── hosts one ssh for each host, which carries every transfer
                        ├─ free_space           asked of the host when an end names no cause
                        └─ verdicts             what an end means: whose fault, and a sentence

`verdicts` and `hosts` are pure. A transfer that broke off goes on where it was.

A worker's host is not trusted: nothing it says reaches a shell or a file of settings unchecked, no link of it is
followed, and what is not exactly what was asked for is refused. Transfers give no names: that is publishing.
"""
