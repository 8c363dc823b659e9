"""Which host a worker is, and whether it is trusted: host keys that are pinned, hosts that are quarantined.

The keys of a worker's first hello hold for its id as long as it is not gone; an address is no identity. A hello that
states none of them is refused whole: nothing is sent to its sender, whose reports are dropped, and the worker is
quarantined until a user releases it, which accepts the keys of the refused hello. A host whose datastore transfers show
another key, or send what no honest one sends, is quarantined as well.
"""

from __future__ import annotations

import base64
from hashlib import sha256

import msgspec

from boss.core import attempts, quarantine
from boss.core.events import StartTokenRefused
from boss.core.model import WorkerState
from boss.core.reasons import UNTRUSTED_HOST, Quarantine, QuarantineKind, ReportRejection
from boss.core.state import Attempt, RefusedHost, State, Worker
from wire.messages import Place, WorkerHello, WorkerReports

_NO_KEY = "it states no host key, so that its host cannot be distinguished from another one: give its agent the files"

# --- keys ------------------------------------------------------------------------------------------


def fingerprint(key: str) -> str:
    """`SHA256:...` of one public key line, as ssh-keygen prints it; the line itself where it is none."""
    parts = key.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, ValueError):
        return repr(key[:60])
    return f"{parts[0]} SHA256:{base64.b64encode(sha256(blob).digest()).decode().rstrip('=')}"


def _keys(place: Place) -> set[tuple[str, ...]]:
    """Type and key of each line; what stands behind is a comment."""
    return {tuple(line.split()[:2]) for line in place.host_keys if line.strip()}


def _pinned(worker: Worker | None) -> Place | None:
    """The place whose keys hold for this worker; None: none do yet."""
    if worker is None or worker.state is WorkerState.GONE or worker.place is None:
        return None
    return worker.place if worker.place.kind == "ssh" and _keys(worker.place) else None


def place_of(worker: Worker | None, stated: Place) -> Place:
    """The place of an accepted hello: its address, and the pinned keys. Keys that it states besides do not count:
    any host that reports in its name could state its key, which is public, beside one of their own."""
    pinned = _pinned(worker)
    return stated if pinned is None else msgspec.structs.replace(stated, host_keys=pinned.host_keys)


def quarantine_of(old: Worker | None) -> Quarantine | None:
    """With what a worker begins that was known before: a new machine is not untrusted for the one before it."""
    if old is None or (old.state is WorkerState.GONE and has_untrusted_host(old)):
        return None
    return old.quarantine


def refused_host_of(old: Worker, incarnation: str) -> RefusedHost | None:
    """The host that is still refused after another start of the worker said hello."""
    refused_host = old.refused_host
    if refused_host is None or refused_host.incarnation == incarnation or old.state is WorkerState.GONE:
        return None
    return refused_host


def _mismatch(worker: Worker | None, stated: Place) -> str:
    """Why this is not the worker's host; empty: it is, or nothing is known of it yet."""
    pinned = _pinned(worker)
    if pinned is None:
        return ""
    if stated.kind != "ssh":
        return f"no host key at all ({stated.kind!r}); pinned is {_fingerprints(pinned)}"
    if _keys(stated) & _keys(pinned):
        return ""
    return (
        f"{_fingerprints(stated)} at {stated.host}:{stated.port}; "
        f"pinned is {_fingerprints(pinned)} of {pinned.host}:{pinned.port}"
    )


def _fingerprints(place: Place) -> str:
    return ", ".join(map(fingerprint, place.host_keys[:3])) or "none"


# --- hellos ----------------------------------------------------------------------------------------


def refused(state: State, worker: Worker | None, message: WorkerReports, hello: WorkerHello | None) -> bool:
    """True: this message is of a host that is not the worker's, and changes nothing else."""
    if worker is None:
        return False
    refused_host = worker.refused_host
    if hello is None:
        if refused_host is None or refused_host.incarnation != message.incarnation:
            return False
        state.reject(ReportRejection.OTHER_HOST_KEY)
        return True
    mismatch = _mismatch(worker, hello.place)
    if mismatch:
        state.reject(ReportRejection.OTHER_HOST_KEY)
        if (
            refused_host is None
            or refused_host.incarnation != message.incarnation
            or refused_host.number < message.number
        ):
            worker.refused_host = RefusedHost(message.incarnation, message.number, hello.place)
        quarantine_host(
            state,
            worker,
            QuarantineKind.OTHER_HOST_KEY,
            f"it states another host key than the pinned one: {mismatch}",
        )
    elif refused_host is not None:
        same = refused_host.incarnation == message.incarnation
        worker.refused_host = None if same else msgspec.structs.replace(refused_host, newest=False)
    return bool(mismatch)


