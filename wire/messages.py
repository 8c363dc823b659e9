"""The messages between boss, workers and datastore, one struct each.

Values only: nothing here knows a broker, a clock or a file. The structs are also the vocabulary of the
boss's core and of the pure agents (events carry them as they are), so that there is no second set of
classes to keep alike. How they become bytes is `wire.codec`, where they travel is `wire.topics`.

Three ideas hold everywhere:

* `(task, attempt)` is the fencing token. `task` is the number of the task's row (an id of the user's
  choice may hold any character; a number is safe in paths and short on the wire), `attempt` counts from 1.
* An order carries the boss's `epoch` and a `number` that rises per receiver, and names the receiver's
  `incarnation`; a receiver keeps the highest (epoch, number) and ignores anything lower.
* Everything is idempotent: a message that arrives twice, late or out of order changes nothing twice.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

#: The version of all messages of this program. One of another version is refused by `wire.codec`; how the boss answers
#: whoever sent it: `wire.other_version`.
VERSION = 2

# The range of each number, the length of each text and list, whoever sends it: a message with another one fits no
# schema, so that neither the scheduler nor a database ever meets it, and no sender makes a receiver keep more.

#: Numbers, sizes and counts: what every reader of JSON takes exactly, and every database stores.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
#: Negative: terminated by that signal.
ExitCode = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Figure = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]

#: Random ids (of deployments, incarnations, bundles), names of agents; in characters, as all that follows.
Token = Annotated[str, msgspec.Meta(max_length=64)]
#: Ids of users, names of pools and hosts, what a program calls itself.
Name = Annotated[str, msgspec.Meta(max_length=255)]
Path = Annotated[str, msgspec.Meta(max_length=4096)]
#: A sentence for users. Agents of former releases cut none, and may quote several paths.
Reason = Annotated[str, msgspec.Meta(max_length=16_384)]
#: Of which agents send, and the boss keeps, so much.
REASON_KEPT = 2_000
Tail = Annotated[str, msgspec.Meta(max_length=65_536)]
HostKey = Annotated[str, msgspec.Meta(max_length=16_384)]
#: What users write: commands, environments. Bounded by what a push may hold, and by the message.
Text = Annotated[str, msgspec.Meta(max_length=8 * 1024 * 1024)]

Label = Annotated[str, msgspec.Meta(max_length=255)]
#: Of a worker: how many slots it may state, and how many labels, with so many characters in each name and value.
MAX_SLOTS, MAX_LABELS, MAX_LABEL = 2**16, 64, 255
Slots = Annotated[int, msgspec.Meta(ge=0, le=MAX_SLOTS)]
#: In one list or table: what a worker reports of; digests in its cache; whatever fits into a message.
MANY, MAX_CACHED, ANY = 2**16, 10_000, 2**18

#: One attempt of one task: (task number, attempt number from 1).
AttemptKey = tuple[Count, Small]

#: `b2:` and 64 hexadecimal digits: BLAKE2b with 256 bits, the only digest there is.
Digest = Annotated[str, msgspec.Meta(max_length=67)]

_MANY, _ANY = msgspec.Meta(max_length=MANY), msgspec.Meta(max_length=ANY)
_CACHED = msgspec.Meta(max_length=MAX_CACHED)


def shortened(reason: str) -> str:
    """A reason as it is sent and kept."""
    return reason if len(reason) <= REASON_KEPT else f"{reason[: REASON_KEPT - 4]} ..."


class _Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a message. Fields that have their default are left out on the wire."""


