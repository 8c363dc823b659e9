"""Workers on hosts that are there already: named in the settings, reached by SSH, an agent started on each.

`hosts` reads the settings; `keeper` looks after one host, and never starts a second agent there; `calls` is what is
asked of a host through one connection, by `remote`, which runs on the host itself; `provider` puts them together.
"""

from boss.providers.static.provider import StaticProvider, make

__all__ = ["StaticProvider", "make"]
