"""A boss on a host whose workers are machines of a cloud of the tests': each a real host, made and ended by pyone.

with network() as net, Cloud(net) as cloud:
    site = CloudSite(cloud, {"max": 4})
    site.start()
    site.push("study.json")
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boss.client.client import Client
from tests.worlds.hosts.bootstrap_site import PLAIN_PYTHON, SITE, STATE, BootstrapSite, toml
from tests.worlds.looking import workers
from tests.worlds.opennebula.cloud import Cloud
from tests.worlds.opennebula.objects import Machine

#: Of the provider: as a patient user would not have them.
QUICK = {"poll_seconds": 0.5, "start_seconds": 0.05, "longest_call_seconds": 5.0, "room_seconds": 2.0}


class CloudSite(BootstrapSite):
    """`pool`: settings of the pool `cloud`; `settings`: of the boss."""

    def __init__(self, cloud: Cloud, pool: Mapping[str, object] = {}, **settings: object) -> None:
        usual = {"provider": "opennebula", "min": 0, "idle_seconds": 1.0, "slots": 1, "options": QUICK}
        super().__init__(cloud.net, {**usual, **pool}, **settings)
        self.cloud = cloud
        # The site's template: its image's own Python is the one that the boss has a bundle for without an index.
        cloud.front.templates[0].attributes["CONTEXT"]["ECLOUD_PYTHON"] = PLAIN_PYTHON

    def start(self) -> None:
        account = {
            "opennebula_endpoint": self.cloud.endpoint,
            "opennebula_user": "ecloud",
            "opennebula_password": "secret",
            "opennebula_template": "worker",
            "opennebula_network": "private",
        }
        self.boss.run(["mkdir", "-p", "-m", "700", STATE])
        lines = [f"{name} = {json.dumps(value)}" for name, value in account.items()]
        lines += ["[pools.cloud]", *(f"{name} = {toml(value)}" for name, value in self.pool.items()), ""]
        self.boss.write(f"{STATE}/settings.toml", "\n".join(lines), 0o600)
        self.start_boss()

    # --- what a user writes and asks ---------------------------------------------------------------

    def write(self, name: str, content: object) -> str:
        """A file beside the state directory: a task file (anything that JSON can say), or a text."""
        self.boss.write(f"{SITE}/{name}", content if isinstance(content, str) else json.dumps(content))
        return name

    def plan(self) -> dict[str, Any]:
        """Of the pool, as `scaling` tells."""
        (only,) = self.look(Client.pools)
        assert isinstance(only, dict)
        return only

    def said(self) -> str:
        """The log of the boss that runs, since its start."""
        return self.program.output() if self.program is not None else ""

    def workers(self) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.look(workers)}

    def logins(self) -> list[str]:
        """Names of workers' logins that the broker knows."""
        return [path.name for path in self.boss.path(f"{STATE}/logins").glob("mqtt_cloud-*")]

    @property
    def tree(self) -> Path:
        """Inputs and results, on the boss's own host."""
        return self.boss.path(f"{SITE}/ecloud-data")

    def machines(self) -> list[Machine]:
        """Those that are not done and were made by this boss."""
        return self.cloud.alive("worker")


__all__ = ["CloudSite", "QUICK"]
