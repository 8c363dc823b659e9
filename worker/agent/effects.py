"""What a worker's agent wants done: statements, carried out in their order by the loop. Values only.

None of them answers; the outcome of one comes as an event later.
"""

from __future__ import annotations

import msgspec

from wire.messages import Input, ManifestEntry, Outcome, Run, WorkerReports


class OfAttempt(msgspec.Struct, frozen=True):
    """What an effect or event about one attempt begins with."""

    task: int
    attempt: int


class PlaceInputs(OfAttempt, frozen=True):
    """Put these inputs from the cache into the working directory. Answered by InputsPlaced or InputsNotPlaced."""

    inputs: list[Input]


class Execute(msgspec.Struct, frozen=True):
    """Run the attempt's commands. Answered by ExecutionEnded, always."""

    run: Run


class KillExecution(OfAttempt, frozen=True):
    """End the attempt's processes, politely first. Answered by its ExecutionEnded."""

    reason: str


class RemoveAttempt(OfAttempt, frozen=True):
    """Remove the attempt's directory; what is being placed into it is finished first.

    `keep`: results that are inputs of other tasks, and may go to the cache (answered by CacheChanged).
    """

    keep: list[ManifestEntry] = []


class KeepOutcome(msgspec.Struct, frozen=True):
    """Write the outcome down before it is reported, so that a killed agent's next start still has it."""

    outcome: Outcome


class ForgetOutcome(OfAttempt, frozen=True):
    """The boss has it on disk: it need not be kept any longer."""


class RememberInit(msgspec.Struct, frozen=True):
    """This init execution has succeeded on this worker: write it down."""

    number: int


class AdoptDeployment(msgspec.Struct, frozen=True):
    """From now on this worker belongs to that deployment: write it down, drop what was kept of another one."""

    deployment: str


class FetchBundle(msgspec.Struct, frozen=True):
    """Get the boss's version of this program, for the next start. Answered by BundleFetched or BundleNotFetched."""

    digest: str
    url: str
    token: str


class SendReports(msgspec.Struct, frozen=True):
    """Publish this message; if it is lost, what matters in it is sent again."""

    message: WorkerReports


class Exit(msgspec.Struct, frozen=True):
    """End the program; nothing runs any more."""

    code: int
    reason: str


Effect = (
    PlaceInputs
    | Execute
    | KillExecution
    | RemoveAttempt
    | KeepOutcome
    | ForgetOutcome
    | RememberInit
    | AdoptDeployment
    | FetchBundle
    | SendReports
    | Exit
)