def check_keys(state: State, worker: Worker, stated: Place) -> None:
    """After an accepted hello: without a key nothing can be pinned, and a host that may be any host is not trusted."""
    place = place_of(worker, stated)
    if place != worker.place:
        _pin(state, worker, place)
    if stated.kind == "ssh" and not _keys(place):
        quarantine_host(state, worker, QuarantineKind.NO_HOST_KEY, _NO_KEY)
    elif worker.quarantine is not None and worker.quarantine.kind is QuarantineKind.NO_HOST_KEY:
        quarantine.release(state, worker)


def trust(state: State, worker: Worker) -> str:
    """A user trusts the host that it is now: the keys of its newest hello hold from here on.

    The incarnation that is to say hello again; empty: none was refused.
    """
    refused_host = worker.refused_host
    if refused_host is not None and refused_host.newest:
        former = RefusedHost(worker.incarnation, worker.report_number, worker.place or refused_host.place, newest=False)
        worker.refused_host = None if refused_host.incarnation == worker.incarnation else former
        worker.connected = False  # it is sent nothing before the other one has said hello
        worker.row.incarnation = ""  # nor by the next boss, which does not know of refused hosts
        _pin(state, worker, refused_host.place)
        return refused_host.incarnation
    by_key = worker.quarantine is not None and worker.quarantine.kind is QuarantineKind.OTHER_HOST_KEY
    if by_key and not worker.report_number and worker.place is not None:
        # Refused by an earlier boss, and none has said hello to this one: the user means the next that does.
        worker.incarnation = worker.row.incarnation = ""
        _pin(state, worker, msgspec.structs.replace(worker.place, host_keys=[]))
    return ""


def _pin(state: State, worker: Worker, place: Place) -> None:
    before, after = (_fingerprints(one) if one is not None else "none" for one in (worker.place, place))
    worker.place = place
    worker.row.place = attempts.encode(place)
    worker.row.changed_at = state.wall
    state.changes.workers[worker.id] = worker.row
    if before != after:
        state.journal("worker", worker.id, 0, worker.state.value, "pinned", f"host key {after}, before {before}")


# --- hosts that are not trusted --------------------------------------------------------------------


def quarantine_host(state: State, worker: Worker, kind: QuarantineKind, why: str) -> None:
    """Quarantine it until a user releases it. What it neither starts nor gives back is lost after a lease."""
    if quarantine.quarantine(state, worker, Quarantine(kind, f"its host is not trusted: {why}")):
        state.at(state.now + state.policy.lease, "untrusted", worker.id)


def has_untrusted_host(worker: Worker) -> bool:
    return worker.quarantine is not None and worker.quarantine.kind in UNTRUSTED_HOST


def untrusted_due(state: State, worker_id: str) -> None:
    """A host that reports falsely may also never answer: it is not waited for."""
    worker = state.workers.get(worker_id)
    if worker is None or not has_untrusted_host(worker):
        return
    for attempt in list(worker.attempts.values()):
        if attempt.asked_back and not attempt.started():
            attempts.lose(state, attempt, f"worker {worker.id}, whose host is not trusted, did not give it back")


def holder(state: State, attempt: Attempt) -> Worker | None:
    """The worker that is to answer for this attempt; None: it is gone, or another machine has its id by now."""
    worker = state.workers.get(attempt.worker)
    return worker if worker is not None and worker.attempts.get(attempt.key) is attempt else None


# --- machines at their start -----------------------------------------------------------------------


def on_start_token_refused(state: State, event: StartTokenRefused) -> None:
    """A start token that was used already was presented again: recorded in the journal."""
    worker = state.workers.get(event.worker)
    word = worker.state.value if worker is not None else "new"
    state.journal("worker", event.worker, 0, word, word, event.reason)