class _OfAttempt(_Value, frozen=True, kw_only=True):
    """Of one attempt, whose fencing token comes first."""

    task: Count
    attempt: Small


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What travels on a topic."""

    version: Small
    deployment: Token


class _Orders(_Envelope, frozen=True, kw_only=True):
    #: The receiver's incarnation; others ignore the message.
    receiver: Token
    epoch: Count
    number: Count


# ---------------------------------------------------------------------------------------------------
# What a worker executes for a task (stored as JSON beside the task, sent as it is)


class ResultItem(_Value, frozen=True, kw_only=True):
    """One declared result: what the attempt leaves at `source` goes to `target`."""

    #: Path inside the attempt's working directory.
    source: Path
    #: Path inside the project's tree on the datastore.
    target: Path


class EpanetRun(_Value, frozen=True, kw_only=True):
    """A batch of scenarios of one network, run by the warm toolkit instead of by commands."""

    #: The INP file, a path inside the working directory.
    inp: Path
    #: A table file (CSV or Parquet) inside the working directory, or the rows themselves.
    scenarios: Path | Annotated[list[dict[str, object]], _ANY] = msgspec.field(default_factory=list)
    #: Rows [first, last) of the table that this task runs; None is all of them.
    rows: tuple[int, int] | None = None
    #: What to keep: see docs/epanet.md and `worker.epanet`.
    output: dict[str, object] = msgspec.field(default_factory=dict)
    #: Simulation options that hold for every scenario (duration, timestep, quality, units ...).
    options: dict[str, object] = msgspec.field(default_factory=dict)


class Execution(_Value, frozen=True, kw_only=True):
    """All that a worker requires to execute a task.

    Its numbers, and those of an EPANET run, have no bounds here: a push states them, and `boss.intake` rejects those
    out of bounds with a sentence that names the task.
    """

    #: Each a line for `sh -c`, or an argv list. Run in order, up to the first that fails. Empty succeeds.
    commands: Annotated[list[Text | Annotated[list[Text], _ANY]], _ANY] = msgspec.field(default_factory=list)
    #: Set instead of commands.
    epanet: EpanetRun | None = None
    env: Annotated[dict[Text, Text], _ANY] = msgspec.field(default_factory=dict)
    results: Annotated[list[ResultItem], _ANY] = msgspec.field(default_factory=list)
    #: Limit in seconds for all commands together, from the first one's start. None is no limit.
    timeout: float | None = None
    #: How many of the worker's slots an attempt holds while it executes.
    slots: int = 1
    #: Bytes of memory an attempt may use; None is no limit.
    memory: int | None = None


# ---------------------------------------------------------------------------------------------------
# Places and files


class Place(_Value, frozen=True, kw_only=True):
    """Where a worker's files are, as the datastore reaches them."""

    #: `local`: a directory of the same machine. `ssh`: rsync over SSH.
    kind: Literal["local", "ssh"] = "local"
    #: The worker's home directory; below it `cache/<digest>` and `attempts/<task>.<attempt>/work/`.
    path: Path
    host: Name = ""
    port: Small = 22
    user: Name = ""
    #: The worker's public SSH host keys, one line each, as it reports them itself.
    host_keys: Annotated[list[HostKey], msgspec.Meta(max_length=32)] = msgspec.field(default_factory=list)


class Input(_Value, frozen=True, kw_only=True):
    """One requirement of an attempt, on its way to the worker.

    In a Stage order `digest` is empty where the boss does not know it (a file that was put on the datastore
    manually): then `name` is looked up there when staging starts, and the answer has the digest.
    """

    #: Path inside the datastore's tree (project folder included).
    name: Path
    #: Path inside the working directory.
    path: Path
    digest: Digest = ""
    size: Count = 0
    #: True when the owner may execute it.
    executable: bool = False
    #: True in a `StageDone` and `Staged`: an empty folder is required at `path`; there is no digest.
    folder: bool = False


class ManifestEntry(_Value, frozen=True, kw_only=True):
    """One file that an attempt left, as it was when the worker closed the attempt's directory."""

    #: Path inside the working directory.
    source: Path
    #: Path inside the project's tree on the datastore.
    target: Path
    size: Count
    digest: Digest
    executable: bool = False


class ResultFolder(_Value, frozen=True, kw_only=True):
    """One declared result that is a directory: it replaces the former one whole.

    Its files stand in the manifest, with targets below this one.
    """

    #: Path inside the working directory.
    source: Path
    #: Path inside the project's tree (in an order: inside the datastore's tree).
    target: Path
    #: Folders below it that hold no file, as paths relative to it.
    empty: Annotated[list[Path], msgspec.Meta(max_length=2**20)] = msgspec.field(default_factory=list)


