"""What an operator types about a cloud, without machines behind it: what is asked before anything goes, and refused."""

from __future__ import annotations

import json

import pytest

from boss.deploy import teardown
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from tests.worlds.opennebula.commands import User, front, user
from tests.worlds.opennebula.deploy_world import Clock
from tests.worlds.opennebula.front_end import FrontEnd, Quota
from tests.worlds.opennebula.objects import Image

__all__ = ["front", "user"]

MARK = {"ECLOUD_DEPLOY": "m1", "ECLOUD_DEPLOYMENT": "d1"}


def test_a_teardown_shows_what_goes_and_asks_first(user: User, front: FrontEnd) -> None:
    worker = front.make("ecloud", "w", {**MARK, "ECLOUD_ROLE": "worker", "ECLOUD_WORKER": "cloud-1"})
    front.make("ecloud", "b", {**MARK, "ECLOUD_ROLE": "boss"})
    foreign = front.make("ecloud", "x")
    front.images[1] = Image(1, "ecloud-data", persistent=True, attributes={"ECLOUD_DEPLOY": "m1"})
    for answer in ("", "y\n", "no\n"):
        code, said, errors = user.type("teardown", "--mark", "m1", answer=answer)
        assert code == 2 and "nothing was removed" in errors
        assert "machine 0: worker cloud-1 (w)" in said and "machine 1: the boss's machine (b)" in said
        assert "The disk ecloud-data stays (--datastore_disk ecloud-data removes it)." in said
    assert worker.ended_at is None
    code, said, _ = user.type("teardown", "--mark", "m1", "--datastore_disk", "ecloud-data", answer="yes\n")
    assert code == 0 and "the disk ecloud-data, WITH ALL RESULTS ON IT" in said and "All of it is removed." in said
    assert front.alive() == [foreign] and list(front.images) == [0]


def test_a_disk_that_stayed_is_removed_by_the_command_that_teardown_tells(user: User, front: FrontEnd) -> None:
    front.images[1] = Image(1, "ecloud-data", persistent=True, attributes={"ECLOUD_DEPLOY": "m1"})
    code, said, _ = user.type("teardown", "--mark", "m1", "--yes")
    assert code == 0 and list(front.images) == [0, 1]
    command = said.rstrip().rpartition("admin.py ")[2].split()
    code, said, _ = user.type(*command, "--yes")
    assert code == 0 and list(front.images) == [0] and "stays" not in said


def test_a_disk_that_was_not_made_by_it_is_refused_before_anything_goes(user: User, front: FrontEnd) -> None:
    machine = front.make("ecloud", "w", {**MARK, "ECLOUD_ROLE": "worker"})
    code, _, errors = user.type("teardown", "--mark", "m1", "--yes", "--datastore_disk", "debian-12")
    assert code == 3 and "no disk 'debian-12' that this deployment made" in errors
    assert machine.ended_at is None


def test_where_nothing_was_deployed_teardown_says_so_and_json_is_for_programs(user: User, front: FrontEnd) -> None:
    code, _, errors = user.type("teardown", "--yes")
    assert code == 3 and "nothing was deployed from this state directory" in errors
    front.make("ecloud", "w", {**MARK, "ECLOUD_ROLE": "worker", "ECLOUD_WORKER": "c-1"})
    code, said, _ = user.type("teardown", "--mark", "m1", "--yes", "--json")
    assert code == 0 and json.loads(said)["numbers"] == [0]


@pytest.mark.parametrize("command", [["deploy"], ["teardown", "--yes", "--mark", "m"], ["templates", "diff", "worker"]])
def test_what_the_settings_lack_is_named(user: User, command: list[str]) -> None:
    user.given |= {"opennebula_image": "debian-12"}
    del user.given["opennebula_user"]
    code, _, errors = user.type(*command)
    assert code == 3 and "opennebula_user" in errors


def test_a_deploy_without_a_template_says_which_setting_names_one(user: User, front: FrontEnd) -> None:
    del user.given["opennebula_template"]
    code, _, errors = user.type("deploy")
    assert code == 3 and "opennebula_template" in errors
    assert front.machines == {}


def test_a_cloud_that_is_away_or_a_wrong_password_is_reported_in_a_sentence(user: User, front: FrontEnd) -> None:
    user.given["opennebula_password"] = "wrong"
    code, _, errors = user.type("deploy")
    assert code == 3 and "refuses the login: check opennebula_user" in errors
    user.given |= {"opennebula_password": "secret", "opennebula_endpoint": "http://127.0.0.1:1/RPC2"}
    code, _, errors = user.type("deploy")
    assert code == 3 and "cannot be reached" in errors and "Traceback" not in errors
    assert "tried again" not in errors and "the same command goes on where this one stopped" in errors


def test_settings_of_another_cloud_than_that_of_what_was_deployed_are_refused(user: User, front: FrontEnd) -> None:
    front.users["ecloud"].quota = Quota(vms=0)
    code, _, errors = user.type("deploy")
    assert code == 3 and "limit of 0 for VMS" in errors, "the disk is made by now"
    user.given["opennebula_endpoint"] = front.endpoint.replace("127.0.0.1", "localhost")
    code, _, errors = user.type("teardown", "--yes")
    assert code == 3 and f"what was deployed from here is at {front.endpoint}, account ecloud" in errors


def test_a_cloud_that_is_away_for_a_moment_ends_no_teardown(front: FrontEnd) -> None:
    front.make("ecloud", "b", {**MARK, "ECLOUD_ROLE": "boss"})
    front.make("ecloud", "w", {**MARK, "ECLOUD_ROLE": "worker"})
    client = CloudClient(front.endpoint, "ecloud", "secret")
    wanted, real, left = teardown.plan(client, "m1", ""), client.all_machines, [3]

    def sometimes() -> list[object]:
        left[0] -= 1
        if left[0] % 2 == 0:
            raise CloudError("away", "no answer there")
        return real()

    client.all_machines = sometimes  # type: ignore[method-assign]
    said: list[str] = []
    teardown.remove(client, None, wanted, said.append, Clock(20))
    assert front.alive() == [] and "no answer there; it is tried again automatically." in said
