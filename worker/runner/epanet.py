"""One attempt of an EPANET task: given to a warm helper; its answer, its crash or its killing is the outcome.

The same face as `worker.runner.execution.RunningAttempt`. It never loads the toolkit: a crash of the native library
ends a helper, and fails this attempt only.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wire.messages import Outcome, Run
from worker.runner.execution import Ended, Fault, signal_name
from worker.runner.helpers import Helper, Helpers
from worker.runner.process_tree import ProcessTree
from worker.runner.shared import Shared, now

#: A helper's exit code for what is this machine's fault (EX_TEMPFAIL), not the task's.
_MACHINE_FAULT = 75


class EpanetExecution:
    def __init__(self, run: Run, shared: Shared, helpers: Helpers) -> None:
        self.run = run
        self._shared = shared
        self._helpers = helpers
        self._workspace = shared.workspace(run)
        self._helper: Helper | None = None
        self._tree = ProcessTree(shared.mark_of(run), shared.options)
        self._began = 0.0
        self._killed: tuple[Ended, str] | None = None
        self.done = False

    def begin(self) -> None:
        self._began = now()
        try:
            self._workspace.make()
            self._helper = helper = self._helpers.take()
        except OSError as error:
            self._close("failed", f"the worker cannot start an EPANET helper: {error}", "worker", None)
            return
        helper.on_line = self._heard
        helper.on_stderr = self._workspace.stderr.write
        helper.on_exit = self._exited
        self._tree.sessions.append(helper.pid)
        execution = self.run.execution
        if execution.memory is not None:
            helper.limit_memory(execution.memory)
        helper.ask({"run": msgspec.to_builtins(execution.epanet), "directory": self._workspace.work})

    def _heard(self, said: dict[str, Any]) -> None:
        fraction = said.get("progress")
        if isinstance(fraction, int | float):
            self._shared.progress(self.run.task, self.run.attempt, float(fraction))
        elif "ended" in said and self._killed is None:
            self._answered(said)

    def _answered(self, said: dict[str, Any]) -> None:
        helper = self._helper
        assert helper is not None
        helper.read_stderr()
        self._helper = None
        self._helpers.give(helper)
        code = said.get("exit_code")
        fault: Fault = "worker" if code == _MACHINE_FAULT else "task"
        ended: Ended = "succeeded" if said["ended"] == "succeeded" else "failed"
        figures = {str(name): float(value) for name, value in (said.get("figures") or {}).items()}
        self._close(ended, str(said.get("reason") or ""), fault, code if isinstance(code, int) else None, figures)

    def _exited(self, code: int) -> None:
        """The helper is gone: killed by us, or crashed."""
        self._helper = None
        if self._killed is not None:
            ended, reason = self._killed
            self._close(ended, reason, "task", code)
            return
        how = f"was ended by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
        self._close("failed", f"the EPANET helper {how}", "worker" if code == _MACHINE_FAULT else "task", code)

    def kill(self, ended: Ended, reason: str) -> None:
        if self._killed is None and self._helper is not None:
            self._killed = (ended, reason)
            self._tree.begin_kill(self._helper.pid, self._shared.options.grace_seconds)

    def deadline(self) -> float | None:
        if self._killed is not None:
            return self._tree.next_look
        limit = self.run.execution.timeout
        return None if limit is None else self._began + limit

    def on_time(self) -> None:
        if self._killed is not None:
            self._tree.go_on(None if self._helper is None else self._helper.pid)
        else:
            self.kill("timed_out", f"timeout after {self.run.execution.timeout:g} s")

    def _close(
        self, ended: Ended, reason: str, fault: Fault, code: int | None, figures: dict[str, float] | None = None
    ) -> None:
        outcome = Outcome(
            task=self.run.task,
            attempt=self.run.attempt,
            ended=ended,
            reason=reason,
            fault=fault,
            exit_code=code,
            command="epanet",
            stdout_tail=self._workspace.stdout.finish(),
            stderr_tail=self._workspace.stderr.finish(),
            seconds=round(now() - self._began, 6),
            figures=figures or {},
        )
        leftovers = True
        if not (ended == "succeeded" and self.run.execution.results):
            leftovers = bool(self._tree.survivors) or not self._workspace.give_back_if_empty()
        self.done = True
        self._shared.finished(self.run, outcome, leftovers)
