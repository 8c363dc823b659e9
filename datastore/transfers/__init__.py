"""The kinds of transfer, under one pure agent: `local` copies within one machine, `ssh` runs rsync to other hosts.

    ssh ── sending ── send_folder
        └─ fetching ── receiving, held
           both by runs ── rsync ── children
                        ├─ connections ── hosts
                        └─ verdicts

`verdicts` and `hosts` are pure: what an end means, and what ssh is told of a host that is not trusted.
"""
