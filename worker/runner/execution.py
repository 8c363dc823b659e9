"""One attempt's execution, and how commands are: one process after the other, their output, the end of the whole tree.

Runs in the runner's thread, driven by the watch and by `deadline`/`on_time`. It tells its outcome once, when no process
of the attempt is left.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any, Literal

from wire.descriptors import former
from wire.messages import CommandSummary, Outcome, Run
from worker.runner import spawn
from worker.runner.output import Capture
from worker.runner.process_tree import ProcessTree
from worker.runner.shared import Shared, now

_CHUNK = 65536
#: A command's text in the summary is cut to this; the boss has the whole.
_SUMMARY_TEXT = 500
#: Summaries of so many commands are reported.
_SUMMARIES = 1000

Ended = Literal["succeeded", "failed", "timed_out", "cancelled"]
Fault = Literal["task", "worker"]


class AttemptExecution:
    """What an attempt has whatever executes it: a time limit, its end before its time, its outcome."""

    def __init__(self, run: Run, shared: Shared) -> None:
        self.run = run
        self._shared = shared
        options = shared.options
        self._directory = f"{options.attempts}/{run.task}.{run.attempt}"
        self._work = f"{self._directory}/work"
        self._stdout = Capture(f"{self._directory}/stdout", options.output_limit, options.tail_limit)
        self._stderr = Capture(f"{self._directory}/stderr", options.output_limit, options.tail_limit)
        self._tree = ProcessTree(shared.mark_of(run), options.give_up_seconds)
        #: Of the process that works for it; 0: none does.
        self._pid = 0
        self._began = 0.0
        #: Set once the attempt is to end before its time: how, and the sentence.
        self._killed: tuple[Ended, str] | None = None
        self.done = False

    def kill(self, ended: Ended, reason: str) -> None:
        """End it before its time; a second call changes nothing."""
        if self._killed is None and self._pid:
            self._killed = (ended, reason)
            self._tree.begin_kill(self._pid, self._shared.options.grace_seconds)

    def deadline(self) -> float | None:
        if self._killed is not None or not self._pid:
            return self._tree.next_look
        limit = self.run.execution.timeout
        return None if limit is None else self._began + limit

    def on_time(self) -> None:
        if self._killed is not None:
            self._tree.go_on(self._pid or None)
        else:
            self.kill("timed_out", f"timeout after {self.run.execution.timeout:g} s")

    def _report(self, ended: Ended, reason: str, fault: Fault, **more: Any) -> None:
        """Its outcome; a directory in which nothing was left is taken back."""
        outcome = Outcome(
            task=self.run.task,
            attempt=self.run.attempt,
            ended=ended,
            reason=reason,
            fault=fault,
            stdout_tail=self._stdout.finish(),
            stderr_tail=self._stderr.finish(),
            **more,
        )
        leftovers = True
        if not (ended == "succeeded" and self.run.execution.results):
            leftovers = bool(self._tree.survivors) or not self._shared.spares.take(self._directory)
        self.done = True
        self._shared.finished(self.run, outcome, leftovers)


class RunningAttempt(AttemptExecution):
    """All commands of one attempt."""

    def __init__(self, run: Run, shared: Shared) -> None:
        super().__init__(run, shared)
        self._commands = run.execution.commands
        self._summaries: list[CommandSummary] = []
        self._pidfd = -1
        self._streams: dict[int, Capture] = {}
        self._writers: list[int] = []
        self._environment: dict[str, str] = {}
        self._command_began = self._over_at = 0.0
        self._verdict: tuple[Ended, str, Fault, int | None, str] | None = None

    # -- beginning ----------------------------------------------------------------------------------

    def begin(self) -> None:
        self._began = self._over_at = now()
        options = self._shared.options
        try:
            self._shared.spares.make(self._directory)
            if not self._commands:
                self._close(("succeeded", "", "task", None, ""))
                return
            self._open_streams()
        except OSError as error:
            self._close(("failed", f"cannot prepare the attempt: {error}", "worker", None, ""))
            return
        self._environment = spawn.task_environment(options.environment, self.run, options.worker, self._shared.mark)
        self._environment["ECLOUD_PROGRESS"] = self._shared.progress_path
        self._start_next()

    def _open_streams(self) -> None:
        for capture in (self._stdout, self._stderr):
            reader, writer = os.pipe()
            self._writers.append(writer)
            os.set_blocking(reader, False)
            self._streams[reader] = capture
            self._shared.watch.add(reader, partial(self._shared.guard, self, partial(self._read, reader, 4)))

    def _start_next(self) -> None:
        index = len(self._summaries)
        command = self._commands[index]
        self._command_began = now()
        try:
            arguments = spawn.arguments_of(command, self.run.execution.memory, self._directory, index, former())
            pid, start = self._shared.launcher.start(
                arguments, self._work, self._environment, self._shared.nothing, *self._writers
            )
        except (OSError, ValueError) as error:
            self._not_started(command, error)
            return
        self._pid = pid
        self._tree.sessions.append(pid)
        if start is not None:
            self._shared.sessions.began(pid, start)
        self._pidfd = os.pidfd_open(pid)
        self._shared.watch.add(self._pidfd, partial(self._shared.guard, self, self._exited))

    def _not_started(self, command: str | list[str], error: Exception) -> None:
        text = spawn.text_of(command)
        code = spawn.blame(error, self._work, len(self._summaries))
        what = getattr(error, "strerror", None) or str(error)
        self._summarize(command, code if code is not None else -1)
        if code is None:
            self._conclude(("failed", f"the worker cannot start a process: {what}", "worker", None, text))
        else:
            self._conclude(("failed", f"{self._which()} cannot be started: {what}", "task", code, text))

    # -- running ------------------------------------------------------------------------------------

    def _read(self, fd: int, chunks: int) -> None:
        capture = self._streams[fd]
        for _ in range(chunks):
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                del self._streams[fd]
                self._shared.watch.close(fd)
                return
            capture.write(data)

    def _exited(self) -> None:
        """The command's own process has ended: the command is over, whoever else still holds its pipes."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        self._shared.watch.close(self._pidfd)
        self._pidfd = -1
        command = self._commands[len(self._summaries)]
        self._pid = 0
        self._summarize(command, code)
        if self._killed is not None:
            ended, reason = self._killed
            self._conclude((ended, reason, "task", code, spawn.text_of(command)))
        elif code != 0:
            self._conclude(("failed", f"{self._which()} {_how(code)}", "task", code, spawn.text_of(command)))
        elif len(self._summaries) == len(self._commands):
            self._conclude(("succeeded", "", "task", 0, ""))
        else:
            self._start_next()

    def _summarize(self, command: str | list[str], code: int) -> None:
        text = spawn.text_of(command)[:_SUMMARY_TEXT]
        self._over_at = now()
        seconds = round(self._over_at - self._command_began, 6)
        self._summaries.append(CommandSummary(command=text, exit_code=code, seconds=seconds))

    def _which(self) -> str:
        if len(self._commands) == 1:
            return "the command"
        return f"command {len(self._summaries)} of {len(self._commands)}"

    # -- ending -------------------------------------------------------------------------------------

    def abort(self, reason: str) -> None:
        """An error in its handling: nothing of it goes on, and the worker is at fault."""
        self._tree.end_at_once(self._pid)
        if self._pidfd >= 0:
            self._shared.watch.close(self._pidfd)
        self._pid, self._pidfd = 0, -1
        self._close(("failed", reason, "worker", None, ""))

    def on_time(self) -> None:
        if self._verdict is not None:
            self._finish_when_alone()
        else:
            super().on_time()

    def _conclude(self, verdict: tuple[Ended, str, Fault, int | None, str]) -> None:
        """How it ended is certain; what it left running ends first."""
        self._verdict = verdict
        self._finish_when_alone()

    def _finish_when_alone(self) -> None:
        assert self._verdict is not None
        if self._tree.is_gone(self._shared.options.leftover_grace_seconds):
            self._close(self._verdict)

    def _close(self, verdict: tuple[Ended, str, Fault, int | None, str]) -> None:
        ended, reason, fault, exit_code, command = verdict
        for fd in list(self._streams):
            self._read(fd, 32)
        for fd in list(self._streams):
            self._shared.watch.close(fd)
        for fd in self._writers:
            os.close(fd)
        self._shared.sessions.ended(self._tree.sessions)
        if self._tree.survivors:
            reason = f"{reason}; could not be ended: processes {self._tree.survivors}".lstrip("; ")
        self._report(
            ended,
            reason,
            fault,
            exit_code=exit_code,
            command=command,
            commands=self._summaries[-_SUMMARIES:],
            seconds=round(self._over_at - self._began, 6),
        )


def _how(code: int) -> str:
    """How a process ended, for a sentence."""
    if code >= 0:
        return f"exited with code {code}"
    name = signal_name(-code)
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
