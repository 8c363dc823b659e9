"""One attempt of an EPANET task: given to a warm helper; its answer, its crash or its killing is the outcome.

It never loads the toolkit: a crash of the native library
ends a helper, and fails this attempt only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from wire.messages import Run
from worker.runner.execution import AttemptExecution, Ended, Fault, signal_name
from worker.runner.helpers import Helper, Helpers
from worker.runner.shared import Shared, now

#: A helper's exit code for what is this machine's fault (EX_TEMPFAIL), not the task's.
_MACHINE_FAULT = 75
#: The range of a figure in an outcome (`wire.messages.Figure`).
_LARGEST_FIGURE = 1e300


class EpanetExecution(AttemptExecution):
    def __init__(self, run: Run, shared: Shared, helpers: Helpers) -> None:
        super().__init__(run, shared)
        self._helpers = helpers
        self._helper: Helper | None = None

    def begin(self) -> None:
        self._began = now()
        try:
            self._shared.spares.make(self._directory)
            self._helper = helper = self._helpers.take()
        except OSError as error:
            self._close("failed", f"the worker cannot start an EPANET helper: {error}", "worker", None)
            return
        guard = self._shared.guard
        helper.on_line = lambda said: guard(self, lambda: self._heard(said))
        helper.on_stderr = self._stderr.write
        helper.on_exit = lambda code: guard(self, lambda: self._exited(code))
        self._pid = helper.pid
        self._tree.sessions.append(helper.pid)
        execution = self.run.execution
        if execution.memory is not None:
            helper.limit_memory(execution.memory)
        helper.ask({"run": msgspec.to_builtins(execution.epanet), "directory": self._work})

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
        self._pid = 0
        self._helper = None
        self._helpers.give(helper)
        code = said.get("exit_code")
        fault: Fault = "worker" if code == _MACHINE_FAULT else "task"
        ended: Ended = "succeeded" if said["ended"] == "succeeded" else "failed"
        self._close(
            ended, str(said.get("reason") or ""), fault, code if isinstance(code, int) else None, said.get("figures")
        )

    def _exited(self, code: int) -> None:
        """The helper is gone: killed by us, or crashed."""
        self._pid = 0
        self._helper = None
        if self._killed is not None:
            ended, reason = self._killed
            self._close(ended, reason, "task", code)
            return
        how = f"was ended by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
        self._close("failed", f"the EPANET helper {how}", "worker" if code == _MACHINE_FAULT else "task", code)

    def abort(self, reason: str) -> None:
        """An error in its handling: nothing of it goes on, and the worker is at fault."""
        if self._helper is not None:
            self._helper.release()
            self._helper = None
        self._tree.end_at_once(self._pid)
        self._pid = 0
        self._close("failed", reason, "worker", None)

    def _close(
        self, ended: Ended, reason: str, fault: Fault, code: int | None, figures: Mapping[str, object] | None = None
    ) -> None:
        self._report(
            ended,
            reason,
            fault,
            exit_code=code,
            command="epanet",
            seconds=round(now() - self._began, 6),
            figures=sent_figures(figures or {}),
        )


def sent_figures(figures: Mapping[str, object]) -> dict[str, float]:
    """Those that are numbers: JSON has no other, and a report that holds one would be refused whole, for ever."""
    return {
        str(name): float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and abs(value) <= _LARGEST_FIGURE  # of nan no comparison holds
    }
