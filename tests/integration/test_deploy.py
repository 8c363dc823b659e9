"""From an account to a boss that answers and back, on real hosts with an sshd each; killed between any two steps."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.deploy.errors import DeployError
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from tests.worlds.hosts import Network, network
from tests.worlds.opennebula.cloud import Cloud
from tests.worlds.opennebula.deploy_world import Killed, User
from tests.worlds.opennebula.objects import ACTION, Quota, Refuse

pytestmark = [pytest.mark.needs("unshare", "nsenter", "ip", "sshd", "ssh-keygen"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def cloud(net: Network) -> Iterator[Cloud]:
    with Cloud(net) as made:
        yield made


@pytest.fixture
def user(cloud: Cloud, tmp_path: Path) -> User:
    return User(cloud, tmp_path / "user")


def test_from_nothing_to_a_boss_that_answers_and_back_to_nothing(user: User, cloud: Cloud) -> None:
    done = user.deploy()
    [machine] = user.bosses()
    host = cloud.host(machine)
    assert (done.machine, done.address, done.url) == (machine.id, machine.address, f"http://{machine.address}:8080")
    assert machine.user_template["ECLOUD_DEPLOY"] == user.record.mark
    assert machine.template["CONTEXT"]["SSH_PUBLIC_KEY"] == "key", "the template's own context goes along"

    assert (
        done.host_key
        == host.host_key
        == " ".join(host.path("/etc/ecloud/deploy/own/ssh_host_ed25519_key.pub").read_text().split()[:2])
    ), "the machine shows its own key again, and that one is pinned"
    assert not (user.home / "deploy" / "host_key").exists()

    written = tomllib.loads(host.path("/etc/ecloud/settings.toml").read_text())
    assert written["boss_address"] == machine.address and written["opennebula_template"] == "worker"
    assert written["pools"] == {"cloud": {"max": 10}, "datastore": {"role": "datastore"}}
    for secret in ("http.token", "opennebula.token", "settings.toml"):
        assert host.path(f"/etc/ecloud/{secret}").stat().st_mode & 0o777 == 0o600
    given = host.path("/etc/ecloud/opennebula.token").read_text().strip()
    assert given in cloud.front.users["ecloud"].tokens
    everything = host.run(["sh", "-c", "cat /etc/ecloud/*.t* /run/one-context/context.sh"], user="root")
    assert "secret" not in everything, "no password gets to the cloud"
    assert user.starts() == [f"{host.run(['id', '-u', 'ecloud'], user='root')} 1"], "it runs as its own user"

    local = tomllib.loads((user.home / "deployed.toml").read_text())
    assert local == {"boss_url": done.url, "token": done.token}
    assert (user.home / "deployed.toml").stat().st_mode & 0o777 == 0o600
    assert user.settings().boss_url == done.url

    assert user.deploy() == done, "again: nothing is made, nothing is started again"
    assert len(cloud.front.machines) == 1 and len(user.starts()) == 1
    assert cloud.front.images[1].name == "ecloud-data" and cloud.front.images[1].persistent

    user.teardown()
    assert cloud.front.alive() == []
    assert [image.name for image in cloud.front.images.values()] == ["debian-12", "ecloud-data"], "results stay"
    assert given not in cloud.front.users["ecloud"].tokens
    assert not (user.home / "deployed.toml").exists() and not (user.home / "deploy" / "record.json").exists()
    assert cloud.faults == []


def test_tokens_that_were_removed_are_made_again_by_the_password_and_teardown_leaves_none(
    user: User, cloud: Cloud, tmp_path: Path
) -> None:
    user.deploy()
    tokens = cloud.front.users["ecloud"].tokens
    host = cloud.host(user.bosses()[0])
    former = host.path("/etc/ecloud/opennebula.token").read_text().strip()
    tokens.clear()
    user.deploy()
    given = host.path("/etc/ecloud/opennebula.token").read_text().strip()
    assert given in tokens and given != former and len(user.starts()) == 2, "the boss goes on with one that lets it in"

    # What the boss does on its machine.
    own = tmp_path / "token.json"
    CloudClient(cloud.front.endpoint, "ecloud", given, token_file=own).keep_login()
    host.run(["mkdir", "-p", "/var/lib/ecloud/.ecloud/opennebula"], user="root")
    host.path("/var/lib/ecloud/.ecloud/opennebula/token.json").write_bytes(own.read_bytes())
    assert len(tokens) == 2, "the one that the boss was given, and the one that it made from it"
    user.teardown()
    assert not tokens


def test_tokens_that_were_removed_do_not_keep_teardown_from_its_work(user: User, cloud: Cloud) -> None:
    user.deploy()
    cloud.front.users["ecloud"].tokens.clear()
    user.teardown()
    assert cloud.front.alive() == [] and not cloud.front.users["ecloud"].tokens


def test_where_no_token_is_left_deploy_says_how_to_remove_one(user: User, cloud: Cloud) -> None:
    cloud.front.users["ecloud"].tokens = {f"t{number}": -1 for number in range(10)}
    with pytest.raises(DeployError, match="Max number of tokens.*at most ten.*oneuser token-delete"):
        user.deploy()


def test_killed_at_any_line_the_same_command_goes_on_and_there_is_one_boss(user: User, cloud: Cloud) -> None:
    line = 0
    while True:
        line += 1
        try:
            done = user.deploy(dies_at=line)
            break
        except Killed:
            assert len(cloud.front.machines) <= 1
            line = min(line, 2)  # what was done is not said again: the next lines come
    assert len(cloud.front.machines) == 1 and done.address == user.bosses()[0].address
    assert len([line for line in user.said if "Making the boss's machine" in line]) <= 2
    assert len(user.starts()) >= 1


class Dying:
    """A client whose process dies at one call, before or after its effect."""

    def __init__(self, client: CloudClient, call: str, *, after: bool) -> None:
        self._client, self._call, self._after = client, call, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._call:
            return real

        def dying(*arguments: Any, **options: Any) -> Any:
            if self._after:
                real(*arguments, **options)
            raise Killed(name)

        return dying


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["make_token", "make_image", "instantiate"])
def test_killed_at_a_call_before_or_after_its_effect_nothing_is_made_twice(
    user: User, cloud: Cloud, call: str, after: bool
) -> None:
    user.wrap = lambda client: Dying(client, call, after=after)  # type: ignore[assignment,return-value]
    with pytest.raises(Killed):
        user.deploy()
    user.wrap = lambda client: client  # type: ignore[assignment]
    user.deploy()
    assert len(cloud.front.machines) == 1
    assert [image.name for image in cloud.front.images.values()] == ["debian-12", "ecloud-data"]


def test_a_call_that_got_no_answer_but_took_effect_is_found_by_its_mark(user: User, cloud: Cloud) -> None:
    cloud.knobs.after["template.instantiate"] = 4.0
    user.deploy()
    assert len(cloud.front.machines) == 1 and cloud.front.count("template.instantiate") == 1


def test_a_boss_that_is_updated_is_replaced_and_one_whose_settings_changed_is_started_again(user: User) -> None:
    user.deploy()
    user.version = "2"
    user.deploy()
    user.given["max_workers"] = 3
    user.deploy()
    assert [start.split()[1] for start in user.starts()] == ["1", "2", "2"]


def test_a_machine_that_is_gone_is_made_again_with_a_host_key_of_its_own(user: User, cloud: Cloud) -> None:
    first = user.deploy()
    front = cloud.front
    front.act(front.users["ecloud"], "terminate-hard", first.machine)
    cloud.wait(lambda: not user.bosses(), "it is gone")
    second = user.deploy()
    assert second.machine != first.machine and second.host_key != first.host_key
    assert second.token == first.token and len(user.bosses()) == 1


def test_a_boss_of_another_state_directory_is_not_doubled_unless_one_says_so(
    user: User, cloud: Cloud, tmp_path: Path
) -> None:
    first = user.deploy()
    colleague = User(cloud, tmp_path / "colleague")
    with pytest.raises(DeployError, match="has a boss already: machine 0.*--another"):
        colleague.deploy()
    assert len(cloud.front.machines) == 1
    second = colleague.deploy(another=True)
    assert second.machine != first.machine
    user.teardown()
    assert [m.id for m in user.bosses()] == [second.machine], "a teardown keeps to its own mark"


def test_a_host_that_shows_another_key_is_sent_nothing(user: User, cloud: Cloud) -> None:
    user.deploy()
    host = cloud.host(user.bosses()[0])
    host.run(
        ["sh", "-c", "cd /etc/ssh; rm ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key;"
         " kill -HUP $(cat /run/sshd.pid)"], user="root",
    )  # fmt: skip
    user.hurry = 20
    with pytest.raises(DeployError, match="it is another machine, or was reinstalled; nothing was sent to it"):
        user.deploy()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: c.front.templates.clear(), "no template 'worker'"),
        (lambda c: setattr(c.front.users["ecloud"], "quota", Quota(vms=0)), "limit of 0 for VMS"),
        (lambda c: c.front.networks[0].addresses.clear(), "no address is left"),
        (lambda c: setattr(c.front.users["ecloud"], "password", "changed"), "refuses the login"),
        (lambda c: setattr(c.knobs, "no_capacity", True), r"still waiting after 900 s \(.*Not enough CPU"),
        (lambda c: c.knobs.stuck.append((3, 36)), "does not run: .*cannot start the domain"),
        (lambda c: setattr(c.knobs, "silent", 1), "does not let us in: nothing answers at 10.77.0"),
        (lambda c: c.knobs.refuse.update({"user.login": [Refuse(ACTION, "no tokens")] * 2}), "gives no login token"),
    ],
    ids=["template", "quota", "address", "login", "capacity", "boot failure", "silent", "tokens"],
)
def test_what_stands_in_the_way_is_reported_and_teardown_leaves_nothing(
    user: User, cloud: Cloud, spoil: Any, words: str
) -> None:
    spoil(cloud)
    user.hurry = 40  # what answers nothing is given up after three seconds, each time
    with pytest.raises((DeployError, CloudError), match=words):
        user.deploy()
    assert len(cloud.front.machines) <= 1
    cloud.front.users["ecloud"].password, user.hurry = "secret", 1
    user.teardown()
    assert cloud.front.alive() == []


def test_teardown_removes_what_the_boss_made_and_nothing_of_others(user: User, cloud: Cloud) -> None:
    user.deploy()
    front, mark = cloud.front, user.record.mark
    cloud.knobs.silent = 4
    ours = {"ECLOUD_DEPLOYMENT": "d1", "ECLOUD_DEPLOY": mark}
    front.make("ecloud", "w1", {**ours, "ECLOUD_ROLE": "worker", "ECLOUD_WORKER": "cloud-1"})
    store = front.make("ecloud", "store", {**ours, "ECLOUD_ROLE": "datastore"})
    foreign = [front.make("ecloud", "x"), front.make("other", "y", {"ECLOUD_DEPLOY": mark})]
    ends: list[tuple[int, bool]] = []
    real = front.on_end
    front.on_end = lambda machine, hard: (ends.append((machine.id, hard)), real(machine, hard))[1]
    wanted = user.teardown(disk="ecloud-data")
    assert len(wanted.machines) == 3 and wanted.disk == "ecloud-data"
    assert front.alive() == [foreign[0]] and foreign[1].ended_at is None
    assert ends[0] == (0, False), "the boss first, politely"
    assert (store.id, False) in ends and (store.id, True) not in ends, "never hard: it has a disk"
    assert [image.name for image in front.images.values()] == ["debian-12"]


def test_a_disk_that_was_there_before_is_not_removed(user: User, cloud: Cloud) -> None:
    client = CloudClient(cloud.front.endpoint, "ecloud", "secret")
    client.make_image('NAME = "ecloud-data"\nTYPE = "DATABLOCK"\nPERSISTENT = "YES"\nSIZE = "10"')
    user.deploy()
    with pytest.raises(DeployError, match="no disk 'ecloud-data' that this deployment made"):
        user.teardown(disk="ecloud-data")
    assert len(user.bosses()) == 1


def test_two_at_once_are_one_after_the_other(user: User) -> None:
    from boss.deploy.record import opened

    with opened(user.home, "e", "u", make=True), pytest.raises(DeployError, match="is under way"):
        user.deploy()
