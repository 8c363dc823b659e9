"""Workers on hosts that are there already: named in the settings, reached by SSH, an agent started on each.

    make, StaticProvider (`provider`) ── hosts     the hosts of the pool, and the key that each must show
                                      └─ keeper    one host, one thread: at most one agent there, whatever breaks
                                         └─ calls  what is asked of the host through one connection (boss.ssh)
                                            └─ remote    the script that answers there, by the host's own Python

An instance's reference is the host, and its agent's pid, start time and boot of the machine. What is unsure after a
connection broke is looked up on the host before anything else is done there.

It installs nothing but the agent's bundle, in the user's own directory, and needs no root. It starts no second agent
on a host, sends nothing to a host whose key is not the pinned one, and decides nothing about tasks.
"""

from boss.providers.static.provider import StaticProvider, make

__all__ = ["StaticProvider", "make"]
