"""Generated pushes: chains, fans, diamonds, random graphs, wide then narrow, with tasks of every behaviour."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

import msgspec

from boss.core.model import InitSpec, Profile, SentFile, Submission
from tests.simulation.workers import content_of
from wire.messages import Execution, Input, ResultItem

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Behaviour:
    """What a task does when it runs; travels in its environment."""

    #: None: never ends unless it is killed.
    seconds: float | None
    #: How it ends at each attempt; the last holds for all later ones.
    plan: tuple[str, ...] = ("succeeded",)

    #: Only on this worker; elsewhere it succeeds. Empty: everywhere.
    only_on: str = ""

    def ends(self, attempt: int, worker: str) -> str:
        if self.only_on and worker != self.only_on:
            return "succeeded"
        return self.plan[min(attempt, len(self.plan)) - 1]

    def env(self) -> dict[str, str]:
        seconds = "" if self.seconds is None else repr(self.seconds)
        return {"SECONDS": seconds, "PLAN": ",".join(self.plan), "ONLY_ON": self.only_on}

    @classmethod
    def of(cls, env: dict[str, str]) -> Behaviour:
        seconds = env.get("SECONDS", "1.0")
        plan = tuple(env.get("PLAN", "succeeded").split(","))
        return cls(float(seconds) if seconds else None, plan, env.get("ONLY_ON", ""))


#: How tasks end, and how often each kind is met: in calm worlds, and in all.
_PLANS: list[tuple[tuple[str, ...], int, int]] = [
    (("succeeded",), 40, 40),
    (("failed",), 2, 2),
    (("failed", "succeeded"), 4, 4),
    (("timed_out", "failed", "succeeded"), 2, 2),
    (("killed", "succeeded"), 2, 1),
    (("worker_fault", "worker_fault", "succeeded"), 0, 2),
    (("poison",), 0, 1),
]
#: Init tasks: most simply succeed, some fail at first, some only on one worker.
_INITS = [
    Behaviour(0.5),
    Behaviour(0.5),
    Behaviour(0.5, ("failed", "succeeded")),
    Behaviour(0.5, ("failed", "failed", "failed", "failed", "succeeded"), "local-1"),
]


def shape(chance: random.Random, count: int) -> list[list[int]]:
    """Dependencies of each task, as indexes."""
    kind = chance.choice(["none", "chain", "fan", "diamond", "random", "wide_narrow", "layers"])
    if kind == "none":
        return [[] for _ in range(count)]
    if kind == "chain":
        return [[index - 1] if index else [] for index in range(count)]
    if kind == "fan":
        return (
            [[], *[[0] for _ in range(count - 2)], list(range(1, count - 1))]
            if count > 2
            else [[] for _ in range(count)]
        )
    if kind == "diamond":
        graph: list[list[int]] = []
        for index in range(count):
            at = index % 4
            base = index - at
            graph.append([[base - 1] if base else [], [base], [base], [base + 1, base + 2]][at])
        return graph
    if kind == "random":
        return [sorted(chance.sample(range(index), min(index, chance.randint(0, 3)))) for index in range(count)]
    if kind == "wide_narrow":
        half = count // 2
        return [[] if i < half else list(range(half)) if i == half else [half] for i in range(count)]
    width = max(1, count // 4)
    return [
        [] if i < width else chance.sample(range((i // width - 1) * width, (i // width) * width), 1)
        for i in range(count)
    ]


def submission(
    chance: random.Random,
    name: str,
    count: int,
    *,
    project: str = "default",
    older: list[str] | None = None,
    calm: bool = False,
    declaring: dict[int, bool] | None = None,
) -> Submission:
    """A push of `count` tasks, some of which depend on `older` tasks of the project.

    `declaring`: index -> whether that task has results, where that is not left to chance.
    """
    graph = shape(chance, count)
    order = list(range(count))
    with_results = [chance.random() < 0.5 for _ in range(count)]
    for index, declares in (declaring or {}).items():
        with_results[index] = declares
    ids = [f"{name}{index}" for index in order]
    profiles = [
        Profile(retries=retries, retry_delay=1.0, staging=staging, overwrite_result=overwrite, slots=slots, priority=p)
        for retries in (None, 2)
        for staging in (False, True)
        for overwrite in (True, False)
        for slots in (1, 2)
        for p in (0, 1)
    ]
    result = Submission(project=project, name=name, ids=ids, profiles=profiles)
    starts, targets, profile_of = array("I", [0]), array("I"), array("I")
    sent = chance.random() < 0.4
    digest = content_of(0, 0, name)
    if sent:
        result.files = [SentFile(name=f"{name}.inp", digest=digest, size=10)]
    for index in order:
        targets.extend(graph[index])
        starts.append(len(targets))
        plan = chance.choices([one[0] for one in _PLANS], [one[1 if calm else 2] for one in _PLANS])[0]
        hangs = not calm and chance.random() < 0.02
        if not calm and random.Random(f"{name} {graph} {index}").random() < 0.02:
            plan = ("worker_fault",)  # wherever it runs, its machine has not enough of something
        behaviour = Behaviour(None if hangs else chance.choice([0.0, 0.1, 1.0, 5.0, 40.0]), plan)
        timeout = chance.choice([None, 20.0]) if hangs else None
        results = [ResultItem(source="out", target=f"{name}/{index}.out")] if with_results[index] else []
        execution = Execution(commands=["work"], env=behaviour.env(), results=results, timeout=timeout)
        inputs = [Input(name=f"{name}/{i}.out", path=f"in{i}") for i in graph[index] if with_results[i]]
        inputs += [Input(name=f"{name}.inp", path="net.inp", digest=digest)] if sent and chance.random() < 0.5 else []
        result.executions.append(_encode(execution))
        result.requirements.append(_encode(inputs) if inputs else b"")
        result.contents.append(f"{name}{index}".encode().ljust(16)[:16])
        wanted = Profile(
            retries=chance.choice([None, 2, 2]),
            retry_delay=1.0,
            staging=bool(inputs),
            overwrite_result=not results or chance.random() < 0.8,
            slots=chance.choice([1, 1, 1, 2]),
            priority=chance.choice([0, 0, 1]),
            inputs=tuple((one.digest, 10) for one in inputs if one.digest),
        )
        if wanted not in profiles:
            profiles.append(wanted)
        profile_of.append(profiles.index(wanted))
        result.results += [(one.target, index) for one in results]
        if older and chance.random() < 0.3:
            result.external.append((index, chance.choice(older)))
    if chance.random() < 0.3:
        init = Execution(commands=["prepare"], env=chance.choice(_INITS[:3] if calm else _INITS).env())
        result.inits = [InitSpec(id=f"{name}-init", execution=_encode(init))]
    result.profile_of = profile_of.tobytes()
    result.dependency_starts = starts.tobytes()
    result.dependency_targets = targets.tobytes()
    return result


def edited(chance: random.Random, base: Submission) -> Submission:
    """The next version of a push: one task or two are described otherwise, and do the same."""
    lists = {name: list(getattr(base, name)) for name in ("executions", "contents", "warnings", "external")}
    made = msgspec.structs.replace(base, merge_strategy="", confirmed=False, **lists)
    for index in chance.sample(range(len(made.ids)), min(len(made.ids), chance.randint(1, 2))):
        execution = msgspec.json.decode(made.executions[index], type=Execution)
        execution = msgspec.structs.replace(execution, env=execution.env | {"NOTE": str(chance.random())})
        made.executions[index] = _encode(execution)
        made.contents[index] = f"{made.ids[index]}!{chance.random()}".encode().ljust(16)[:16]
    if chance.random() < 0.4:
        others = [InitSpec(id=f"{base.name}-{word}", execution=_init(chance, word)) for word in ("first", "second")]
        made.inits = chance.choice([[], others[:1], others, [*base.inits, others[0]], [others[1], *base.inits]])
    return made


def _init(chance: random.Random, word: str) -> bytes:
    return _encode(Execution(commands=[f"prepare {word} {chance.random()}"], env=Behaviour(0.5).env()))


def pushed_again(chance: random.Random, base: Submission, declaring: dict[int, bool], others: list[str]) -> Submission:
    """A push of the tasks of `base` with a strategy: some as they were, some with another content, some new.

    `declaring`: what its tasks that are there declare (one that is kept as it is goes on doing so).
    """
    count = max([*declaring, 0]) + 1 + chance.randint(0, 2)
    older = others if chance.random() < 0.5 else None
    declaring = {index: declaring.get(index, index % 2 == 0) for index in range(count)}  # two such pushes may meet
    made = submission(chance, base.name, count, project=base.project, older=older, declaring=declaring)
    made.merge_strategy = chance.choice(["", "", "replace", "keep_succeeded"])
    variant = chance.choice(["", "'", '"'])
    for index in range(count):
        if chance.random() < 0.5:
            made.contents[index] = f"{made.ids[index]}{variant}".encode().ljust(16)[:16]
    return made
