"""Why things wait, as sentences; and which of them `status` shows, and since when."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from boss.core import waits
from boss.core.events import InstanceStartFailed, PauseAsked, QuarantineAsked
from boss.core.model import Profile, TaskState
from boss.core.policy import Policy, PoolPolicy
from boss.core.ready import Demand, Kind
from boss.core.reasons import NotMore, NotMoreKind, Pause, PauseKind, Quarantine, QuarantineKind
from boss.core.scheduler import Scheduler
from boss.core.waits import BossWarning, Dependency, Lack, Misfit, VersionAnswer, Wait, WaitKind
from boss.status import LASTS_SECONDS, ReasonContext, StatusReasons, sentence, status_reason
from tests.worlds.scheduler import World

CLOUD = PoolPolicy(
    name="cloud",
    provider="opennebula",
    min_workers=0,
    max_workers=4,
    boot=60.0,
    idle=30.0,
    slots=2,
    keeps_home=False,
    cost_weight=0.0,
)
LONG = Profile(expect=600.0)
WALL = 1_700_000_000.0
LATER = time.strftime("%H:%M:%S", time.localtime(WALL + 30.0))
SMALL = Misfit(Kind("local", (), 1, 0), 1, (Lack.SLOTS, Lack.MEMORY))
NONE_LEFT = Misfit(Kind("", (), 4, 0), 2, (Lack.POOL, Lack.LABELS))
CLOUDY = Misfit(Kind("cloud", (), 2, 0), 0, (Lack.LABELS,))
AB = (Dependency(1, TaskState.RUNNING), Dependency(2, TaskState.FAILED))

SENTENCES: list[tuple[Wait, str]] = [
    (BossWarning("broker", "the broker cannot be started again"), "the broker cannot be started again"),
    (waits.Stopping(), "the boss is stopping and sends nothing more; the next boss goes on with all tasks"),
    (waits.NoBroker(), "the boss is not connected to its broker; it reconnects automatically"),
    (
        waits.NoDatastore(),
        "the datastore is not connected: its program has not said hello; tasks with files wait for it",
    ),
    (waits.DatastoreHeld("the disk is full"), "datastore: the disk is full"),
    (
        waits.FileNotStored("net.inp", "b2:0", "no room"),
        "the datastore has not stored the sent file 'net.inp' yet: no room; the boss retries automatically",
    ),
    (
        waits.ClaimRefused("lab-2", "gpu", (("engine", "2.3"), ("a", "b" * 99)), 5000, "", 1024),
        f"worker lab-2 states pool 'gpu' and labels 'engine=2.3', 'a={'b' * 58}' and 5,000 slots, which its login does "
        "not grant: it works on without and counts with 1024; to allow it: admin.py login lab-2 --pool POOL --label "
        "NAME=VALUE --slots N",
    ),
    (
        waits.ClaimRefused("cloud-2", "", (("engine", "2.3"),), 0, "cloud", 4),
        "worker cloud-2 states label 'engine=2.3', which the settings of its pool cloud do not grant: it works on "
        "without; to allow it, set it in [pools.cloud] (slots, labels)",
    ),
    (
        waits.ClaimRefused("lab-2", "", (), 1, "", 4),
        "worker lab-2 states 1 slot, which its login does not grant: it works on without and counts with 4; to allow "
        "it: admin.py login lab-2 --pool POOL --label NAME=VALUE --slots N",
    ),
    (
        waits.OtherVersion("lab-2", 1, 2, VersionAnswer.REFUSED),
        "worker lab-2 speaks version 1 of the protocol and the boss version 2: it is refused and gets no tasks; "
        "update ecloud where it runs and start it again",
    ),
    (
        waits.OtherVersion("lab-2", 3, 2, VersionAnswer.REFUSED),
        "worker lab-2 speaks version 3 of the protocol and the boss version 2: it is refused and gets no tasks; "
        "update ecloud where the boss runs",
    ),
    (
        waits.OtherVersion("datastore", 1, 2, VersionAnswer.REFUSED),
        "the datastore speaks version 1 of the protocol and the boss version 2: it is refused, and tasks with files "
        "wait; update ecloud where it runs and start it again",
    ),
    (
        waits.OtherVersion("cloud-1", 1, 2, VersionAnswer.REPLACED),
        "worker cloud-1 speaks version 1 of the protocol and the boss version 2: it fetches the boss's program, "
        "finishes what it executes and comes back with that program",
    ),
    (
        waits.OtherVersion("local-1", 1, 2, VersionAnswer.STOPPED),
        "worker local-1 speaks version 1 of the protocol and the boss version 2: it finishes what it executes and "
        "stops; the boss starts another one in its place",
    ),
    (waits.Dependencies(1), "it waits for 1 dependency"),
    (waits.Dependencies(4, AB), "it waits for 4 dependencies: 'a' (running), task number 2 (failed), 2 more"),
    (
        waits.Blocked(1, AB[1:]),
        "it is blocked by 1 dependency: task number 2 (failed); it follows automatically once the failed tasks are "
        "retried: admin.py retry_failed",
    ),
    (
        waits.BatchPaused(3, Pause(PauseKind.OPERATOR, "lunch")),
        "batch 3 is paused: lunch; resume it with: admin.py resume_batch 3",
    ),
    (waits.FilesWaiting(3, 1), "1 file sent with batch 3 is not on the datastore yet"),
    (waits.FilesWaiting(3, 2), "2 files sent with batch 3 are not on the datastore yet"),
    (waits.Retry(WALL + 30.0, 1, 3), f"the boss sends it again at {LATER} (in 30 s); it has used 1 of 3 retries"),
    (waits.Retry(WALL + 30.0, 0, 3), f"the boss sends it again at {LATER} (in 30 s); it has used no retry"),
    (waits.ResultsSought(), "the datastore checks whether its results exist already"),
    (waits.InputsAwaited(), "its inputs are compared with those with which it succeeded before"),
    (waits.NoWorker(there=False, coming=0), "there is no worker; tasks wait until one says hello"),
    (
        waits.NoWorker(there=False, coming=4),
        "there is no worker (4 are being started); tasks wait until one says hello",
    ),
    (
        waits.NoWorker(there=True, coming=1),
        "no worker takes tasks at present (1 is being started); tasks wait until one does",
    ),
    (
        waits.NoFit(Demand("", (("gpu", "yes"),), 1, 0), 20, True, (CLOUDY,)),
        "20 queued tasks fit no worker, and none that a pool could start: they require 1 slot, gpu=yes "
        "(pool cloud: other labels)",
    ),
    (
        waits.NoFit(Demand("cloud", (("gpu", "yes"),), 2, 4_000_000_000), 1, False, (SMALL, NONE_LEFT)),
        "1 queued task fits no worker: it requires 2 slots, 4 GB of memory, pool 'cloud', gpu=yes "
        "(1 worker of pool local: too few slots, too little memory; 2 workers of no pool: another pool, other labels)",
    ),
    (waits.NoFit(Demand("", (), 2, 0), 2, False), "2 queued tasks fit no worker: they require 2 slots"),
    (
        waits.UnknownPool("moon", 20, ("cloud", "local")),
        "20 queued tasks require the pool 'moon': the settings have no such pool (there are: cloud, local), and no "
        "worker is of it",
    ),
    (
        waits.UnknownPool("moon", 1, ()),
        "1 queued task requires the pool 'moon': the settings have no such pool (there are: none), and no worker is "
        "of it",
    ),
    (waits.WorkersBusy(1, 2, 1), "1 worker with 2 slots could run it and is busy; 1 task waits for it"),
    (waits.WorkersBusy(2, 8, 20), "2 workers with 8 slots could run it and are busy; 20 tasks wait for them"),
    (
        waits.WorkersNotServing(1, 2, 0),
        "the workers that could run it take no tasks: 1 is draining, 2 are lost",
    ),
    (
        waits.WorkersNotServing(0, 0, 1),
        "the workers that could run it take no tasks: 1 is not connected",
    ),
    (
        waits.WorkerQuarantined("w", Quarantine(QuarantineKind.FAILURES, "3 attempts failed"), WALL + 30.0),
        f"worker w is quarantined: 3 attempts failed; it gets a test task at {LATER} (in 30 s), or release it "
        "with: admin.py release w",
    ),
    (
        waits.WorkerQuarantined("w", Quarantine(QuarantineKind.FAILURES, "3 attempts failed"), 0.0),
        "worker w is quarantined: 3 attempts failed; release it with: admin.py release w",
    ),
    (
        waits.WorkerQuarantined("w", Quarantine(QuarantineKind.OPERATOR, "manual: odd"), 0.0),
        "worker w is quarantined: manual: odd; release it with: admin.py release w",
    ),
    (
        waits.InputsNotBrought("w", "no route to host"),
        "worker w does not get its inputs: no route to host; the boss retries automatically",
    ),
    (waits.PoolGrows("cloud", 1), "pool cloud is starting 1 worker"),
    (
        waits.PoolLimited("cloud", NotMore(NotMoreKind.LIMIT, "the pool has its limit of 4")),
        "pool cloud gets no more workers: the pool has its limit of 4",
    ),
    (
        waits.PoolCannotGrow("cloud", "no quota", WALL + 30.0),
        f"pool cloud cannot grow: no quota; work goes on with the workers there are, and the boss retries at {LATER} "
        "(in 30 s)",
    ),
    (
        waits.PoolStartsFail("cloud", 2, "the template is broken", 0.0),
        "pool cloud: 2 starts in a row failed: the template is broken; the boss retries automatically",
    ),
    (
        waits.PoolStartsFail("cloud", 1, "the template is broken", WALL + 30.0),
        f"pool cloud: a start failed: the template is broken; the boss retries at {LATER} (in 30 s)",
    ),
    (
        waits.PoolRemoved("cloud", 4),
        "pool 'cloud' is no longer in the settings: its 4 workers stop when they hold no task",
    ),
    (
        waits.PoolRemoved("cloud", 1),
        "pool 'cloud' is no longer in the settings: its 1 worker stops when it holds no task",
    ),
    (waits.Staging("w", WALL + 30.0), f"the datastore brings its inputs to worker w (asked at {LATER})"),
    (waits.Staging("w", 0.0), "the datastore brings its inputs to worker w"),
    (waits.InitTasks("w", 1, network=False), "worker w first runs 1 init task of its batch"),
    (
        waits.InitTasks("w", 2, network=True),
        "worker w first runs 2 init tasks of its batch, which wait for a network interface",
    ),
    (waits.SentAhead("w", connected=True), "it was sent ahead to worker w; it starts when a slot is free there"),
    (
        waits.SentAhead("w", connected=False),
        "it was sent ahead to worker w, which is not connected at present; it starts when a slot is free there",
    ),
    (waits.TakenBack("w"), "the boss has asked worker w to give it back"),
    (waits.Collecting("w"), "the datastore collects its results from worker w"),
]


@pytest.mark.parametrize(("wait", "words"), SENTENCES, ids=lambda one: "" if isinstance(one, str) else one.kind)
def test_each_reason_has_its_sentence(wait: Wait, words: str) -> None:
    assert sentence(wait, ReasonContext(WALL, ids={1: "a"})) == words


def test_every_kind_of_reason_is_among_them() -> None:
    assert {wait.kind for wait, _ in SENTENCES} == set(WaitKind)


def test_a_datastore_that_has_not_come_is_named_with_its_host() -> None:
    words = sentence(waits.NoDatastore(), ReasonContext(WALL, "store.example"))
    assert words.startswith("the datastore is not connected: its program on store.example has not said hello")


def test_a_reason_is_known_by_its_kind_and_what_it_is_about_whatever_its_numbers() -> None:
    first, later = (
        status_reason(waits.PoolCannotGrow("cloud", "no quota", WALL + left), ReasonContext(WALL)) for left in (9, 8)
    )
    assert (first.kind, first.about) == (later.kind, later.about) == (WaitKind.POOL_CANNOT_GROW, "cloud")
    assert first.text != later.text


# --- what `status` shows -------------------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Policy(pools=(CLOUD,)))
    yield made
    made.ignore()
    made.close()


def shown(world: World) -> list[str]:
    """What is shown once all of it has lasted."""
    reasons = StatusReasons()
    reasons.observe(world.state, [])
    world.state.now += LASTS_SECONDS
    found = reasons.observe(world.state, [])
    world.state.now -= LASTS_SECONDS
    return [reason.text for reason in found]


def test_the_first_status_shows_what_has_lasted_since_it_was_noted(world: World) -> None:
    push(world)
    reasons = StatusReasons()
    reasons.note(world.state)
    assert not reasons.observe(world.state, [])
    asked_late = StatusReasons()
    world.state.now += LASTS_SECONDS
    assert reasons.observe(world.state, []) and not asked_late.observe(world.state, [])
    world.state.now -= LASTS_SECONDS


def push(world: World, profile: Profile = LONG) -> None:
    world.push({str(number): "" for number in range(20)}, profile=profile)


def test_a_reason_whose_numbers_change_is_shown_once_it_has_lasted() -> None:
    reasons, state = StatusReasons(), Scheduler(Policy()).state
    for now in range(7):
        state.now = float(now)
        state.datastore.warning = f"{now} bytes are free"
        reported = [reason.text for reason in reasons.observe(state, []) if reason.kind is WaitKind.DATASTORE_HELD]
        assert reported == ([] if now < 5 else [f"datastore: {now} bytes are free"])
    state.datastore.warning = ""
    assert not [reason for reason in reasons.observe(state, []) if reason.kind is WaitKind.DATASTORE_HELD]


def test_what_was_decided_and_what_a_part_warns_of_is_shown_at_once(world: World) -> None:
    world.worker("w")
    world.push({"a": ""})
    world.turn(QuarantineAsked(worker="w", reason="odd"), PauseAsked(batch=1, reason="lunch"))
    warning = BossWarning("broker", "the broker cannot be started again")
    shown = [reason.text for reason in StatusReasons().observe(world.state, [warning])]
    assert shown == [
        warning.text,
        "worker w is quarantined: manual: odd; release it with: admin.py release w",
        "batch 1 is paused: lunch; resume it with: admin.py resume_batch 1",
    ]


def test_a_quota_is_shown_with_when_it_is_tried_again(world: World) -> None:
    push(world)
    assert not [line for line in shown(world) if "cannot grow" in line]
    world.turn(InstanceStartFailed(instance=min(world.state.instances), reason="no quota for a 5th VM", full=True))
    (line,) = [line for line in shown(world) if "cannot grow" in line]
    assert line.startswith("pool cloud cannot grow: no quota for a 5th VM; work goes on with the workers there are")
    assert "the boss retries at " in line and line.endswith("(in 25 s)")


def test_failures_in_a_row_are_shown_and_a_single_one_is_not(world: World) -> None:
    push(world)
    first, second, *_ = sorted(world.state.instances)
    world.turn(InstanceStartFailed(instance=first, reason="the template is broken"))
    assert not [line for line in shown(world) if "failed" in line]
    world.turn(InstanceStartFailed(instance=second, reason="the template is broken"))
    (line,) = [line for line in shown(world) if "failed" in line]
    assert line.startswith("pool cloud: 2 starts in a row failed: the template is broken; the boss retries ")


def test_tasks_that_require_a_pool_that_is_none_are_shown_with_those_that_are(world: World) -> None:
    push(world, Profile(pool="moon"))
    unknown = (
        "20 queued tasks require the pool 'moon': the settings have no such pool (there are: cloud), and no worker "
        "is of it"
    )
    assert unknown in shown(world)
    world.worker("by-hand", pool="moon")
    assert not [line for line in shown(world) if "no such pool" in line]


def test_tasks_that_a_pool_will_serve_are_not_said_to_fit_nothing(world: World) -> None:
    world.worker("by-hand", pool="", slots=1)
    push(world, Profile(slots=2))
    assert not [line for line in shown(world) if "fit no worker" in line]


def test_tasks_that_neither_a_worker_nor_a_pool_can_run_are_shown(world: World) -> None:
    push(world, Profile(labels={"gpu": "yes"}))
    (line,) = [line for line in shown(world) if "fit no worker" in line]
    assert line.startswith(
        "20 queued tasks fit no worker, and none that a pool could start: they require 1 slot, gpu=yes"
    )


def test_that_no_worker_is_there_says_how_many_are_coming(world: World) -> None:
    push(world)
    assert "there is no worker (4 are being started); tasks wait until one says hello" in shown(world)
