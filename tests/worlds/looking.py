"""Looking at a boss over its HTTP API from the test's own process: for what a test waits for.

A start of `admin.py` costs a quarter of a second of a processor, which is much for each look of a wait. That it shows
the same is for the tests of its commands.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import msgspec

from boss.api.schema import WorkerAnswer
from boss.client.client import Client
from boss.state_directory.boss_file import BOSS_FILE, read
from boss.state_directory.tokens import read_token
from tests.worlds.hosts.host import Host, HostFault
from tests.worlds.hosts.network import Network

#: What is asked: `Client.status`, `workers`, ...
Question = Callable[[Client], object]


def answer_of(boss: Client, question: Question) -> Any:
    """As `--json` has it. Ends the client."""
    with closing(boss):
        return msgspec.to_builtins(question(boss))


def workers(boss: Client) -> list[WorkerAnswer]:
    """Those of show_workers: what is to become one, too."""
    answer = boss.worker_list()
    return [*answer.workers, *answer.without_worker]


def phases(workers: list[dict[str, Any]]) -> list[str]:
    """How far each task is that one of them holds."""
    return [held["phase"] for worker in workers for held in worker["holding"]]


def task_named(id: str) -> Question:
    """That of show_task."""
    return lambda boss: boss.task("default", id)


def boss_on(net: Network, host: Host, state_directory: str) -> Client:
    """The boss that answers on this host."""
    folder = host.path(state_directory)
    boss = read(folder / BOSS_FILE)
    if boss is None:
        raise HostFault(f"no boss answers on host {host.name}")
    url = httpx.URL(boss.url).copy_with(host=host.address)
    return Client(str(url), read_token(folder), _Within(net))


class _Within(httpx.BaseTransport):
    """Connections are made where the network's hosts can be reached."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._transport = httpx.HTTPTransport(verify=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._net.inside(lambda: self._transport.handle_request(request))

    def close(self) -> None:
        self._transport.close()
