"""The runner: one thread that starts, watches and ends the processes of all attempts. No polling, no asyncio.

Other threads only call `execute`, `kill` and `stop`, which enqueue and return; what comes of it is reported through
`finished`, from the runner's thread, which may only put it somewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from wire.messages import AttemptKey, Outcome, Run
from worker.runner.epanet import EpanetExecution
from worker.runner.execution import RunningAttempt
from worker.runner.helpers import Helpers
from worker.runner.launch import Launcher
from worker.runner.processes import look, orphans, reap, send
from worker.runner.sessions import Sessions
from worker.runner.shared import RunnerOptions, Shared, now
from worker.runner.watch import Watch
from worker.runner.workspace import Spares

logger = logging.getLogger(__name__)

#: While attempts run, exited orphans are reaped so often.
_REAP_SECONDS = 10.0


Running = RunningAttempt | EpanetExecution


class Runner:
    def __init__(
        self,
        options: RunnerOptions,
        finished: Callable[[Run, Outcome, bool], None],
        progress: Callable[[int, int, float], None],
        helper_command: list[str] | None = None,
    ) -> None:
        self._options = options
        options.attempts.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._shared = Shared(
            options=options,
            watch=Watch(),
            sessions=Sessions(options.home / "sessions"),
            spares=Spares(options.home / "spare"),
            launcher=Launcher(),
            nothing=os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC),
            progress_path=str(options.home / "progress"),
            finished=finished,
            progress=progress,
            guard=self._guard,
        )
        self._open_progress()
        self._helpers = Helpers(self._shared, helper_command)
        self._running: dict[AttemptKey, Running] = {}
        self._asked: deque[Callable[[], None]] = deque()
        self._reap_at = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name="runner", daemon=True)

    # -- called from other threads ------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def execute(self, run: Run) -> None:
        self._ask(lambda: self._execute(run))

    def kill(self, task: int, attempt: int, reason: str) -> None:
        self._ask(lambda: self._kill((task, attempt), reason))

    def stop(self, timeout: float = 30.0) -> None:
        """Kill what runs, end the helpers, end the thread."""
        self._ask(self._stop)
        self._thread.join(timeout)

    def _ask(self, what: Callable[[], None]) -> None:
        self._asked.append(what)
        self._shared.watch.wake()

    # -- the thread ---------------------------------------------------------------------------------

    def _live(self) -> None:
        shared = self._shared
        shared.launcher.begin()
        try:
            while not (self._stopping and not self._running):
                self._turn()
        finally:
            self._helpers.close()
            shared.watch.close_all()
            shared.sessions.close()
            with contextlib.suppress(OSError):
                shared.spares.close()
            os.close(shared.nothing)
            shared.launcher.close()

    def _turn(self) -> None:
        deadline = self._next_deadline()
        self._shared.watch.wait(None if deadline is None else max(deadline - now(), 0.0))
        while self._asked:
            self._do(self._asked.popleft())
        moment = now()
        for execution in list(self._running.values()):
            due = execution.deadline()
            if due is not None and due <= moment and not execution.done:
                self._guard(execution, execution.on_time)
        over = [key for key, execution in self._running.items() if execution.done]
        for key in over:
            del self._running[key]
        if (over and not self._running) or (self._running and moment >= self._reap_at):
            self._reap_at = moment + _REAP_SECONDS
            self._do(self._sweep)

    def _do(self, step: Callable[[], None]) -> None:
        """What concerns no single execution, or hands itself to `_guard`."""
        try:
            step()
        except Exception:
            logger.exception("a step of the runner failed", extra={"action": "runner_failed"})

    def _next_deadline(self) -> float | None:
        due = [deadline for execution in self._running.values() if (deadline := execution.deadline()) is not None]
        if self._running and self._options.owns_all_children:
            due.append(self._reap_at)
        return min(due) if due else None

    def _execute(self, run: Run) -> None:
        try:
            epanet = run.execution.epanet is not None
            execution: Running = (
                EpanetExecution(run, self._shared, self._helpers) if epanet else RunningAttempt(run, self._shared)
            )
        except Exception as error:
            logger.exception("attempt %d.%d cannot be prepared", run.task, run.attempt, extra={"action": "fail"})
            self._report_error(run, f"an error in the worker: {error!r}")
            return
        self._running[(run.task, run.attempt)] = execution
        self._guard(execution, execution.begin)

    def _kill(self, key: AttemptKey, reason: str) -> None:
        execution = self._running.get(key)
        if execution is not None and not execution.done:
            self._guard(execution, lambda: execution.kill("cancelled", reason))

    def _stop(self) -> None:
        self._stopping = True
        for execution in list(self._running.values()):
            if not execution.done:
                self._guard(execution, partial(execution.kill, "cancelled", "the worker ends"))

    def _guard(self, execution: Running, step: Callable[[], None]) -> None:
        """A fault in one attempt's handling must not end the thread that all depend on."""
        try:
            step()
        except Exception as error:
            run = execution.run
            logger.exception("attempt %d.%d failed inside the runner", run.task, run.attempt, extra={"action": "fail"})
            if not execution.done:
                self._abort(execution, f"an error in the worker: {error!r}")

    def _abort(self, execution: Running, reason: str) -> None:
        """Its outcome is reported once, whatever more goes wrong."""
        run = execution.run
        try:
            execution.abort(reason)
        except Exception:
            logger.exception("attempt %d.%d cannot be ended in order", run.task, run.attempt, extra={"action": "fail"})
        if not execution.done:
            execution.done = True
            self._report_error(run, reason)

    def _report_error(self, run: Run, reason: str) -> None:
        outcome = Outcome(task=run.task, attempt=run.attempt, ended="failed", fault="worker", reason=reason)
        self._shared.finished(run, outcome, True)

    def _sweep(self) -> None:
        """Reap exited orphans; with nothing running, end those of unknown origin, which only a task can have left."""
        if not self._options.owns_all_children:
            return
        for pid in orphans():
            process = look(pid)
            if process is not None and process.zombie:
                reap(pid)
            elif process is not None and not self._running:
                logger.info("ending process %d, left by a task", pid, extra={"action": "end_leftover"})
                send(process, signal.SIGKILL)

    # -- progress -----------------------------------------------------------------------------------

    def _open_progress(self) -> None:
        """One FIFO for all tasks: a line is written whole or not at all, and costs an attempt nothing."""
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._shared.progress_path, 0o600)
        fd = os.open(self._shared.progress_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._shared.watch.add(fd, lambda: self._read_progress(fd))

    def _read_progress(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for line in os.read(fd, 65536).decode("ascii", "replace").splitlines():
                try:
                    task, attempt, fraction = line.split()
                    key, value = (int(task), int(attempt)), float(fraction)
                except ValueError:
                    continue
                if key in self._running and 0.0 <= value <= 1.0:
                    self._shared.progress(*key, value)
