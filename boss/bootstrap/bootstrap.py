"""What the machine of a worker is given by the boss: variables and script at its start, its program, its login.

A machine is given no password: it has a short-lived start token, which it exchanges once for the login that was made
with it. Whoever shows the token again is refused, and the operator is warned. The login ends with the instance. Knows
pools, the broker's logins and the bundles; decides nothing about instances.
"""

from __future__ import annotations

import base64
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import msgspec

from boss.api.errors import HttpError
from boss.api.schema import InstanceLoginAnswer
from boss.bootstrap.addresses import Addresses
from boss.bootstrap.bundle import Bundles, own_machine
from boss.bootstrap.bundles import PoolBundles, Role
from boss.bootstrap.login_files import LoginFiles
from boss.bootstrap.start_script import start_script
from boss.bootstrap.start_tokens import StartToken, StartTokenRecord, StartTokens
from boss.common.times import format_moment
from boss.core.events import BundlesKnown, InstanceEnded, InstanceStartFailed, StartTokenRefused
from boss.core.policy import LOCAL
from boss.core.waits import BossWarning
from boss.embedded.broker_logins import BrokerError, BrokerLogins
from boss.embedded.passwords import DATASTORE
from boss.providers.provider import BootstrapData
from boss.setup import PoolSetup
from wire.http import GUESTS
from wire.messages import Replace, WorkerOrders

logger = logging.getLogger(__name__)

#: Of a token that fetches a newer bundle, and of a start token where a pool does not say how long a boot may take.
REPLACE_SECONDS = 3600.0
BOOT_SECONDS = 900.0
_UNKNOWN = "an unknown address"
#: Providers whose machines the boss must not halt: it did not start them.
_NOT_OURS = (LOCAL, "static")
#: What of the settings of all workers, and of the datastore, is sent along with the login.
_PASSED_ON = {
    "worker": (
        "ECLOUD_OUTPUT_LIMIT_BYTES",
        "ECLOUD_CACHE_LIMIT_BYTES",
        "ECLOUD_HEARTBEAT_SECONDS",
        "ECLOUD_LOG_LEVEL",
    ),
    "datastore": ("ECLOUD_TRANSFERS_AT_ONCE", "ECLOUD_LOG_LEVEL"),
}


