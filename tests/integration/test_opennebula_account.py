"""What an account may and has, through pyone against the front-end: quotas, addresses, tokens, pools, NICs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.make import make
from boss.providers.provider import BootstrapData, BossServices, Recorded
from boss.setup import PoolSetup
from tests.worlds.opennebula.boss import Boss, bosses, started
from tests.worlds.opennebula.commands import front
from tests.worlds.opennebula.front_end import FrontEnd, Quota
from tests.worlds.opennebula.objects import AUTHORIZATION, Image, Refuse
from tests.worlds.waiting import wait_for

__all__ = ["bosses", "front"]

MARKS = {"ECLOUD_DEPLOYMENT": "d1", "ECLOUD_WORKER": "cloud-1", "ECLOUD_INSTANCE": "1"}


def room(boss: Boss) -> tuple[int | None, str]:
    limits = boss.provider.limits()
    return limits.more, limits.reason


def calls(front: FrontEnd, name: str) -> int:
    return sum(called == name for _, called in list(front.calls))


# --- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "left", "words"),
    [
        (lambda front: setattr(front.users["ecloud"], "quota", Quota(vms=5)), 3, "quota of VMS of the account is 5"),
        (lambda front: setattr(front.users["ecloud"], "quota", Quota(cpu=3.0)), 1, "quota of CPU of the account"),
        (lambda front: setattr(front.users["ecloud"], "quota", Quota(memory=2048)), 2, "quota of MEMORY"),
        (lambda front: front.groups.update({1: Quota(vms=6)}), 4, "quota of VMS of its group is 6"),
        (lambda front: setattr(front.users["ecloud"], "quota", Quota(leases={0: 3})), 1, "quota of addresses"),
        (lambda front: front.networks[0].addresses.__delitem__(slice(5, None)), 3, "addresses of network private"),
    ],
    ids=["vms", "cpu", "memory", "group", "leases", "addresses"],
)
def test_what_is_left_is_known_without_being_refused_first(
    front: FrontEnd, bosses: list[Boss], limit: Callable[[FrontEnd], None], left: int, words: str
) -> None:
    limit(front)
    boss = started(front, bosses, 2, room_seconds=0.1)
    boss.wait(lambda: room(boss)[0] == left, "the room is known")
    assert words in room(boss)[1] and f"room for {left} more" in room(boss)[1]


def test_machines_that_were_begun_since_are_counted_off(front: FrontEnd, bosses: list[Boss]) -> None:
    front.users["ecloud"].quota = Quota(vms=5)
    boss = Boss(front)
    bosses.append(boss)
    boss.wait(lambda: room(boss)[0] == 5, "the room is known")
    for number in (1, 2):
        boss.provider.start(number, f"cloud-{number}")
    boss.wait(lambda: len(boss.reported(InstanceStarted)) == 2, "two are begun")
    assert room(boss) == (3, "the quota of VMS of the account is 5: room for 3 more"), "the quota is not read again"


def test_a_network_that_the_account_may_not_see_limits_nothing_that_is_known(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    front.networks[0].open, front.networks[0].owner = False, "oneadmin"
    front.templates[0].attributes["NIC"] = {"NETWORK": "private", "NETWORK_UNAME": "oneadmin"}
    boss = started(front, bosses, 1, room_seconds=0.1)
    boss.wait(lambda: calls(front, "vnpool.info") > 1, "it looks a second time")
    assert room(boss) == (None, "")


def test_a_full_account_is_looked_at_again_though_nothing_is_there(front: FrontEnd, bosses: list[Boss]) -> None:
    front.users["ecloud"].quota = Quota(vms=0)
    boss = Boss(front, room_seconds=0.2)
    bosses.append(boss)
    boss.wait(lambda: room(boss)[0] == 0, "it is full")
    front.users["ecloud"].quota = Quota(vms=2)
    boss.wait(lambda: room(boss)[0] == 2, "there is room again")


@pytest.mark.parametrize(
    ("quota", "words"),
    [(Quota(cpu=0.5), "limit of 0.5 for CPU"), (Quota(memory=100), "limit of 100 for MEMORY"),
     (Quota(leases={0: 0}), "limit of 0 for LEASES")],
)  # fmt: skip
def test_every_quota_is_reported_as_one_and_missing_rights_as_such(
    front: FrontEnd, bosses: list[Boss], quota: Quota, words: str
) -> None:
    front.users["ecloud"].quota = quota
    boss = Boss(front)
    bosses.append(boss)
    boss.provider.start(1, "cloud-1")
    boss.wait(lambda: boss.reported(InstanceStartFailed), "it is reported")
    assert words in boss.reported(InstanceStartFailed)[0].reason and boss.reported(InstanceStartFailed)[0].full
    front.users["ecloud"].quota = Quota()
    front.knobs.refuse["template.instantiate"] = [
        Refuse(AUTHORIZATION, "User [2] : Not authorized to perform USE NET [0].")
    ]
    boss.provider.start(2, "cloud-2")
    boss.wait(lambda: len(boss.reported(InstanceStartFailed)) == 2, "it is reported")
    failed = boss.reported(InstanceStartFailed)[1]
    assert "may not do that" in failed.reason and "right USE" in failed.reason and not failed.full


# --- timeouts --------------------------------------------------------------------------------------


def test_a_machine_that_no_host_takes_is_ended_and_reported_as_a_full_pool(front: FrontEnd, bosses: list[Boss]) -> None:
    front.knobs.no_capacity = True
    boss = started(front, bosses, 1, pending_seconds=0.6)
    boss.wait(lambda: boss.reported(InstanceStartFailed), "it is given up")
    failed = boss.reported(InstanceStartFailed)[0]
    assert failed.full and "no host took it" in failed.reason and "Not enough CPU on hosts: 0,1" in failed.reason
    assert not front.alive()


def test_a_machine_whose_host_is_lost_is_given_up_after_a_while(front: FrontEnd, bosses: list[Boss]) -> None:
    boss = started(front, bosses, 2, unknown_seconds=0.6)
    boss.wait(lambda: all(front.state(m) == (3, 3) for m in front.alive()), "they run")
    front.lose(front.machines[0])
    boss.wait(lambda: "UNKNOWN" in boss.provider.warning, "it is reported")
    boss.wait(lambda: boss.reported(InstanceEnded), "it is given up")
    assert "its host did not answer" in boss.reported(InstanceEnded)[0].reason
    assert [m.id for m in front.alive()] == [1]


# --- marks and pools -------------------------------------------------------------------------------


def test_a_machine_that_has_the_number_but_another_worker_is_not_adopted(front: FrontEnd, bosses: list[Boss]) -> None:
    foreign = front.make("ecloud", "x", {**MARKS, "ECLOUD_WORKER": "cloud-9"})
    boss = Boss(front, [Recorded(instance=1, worker="cloud-1", reference="")])
    bosses.append(boss)
    boss.wait(lambda: foreign.ended_at, "it is ended")
    boss.wait(lambda: boss.reported(InstanceStartFailed), "it is reported")
    assert boss.reported(InstanceStarted) == []


def test_each_pool_keeps_to_its_own_machines_and_those_of_a_removed_pool_are_ended(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    others = front.make("ecloud", "x", {**MARKS, "ECLOUD_POOL": "big", "ECLOUD_INSTANCE": "70"})
    former = front.make("ecloud", "y", {**MARKS, "ECLOUD_POOL": "former", "ECLOUD_INSTANCE": "71"})
    boss = started(front, bosses, 1, pool="small", pools=("small", "big"))
    boss.wait(lambda: former.ended_at, "the former pool's is ended")
    lists = calls(front, "vmpool.infoextended")
    boss.wait(lambda: calls(front, "vmpool.infoextended") > lists + 1, "all are listed twice more")
    assert others.ended_at is None
    assert [m.user_template.get("ECLOUD_POOL") for m in front.alive()] == ["big", "small"]


# --- the datastore's machine -----------------------------------------------------------------------


def test_a_datastore_s_machine_is_ended_politely_and_the_next_waits_for_its_disk(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    front.images[1] = Image(1, "ecloud-data", persistent=True, type=2)
    front.add_template(
        "store", {"CPU": "1", "MEMORY": "512", "DISK": [{"IMAGE": "debian-12"}, {"IMAGE": "ecloud-data"}]}
    )
    ends: list[bool] = []
    front.on_end = lambda _machine, hard: ends.append(hard)
    front.timing.shutdown = 1.0
    boss = started(front, bosses, 1, role="datastore", template="store")
    boss.wait(lambda: front.state(front.machines[0]) == (3, 3), "it runs")
    boss.provider.stop(1, "datastore", "0")
    boss.provider.start(2, "datastore")
    boss.wait(lambda: "still in use" in boss.provider.warning, "it is reported that the disk is in use")
    assert boss.reported(InstanceStartFailed) == []
    boss.wait(lambda: len(boss.reported(InstanceStarted)) == 2, "the next one is there")
    assert ends == [False]
    assert [m.id for m in front.alive()] == [1] and not boss.provider.warning


# --- tokens and settings ---------------------------------------------------------------------------


def provider_of(front: FrontEnd, state: Path, events: list[object], password: str = "secret", **options: object):
    given = {
        "opennebula_endpoint": front.endpoint, "opennebula_user": "ecloud", "opennebula_password": password,
        "template": "worker", "options": {"poll_seconds": 0.1, "start_seconds": 0.01}, **options,
    }  # fmt: skip
    services = BossServices(
        deployment="d1", state_directory=state, notify=events.append,
        bootstrap_data=lambda _, worker: BootstrapData(variables={"ECLOUD_WORKER_ID": worker}, script="#!/bin/sh\n"),
        local_environment=lambda _: {}, bundle=Path, ssh_key=state / "key",
    )  # fmt: skip
    return make(PoolSetup(name="cloud", provider="opennebula", max=5, options=given), services)


def test_made_from_settings_it_uses_the_password_for_one_token_and_the_token_for_all_else(
    front: FrontEnd, tmp_path: Path
) -> None:
    events: list[object] = []
    for _ in range(2):  # the second start uses the token of the first
        provider = provider_of(front, tmp_path, events)
        provider.adopt([])
        provider.start(1, "cloud-1")
        wait_for(lambda: any(isinstance(event, InstanceStarted) for event in events), "it is started")
        provider.close()
        events.clear()
    assert [secret for _, secret in front.sessions].count("secret") == 1
    assert len(front.users["ecloud"].tokens) == 1
    assert front.machines[0].user_template["ECLOUD_POOL"] == "cloud"


def test_a_token_in_place_of_the_password_works_as_it_is_and_renews_itself(front: FrontEnd, tmp_path: Path) -> None:
    given = CloudClient(front.endpoint, "ecloud", "secret").make_token(600)
    front.sessions.clear()
    provider = provider_of(front, tmp_path, [], password=given)
    provider.adopt([])
    wait_for(lambda: len(front.users["ecloud"].tokens) == 2, "it makes its own")
    wait_for(lambda: front.sessions and front.sessions[-1][1] not in (given, "secret"), "it uses its own")
    assert "secret" not in [secret for _, secret in front.sessions]
    provider.close()


def test_a_token_that_was_revoked_is_replaced(front: FrontEnd, tmp_path: Path) -> None:
    client = CloudClient(front.endpoint, "ecloud", "secret", token_file=tmp_path / "token.json")
    client.keep_login()
    front.users["ecloud"].tokens.clear()
    assert client.images()
    client.keep_login()
    assert client.secret in front.users["ecloud"].tokens


def test_a_token_that_is_taken_back_is_gone_though_the_answer_is_empty(front: FrontEnd) -> None:
    client = CloudClient(front.endpoint, "ecloud", "secret")
    token = client.make_token(60)
    client.drop_token(token)
    assert token not in front.users["ecloud"].tokens
    client.drop_token(token)  # again: no error


def test_a_login_that_ends_takes_its_token_back_and_one_that_was_removed_is_in_nobodys_way(
    front: FrontEnd, tmp_path: Path
) -> None:
    for removed in (False, True):
        client = CloudClient(front.endpoint, "ecloud", "secret", token_file=tmp_path / "token.json")
        client.keep_login()
        assert len(front.users["ecloud"].tokens) == 1
        if removed:
            front.users["ecloud"].tokens.clear()
        client.end_login()
        assert not front.users["ecloud"].tokens and not (tmp_path / "token.json").exists()
        assert client.secret == "secret" and client.images() is not None


def test_all_that_a_client_does_works_with_the_password_after_its_token_was_removed(
    front: FrontEnd, tmp_path: Path
) -> None:
    calls: list[Callable[[CloudClient], object]] = [
        lambda client: client.make_token(60),
        lambda client: client.drop_token("t"),
        lambda client: client.all_machines(),
    ]
    for call in calls:
        front.users["ecloud"].tokens.clear()
        client = CloudClient(front.endpoint, "ecloud", "secret", token_file=tmp_path / "token.json")
        client.keep_login()
        front.users["ecloud"].tokens.clear()
        call(client)
        assert client.secret == "secret"


def test_a_front_end_that_has_no_more_tokens_to_give_is_asked_with_what_there_is(
    front: FrontEnd, tmp_path: Path
) -> None:
    front.users["ecloud"].tokens = {f"t{number}": -1 for number in range(10)}
    client = CloudClient(front.endpoint, "ecloud", "secret", token_file=tmp_path / "token.json")
    client.keep_login()
    assert client.secret == "secret" and client.images()


def test_a_wrong_login_is_a_warning_that_says_what_to_check(front: FrontEnd, tmp_path: Path) -> None:
    provider = provider_of(front, tmp_path, [], password="wrong")
    provider.adopt([])
    wait_for(lambda: "check opennebula_user" in provider.warning, "it is reported")
    provider.close()


def test_missing_rights_of_the_account_on_a_machine_are_reported(front: FrontEnd) -> None:
    foreign = front.make("other", "x")
    with pytest.raises(CloudError) as caught:
        CloudClient(front.endpoint, "ecloud", "secret").terminate(foreign.id)
    assert caught.value.kind == "rights"


# --- further network interfaces ---------------------------------------------------------------------------------


def answers_of(boss: Boss) -> tuple[list[tuple[str, str]], Callable[[str, str], None]]:
    answers: list[tuple[str, str]] = []
    return answers, lambda nic, why: answers.append((nic, why))


def test_a_further_nic_is_there_when_that_is_reported_and_gone_when_that_is_reported(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    front.add_network("internet", ["192.168.0.1", "192.168.0.2"])
    front.timing.plug = 0.3
    boss = started(front, bosses)
    answers, done = answers_of(boss)
    boss.provider.attach("0", "oneadmin/internet", done)  # it may still boot
    boss.wait(lambda: answers, "it is reported")
    assert answers == [("1", "")]
    assert front.machines[0].nics[1] == (1, "192.168.0.1") and front.state(front.machines[0]) == (3, 3)
    boss.provider.attach("0", "oneadmin/internet", done)
    boss.wait(lambda: len(answers) == 2, "it is reported")
    assert answers[1] == ("1", "") and front.count("vm.attachnic") == 1, "the network interface that is there is found"
    boss.provider.detach("0", "1", done)
    boss.wait(lambda: len(answers) == 3, "it is reported")
    assert answers[2] == ("1", "") and list(front.machines[0].nics) == [0]
    boss.provider.detach("0", "1", done)
    boss.wait(lambda: len(answers) == 4, "it is reported")
    assert answers[3] == ("1", "") and front.count("vm.detachnic") == 1
    assert boss.reported(InstanceEnded) == []


@pytest.mark.parametrize(
    ("network", "words"), [("oneadmin/nonet", "no network 'nonet'"), ("oneadmin/full", "no address is left")]
)
def test_an_impossible_nic_is_reported_in_a_sentence(
    front: FrontEnd, bosses: list[Boss], network: str, words: str
) -> None:
    front.add_network("full", [])
    boss = started(front, bosses)
    answers, done = answers_of(boss)
    boss.provider.attach("0", network, done)
    boss.wait(lambda: answers, "it is reported")
    assert answers[0][0] == "" and words in answers[0][1]


def test_a_machine_that_is_gone_has_no_nic_to_be_taken_out_and_gets_none(front: FrontEnd, bosses: list[Boss]) -> None:
    boss = started(front, bosses)
    answers, done = answers_of(boss)
    boss.provider.stop(1, "cloud-1", "0")
    boss.wait(lambda: boss.reported(InstanceEnded), "it ended")
    boss.provider.attach("0", "private", done)
    boss.provider.detach("0", "1", done)
    boss.wait(lambda: len(answers) == 2, "both are reported")
    assert sorted(answers) == [("", "its machine is gone"), ("1", "")]
