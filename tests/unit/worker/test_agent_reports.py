"""What an agent says and when: hello, resending, batching, heartbeats, order numbers, deployments, the end."""

from __future__ import annotations

from itertools import pairwise

from tests.worlds.agent import World, run, succeeded
from wire.messages import Heartbeat, HeldAttempt, Leaving, Outcome, PhaseReached, Returned, SayHello, Welcome
from worker.agent.effects import AdoptDeployment, KillExecution
from worker.agent.events import (
    CacheChanged,
    DiskMeasured,
    LinkConnected,
    LinkDisconnected,
    OrdersArrived,
    OtherAgentSeen,
    ProgressReported,
    TermReceived,
)
from worker.agent.state import IgnoredOrder

WELCOME = Welcome(heartbeat_seconds=5.0, orphan_after_seconds=600.0)


def test_hello_is_the_first_word_and_is_said_again_until_it_is_answered() -> None:
    world = World(connected=False)
    world.event(LinkConnected())
    world.pass_time(0.0)
    assert len(world.hellos()) == 1
    world.pass_time(10.0)
    repeated = len(world.hellos())
    assert 3 <= repeated <= 5
    world.order(WELCOME)
    world.pass_time(60.0)
    assert len(world.hellos()) == repeated


def test_hello_states_what_is_held_and_unacknowledged_ends_follow() -> None:
    world = World(slots=1, initialized=[3], cached=["b2:old", "b2:new"])
    world.order(run(1), run(2))
    world.end(1)
    world.event(LinkDisconnected())
    world.clear()
    world.event(LinkConnected())
    world.pass_time()
    (message,) = world.messages
    hello, outcome = message.reports
    assert hello.held == [
        HeldAttempt(task=1, attempt=1, phase="ended"),
        HeldAttempt(task=2, attempt=1, phase="executing"),
    ]
    assert hello.initialized == [3] and hello.cached == ["b2:new", "b2:old"]
    assert outcome == succeeded(1)


def test_kept_outcomes_of_an_earlier_start_are_reported_after_the_hello() -> None:
    world = World(connected=False, kept=[succeeded(4, 2, seconds=1.0)])
    world.event(LinkConnected())
    world.pass_time()
    assert world.hellos()[0].held == [HeldAttempt(task=4, attempt=2, phase="ended")]
    assert world.of(Outcome) == [succeeded(4, 2, seconds=1.0)]


def test_an_outcome_is_sent_again_with_growing_pauses_until_acknowledged() -> None:
    world = World()
    world.order(run(1))
    world.end(1)
    world.pass_time(0.0)
    times = []
    for _ in range(2000):
        before = len(world.of(Outcome))
        world.pass_time(0.1)
        if len(world.of(Outcome)) > before:
            times.append(round(world.now))
    assert [later - earlier for earlier, later in pairwise(times)][:4] == [4, 8, 16, 30]
    world.acknowledge((1, 1))
    world.clear()
    world.pass_time(200)
    assert world.of(Outcome) == []


def test_on_an_idle_worker_a_short_attempt_is_one_message_without_its_phase() -> None:
    world = World()
    world.order(run(1))
    world.pass_time(0.003)
    world.end(1)
    world.pass_time(0.0)
    (message,) = world.messages
    assert message.reports == [succeeded(1)]
    assert message.confirms == [world.number]


def test_a_long_attempt_tells_that_it_executes() -> None:
    world = World()
    world.order(run(1))
    world.pass_time(0.1)
    assert world.of(PhaseReached) == [PhaseReached(task=1, attempt=1, phase="executing")]


def test_under_load_outcomes_gather_and_the_last_one_leaves_at_once() -> None:
    world = World(slots=1)
    world.order(*(run(task) for task in range(1, 41)))
    for task in range(1, 41):
        world.pass_time(0.001)
        world.end(task)
    world.pass_time(0.0)
    assert len(world.of(Outcome)) == 40
    assert len(world.messages) <= 4


def test_many_outcomes_do_not_wait_once_they_are_more_than_what_is_left_to_begin() -> None:
    world = World(slots=1)
    world.order(*(run(task) for task in range(1, 101)))
    for task in range(1, 49):
        world.end(task)
        world.pass_time(0.0)
    assert world.of(Outcome) == []
    for task in range(49, 52):
        world.end(task)
        world.pass_time(0.0)
    assert len(world.of(Outcome)) >= 49


