"""The provider of OpenNebula machines through pyone, against a front-end that misbehaves as genuine ones do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from boss.core.events import InstanceEnded, InstancePlaced, InstanceStarted, InstanceStartFailed
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError, being_tried
from boss.providers.provider import BootstrapData, Recorded
from tests.worlds.opennebula.boss import Boss, bosses, started
from tests.worlds.opennebula.commands import front
from tests.worlds.opennebula.front_end import FrontEnd, Timing, script_of

__all__ = ["bosses", "front"]


def test_machines_are_made_with_our_marks_and_context_beside_the_site_s_own(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    boss = started(front, bosses, 3)
    assert [event.reference for event in boss.reported(InstanceStarted)] == ["0", "1", "2"]
    machine = front.machines[1]
    assert machine.user_template == {
        "ECLOUD_DEPLOYMENT": "d1", "ECLOUD_WORKER": "cloud-2", "ECLOUD_INSTANCE": "2", "ECLOUD_ROLE": "worker",
    }  # fmt: skip
    assert machine.template["CONTEXT"]["SSH_PUBLIC_KEY"] == "key"
    assert machine.template["CONTEXT"]["ECLOUD_WORKER_ID"] == "cloud-2"
    assert script_of(machine) == "#!/bin/sh\necho 'cloud-2 in $HOME'\n"
    assert machine.address


def test_an_end_is_asked_for_until_the_machine_is_gone_even_while_it_boots(front: FrontEnd, bosses: list[Boss]) -> None:
    front.timing = Timing(boot=1.0)
    boss = started(front, bosses)
    boss.wait(lambda: front.state(front.machines[0]) == (3, 2), "it boots")
    boss.provider.stop(1, "cloud-1", "0")
    boss.wait(lambda: boss.reported(InstanceEnded), "it ended")
    assert front.count("vm.action") > 1
    assert not front.alive()


def test_a_start_that_was_not_made_yet_is_taken_back(front: FrontEnd, bosses: list[Boss]) -> None:
    boss = started(front, bosses, 1, start_seconds=60.0)
    boss.provider.start(2, "cloud-2")
    boss.provider.stop(2, "cloud-2", "")
    assert [event.instance for event in boss.reported(InstanceEnded)] == [2]
    assert len(front.machines) == 1


def test_machines_of_others_are_never_touched(front: FrontEnd, bosses: list[Boss]) -> None:
    foreign = [
        front.make("other", "theirs"),
        front.make("ecloud", "ecloud-cloud-1"),
        front.make("ecloud", "twin", {"ECLOUD_DEPLOYMENT": "d2", "ECLOUD_INSTANCE": "1", "ECLOUD_WORKER": "cloud-1"}),
    ]
    boss = started(front, bosses)
    boss.provider.stop(1, "cloud-1", "3")
    boss.wait(lambda: boss.reported(InstanceEnded), "it ended")
    assert all(machine.ended_at is None for machine in foreign)


def test_a_call_that_timed_out_but_took_effect_is_found_by_its_mark_and_not_repeated(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    front.knobs.after["template.instantiate"] = 1.0
    boss = started(front, bosses)
    time.sleep(1.0)
    assert len(front.machines) == 1
    assert boss.reported(InstanceStartFailed) == []


def test_a_call_that_timed_out_without_effect_is_reported_only_when_it_can_have_none_any_more(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    front.timing = Timing(pending=0.0, prolog=0.0, boot=0.0)
    boss = Boss(front, longest_call_seconds=2.0)
    bosses.append(boss)
    front.knobs.before["template.instantiate"] = 1.2
    began = time.monotonic()
    front.knobs.quota = 0  # what is worked on late is refused
    boss.provider.start(1, "cloud-1")
    boss.wait(lambda: boss.reported(InstanceStartFailed), "it is reported")
    assert time.monotonic() - began >= 2.0
    assert "no machine was made" in boss.reported(InstanceStartFailed)[0].reason
    assert front.count("template.instantiate") == 1


def test_of_two_machines_with_one_mark_the_younger_ends(front: FrontEnd, bosses: list[Boss]) -> None:
    boss = started(front, bosses)
    twin = front.make("ecloud", "twin", dict(front.machines[0].user_template))
    boss.wait(lambda: twin.ended_at, "the twin is ended")
    assert front.machines[0].ended_at is None
    assert boss.reported(InstanceEnded) == []


def test_a_machine_of_ours_that_is_on_no_record_is_ended(front: FrontEnd, bosses: list[Boss]) -> None:
    orphan = front.make("ecloud", "x", {"ECLOUD_DEPLOYMENT": "d1", "ECLOUD_INSTANCE": "77", "ECLOUD_WORKER": "cloud-9"})
    boss = started(front, bosses)
    boss.wait(lambda: orphan.ended_at, "the orphan is ended")
    assert front.machines[1].ended_at is None


@pytest.mark.parametrize(
    ("spoil", "words", "full"),
    [
        (lambda front: setattr(front.knobs, "quota", 0), "limit of 0 for VMS", True),
        (lambda front: front.networks[0].addresses.clear(), "no address is left in network 0", True),
        (lambda front: front.templates.clear(), "no template 'worker'", False),
        (lambda front: setattr(front.users["ecloud"], "password", "changed"), "refuses the login", False),
        (lambda front: setattr(front.networks[0], "name", "renamed"), "no network 'private'", False),
    ],
    ids=["quota", "addresses", "template", "login", "network"],
)
def test_what_the_cloud_refuses_is_reported_in_a_sentence(
    front: FrontEnd, bosses: list[Boss], spoil: Callable[[FrontEnd], None], words: str, full: bool
) -> None:
    spoil(front)
    boss = Boss(front)
    bosses.append(boss)
    boss.provider.start(1, "cloud-1")
    boss.wait(lambda: boss.reported(InstanceStartFailed), "it is reported")
    failed = boss.reported(InstanceStartFailed)[0]
    assert words in failed.reason
    assert failed.full is full
    assert not front.machines
    # Reported with the instance, it is no warning besides; a wrong login keeps machines from being listed, too.
    assert boss.provider.warning == "" or "login" in words


def test_the_255th_address_is_the_last_and_the_others_go_on(bosses: list[Boss]) -> None:
    with FrontEnd(addresses=255) as front:
        boss = started(front, bosses, 255, start_seconds=0.0, poll_seconds=1.0)
        boss.provider.start(256, "cloud-256")
        boss.wait(lambda: boss.reported(InstanceStartFailed), "it is reported")
        assert boss.reported(InstanceStartFailed)[0].full
        assert "no address is left in network 0" in boss.reported(InstanceStartFailed)[0].reason
        assert len(front.alive()) == 255 and boss.reported(InstanceEnded) == []
        boss.provider.stop(1, "cloud-1", "0")
        boss.wait(lambda: boss.reported(InstanceEnded), "one has ended")
        boss.provider.start(257, "cloud-257")
        boss.wait(lambda: len(boss.reported(InstanceStarted)) == 256, "its address is used again")
        assert len(front.alive()) == 255


def test_that_a_host_has_taken_a_machine_is_reported_once(front: FrontEnd, bosses: list[Boss]) -> None:
    front.timing = Timing(pending=1.0)
    boss = started(front, bosses, poll_seconds=0.05)
    assert boss.reported(InstanceStarted)[0].waiting and boss.reported(InstancePlaced) == []
    boss.wait(lambda: boss.reported(InstancePlaced), "it is taken")
    boss.wait(lambda: front.state(front.machines[0]) == (3, 3), "it runs")
    lists = front.count("vmpool.infoextended")
    boss.wait(lambda: front.count("vmpool.infoextended") > lists + 2, "more lists")
    assert [event.instance for event in boss.reported(InstancePlaced)] == [1]
    assert len(boss.reported(InstanceStarted)) == 1


def test_one_that_is_adopted_is_reported_with_whether_it_waits_for_a_host(front: FrontEnd, bosses: list[Boss]) -> None:
    front.knobs.no_capacity = True
    marks = {"ECLOUD_DEPLOYMENT": "d1", "ECLOUD_INSTANCE": "1", "ECLOUD_WORKER": "cloud-1"}
    front.make("ecloud", "ecloud-cloud-1", marks)
    boss = Boss(front, [Recorded(instance=1, worker="cloud-1", reference="0")])
    bosses.append(boss)
    boss.wait(lambda: boss.reported(InstanceStarted), "it is found")
    assert boss.reported(InstanceStarted)[0].waiting
    front.knobs.no_capacity = False
    boss.wait(lambda: boss.reported(InstancePlaced), "it is taken")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError("no port"), "its machine cannot be prepared: no port"),
        (KeyError("x"), "its machine cannot be prepared (internal error): KeyError('x')"),
    ],
    ids=["expected", "a bug"],
)
def test_a_machine_that_cannot_be_prepared_is_reported_at_once_and_holds_up_no_other(
    front: FrontEnd, bosses: list[Boss], fault: Exception, words: str
) -> None:
    boss = Boss(front)
    bosses.append(boss)
    good = boss.provider._bootstrap_data

    def data(instance: int, worker: str) -> BootstrapData:
        if instance == 1:
            raise fault
        return good(instance, worker)

    boss.provider._bootstrap_data = data
    boss.provider.start(1, "cloud-1")
    boss.provider.start(2, "cloud-2")
    boss.wait(lambda: boss.reported(InstanceStartFailed) and boss.reported(InstanceStarted), "both are reported")
    assert [(event.instance, event.reason) for event in boss.reported(InstanceStartFailed)] == [(1, words)]
    assert [event.instance for event in boss.reported(InstanceStarted)] == [2]


def test_a_template_whose_own_script_cannot_be_read_is_reported_and_not_dropped(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    front.templates[0].attributes["CONTEXT"]["START_SCRIPT_BASE64"] = "abcde"
    boss = Boss(front)
    bosses.append(boss)
    boss.provider.start(1, "cloud-1")
    boss.wait(lambda: boss.reported(InstanceStartFailed), "it is reported")
    assert "a START_SCRIPT_BASE64 that is no base64: correct it there" in boss.reported(InstanceStartFailed)[0].reason


def test_while_the_front_end_is_away_nothing_is_lost_and_it_goes_on_automatically(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    boss = started(front, bosses)
    front.knobs.down = True
    boss.wait(lambda: boss.provider.warning, "it is reported")
    assert "HTTP 503" in boss.provider.warning and "it is tried again automatically" in boss.provider.warning
    assert "XML-RPC address" not in boss.provider.warning, "the address is right"
    boss.provider.start(2, "cloud-2")
    time.sleep(0.5)
    assert boss.reported(InstanceEnded) == []
    front.knobs.down = False
    boss.wait(lambda: len(boss.reported(InstanceStarted)) == 2, "the second is started")
    boss.wait(lambda: not boss.provider.warning, "the warning is over")
    assert len(front.machines) == 2


@pytest.mark.parametrize(("state", "words"), [((3, 36), "cannot start the domain"), ((8, 0), "switched")])
def test_a_machine_that_cannot_run_is_ended_and_reported(
    front: FrontEnd, bosses: list[Boss], state: tuple[int, int], words: str
) -> None:
    front.knobs.stuck = [state]
    boss = started(front, bosses)
    boss.wait(lambda: boss.reported(InstanceEnded), "it ended")
    assert words in boss.reported(InstanceEnded)[0].reason
    assert not front.alive()


def test_a_machine_that_was_ended_elsewhere_is_reported(front: FrontEnd, bosses: list[Boss]) -> None:
    boss = started(front, bosses, 2)
    boss.wait(lambda: front.state(front.machines[0]) == (3, 3), "it runs")
    front.act(front.users["ecloud"], "terminate-hard", 0)
    boss.wait(lambda: boss.reported(InstanceEnded), "it ended")
    assert [event.instance for event in boss.reported(InstanceEnded)] == [1]
    assert "does not list" in boss.reported(InstanceEnded)[0].reason


def test_calls_are_few_and_machines_are_begun_one_by_one(front: FrontEnd, bosses: list[Boss]) -> None:
    boss = started(front, bosses, 10, start_seconds=0.05, poll_seconds=0.5)
    times = [at for at, name in front.calls if name == "template.instantiate"]
    assert times[-1] - times[0] >= 8 * 0.05
    front.calls.clear()
    time.sleep(1.0)
    assert 1 <= len(front.calls) <= 3, "one list a cycle, whatever the number of machines"
    assert len(boss.reported(InstanceStarted)) == 10


def test_a_boss_that_was_killed_anywhere_between_intent_call_and_record_leaves_no_orphan_and_no_double(
    front: FrontEnd, bosses: list[Boss]
) -> None:
    """A hundred instances; of each the dead boss had come to another point."""
    draw = random.Random(7)
    recorded, made, expected = [], {}, set()
    for number in range(1, 101):
        worker = f"cloud-{number}"
        reached = draw.choice(("intent", "called", "recorded", "gone"))
        if reached == "intent":
            recorded.append(Recorded(instance=number, worker=worker, reference=""))
            continue
        marks = {"ECLOUD_DEPLOYMENT": "d1", "ECLOUD_INSTANCE": str(number), "ECLOUD_WORKER": worker}
        made[number] = front.make("ecloud", f"ecloud-{worker}", marks)
        if reached == "gone":
            continue  # its row is closed: the machine is an orphan
        expected.add(number)
        reference = str(made[number].id) if reached == "recorded" else ""
        recorded.append(Recorded(instance=number, worker=worker, reference=reference))
    boss = Boss(front, recorded)
    bosses.append(boss)
    boss.wait(
        lambda: len(boss.reported(InstanceStarted)) + len(boss.reported(InstanceStartFailed)) == len(recorded),
        "what became of every instance is reported",
    )
    boss.wait(lambda: len(front.alive()) == len(expected), "orphans are gone")
    assert {event.instance for event in boss.reported(InstanceStarted)} == expected
    assert {int(machine.user_template["ECLOUD_INSTANCE"]) for machine in front.alive()} == expected
    assert front.count("template.instantiate") == 0


def test_an_address_without_a_front_end_is_reported_as_away() -> None:
    with FrontEnd() as front:
        endpoint = front.endpoint
    with pytest.raises(CloudError, match="cannot be reached") as caught:
        CloudClient(endpoint, "ecloud", "secret").images()
    assert caught.value.kind == "away"
    assert str(caught.value).endswith("cannot be reached (Connection refused)")
    assert being_tried(caught.value).endswith("(Connection refused); it is tried again automatically")


def test_a_wrong_path_asks_whether_the_address_is_right(front: FrontEnd) -> None:
    with pytest.raises(CloudError, match=r"HTTP 404 .*: is it the XML-RPC address \(\.\.\./RPC2\)\?"):
        CloudClient(front.endpoint.replace("RPC2", "RPC3"), "ecloud", "secret").images()


def test_a_server_that_is_silent_is_reported_with_how_long_it_was_waited_for(front: FrontEnd) -> None:
    front.knobs.before["imagepool.info"] = 1.0
    with pytest.raises(CloudError) as caught:
        CloudClient(front.endpoint, "ecloud", "secret", answer_seconds=0.3).images()
    assert str(caught.value) == f"{front.endpoint} did not answer in time, which is 0.3 s"
    assert caught.value.kind == "unclear"
