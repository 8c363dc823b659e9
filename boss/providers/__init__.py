"""Providers: what starts and stops instances. Each knows one way; none knows why it is asked.

    providers ── registry             by a pool's settings: which function makes its provider
              └─ one for each pool, behind the few verbs of `provider` (adopt, start, stop, limits, close):
                 ├─ local             processes beside the boss
                 ├─ static/           agents on hosts that are there already, by SSH
                 ├─ opennebula/       virtual machines of a cloud
                 └─ ...               of other packages, by an entry point of the group ecloud.providers

`fake` is for tests: instances are values in memory, and it misbehaves as configured. A new provider is a module that
offers a `boss.providers.provider.Make`, and its name in `registry` or in the entry points.

A verb returns at once; its outcome is an event, from any thread. A provider never decides how many instances there
are, and never ends one that this deployment did not start. It knows no task, and of a worker only the id.
"""
