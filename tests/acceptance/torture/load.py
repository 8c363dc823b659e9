"""The load: batches of short tasks that depend on one another within and across batches, most with a result file.

A task's result holds its id, its attempt and the digests of its parents' results, so that the right content of every
file can be computed from the attempts that the database says succeeded.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from boss.api.schema import SubmitAnswer
from boss.client.client import Client
from boss.client.upload import Sendable, send_files
from boss.intake.reader import PushOptions, encode_stream, read_file
from tests.acceptance.torture.place import Place

STEP = Path(__file__).with_name("step.sh")


@dataclass
class Task:
    id: str
    parents: list[str]
    #: Without a result it is no parent by file, but may be one by `dependencies`.
    result: bool
    pause: float
    #: Dependencies that are no files.
    after: list[str] = field(default_factory=list)

    def all_parents(self) -> list[str]:
        return self.parents + self.after


class Load:
    """Makes and pushes batches; remembers all tasks."""

    def __init__(self, place: Place, random: random.Random, size: int = 300) -> None:
        self.place = place
        self.size = size
        self.tasks: dict[str, Task] = {}
        self.batches: list[int] = []
        self._random = random

    def push(self) -> None:
        """Submit one more batch, again and again until it is accepted (a boss may be killed in the midst of it)."""
        number = len(self.batches)
        path = self._write(number)
        file = read_file(path, PushOptions(name=f"load {number}"))

        def submit(client: Client) -> SubmitAnswer:
            files = [Sendable(one.path, one.sent.digest, one.sent.size) for one in file.files]
            send_files(client, files, lambda done, total: None)
            return client.submit(encode_stream(file), detach=True)

        self.batches.append(self.place.ask_until(submit).batch)

    def unfinished(self) -> int | None:
        """How many tasks are not terminal; None when no boss answers now."""
        answers = self.place.ask(lambda client: client.batches())
        if answers is None:
            return None
        known = {batch.number: batch for batch in answers}
        counts = [known[number].counts for number in self.batches if number in known]
        return sum(one.pending + one.queued + one.running for one in counts)

    def _write(self, number: int) -> Path:
        made: list[Task] = []
        for position in range(self.size):
            made.append(self._task(f"{number}-{position}", made))
        self.tasks |= {task.id: task for task in made}
        folder = self.place.directory / f"batch-{number}"
        folder.mkdir()
        (folder / f"seed-{number}").write_text(f"seed of batch {number}\n" * 50)
        path = folder / "tasks.json"
        path.write_text(json.dumps([self._json(task, number) for task in made]))
        return path

    def _task(self, id: str, before: list[Task]) -> Task:
        draw = self._random
        near = before[-80:]
        if self.tasks and draw.random() < 0.1:
            near = [*near, *draw.sample(list(self.tasks.values()), 3)]  # joined to an earlier batch
        chosen = draw.sample(near, min(len(near), draw.choice((0, 1, 1, 2, 3))))
        pause = draw.choice((0.0, 0.0, 0.05, 0.1, 0.1, 0.2, 0.3, 0.5))
        if draw.random() < 0.02:
            pause = 2.0
        parents = [task.id for task in chosen if task.result]
        after = [task.id for task in chosen if not task.result]
        return Task(id, parents, draw.random() < 0.8, pause, after)

    def _json(self, task: Task, number: int) -> dict[str, object]:
        names = [*task.parents, f"seed-{number}"]
        return {
            "id": task.id,
            "commands": [["sh", str(STEP), str(self.place.log), str(task.pause), *names]],
            "dependencies": task.all_parents(),
            "requirements": [[f"out/{parent}", parent] for parent in task.parents] + [f"seed-{number}"],
            "results": [["result", f"out/{task.id}"]] if task.result else [],
            # A command that the killer shot is the task's own failure: it needs a retry.
            "retries": 20,
            "retry_delay": 0.05,
        }

    def expected(self, attempts: dict[str, int]) -> dict[str, bytes]:
        """Each result's content, given which attempt succeeded."""
        made: dict[str, bytes] = {}
        for task in self.tasks.values():
            if task.result:
                made[task.id] = self._content(task, attempts[task.id], made)
        return made

    def _content(self, task: Task, attempt: int, made: dict[str, bytes]) -> bytes:
        number = task.id.partition("-")[0]
        seed = (f"seed of batch {number}\n" * 50).encode()
        sums = [f"{hashlib.md5(made[parent]).hexdigest()}  {parent}\n" for parent in task.parents]
        sums.append(f"{hashlib.md5(seed).hexdigest()}  seed-{number}\n")
        return (f"{task.id} {attempt}\n" + "".join(sums) + f"{task.id}\n" * 500).encode()
