"""The end of a deployment: what will be removed is a value that is shown first; then all of it, by the mark alone.

The boss goes first, so that nothing is started while the rest goes. The datastore's machine is ended politely, and its
disk stays unless it is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from boss.deploy.errors import DeployError
from boss.deploy.listed import BOSS, DATASTORE, machines
from boss.deploy.made import LONGEST_CALL_SECONDS, LOOK_SECONDS, Clock
from boss.deploy.record import Kept
from boss.deploy.remote import log_in
from boss.deploy.settings_text import STATE
from boss.providers.opennebula import errors
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.login import token_in
from boss.providers.opennebula.machines import DEPLOY, CloudMachine, Seen
from boss.providers.opennebula.make import TOKEN_FILE

#: How long the boss's machine is asked for its token.
LOGIN_SECONDS = 5.0
#: For users.
TOKENS = "An account has at most ten; `oneuser token-delete TOKEN`, or Sunstone under Settings, Auth, removes one."
#: A boss that does not end politely is ended hard after this; workers are at once.
POLITE_SECONDS = 60.0
#: For all of it.
ALL_SECONDS = 900.0


class TeardownPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is there to be removed."""

    mark: str
    machines: list[str]
    #: Their ids, in the same order; for programs (`--json`).
    numbers: list[int]
    #: Image of the datastore's disk that is removed too; empty: none is.
    disk: str
    #: Image that stays; empty: there is none.
    disk_stays: str


def plan(client: CloudClient, mark: str, disk: str) -> TeardownPlan:
    """Raises CloudError; DeployError: the disk that is named is not there, or not this deployment's."""
    found = machines(client, mark)
    made = [image for image in client.images() if _has_mark(image, mark)]
    if disk and not any(disk == image.NAME for image in made):
        names = ", ".join(image.NAME for image in made) or "none"
        raise DeployError(
            f"there is no disk {disk!r} that this deployment made (it made: {names}); a disk that was there before is "
            "removed manually in the cloud itself"
        )
    stays = ", ".join(image.NAME for image in made if disk != image.NAME)
    return TeardownPlan(
        mark=mark,
        machines=[_line(one) for one in found],
        numbers=[one.id for one in found],
        disk=disk,
        disk_stays=stays,
    )


def remove(
    client: CloudClient, kept: Kept | None, wanted: TeardownPlan, say: Callable[[str], None], clock: Clock | None = None
) -> None:
    """All of it; safe to repeat. Raises CloudError, DeployError."""
    clock = clock or Clock()
    _wait_for_a_lost_call(client, kept, say, clock)
    tokens = _tokens_of(kept, say, clock)
    for roles in ((BOSS,), ()):
        _end_all(client, wanted.mark, roles, say, clock)
    if wanted.disk:
        for image in client.images():
            if wanted.disk == image.NAME and _has_mark(image, wanted.mark):
                client.drop_image(int(image.ID))
                say(f"The disk {wanted.disk} is removed.")
    if kept is not None:
        for token in tokens:
            try:
                client.drop_token(token)
            except CloudError as error:
                say(f"A login token of the boss stays until it expires ({error}). {TOKENS}")
        kept.remove()


def _tokens_of(kept: Kept | None, say: Callable[[str], None], clock: Clock) -> list[str]:
    """The boss's login tokens: the one that it was given, and the one that it made from it, which only it knows."""
    if kept is None or not kept.record.cloud_token:
        return []
    given, own = kept.record.cloud_token, ""
    if kept.record.host_key and kept.record.machine is not None:
        try:
            with log_in(kept, LOGIN_SECONDS, say, clock) as remote:
                own = token_in(remote.run('cat "$1" 2>/dev/null || true', f"{STATE}/{TOKEN_FILE}"))
        except DeployError as error:
            say(f"A login token of the boss may stay for a week, as its machine cannot be asked ({error}). {TOKENS}")
    return [token for token in (own, given) if token]


def _wait_for_a_lost_call(client: CloudClient, kept: Kept | None, say: Callable[[str], None], clock: Clock) -> None:
    """A machine that is still being made would outlive the teardown."""
    if kept is None or not kept.record.intended_at:
        return
    until = kept.record.intended_at + LONGEST_CALL_SECONDS
    while clock.wall() < until and not machines(client, kept.record.mark):
        say("Waiting for a call that may still make the boss's machine ...")
        clock.sleep(LOOK_SECONDS * 5)


def _end_all(client: CloudClient, mark: str, roles: tuple[str, ...], say: Callable[[str], None], clock: Clock) -> None:
    """Until a list shows none of these roles (empty: none at all) any more."""
    began = clock.wall()
    listed: set[int] = set()
    while True:
        late = clock.wall() - began
        try:
            left = [one for one in machines(client, mark) if not roles or one.role in roles]
        except CloudError as error:
            if error.kind not in ("away", "unclear") or late > ALL_SECONDS:
                raise
            say(f"{errors.being_tried(error)}.")
            clock.sleep(LOOK_SECONDS)
            continue
        if not left:
            return
        if late > ALL_SECONDS:
            raise DeployError(
                f"after {late:.0f} s these are still there: {'; '.join(map(_line, left))}. The same command goes on; "
                "what an administrator has locked, only they can end"
            )
        for one in left:
            if one.id not in listed:
                say(f"Ending {_line(one)} ...")
                listed.add(one.id)
            _end(client, one, hard=_may_be_hard(one, late))
        clock.sleep(LOOK_SECONDS)


def _may_be_hard(one: CloudMachine, late: float) -> bool:
    """`late`: seconds since its end was asked for. The datastore's machine takes its time, unless its host is dead."""
    if one.role == DATASTORE:
        return one.seen is Seen.UNREACHABLE
    return one.role != BOSS or late > POLITE_SECONDS


def _end(client: CloudClient, one: CloudMachine, *, hard: bool) -> None:
    if one.seen is Seen.ENDING and not hard:
        return
    try:
        client.terminate(one.id, hard=hard)
    except CloudError as error:
        if error.kind not in ("state", "away", "unclear", "missing"):
            raise


def _has_mark(image: Any, mark: str) -> bool:
    return (image.TEMPLATE or {}).get(DEPLOY) == mark


def _line(one: CloudMachine) -> str:
    what = {BOSS: "the boss's machine", DATASTORE: "the datastore's machine"}.get(one.role, f"worker {one.worker}")
    return f"machine {one.id}: {what} ({one.name}), {one.address or 'no address'}, {one.seen}"
