"""One push from a checked task file to its summary: find or start a boss, send files, submit, follow, sum up.

Knows the client and the terminal. Options and settings come in as a PushPlan.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from boss.api.schema import BatchAnswer, SubmitAnswer, TaskAnswer
from boss.cli.command import ExitCode, ask_first, write_json
from boss.cli.follow import follow
from boss.cli.format_push import (
    DETACHED,
    accepted_lines,
    format_sending,
    stale_tasks,
    summary,
    summary_lines,
)
from boss.cli.terminal import ProgressLine, format_size, harmless
from boss.client.client import BossLostError, Client, ClientError, NoAnswerError, RequestRefusedError
from boss.client.find import answering_boss, boss_of, start_boss, wait_for_boss
from boss.client.upload import Sendable, send_files
from boss.intake.reader import TaskFile, encode_stream

T = TypeVar("T")

_FAILED_SHOWN = 10
#: Status of a boss that lacks files of the push (they may have left its spool since it was asked).
_FILES_MISSING = 424
#: Status of a push that would end what runs now.
_UNCONFIRMED = 428
#: Status of a boss that is stopping, or whose database is away; the push is retried for so long.
_NOT_NOW, _ENDING_SECONDS = 503, 30.0


@dataclass(frozen=True)
class PushPlan:
    """What to push, where, and how to go on."""

    task_file: TaskFile
    #: The command that pushes again: shown when following stops early.
    command: str
    #: None: a boss is configured, and this is its client.
    state_directory: Path | None
    configured: Client | None
    #: The checkout, from which a boss is started.
    root: Path
    #: Where the results of this project are stored, if that is on this machine.
    results: Path | None
    detach: bool = False
    as_json: bool = False


class _Clients:
    """The boss of the plan, found again whenever it may be another one; `close` closes all clients."""

    def __init__(self, plan: PushPlan) -> None:
        self.plan = plan
        self._open: list[Client] = []
        #: The boss that this push has started; None: another one's, or it was started a second time already.
        self._process: subprocess.Popen[bytes] | None = None

    def find(self) -> Client | None:
        """The boss that is there now, whether it answers or not. One of ours that failed is started once more."""
        if self.plan.configured is not None:
            return self.plan.configured
        assert self.plan.state_directory is not None
        found = self._keep(boss_of(self.plan.state_directory))
        if found is not None or self._process is None or (self._process.poll() or 0) <= 0:
            return found
        self._process = None
        process = start_boss(self.plan.state_directory, self.plan.root)
        self._open.append(wait_for_boss(self.plan.state_directory, process))
        return self._open[-1]

    def answering(self, line: ProgressLine) -> Client:
        """A boss that answers, started if there is none."""
        if self.plan.configured is not None:
            self.plan.configured.status()  # a wrong address or token is an error before anything is sent
            return self.plan.configured
        assert self.plan.state_directory is not None
        client = self._keep(answering_boss(self.plan.state_directory))
        if client is None:
            line.say("No boss is running here; starting one.")
            self._process = start_boss(self.plan.state_directory, self.plan.root)
            client = wait_for_boss(self.plan.state_directory, self._process)
            self._open.append(client)
        return client

    def _keep(self, client: Client | None) -> Client | None:
        if client is not None:
            self._open.append(client)
        return client

    def close(self) -> None:
        for client in self._open:
            client.close()


def push(plan: PushPlan, out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> ExitCode:
    """Push, follow and print the summary; blocks until then.

    Raises ClientError (RequestRefusedError, NoAnswerError, BossLostError) and KeyboardInterrupt.
    """
    with closing(_Clients(plan)) as clients:
        return _push(plan, clients, ProgressLine(err), out)


def _push(plan: PushPlan, clients: _Clients, line: ProgressLine, out: TextIO) -> ExitCode:
    client, accepted = _accepted(plan, clients, line)
    for warning in accepted.warnings:
        line.say(f"Warning: {harmless(warning)}")
    for text in accepted_lines(plan.task_file, accepted):
        line.say(harmless(text))
    if plan.detach:
        return _detached(plan, client, accepted, out)
    try:
        batch = follow(client, accepted.batch, line, clients.find)
    except BossLostError as error:
        raise BossLostError(f"{error}. Go on with the same command: {plan.command}") from None
    return _sum_up(plan, clients.find() or client, accepted, batch, out)


def _send(plan: PushPlan, client: Client, line: ProgressLine) -> None:
    def report(done: int, total: int) -> None:
        line.show(done, total, format_sending(done, total))

    if plan.task_file.files:
        files = [Sendable(file.path, file.sent.digest, file.sent.size) for file in plan.task_file.files]
        sent = send_files(client, files, report)
        line.end()
        if sent:
            line.say(f"{format_size(sent)} of files sent.")


def _accepted(plan: PushPlan, clients: _Clients, line: ProgressLine) -> tuple[Client, SubmitAnswer]:
    """By a boss that stays: one that is just ending refuses or goes away, and the next one takes the push."""

    def accepted() -> tuple[Client, SubmitAnswer]:
        client = clients.answering(line)
        _send(plan, client, line)
        return client, _submit(plan, client, line)

    return unless_ending(accepted, retry_lost=plan.configured is None)


def unless_ending(ask: Callable[[], T], *, retry_lost: bool) -> T:
    """Ask, and again for a while where the boss is just ending. `retry_lost`: also where it does not answer."""
    until = time.monotonic() + _ENDING_SECONDS
    while True:
        try:
            return ask()
        except RequestRefusedError as error:
            if error.status != _NOT_NOW or time.monotonic() > until:
                raise
        except NoAnswerError:
            if not retry_lost or time.monotonic() > until:
                raise
        time.sleep(0.5)


def _submit(plan: PushPlan, client: Client, line: ProgressLine) -> SubmitAnswer:
    try:
        return client.submit(encode_stream(plan.task_file), detach=plan.detach)
    except RequestRefusedError as error:
        if error.status == _UNCONFIRMED:
            _confirm(error, line)
            plan.task_file.header.confirmed = True
        elif error.status == _FILES_MISSING:
            _send(plan, client, line)
        else:
            raise
    return client.submit(encode_stream(plan.task_file), detach=plan.detach)


def _confirm(error: RequestRefusedError, line: ProgressLine) -> None:
    """What runs now loses what it has computed: return if the user wants that."""
    for text in error.details:
        line.say(harmless(text))
    ask_first("End them, and run them again as the file says now?", "add --yes to end them; nothing was changed")


def _detached(plan: PushPlan, client: Client, accepted: SubmitAnswer, out: TextIO) -> ExitCode:
    if plan.as_json:
        batch = client.batch(accepted.batch)
        write_json(summary(plan.task_file, accepted, batch, [], plan.results, int(ExitCode.OK)), out)
    else:
        out.write(f"{DETACHED}\n")
    return ExitCode.OK


def _sum_up(plan: PushPlan, client: Client, accepted: SubmitAnswer, batch: BatchAnswer, out: TextIO) -> ExitCode:
    file, counts = plan.task_file, batch.counts
    up_to_date = counts.succeeded == file.tasks and not stale_tasks(accepted)
    code = ExitCode.OK if up_to_date else ExitCode.TASKS_FAILED
    failed = _failed(client, batch) if counts.failed or counts.blocked else []
    if plan.as_json:
        write_json(summary(file, accepted, batch, failed, plan.results, int(code)), out)
    else:
        out.writelines(f"{text}\n" for text in summary_lines(file, accepted, batch, failed, plan.results))
    out.flush()
    return code


def _failed(client: Client, batch: BatchAnswer) -> list[TaskAnswer]:
    """The first ones; a boss that ended meanwhile does not spoil the summary."""
    try:
        found = list(client.tasks("failed", batch=batch.number, limit=_FAILED_SHOWN))
        if len(found) < _FAILED_SHOWN:
            found += client.tasks("blocked", batch=batch.number, limit=_FAILED_SHOWN - len(found))
        return found
    except ClientError:
        return []