class InstanceBootstrap:
    """`boss.api.services.BootstrapService` of a running boss. All calls are safe from any thread."""

    def __init__(
        self,
        state_directory: Path,
        pools: Iterable[PoolSetup],
        addresses: Addresses,
        logins: BrokerLogins,
        login_files: LoginFiles,
        *,
        authorized_keys: Iterable[str],
        settings: Mapping[str, str],
        notify: Callable[[BundlesKnown | StartTokenRefused], None],
        clear_presence: Callable[[str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`authorized_keys`: lines for the worker's user; `settings`: environment variables of all workers;
        `notify`: takes events, `clear_presence`: a worker whose retained presence is to go; neither may block.
        """
        self._pools = [pool for pool in pools if pool.provider != LOCAL]
        self._addresses = addresses
        self._logins = logins
        self._login_files = login_files
        self._authorized_keys = "".join(f"{line}\n" for line in authorized_keys)
        self._settings = settings
        self._notify = notify
        self._clear_presence = clear_presence
        self._wall = wall
        self._tokens = StartTokens(state_directory, wall)
        self._lock = threading.Lock()
        self._bundles = PoolBundles(Bundles(state_directory), lambda kinds: notify(BundlesKnown(bundles=kinds)))
        #: Worker -> why its machine was refused its program.
        self._missing: dict[str, str] = {}
        self._ends: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self._ender = threading.Thread(target=self._end_logins, name="logins", daemon=True)
        self._ender.start()

    # --- for the program and the providers -----------------------------------------------------------------

    def prepare(self) -> None:
        """The boss has started: make the bundles that its pools need. Returns at once."""
        roles = {_role(pool) for pool in self._pools}
        machines = {_machine(pool) for pool in self._pools}
        if roles:
            self._bundles.prepare(sorted(roles, reverse=True), sorted(machines))

    def adopt(self, instances: Iterable[tuple[int, str]]) -> None:
        """The boss has started: the logins of instances that are not on record any more end. Returns at once.

        `instances`: (instance, worker) of all that are.
        """
        there = set(instances)
        for record in self._tokens.all():
            if (record.instance, record.worker) not in there:
                self._ends.put((record.worker, record.instance))

    def data(self, instance: int, worker: str) -> BootstrapData:
        """What the machine of this worker is given, its login made. Blocks while bundles are made; raises OSError."""
        pool = self._pool_of(worker)
        role = _role(pool)
        if pool.provider not in _NOT_OURS and self._addresses.unreachable:
            raise OSError(self._addresses.unreachable)
        offered = self._bundles.offered(role).items()
        bundles = sorted(f"{kind}={digest}" for kind, digest in offered if kind.endswith(f"-{_machine(pool)}"))
        seconds = float(pool.options.get("boot_timeout_seconds") or BOOT_SECONDS)
        token = self._start_token(worker, instance, role, seconds)
        variables = {
            "ECLOUD_BOSS_URL": self._addresses.boss_url,
            "ECLOUD_DEPLOYMENT": self._addresses.deployment,
            "ECLOUD_WORKER_ID": worker,
            "ECLOUD_POOL": pool.name,
            "ECLOUD_INSTANCE": str(instance),
            "ECLOUD_START_TOKEN": token,
            "ECLOUD_BUNDLES": " ".join(bundles),
            "ECLOUD_AUTHORIZED_KEYS": base64.b64encode(self._authorized_keys.encode()).decode(),
            "ECLOUD_ROLE": role,
        }
        return BootstrapData(variables=variables | _of_pool(pool), script=start_script())

    def bundles(self) -> dict[str, str]:
        """Kind -> digest of what workers are to run from, as far as they are made."""
        return self._bundles.made("worker")

    def bundle_file(self, kind: str, role: Role = "worker") -> Path:
        """For a provider that brings it to the machine itself. Blocks while bundles are made; raises OSError."""
        self._bundles.offered(role)
        try:
            return self._bundles.file(role, kind)[0]
        except LookupError as error:
            raise OSError(str(error)) from None

    def on_event(self, event: object) -> None:
        """Of a provider: where an instance has terminated, or never was, its login ends. Returns at once."""
        if isinstance(event, InstanceEnded | InstanceStartFailed):
            for record in self._tokens.all():
                if record.instance == event.instance:
                    self._ends.put((record.worker, record.instance))

    def fill(self, worker: str, message: WorkerOrders) -> WorkerOrders:
        """Orders to be replaced get the address and the token that they are sent with. Waits for nothing."""
        if not any(isinstance(order, Replace) for order in message.orders):
            return message
        orders = [self._filled(worker, order) if isinstance(order, Replace) else order for order in message.orders]
        return msgspec.structs.replace(message, orders=[order for order in orders if order is not None])

    def warnings(self) -> list[BossWarning]:
        """Start tokens that were used twice, and machines that cannot be given their program."""
        found = [
            BossWarning(
                f"worker {one.worker}",
                f"worker {one.worker}: its start token was used again at {format_moment(one.refused_at)} by "
                f"{one.refused_by or _UNKNOWN}, who was refused (its login was given to {one.exchanged_by or _UNKNOWN} "
                f"at {format_moment(one.exchanged_at)}); if that was not its own machine, "
                "another program has read its CONTEXT",
            )
            for one in self._tokens.all()
            if one.refused_at
        ]
        return found + [
            BossWarning(f"program of worker {worker}", text) for worker, text in list(self._missing.items())
        ]

    def close(self) -> None:
        """End the thread that ends logins. Blocks until the ends that are queued are done, 10 s at most."""
        self._ends.put(None)
        self._ender.join(10.0)

    # --- for the HTTP application -------------------------------------------------------------------------------

    def admits(self, worker: str, token: str) -> bool:
        """True: it is a token of this worker, its time over or not. Takes as long for any other."""
        return self._tokens.find(worker, token) is not None

    def bundle(self, worker: str, token: str, kind: str, digest: str) -> tuple[Path, str]:
        """File and digest (`b2:` and 64 hexadecimal digits) of a bundle. `kind`: Python and machine (3.11-x86_64);
        `digest`: empty is the newest. Raises HttpError 401: no token of this worker; 403: its time is over; 404: no
        such bundle.
        """
        record, _ = self._valid(worker, token)
        role = cast(Role, record.role)
        try:
            found = self._bundles.file(role, kind, digest)
        except LookupError as error:
            self._missing[worker] = f"the machine of worker {worker} was refused its program: {error}"
            raise HttpError(404, str(error)) from None
        self._missing.pop(worker, None)
        return found

    def exchange(self, worker: str, token: str, folder: str, address: str) -> InstanceLoginAnswer:
        """The login of this worker, given once; `folder`: where its files will lie; `address`: of the client, for
        messages.

        Blocks on the disk. Raises HttpError 401: no token of this worker; 403: its time is over, or it is good for the
        bundle only; 409: the login was given out already, which is reported; what `LoginFiles.of` raises; OSError.
        """
        with self._lock:
            record, shown = self._valid(worker, token)
            if not shown.login:
                raise HttpError(403, "this token is good for the bundle only")
            if record.exchanged_at:
                record.refused_at, record.refused_by = self._wall(), address
                self._tokens.save(record)
                self._report(record)
                raise HttpError(409, f"the login of worker {worker} was given out already; it is given once")
            name = DATASTORE if record.role == "datastore" else worker
            answer = InstanceLoginAnswer(files=self._login_files.of(name, folder), variables=self._variables(worker))
            record.exchanged_at, record.exchanged_by = self._wall(), address
            self._tokens.save(record)
        logger.info("worker %s at %s has its login", worker, address, extra={"action": "exchange"})
        return answer

    # --- parts -----------------------------------------------------------------------------------------------------

    def _start_token(self, worker: str, instance: int, role: Role, seconds: float) -> str:
        """A new one; the login is made with the first. Raises OSError."""
        with self._lock:
            known = self._tokens.record(worker)
            record = self._tokens.begin(worker, instance, role)
            if record is not known and role == "worker":
                self._tokens.save(record)  # first: a login that is on no record would never end
                self._make_login(worker)
            return self._tokens.issue(record, seconds)

    def _valid(self, worker: str, token: str) -> tuple[StartTokenRecord, StartToken]:
        shown, record = self._tokens.find(worker, token), self._tokens.record(worker)
        if shown is None or record is None:
            raise HttpError(401, "no token or a wrong one")
        if self._tokens.is_over(shown):
            raise HttpError(403, f"the time of this start token of worker {worker} is over")
        return record, shown

    def _report(self, record: StartTokenRecord) -> None:
        logger.warning(
            "worker %s: its start token was used again, by %s; refused", record.worker, record.refused_by,
            extra={"action": "exchange_refused"},
        )  # fmt: skip
        self._notify(
            StartTokenRefused(worker=record.worker, reason=f"start token used again by {record.refused_by}: refused")
        )

    def _variables(self, worker: str) -> dict[str, str]:
        pool = self._pool_of(worker)
        passed_on = {name: self._settings[name] for name in _PASSED_ON[_role(pool)] if name in self._settings}
        placement = str(pool.options.get("placement") or "") if pool.role == "workers" else ""
        return passed_on | ({"ECLOUD_PLACEMENT": placement} if placement else {})

    def _filled(self, worker: str, order: Replace) -> Replace | None:
        """None: it has no machine of ours, so it cannot be given a token."""
        if self._tokens.record(worker) is None:
            return None
        token = self._tokens.issue_passing(worker, REPLACE_SECONDS)
        url = f"{self._addresses.boss_url}{GUESTS}/{worker}/bundle/{order.kind}?digest={order.digest}"
        return msgspec.structs.replace(order, url=url, token=token)

    def _pool_of(self, worker: str) -> PoolSetup:
        name = worker.rpartition("-")[0]
        for pool in self._pools:
            is_its = worker == DATASTORE if pool.role == "datastore" else pool.name == name
            if is_its:
                return pool
        raise OSError(f"no pool of the settings has a worker {worker!r} with a machine of its own")

    def _make_login(self, worker: str) -> None:
        """With a new password, known to the broker when this returns. Raises OSError."""
        if not self._logins.is_own_broker:
            raise OSError(self._addresses.unreachable)
        try:
            self._logins.renew(worker, "worker")
        except BrokerError as error:
            raise OSError(f"worker {worker} has no login: {error}") from None

    def _remove_login(self, worker: str) -> None:
        """The broker refuses it from now on, and cuts off who uses it. Raises OSError."""
        try:
            self._logins.remove(worker)
        except BrokerError as error:
            raise OSError(str(error)) from None
        if not self._logins.is_own_broker:
            raise OSError(self._addresses.unreachable)

    def _end_logins(self) -> None:
        """In a thread of its own: the broker is waited for."""
        while (end := self._ends.get()) is not None:
            worker, instance = end
            try:
                self._end(worker, instance)
            except Exception as error:  # OSError; or an internal error: the logins after it are to end all the same
                logger.error("the login of worker %s may still hold: %s", worker, error, extra={"action": "end_login"})

    def _end(self, worker: str, instance: int) -> None:
        with self._lock:
            record = self._tokens.record(worker)
            if record is None or record.instance != instance:
                return  # it has a successor already, with a login of its own
            self._missing.pop(worker, None)
            if record.role == "worker":
                self._remove_login(worker)
            self._tokens.forget(worker)
        if record.role == "worker":
            # After the end of its connection, whose last will would else stand there.
            self._clear_presence(worker)


def _role(pool: PoolSetup) -> Role:
    return "datastore" if pool.role == "datastore" else "worker"


def _machine(pool: PoolSetup) -> str:
    """The hardware of its machines, as `uname -m` prints it; by default this machine's."""
    return str((pool.options.get("options") or {}).get("machine") or own_machine())


def _of_pool(pool: PoolSetup) -> dict[str, str]:
    """Variables of its workers that follow from the settings of the pool."""
    options = pool.options
    # The datastore's machine never halts: its work is to wait.
    may_halt = pool.provider not in _NOT_OURS and pool.role == "workers" and options.get("halt_when_orphaned")
    variables = {"ECLOUD_HALT_WHEN_ORPHANED": "1" if may_halt else "0"}
    if options.get("labels"):
        variables["ECLOUD_LABELS"] = json.dumps(options["labels"], sort_keys=True)
    if options.get("slots"):
        variables["ECLOUD_SLOTS"] = str(options["slots"])
    if options.get("orphan_after_seconds"):
        variables["ECLOUD_ORPHAN_AFTER"] = f"{options['orphan_after_seconds']:g}"
    return variables
