"""One host of a static pool: at most one agent, started, watched and ended by one thread.

Everything that is done to a host is done here, one after another, so it never gets two agents. Whatever is unsure after
a broken connection is looked up on the host before anything else is done there. A host that cannot be used is looked at
again automatically, after pauses that double until an agent was started there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.provider import BootstrapData, OfInstance, ProviderError
from boss.providers.static.calls import (
    HostAgent,
    HostCalls,
    HostError,
    HostFacts,
    HostObservation,
    HostProcess,
    check_room,
)
from boss.providers.static.hosts import Host
from boss.ssh import HostKeyError, SshConnection, SshError

logger = logging.getLogger(__name__)

#: Between two looks whether an agent has come up.
_LOOK_SECONDS = 0.2
#: Uploads at once, of all pools: a bundle is in memory meanwhile.
_uploads = threading.BoundedSemaphore(4)


class KeeperTimeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    #: Before a host that cannot be used is tried again: doubled each time, up to the second.
    retry: float = 5.0
    retry_max: float = 300.0
    #: How long one question whether the agent lives is open.
    watch: float = 30.0
    #: From the start script's begin until its agent must have taken its home.
    come_up: float = 90.0
    #: ... and how long no process of it may be there meanwhile.
    absent: float = 5.0
    #: After TERM (give back what has not begun), TERM (kill what runs), KILL.
    end: tuple[float, float, float] = (1.0, 15.0, 15.0)


class KeeperEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What a keeper is given to do its work."""

    deployment: str
    pool: str
    connect: Callable[[Host], SshConnection]
    bootstrap_data: Callable[[int, str], BootstrapData]
    bundle: Callable[[str], Path]
    tell: Callable[[OfInstance], None]
    #: An agent of this instance, of this pool, was found: is it to be kept, and by this keeper?
    claim: Callable[[HostKeeper, int], bool]
    #: A host was looked at: what should run there does, or is known not to.
    looked: Callable[[], None]
    pace: KeeperTimeouts = KeeperTimeouts()


class HostInstance(msgspec.Struct):
    """An instance that this host has."""

    instance: int
    worker: str
    #: Its agent, once known.
    process: HostProcess | None = None
    #: The start script may have run since then: whether there is an agent, the host alone knows.
    begun: float | None = None
    #: InstanceStarted was reported, by this boss.
    reported: bool = False
    stopping: bool = False
    log_before: str = ""