class PublishedFile(_Value, frozen=True, kw_only=True):
    #: Path inside the datastore's tree (project folder included).
    name: Path
    size: Count
    digest: Digest


# ---------------------------------------------------------------------------------------------------
# Orders: boss -> worker


class Run(_OfAttempt, frozen=True, kw_only=True, tag="run"):
    """Take this attempt: wait for its inputs if `staging`, execute it when a slot is free, report."""

    batch: Count
    project: Name
    #: The user's id of the task: for the environment, logs and directories' labels only.
    id: Name
    execution: Execution
    #: True: inputs come through the datastore; `Staged` follows when they are there.
    staging: bool = False
    #: Init executions (task numbers) that must have succeeded on this worker before this one starts.
    inits: Annotated[list[Count], _ANY] = msgspec.field(default_factory=list)
    #: True: this is itself an init execution: alone on the worker, before others of its batch.
    init: bool = False


class Staged(_OfAttempt, frozen=True, kw_only=True, tag="staged"):
    """The inputs of this attempt are in the worker's cache, under their digests."""

    inputs: Annotated[list[Input], _ANY]


class TakeBack(_OfAttempt, frozen=True, kw_only=True, tag="take_back"):
    """A question: answered `Returned` if the attempt has not started, else `PhaseReached(executing)`."""


class Kill(_OfAttempt, frozen=True, kw_only=True, tag="kill"):
    """Stop this attempt, started or not. Answered by its `Outcome` (`cancelled`), or the one it already had."""

    reason: Reason = "cancelled"


class Acknowledge(_Value, frozen=True, kw_only=True, tag="acknowledge"):
    """The outcomes of these attempts are on the boss's disk: forget them and remove their directories.

    Also sent for an attempt that is superseded: kill it, then forget it.
    """

    attempts: Annotated[list[AttemptKey], _ANY]
    #: Those of them whose results are inputs of other tasks: their files may go to the cache instead.
    keep: Annotated[list[AttemptKey], _ANY] = msgspec.field(default_factory=list)


class Drain(_Value, frozen=True, kw_only=True, tag="drain"):
    """Return what has not started, finish the rest, take nothing new."""


class Resume(_Value, frozen=True, kw_only=True, tag="resume"):
    """The end of draining."""


class Stop(_Value, frozen=True, kw_only=True, tag="stop"):
    """Drain, then terminate once no attempt is held; with `now` kill what runs."""

    now: bool = False


class Welcome(_Value, frozen=True, kw_only=True, tag="welcome"):
    """The answer to a hello: the intervals of this deployment, in seconds."""

    heartbeat_seconds: Seconds
    orphan_after_seconds: Seconds
    #: How long the boss trusts a silent worker; 0: it does not say (a former release).
    lease_seconds: Seconds = 0.0
    #: Number of the message with the hello that is answered; 0: as above.
    hello: Count = 0


class SayHello(_Value, frozen=True, kw_only=True, tag="say_hello"):
    """The boss does not know (any more) which attempts the receiver holds: answer with a hello."""


class Replace(_Value, frozen=True, kw_only=True, tag="replace"):
    """Your bundle is not the boss's: fetch that one, then terminate once no attempt is held, so that it is started.

    Only for a worker whose hello named its bundle. The answer is the hello of the new program.
    """

    #: Python and machine, as the receiver's hello named them: `3.11-x86_64`.
    kind: Name
    digest: Digest
    #: Where it is fetched, and the token that allows that for a short while. Set when the order is sent.
    url: Text = ""
    token: Name = ""


WorkerOrder = SayHello | Run | Staged | TakeBack | Kill | Acknowledge | Drain | Resume | Stop | Welcome | Replace


class WorkerOrders(_Orders, tag="worker_orders", frozen=True, kw_only=True):
    """One message on `workers/<id>/orders`."""

    orders: Annotated[list[WorkerOrder], _ANY]


# ---------------------------------------------------------------------------------------------------
# Reports: worker -> boss


class HeldAttempt(_OfAttempt, frozen=True, kw_only=True):
    """One attempt that a worker holds, as its hello reports it."""

    #: `staging` and `staged`: not started. `ended`: has an outcome that is not acknowledged (it follows).
    #: `returned`: returned, not acknowledged.
    phase: Literal["staging", "staged", "executing", "ended", "returned"]


