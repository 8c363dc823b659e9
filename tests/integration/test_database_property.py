"""Whatever graphs and moves were committed, a load gives them back: random worlds, on both kinds of server."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boss.core.model import Profile, TaskState
from boss.core.rows import AttemptRow, Changes, LoadedBatch, TaskRow
from boss.database import Database
from tests.worlds.database import Push, attempt

PROFILES = [Profile(), Profile(slots=2), Profile(labels={"gpu": "no"}, retries=3)]


@dataclass
class World:
    """What should be there."""

    pushes: dict[int, Push] = field(default_factory=dict)
    tasks: dict[int, TaskRow] = field(default_factory=dict)
    attempts: dict[tuple[int, int], AttemptRow] = field(default_factory=dict)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[int]]:
    """Tasks t0.. with dependencies as offsets from the first number: negative ones are of earlier batches."""
    size = draw(st.integers(0, 8))
    return {f"t{i}": draw(st.lists(st.integers(-5, i - 1), max_size=3, unique=True)) for i in range(size)}


states = st.sampled_from(list(TaskState))
small = st.integers(0, 3)
moves = st.lists(st.tuples(st.integers(0, 20), states, small, small, small, st.booleans()), max_size=6)
lives = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 3), st.sampled_from(["", "lost", "failed"])), max_size=4)
turns = st.lists(st.tuples(graphs(), st.lists(small, min_size=8, max_size=8), moves, lives), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns)
def test_a_load_gives_back_what_was_committed(database: Database, submitted: list[object]) -> None:
    world, first_batch = World(), database.load().next_batch
    for graph, profile_of, moved, lived in submitted:  # type: ignore[attr-defined]
        _one_turn(database, world, graph, profile_of, moved, lived)
    batches, outside, crossing = database.load_batches(list(world.pushes))
    assert [batch.row.number for batch in batches] == list(range(first_batch, first_batch + len(submitted)))
    for batch in batches:
        _compare(batch, world)
    assert set(crossing) == _crossing(world)
    inside = {number for batch in batches for number in range(batch.row.first, batch.row.first + batch.row.count)}
    assert set(outside) == {number for edge in crossing for number in edge} - inside
    loaded = database.load()
    live = [row for key, row in sorted(world.attempts.items()) if not row.ended]
    assert [row for row in loaded.attempts if row.task in inside] == live


def _one_turn(
    database: Database, world: World, graph: object, profile_of: object, moved: object, lived: object
) -> None:
    head = database.load()
    base = head.next_task
    edges = {id: [base + offset for offset in offsets if base + offset >= 1] for id, offsets in graph.items()}  # type: ignore[attr-defined]
    profiles = {id: PROFILES[choice % 3] for id, choice in zip(edges, profile_of, strict=False)}  # type: ignore[call-overload]
    push = Push(edges, project=f"p{head.next_batch}", first=base, batch=head.next_batch, profiles=profiles)
    changes = Changes(accepted=[push.accepted()])
    for offset, state, number, failures, deaths, cancelling in moved:  # type: ignore[attr-defined]
        if offset < len(edges):
            row = TaskRow(base + offset, state, number, failures, deaths, "why", cancelling, 1.0)
            changes.tasks[row.number] = row
    for offset, number, ended in lived:  # type: ignore[attr-defined]
        if offset < len(edges):
            changes.attempts[base + offset, number] = attempt(base + offset, number, ended=ended)
    database.commit(changes, 1.0)
    world.pushes[head.next_batch] = push
    world.tasks |= changes.tasks
    world.attempts |= changes.attempts


def _compare(batch: LoadedBatch, world: World) -> None:
    push = world.pushes[batch.row.number]
    assert batch.row == push.accepted().batch
    for index, id in enumerate(push.graph):
        number = push.first + index
        row = world.tasks.get(number, TaskRow(number, push.state(id), 0, 0, 0, "", False, 0.0))
        there = batch.states[index], batch.attempts[index], batch.failures[index], batch.deaths[index]
        assert there == (row.state, row.attempt, row.failures, row.deaths)
        assert (number in batch.cancelling) == row.cancelling
        assert batch.profiles[batch.profile_of[index]] == push.profiles.get(id, Profile())
        edges = batch.dependency_targets[batch.dependency_starts[index] : batch.dependency_starts[index + 1]]
        assert edges == array("q", push.graph[id])  # type: ignore[arg-type]


def _crossing(world: World) -> set[tuple[object, int]]:
    return {
        (dependency, push.number(id))
        for push in world.pushes.values()
        for id, needed in push.graph.items()
        for dependency in needed
        if isinstance(dependency, int) and dependency < push.first
    }
