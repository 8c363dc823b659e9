"""The boss's machine: found by its mark, or made, and never twice.

There is no idempotence key: a call whose answer is lost may have made a machine. So the intent is on disk before the
call, and a further call is made only when a list, taken later than the first call can have lasted, shows no machine
with the mark. Of two that should not be, the younger is ended.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import NoReturn

from boss.deploy.errors import DeployError
from boss.deploy.listed import BOSS, machines
from boss.deploy.record import Kept
from boss.embedded.environments import ROOT
from boss.providers.opennebula import errors, template
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.machines import DEPLOY, ROLE, CloudMachine, Seen

START_SCRIPT = ROOT / "templates" / "boss-start.sh"
#: How long the server may work on a call that is no longer waited for.
LONGEST_CALL_SECONDS = 120.0
#: Between two polls: the cloud does not announce changes.
LOOK_SECONDS = 2.0


class Clock:
    """Time as the steps need it; a test's goes faster."""

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Maker:
    """`say` gets progress, a line each."""

    def __init__(self, kept: Kept, client: CloudClient, say: Callable[[str], None], clock: Clock) -> None:
        self._kept = kept
        self._client = client
        self._say = say
        self._clock = clock

    def ensure(self, template_name: str, network: str, seconds: float, *, another: bool = False) -> CloudMachine:
        """The machine, running. Raises DeployError, CloudError. `another`: though this account has a boss already."""
        there = self._found() or self._after_a_lost_call()
        if there is None:
            if not another:
                self._refuse_second()
            there = self._make(template_name, network)
        return self._wait_until_it_runs(there, seconds)

    # --- finding -----------------------------------------------------------------------------------------

    def _found(self) -> CloudMachine | None:
        record = self._kept.record
        mine = [one for one in machines(self._client, record.mark) if one.role == BOSS and one.seen is not Seen.ENDING]
        if not mine:
            if record.machine is not None:
                self._say(f"The boss's machine {record.machine} no longer exists.")
                self._set_machine(None)
            return None
        first, *younger = mine
        for machine in younger:
            self._say(f"Machine {machine.id} is a second one with the same mark: ended.")
            self._client.terminate(machine.id)
        if record.machine != first.id or record.intended_at:
            self._set_machine(first.id)
        return first

    def _set_machine(self, machine: int | None) -> None:
        """What was known of a former machine is not true of another one."""
        record = self._kept.record
        if record.machine not in (None, machine):
            record.host_key = record.address = ""
        record.machine, record.intended_at = machine, 0.0
        self._kept.save()

    def _after_a_lost_call(self) -> CloudMachine | None:
        """A process was killed, or an answer lost, when the machine may have been made: wait until that is known."""
        intended = self._kept.record.intended_at
        if not intended:
            return None
        until = intended + LONGEST_CALL_SECONDS
        if self._clock.wall() < until:
            self._say("An earlier call may still be making the boss's machine: waiting for it.")
        while True:
            last = self._clock.wall() >= until
            found = self._found()
            if found is not None or last:
                return found
            self._clock.sleep(LOOK_SECONDS)

    def _refuse_second(self) -> None:
        others = [one for one in machines(self._client) if one.role == BOSS and one.seen is not Seen.ENDING]
        if others:
            one = others[0]
            raise DeployError(
                f"this account has a boss already: machine {one.id} ({one.name}) at {one.address or 'no address'}, "
                f"deployed from another state directory (mark {one.deploy}). Work with that one from where it was "
                f"deployed, or with its address and token (settings boss_url and token); end it with admin.py teardown "
                f"--mark {one.deploy}; or use --another to have a second one beside it"
            )

    # --- making ------------------------------------------------------------------------------------------

    def _make(self, template_name: str, network: str) -> CloudMachine:
        record = self._kept.record
        number = self._client.template_id(template_name)
        own = self._client.template(number)
        context = {
            "ECLOUD_DEPLOY_KEY": _base64(self._kept.key.public),
            "ECLOUD_FIRST_HOST_KEY": _base64(self._kept.first_host_key.path.read_text()),
        }
        extra = template.extra_template(
            own, context, START_SCRIPT.read_text(), {DEPLOY: record.mark, ROLE: BOSS}, template.nic_of(network)
        )
        record.intended_at, record.machine = self._clock.wall(), None
        self._kept.save()
        self._say(f"Making the boss's machine from template {template_name} ...")
        try:
            record.machine = self._client.instantiate(number, "ecloud-boss", extra)
        except CloudError as error:
            if error.kind != "unclear":
                record.intended_at = 0.0
                self._kept.save()
                raise
            self._say(f"{error}; it may have been made all the same.")
            found = self._after_a_lost_call()
            if found is None:
                record.intended_at = 0.0
                self._kept.save()
                raise DeployError(f"{error}, and no machine was made: try again") from None
            return found
        record.intended_at = 0.0
        self._kept.save()
        found = self._found()
        if found is None:
            raise DeployError(f"machine {record.machine} was made and is not listed any more: look at it in the cloud")
        return found

    def _wait_until_it_runs(self, there: CloudMachine, seconds: float) -> CloudMachine:
        until = self._clock.wall() + seconds
        shown = ""
        while there.seen is not Seen.RUNNING:
            if there.seen is Seen.BROKEN:
                raise DeployError(
                    f"the boss's machine {there.id} does not run: {there.message}. Put that right, or end it with "
                    "admin.py teardown, and deploy again"
                )
            state = f"Machine {there.id} is {there.seen}{f': {there.message}' if there.message else ''}."
            if state != shown:
                self._say(state)
                shown = state
            if self._clock.wall() >= until:
                raise DeployError(
                    f"machine {there.id} is still {there.seen} after {seconds:.0f} s "
                    f"({there.message or 'no reason was given'}); the same command goes on waiting, and "
                    "admin.py teardown ends it"
                )
            self._clock.sleep(LOOK_SECONDS)
            try:
                there = self._found() or self._gone(there)
            except CloudError as error:
                if error.kind not in ("away", "unclear"):
                    raise
                self._say(f"{errors.being_tried(error)}.")
        if not there.address:
            raise DeployError(
                f"machine {there.id} has no address: its template has no NIC; name one (opennebula_network), "
                "then admin.py teardown and deploy again"
            )
        record = self._kept.record
        if record.address != there.address:
            record.address = there.address
            self._kept.save()
        return there

    def _gone(self, there: CloudMachine) -> NoReturn:
        raise DeployError(f"machine {there.id} was terminated by another user while it started: deploy again")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