class WorkerHello(_Value, frozen=True, kw_only=True, tag="hello"):
    """The first report after every (re)connection: what the worker is and which attempts it holds."""

    pool: Name
    slots: Slots
    #: Bytes of memory for attempts; 0 is unknown.
    memory: Count = 0
    labels: Annotated[dict[Label, Label], msgspec.Meta(max_length=MAX_LABELS)] = msgspec.field(default_factory=dict)
    place: Place
    held: Annotated[list[HeldAttempt], _MANY] = msgspec.field(default_factory=list)
    #: Init executions that have succeeded here.
    initialized: Annotated[list[Count], _MANY] = msgspec.field(default_factory=list)
    #: Attempts that a killed agent before this one had started here, and whose outcome is unknown.
    died: Annotated[list[AttemptKey], _MANY] = msgspec.field(default_factory=list)
    #: It takes nothing new: it drains, or is about to terminate.
    draining: bool = False
    #: Digests in the input cache, most recently used first, at most 10,000.
    cached: Annotated[list[Digest], _CACHED] = msgspec.field(default_factory=list)
    address: Name = ""
    pid: Small = 0
    program: Name = ""
    #: The bundle that it runs from, `<Python>-<machine>=<digest>`; empty: none, and it is never replaced.
    bundle: Name = ""


class PhaseReached(_OfAttempt, frozen=True, kw_only=True, tag="phase"):
    """`staging`: taken. `staged`: inputs are in place. `executing`: the first command has started."""

    phase: Literal["staging", "staged", "executing"]


class Returned(_OfAttempt, frozen=True, kw_only=True, tag="returned"):
    """Returned before it started; the worker keeps this answer until it is acknowledged."""


class InputsMissing(_OfAttempt, frozen=True, kw_only=True, tag="inputs_missing"):
    """Staged, but not (or no longer) in the cache, or damaged there: stage them again."""

    digests: Annotated[list[Digest], _MANY]


class CommandSummary(_Value, frozen=True, kw_only=True):
    """One command that ran."""

    command: Annotated[str, msgspec.Meta(max_length=1_000)]
    exit_code: ExitCode
    seconds: Seconds


class Outcome(_OfAttempt, frozen=True, kw_only=True, tag="outcome"):
    """How an attempt ended on the worker; sent again until acknowledged."""

    #: `succeeded`: all commands exited 0 and every declared result is there.
    ended: Literal["succeeded", "failed", "timed_out", "cancelled"]
    #: A sentence for users; empty on success.
    reason: Reason = ""
    #: Whose fault a failure is: `worker` (disk full, cannot start a process, inputs damaged) costs no retry.
    fault: Literal["task", "worker"] = "task"
    #: Of the command that failed, or 0; negative: terminated by that signal. None: no command ran.
    exit_code: ExitCode | None = None
    #: The command that failed.
    command: Text = ""
    commands: Annotated[list[CommandSummary], msgspec.Meta(max_length=1_000)] = msgspec.field(default_factory=list)
    #: The last kilobytes of each, as text; bytes that are not UTF-8 are replaced.
    stdout_tail: Tail = ""
    stderr_tail: Tail = ""
    #: From the first command's start to the last one's end.
    seconds: Seconds = 0.0
    manifest: Annotated[list[ManifestEntry], _MANY] = msgspec.field(default_factory=list)
    #: Those of the results that are directories.
    folders: Annotated[list[ResultFolder], _ANY] = msgspec.field(default_factory=list)
    #: Numbers for users, such as those of an EPANET run (ok, warned, failed).
    figures: Annotated[dict[Name, Figure], msgspec.Meta(max_length=1_000)] = msgspec.field(default_factory=dict)