class HostKeeper:
    def __init__(self, host: Host, environment: KeeperEnvironment) -> None:
        self.host = host
        self.work: HostInstance | None = None
        #: Why it cannot be used at present; empty: it can, as far as is known.
        self.warning = ""
        #: A boss has just started, or something failed: what runs there is to be compared with what is on record.
        self.to_look = False
        self._environment = environment
        self._changed = threading.Condition()
        self._closed = False
        self._retry_at = float("-inf")
        self._pause = environment.pace.retry
        #: Bundles that there are, as the last start had it.
        self._bundles: list[str] = []
        self._connection: SshConnection | None = None
        #: Nothing is done on the host but waiting: the connection may be closed at any time.
        self._waiting = False
        self._interrupted = False
        self._thread: threading.Thread | None = None
        #: What was here when the visit began.
        self._visited: HostInstance | None = None

    # --- asked by the provider, from any thread ---------------------------------------------------------

    def take(self, work: HostInstance) -> None:
        """Nothing is here, or it is on record that this is."""
        with self._changed:
            self.work = work
            self._wake()

    def look(self) -> None:
        """What runs there is to be compared with what is on record, by the keeper's thread. Returns at once."""
        with self._changed:
            self.to_look = True
            self._wake()

    def stop(self, work: HostInstance) -> None:
        """End it, as soon as the host can be reached."""
        with self._changed:
            if self.work is not work:
                return
            if _may_be(work):
                work.stopping = True
                self._retry_at = float("-inf")
                self._interrupt(self._waiting)
                return
            self.work = None
        self._environment.tell(InstanceEnded(instance=work.instance, reason="it was not begun yet"))

    def close(self) -> None:
        """Hang up and end the keeper's thread, which is not waited for. An agent of the host lives on."""
        with self._changed:
            self._closed = True
            self._interrupt(True)

    def _wake(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=f"host {self.host.at}", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _interrupt(self, hang_up: bool) -> None:
        self._changed.notify()
        if hang_up and self._connection is not None:
            self._interrupted = True
            self._connection.close()

    # --- the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                pause = self._retry_at - time.monotonic()
                if (self.work is None and not self.to_look) or pause > 0:
                    self._changed.wait(pause if pause > 0 else None)
                    continue
            try:
                self._visit()
            except HostKeyError as error:
                self._warn(f"host {self.host.at} shows the key {error.shown}, which is not the one that pool "
                          f"{self._environment.pool} names: it is another machine, or was reinstalled; nothing was "
                          "sent to it. If that is as it should be, name the new key in the settings")  # fmt: skip
            except (SshError, ProviderError, OSError) as error:
                self._warn(str(error))
            except Exception as error:  # an internal error: without this thread the host would not be watched
                if not self._interrupted:
                    logger.exception("a visit of host %s failed", self.host.at, extra={"action": "bug"})
                self._warn(f"host {self.host.at}: {type(error).__name__}: {error}")

    def _visit(self) -> None:
        """One connection: compare, and serve what is here until it has ended."""
        work, data = self.work, None
        self._visited = work
        if work is not None and not _may_be(work):
            try:
                data = self._environment.bootstrap_data(work.instance, work.worker)
            except OSError as error:
                self._not_begun(work, str(error))
                return
        with self._environment.connect(self.host) as connection:
            with self._changed:
                if self._closed:
                    return
                self._connection, self._interrupted = connection, False
            try:
                self._serve(HostCalls(connection, self.host), work, data)
            finally:
                self._connection = None

    def _serve(self, calls: HostCalls, work: HostInstance | None, data: BootstrapData | None) -> None:
        self._bundles = sorted(_bundles(data)) if data is not None else self._bundles
        # What is there can be watched and ended with any Python.
        machine = calls.machine(self._bundles if self.work is None or data is not None else [])
        look = calls.look(machine, self._folder(machine))
        self._compare(calls, machine, look, work)
        if data is not None and work is not None and self.work is work:
            self._start(calls, machine, look, work, data)
        self.warning = ""
        while (work := self.work) is not None and _may_be(work) and not self._closed:
            if work.process is None:
                self._await(calls, machine, work)
            elif work.stopping:
                calls.stop(machine, work.process, self._environment.pace.end)
                self._gone(work, "its end was asked for")
            elif not self._lives(calls, machine, work, work.process):
                self._gone(work, "its agent ended")

    # --- what is there, against what should be ----------------------------------------------------------

    def _compare(self, calls: HostCalls, machine: HostFacts, look: HostObservation, work: HostInstance | None) -> None:
        for agent in look.agents:
            if self._is_ours(agent):
                self._keep_or_end(calls, machine, HostProcess(pid=agent.pid, start=agent.start, boot=look.boot), agent)
            elif work is not None and not _may_be(work):
                raise HostError(
                    f"host {self.host.at} has an agent already, not started by pool {self._environment.pool}: worker "
                    f"{agent.worker or 'of unknown name'}, process {agent.pid}; end it there, or take the host out of "
                    "the pool"
                )
        self.to_look = False
        self._environment.looked()
        work = self.work
        if work is None or work.process is None:
            return
        if all(HostProcess(pid=each.pid, start=each.start, boot=look.boot) != work.process for each in look.agents):
            self._gone(work, "its agent was gone when the host was looked at", unseen=True)

    def _is_ours(self, agent: HostAgent) -> bool:
        ours = (self._environment.deployment, self._environment.pool)
        return (agent.deployment, agent.pool) == ours and agent.instance.isdigit()

    def _is_of(self, agent: HostAgent, work: HostInstance) -> bool:
        return self._is_ours(agent) and agent.instance == str(work.instance)

    def _keep_or_end(self, calls: HostCalls, machine: HostFacts, process: HostProcess, agent: HostAgent) -> None:
        """The one that is meant to be here, or one too many."""
        if self._environment.claim(self, int(agent.instance)):
            work = self.work
            if work is not None and work.process in (None, process):
                self._came(work, process)
                return
        logger.warning(
            "host %s: the agent of worker %s (process %d) is ended: by its mark no instance on record is here",
            self.host.at, agent.worker, agent.pid, extra={"action": "end"},
        )  # fmt: skip
        calls.stop(machine, process, self._environment.pace.end)

    # --- from start to end ------------------------------------------------------------------------------

    def _start(
        self, calls: HostCalls, machine: HostFacts, look: HostObservation, work: HostInstance, data: BootstrapData
    ) -> None:
        folder = self._folder(machine)
        digest = _bundles(data)[machine.bundle].removeprefix("b2:")
        path = f"{folder}/bundles/{digest}.tar.gz"
        if not calls.look(machine, folder, path).has:
            file = self._environment.bundle(machine.bundle)
            check_room(self.host, look, file.stat().st_size, folder)
            with _uploads:
                calls.bring(machine, file, path, digest)
        with self._changed:
            if self.work is not work or self._closed:
                return
            # From here on there may be an agent, whatever becomes of the connection and of this process.
            work.begun = time.monotonic()
            work.log_before = look.log
        failed = calls.start(self._variables(calls, machine, path, data), data.script, self._environment.pace.come_up)
        if failed and not any(self._is_of(agent, work) for agent in calls.look(machine, folder).agents):
            work.begun = None
            raise HostError(failed)

    def _await(self, calls: HostCalls, machine: HostFacts, work: HostInstance) -> None:
        """Until its agent has taken its home, or it is certain that none will."""
        absent_since = time.monotonic()
        while True:
            now, look = time.monotonic(), calls.look(machine, self._folder(machine))
            found = [agent for agent in look.agents if self._is_of(agent, work)]
            absent_since = now if found else absent_since
            for agent in found:
                if agent.holds or work.stopping:
                    self._came(work, HostProcess(pid=agent.pid, start=agent.start, boot=look.boot))
                    return
            if (
                now > (work.begun or 0.0) + self._environment.pace.come_up
                or now > absent_since + self._environment.pace.absent
            ):
                for agent in found:
                    process = HostProcess(pid=agent.pid, start=agent.start, boot=look.boot)
                    calls.stop(machine, process, self._environment.pace.end)
                said = f": {look.log[-300:]}" if look.log and look.log != work.log_before else ""
                said = said or f"; look below {self._folder(machine)} there"
                self._gone(work, f"host {self.host.at}: the start script ended well, and no agent came up{said}")
                return
            time.sleep(_LOOK_SECONDS)  # nothing on the host tells when an agent takes its home

    def _lives(self, calls: HostCalls, machine: HostFacts, work: HostInstance, process: HostProcess) -> bool:
        with self._changed:
            self._waiting = not work.stopping
        try:
            return work.stopping or calls.wait(machine, process, self._environment.pace.watch)
        finally:
            self._waiting = False

    def _came(self, work: HostInstance, process: HostProcess) -> None:
        work.process = process
        self._pause = self._environment.pace.retry
        if not work.reported:
            work.reported = True
            reference = f"{self.host.at} {process.pid} {process.start} {process.boot}"
            self._environment.tell(
                InstanceStarted(instance=work.instance, reference=reference, address=self.host.address)
            )

    def _gone(self, work: HostInstance, reason: str, unseen: bool = False) -> None:
        if work.process is None and not work.stopping:
            self._not_begun(work, reason)
            return
        with self._changed:
            self.work = None
        self._environment.tell(InstanceEnded(instance=work.instance, reason=reason, unseen=unseen))

    def _not_begun(self, work: HostInstance, reason: str) -> None:
        with self._changed:
            if self.work is not work:
                return
            self.work = None
        self._environment.tell(InstanceStartFailed(instance=work.instance, reason=reason))

    # --- whether the host can be used -------------------------------------------------------------------

    def _warn(self, sentence: str) -> None:
        with self._changed:
            work = self.work
            if self._interrupted or self._closed:
                self._interrupted = False
                return
            self.to_look = True
            # One that came in mid visit was not what it was for: its own visit says whether the host can have it.
            came_since = work is not None and work is not self._visited
            self._retry_at = float("-inf") if came_since else time.monotonic() + self._pause
            self._pause = min(2 * self._pause, self._environment.pace.retry_max)
        if sentence != self.warning:
            logger.warning("%s", sentence, extra={"action": "host_warning"})
        self.warning = sentence
        if work is not None and not came_since and not _may_be(work):
            self._not_begun(work, sentence)

    # --- parts -----------------------------------------------------------------------------------------

    def _folder(self, machine: HostFacts) -> str:
        home = self.host.home
        return home if home.startswith("/") else f"{machine.home.rstrip('/')}/{home}"

    def _variables(self, calls: HostCalls, machine: HostFacts, bundle: str, data: BootstrapData) -> dict[str, str]:
        variables = {
            **data.variables,
            "ECLOUD_BUNDLE_FILE": bundle,
            "ECLOUD_PYTHON": machine.python,
            "ECLOUD_WORKER_HOME": f"{self._folder(machine)}/home",
            "ECLOUD_WORKER_PLACE": "ssh",
            "ECLOUD_WORKER_ADDRESS": self.host.address,
            "ECLOUD_WORKER_SSH_PORT": str(self.host.port),
            "ECLOUD_WORKER_SSH_USER": self.host.user,
            # Of all keys below /etc/ssh none need be the one that this sshd uses.
            "ECLOUD_WORKER_SSH_HOST_KEY": calls.host_key,
        }
        return variables | ({"ECLOUD_SLOTS": str(self.host.slots)} if self.host.slots else {})


def _may_be(work: HostInstance) -> bool:
    """There may be an agent of it."""
    return work.begun is not None or work.process is not None


def _bundles(data: BootstrapData) -> dict[str, str]:
    """Name (3.11-x86_64) -> digest."""
    pairs = (each.partition("=") for each in data.variables.get("ECLOUD_BUNDLES", "").split())
    return {name: digest for name, _, digest in pairs if digest}
