"""A worker's host that was made again at the same address: nothing goes there until an operator trusts it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.fingerprints import fingerprint
from tests.worlds.manual_site import TASKS, Site
from tests.worlds.ssh_server import me, running
from tests.worlds.waiting import scaled, wait_for

pytestmark = [pytest.mark.needs("mosquitto", "sshd", "ssh", "ssh-keygen", "rsync"), pytest.mark.timeout(120)]


@pytest.fixture
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="ecloud-site-") as folder, running(user=me()) as server:
        made = Site(Path(folder), server)
        try:
            made.start()
            yield made
        finally:
            made.deployment.end()


def why_quarantined(site: Site) -> str:
    (worker,) = site.deployment.asked("show_workers")
    reason: Any = worker["quarantined"]
    return str(reason)


def test_a_host_with_another_key_gets_nothing_until_an_operator_releases_it(site: Site) -> None:
    before, agent = site.server.host_key, site.deployment._started[-1]
    site.server.change_host_key()
    after = site.server.host_key
    site.deployment.write("in.txt", "one\n")
    push = site.deployment.start_push(site.deployment.write("tasks.json", TASKS))
    wait_for(lambda: "host is not trusted" in why_quarantined(site), "the datastore finds another key")
    assert not list((site.home / "cache").iterdir()), "nothing was sent there"

    agent.kill()
    agent.wait()
    site.start_worker()  # with the files of the new host
    wait_for(lambda: fingerprint(after) in why_quarantined(site), "the hello with the new key is refused")
    assert fingerprint(before) in why_quarantined(site), "both keys are named"
    assert not list((site.home / "cache").iterdir()) and push.poll() is None

    done = site.deployment.admin("release", "w1")
    assert done.returncode == 0, done.stderr
    said = push.communicate(timeout=scaled(60))
    assert push.returncode == 0, said
    assert (site.tree / "n.txt").read_text().strip() == "2"
    moves = site.deployment.admin("events").stdout
    assert "pinned" in moves and fingerprint(after).split()[-1] in moves