class Heartbeat(_Value, frozen=True, kw_only=True, tag="heartbeat"):
    """The worker is alive. Renews the lease, as every other report does."""

    #: (task, attempt, fraction done) of those that reported their progress since the last one.
    progress: Annotated[list[tuple[Count, Small, Fraction]], _MANY] = msgspec.field(default_factory=list)
    #: Free bytes below the worker's home.
    disk_free: Count = 0
    #: Digests that entered or left the cache since the last one.
    cached: Annotated[list[Digest], _CACHED] = msgspec.field(default_factory=list)
    dropped: Annotated[list[Digest], _CACHED] = msgspec.field(default_factory=list)


class Leaving(_Value, frozen=True, kw_only=True, tag="leaving"):
    """It is about to terminate (SIGTERM): what has not started follows as Returned; send nothing new."""

    reason: Reason = ""


WorkerReport = WorkerHello | PhaseReached | Returned | InputsMissing | Outcome | Heartbeat | Leaving


class WorkerReports(_Envelope, tag="worker_reports", frozen=True, kw_only=True):
    """One message on `workers/<id>/reports`."""

    worker: Token
    incarnation: Token
    #: Rises per incarnation, so that a late copy of an old hello is recognized.
    number: Count
    #: Epoch of the orders confirmed below.
    epoch: Count
    #: Numbers of the orders received since the last report.
    confirms: Annotated[list[Count], _MANY]
    reports: Annotated[list[WorkerReport], _MANY]


# ---------------------------------------------------------------------------------------------------
# Orders: boss -> datastore


class Stage(_OfAttempt, frozen=True, kw_only=True, tag="stage"):
    """Put these inputs into the worker's cache. Answered StageDone or StageFailed."""

    worker: Token
    place: Place
    inputs: Annotated[list[Input], _ANY]


class CollectFile(ManifestEntry, frozen=True, kw_only=True):
    """One file to fetch from the attempt's working directory; its target includes the project's folder."""


class Collect(_OfAttempt, frozen=True, kw_only=True, tag="collect"):
    """Fetch, verify and publish these results. Answered Published or Abandoned.

    From here on the datastore decides the outcome of the attempt; it keeps the highest attempt published per
    task and refuses a lower one; a repeated order is answered from the publish record.
    """

    worker: Token
    place: Place
    files: Annotated[list[CollectFile], _ANY]
    folders: Annotated[list[ResultFolder], _ANY] = msgspec.field(default_factory=list)


class Abandon(_OfAttempt, frozen=True, kw_only=True, tag="abandon"):
    """Stop collecting the results of this attempt if its publish record is not written yet.

    Answered Published (it was too late) or Abandoned; from then on a Collect of it is refused.
    """

    reason: Reason = ""


class Forget(_Value, frozen=True, kw_only=True, tag="forget"):
    """The outcomes of these attempts are on the boss's disk: remove their publish records and fences."""

    attempts: Annotated[list[AttemptKey], _ANY]


class Store(_Value, frozen=True, kw_only=True, tag="store"):
    """Give content that was sent with a push its name in the tree. Answered Stored or StoreFailed."""

    name: Path
    digest: Digest
    size: Count
    executable: bool = False
    #: Where the content is: a path of this machine, or `boss:` and a path of the boss's HTTP API. No host and no
    #: token: the datastore has its own configuration of the boss.
    source: Path


class LookUp(_Value, frozen=True, kw_only=True, tag="look_up"):
    """Which of these names exist? Answered Found. `task` only labels the question."""

    task: Count
    names: Annotated[list[Path], _ANY]


class Send(_Value, frozen=True, kw_only=True, tag="send"):
    """Send this content to the boss by HTTP (a client requests it). Answered Sent or SendFailed."""

    #: Path inside the datastore's tree (project folder included).
    name: Path
    digest: Digest
    size: Count


DatastoreOrder = SayHello | Stage | Collect | Abandon | Forget | Store | LookUp | Send


class DatastoreOrders(_Orders, tag="datastore_orders", frozen=True, kw_only=True):
    """One message on `datastore/orders`. The datastore keeps the highest (epoch, number) on disk."""

    orders: Annotated[list[DatastoreOrder], _ANY]


# ---------------------------------------------------------------------------------------------------
# Reports: datastore -> boss