def test_messages_are_split_below_the_size_limit() -> None:
    world = World(slots=50, message_bytes=100_000)
    world.order(*(run(task) for task in range(1, 51)))
    for task in range(1, 51):
        world.end(task, stderr_tail="\x01" * 8000)
    world.pass_time(0.1)
    from wire.codec import encode

    assert len(world.of(Outcome)) == 50
    assert len(world.messages) > 10
    assert max(len(encode(message)) for message in world.messages) < 100_000


def test_message_numbers_rise() -> None:
    world = World()
    world.order(run(1))
    world.end(1)
    world.pass_time(100)
    numbers = [message.number for message in world.messages]
    assert numbers == sorted(set(numbers))


def test_heartbeats_come_only_when_nothing_else_was_said() -> None:
    world = World()
    world.pass_time(21)
    assert len(world.of(Heartbeat)) == 4
    world.clear()
    for task in range(1, 11):
        world.order(run(task))
        world.end(task)
        world.acknowledge((task, 1))
        world.pass_time(2)
    assert world.of(Heartbeat) == []


def test_an_outcome_that_waits_for_company_goes_with_the_sign_of_life_that_is_due_meanwhile() -> None:
    world = World(slots=1)
    world.order(run(1), run(2))
    world.pass_time(5.03)  # the last word was said after 0.05
    world.end(1)  # it waits, because another one is left to begin
    assert world.of(Outcome) == []
    world.pass_time(0.1)
    assert len(world.of(Outcome)) == 1


def test_progress_and_cache_changes_ride_on_heartbeats_also_under_load() -> None:
    world = World(slots=2)
    world.order(run(100))
    world.event(DiskMeasured(123))
    for task in range(1, 11):
        world.event(ProgressReported(100, 1, task / 10))
        world.event(CacheChanged(cached=[f"b2:{task}"]))
        world.order(run(task))
        world.end(task)
        world.pass_time(1)
    beats = world.of(Heartbeat)
    assert 1 <= len(beats) <= 3
    assert beats[-1].disk_free == 123
    assert beats[-1].progress[0][:2] == (100, 1)
    assert beats[0].cached


def test_welcome_sets_the_heartbeat() -> None:
    world = World()
    world.order(Welcome(heartbeat_seconds=1.0, orphan_after_seconds=600.0))
    world.clear()
    world.pass_time(10.5)
    assert len(world.of(Heartbeat)) >= 9


def test_orders_of_another_deployment_incarnation_or_an_old_number_are_ignored() -> None:
    world = World()
    world.order(run(1), deployment="other")
    world.order(run(2), receiver="i0")
    world.order(run(3))
    world.order(run(4), number=world.number)
    world.order(run(5), epoch=0)
    world.order(run(6), number=1)
    assert world.begun() == [(3, 1)]
    assert world.agent.state.ignored == {
        IgnoredOrder.OTHER_DEPLOYMENT: 1,
        IgnoredOrder.OTHER_INCARNATION: 1,
        IgnoredOrder.NOT_NEWER: 3,
    }


def test_a_message_delivered_twice_acts_once() -> None:
    world = World(slots=4)
    world.number += 1
    message = world.message(run(1))
    world.event(OrdersArrived(message))
    world.event(OrdersArrived(message))
    assert world.begun() == [(1, 1)]


def test_a_new_epoch_may_count_from_one_again_and_the_old_boss_is_not_obeyed_any_more() -> None:
    world = World()
    world.order(run(1))
    world.order(run(2), epoch=2, number=1)
    world.order(run(3), epoch=1, number=999)
    assert world.begun() == [(1, 1), (2, 1)]
    world.pass_time(0.1)
    assert (world.messages[-1].epoch, world.messages[-1].confirms) == (2, [1])


def test_every_taken_order_message_is_confirmed_once() -> None:
    world = World()
    first = world.number + 1
    world.order(run(1))
    world.order(run(2))
    world.pass_time(1)
    assert [number for message in world.messages for number in message.confirms] == [first, first + 1]


def test_a_new_boss_hears_a_hello_at_once() -> None:
    world = World()
    world.boss(epoch=1, retained=True)
    world.pass_time()
    assert world.hellos() == []
    world.boss(epoch=2)
    world.pass_time()
    assert len(world.hellos()) == 1


def test_a_late_presence_of_an_older_boss_changes_nothing() -> None:
    world = World()
    world.boss(epoch=3)
    world.order(WELCOME, epoch=3)
    world.pass_time()
    world.clear()
    world.boss(epoch=2)
    world.boss(epoch=2, online=False)
    world.pass_time(1)
    assert world.hellos() == []


def test_the_boss_can_ask_for_a_hello() -> None:
    world = World()
    world.order(SayHello())
    world.pass_time()
    assert len(world.hellos()) == 1


def test_a_silent_boss_is_asked_by_a_hello_and_one_that_answers_is_no_reason_to_end() -> None:
    world = World()
    for _ in range(40):
        world.pass_time(50)
        if world.hellos():
            world.order(WELCOME)
            world.clear()
    assert world.exit is None


def test_without_a_word_from_the_boss_the_worker_kills_what_runs_and_ends() -> None:
    world = World(orphan_after_seconds=600.0)
    world.order(run(1))
    world.event(LinkDisconnected())
    world.pass_time(599)
    assert world.did(KillExecution) == []
    world.pass_time(2)
    assert len(world.did(KillExecution)) == 1
    assert world.exit is None
    world.end(1, ended="cancelled")
    assert world.exit is not None and world.exit.code == 1
    assert "600 s" in world.exit.reason


def test_a_worker_that_never_heard_a_boss_ends_too() -> None:
    world = World(connected=False, orphan_after_seconds=10.0)
    world.pass_time(11)
    assert world.exit is not None


def test_the_first_term_gives_back_and_drains_and_ends_after_the_acknowledgements() -> None:
    world = World(slots=1)
    world.order(run(1), run(2))
    world.event(TermReceived())
    world.pass_time(1)
    assert world.of(Leaving) and world.of(Returned) == [Returned(task=2, attempt=1)]
    assert world.did(KillExecution) == []
    world.end(1)
    world.pass_time(1)
    assert world.exit is None
    world.acknowledge((1, 1), (2, 1))
    world.pass_time(1)
    assert world.exit is not None and world.exit.code == 0


def test_after_term_an_end_that_is_not_acknowledged_does_not_hold_the_worker_for_ever() -> None:
    world = World()
    world.order(run(1))
    world.event(TermReceived())
    world.end(1)
    world.pass_time(60)
    assert world.exit is not None


def test_the_second_term_kills_what_runs() -> None:
    world = World()
    world.order(run(1))
    world.event(TermReceived())
    world.event(TermReceived())
    assert len(world.did(KillExecution)) == 1
    world.event(TermReceived())
    assert len(world.did(KillExecution)) == 1
    world.end(1, ended="cancelled")
    world.pass_time(0.1)
    assert world.exit is not None
    assert [(outcome.ended, outcome.fault) for outcome in world.of(Outcome)] == [("cancelled", "task")]


def test_an_idle_worker_ends_at_once_on_term() -> None:
    world = World()
    world.event(TermReceived())
    world.pass_time(0.0)
    assert world.of(Leaving)
    assert world.exit is not None


def test_two_agents_with_one_id_are_reported_and_the_older_one_ends() -> None:
    world = World()
    world.event(OtherAgentSeen("i2"))
    world.pass_time(1)
    assert world.exit is not None and world.exit.code == 1
    assert "'w1'" in world.exit.reason


def test_a_worker_with_a_configured_deployment_ignores_other_bosses() -> None:
    world = World()
    world.order(run(1))
    world.boss(epoch=9, deployment="other")
    world.pass_time(1)
    assert world.phases() == {(1, 1): "executing"}
    assert world.did(KillExecution) == []


def test_a_worker_without_a_configured_deployment_takes_the_first_boss_and_drops_all_for_another_one() -> None:
    world = World(connected=False, deployment="")
    world.event(LinkConnected())
    world.pass_time(5)
    assert world.messages == []
    world.boss(epoch=1, retained=True)
    world.pass_time()
    assert world.messages[0].deployment == "d"
    world.order(WELCOME, run(1))
    world.boss(epoch=1, deployment="other", retained=True)
    assert len(world.did(KillExecution)) == 1
    assert world.did(AdoptDeployment) == [AdoptDeployment("d"), AdoptDeployment("other")]
    world.end(1, ended="cancelled")
    world.pass_time(1)
    assert world.hellos()[-1].held == []
    assert world.messages[-1].deployment == "other"


def test_nothing_is_said_without_a_link() -> None:
    world = World()
    world.order(run(1))
    world.event(LinkDisconnected())
    world.clear()
    world.end(1)
    world.pass_time(100)
    assert world.messages == []