class DatastoreHello(_Value, frozen=True, kw_only=True, tag="hello"):
    """The first report after every (re)connection. The boss then repeats all orders that are pending."""

    address: Name = ""
    pid: Small = 0
    disk_free: Count = 0
    program: Name = ""


class StageDone(_OfAttempt, frozen=True, kw_only=True, tag="stage_done"):
    """The inputs are in the worker's cache; each now has its digest and size."""

    inputs: Annotated[list[Input], _ANY]
    #: Bytes that had to be moved (the rest was there).
    bytes_moved: Count = 0


#: `input`: a file is not available, the task fails. `transfer`: try again later, on any worker.
#: `host`: the worker's host has another key than before, or is untrusted: it is quarantined.
StageFault = Literal["input", "transfer", "host"]


class StageFailed(_OfAttempt, frozen=True, kw_only=True, tag="stage_failed"):
    fault: StageFault
    reason: Reason


class Published(_OfAttempt, frozen=True, kw_only=True, tag="published"):
    """The results are in the tree, whole, and their publish record is kept until Forget."""

    files: Annotated[list[PublishedFile], _ANY]
    #: Names (inside the datastore's tree) of directories that were replaced whole.
    folders: Annotated[list[Path], _ANY] = msgspec.field(default_factory=list)


class Abandoned(_OfAttempt, frozen=True, kw_only=True, tag="abandoned"):
    """Nothing of this attempt is or will be visible; its files are removed here."""

    #: `asked`: by Abandon. `fenced`: a higher attempt is published. `result`: what the worker had is not
    #: what it reported (missing, other size or digest). `transfer`: could not be fetched. `path`: refused.
    #: `host`: as in StageFailed.
    fault: Literal["asked", "fenced", "result", "transfer", "path", "host"]
    reason: Reason = ""


class Stored(_Value, frozen=True, kw_only=True, tag="stored"):
    name: Path
    digest: Digest


class StoreFailed(_Value, frozen=True, kw_only=True, tag="store_failed"):
    name: Path
    digest: Digest
    reason: Reason


class Found(_Value, frozen=True, kw_only=True, tag="found"):
    """The answer to LookUp: those of the names that exist."""

    task: Count
    files: Annotated[list[PublishedFile], _ANY]
    #: All names of the question exist.
    complete: bool = False


class Sent(_Value, frozen=True, kw_only=True, tag="sent"):
    """The boss has the whole of it, verified."""

    digest: Digest


class SendFailed(_Value, frozen=True, kw_only=True, tag="send_failed"):
    """The boss does not have it; a new order resumes the sending where it broke off."""

    digest: Digest
    reason: Reason


class DatastoreHeartbeat(_Value, frozen=True, kw_only=True, tag="heartbeat"):
    disk_free: Count = 0
    #: Why nothing new is collected at present (disk full), or empty.
    warning: Reason = ""


DatastoreReport = (
    DatastoreHello
    | StageDone
    | StageFailed
    | Published
    | Abandoned
    | Stored
    | StoreFailed
    | Found
    | Sent
    | SendFailed
    | DatastoreHeartbeat
)


class DatastoreReports(_Envelope, tag="datastore_reports", frozen=True, kw_only=True):
    """One message on `datastore/reports`."""

    incarnation: Token
    number: Count
    epoch: Count
    confirms: Annotated[list[Count], _ANY]
    reports: Annotated[list[DatastoreReport], _ANY]


# ---------------------------------------------------------------------------------------------------
# Presence (retained; the last will says offline) and live output


class Presence(_Envelope, tag="presence", frozen=True, kw_only=True):
    """A hint, never a decision. `incarnation` tells a late "offline" of a former incarnation from a current one."""

    #: `boss`, `datastore` or a worker's id.
    name: Token
    incarnation: Token
    online: bool
    #: The boss's epoch; 0 elsewhere.
    epoch: Count = 0


class OutputPart(_Envelope, tag="output", frozen=True, kw_only=True):
    """A piece of a running attempt's output, for clients that follow it; may be lost."""

    task: Count
    attempt: Small
    stream: Literal["stdout", "stderr"]
    text: Tail


Message = WorkerOrders | WorkerReports | DatastoreOrders | DatastoreReports | Presence | OutputPart
