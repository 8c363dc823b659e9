"""The embedded broker: one child process, started for a boss that has no broker of its own, with logins; on loopback,
and at one more address where configured.

It keeps its port from one boss to the next (`broker.json` in its directory), so that workers that outlive a boss find
the next one. A broker that an earlier boss left behind is ended first. It knows logins and topics, and no message.
"""

from __future__ import annotations

import json
import logging
import secrets
import select
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from boss.common.private_files import write_private
from boss.common.processes import works_in
from boss.embedded.children import Child, end_process, log_tail, start_child
from boss.embedded.environments import of_the_broker
from boss.embedded.logins import MqttLogin, write_files
from boss.embedded.ports import HOST, choose_port, is_free, listens
from boss.embedded.programs import BrokerError, Kind, find_program
from wire.topics import Topics

__all__ = ["BrokerError", "EmbeddedBroker", "accepts_login"]

logger = logging.getLogger(__name__)

#: Between two tries: a broker does not announce that it listens, accepts a login, or refuses one.
_POLL_SECONDS = 0.02
#: How often one that was killed while it started is started again.
_KILLED_TRIES = 3
#: Between two tries to start one again that has ended.
_RESTART_SECONDS = 1.0


class _BrokerKilledError(BrokerError):
    """A signal ended it before it was ready: that says nothing of its configuration."""


class EmbeddedBroker:
    """`start` once, `stop` at the end; when it ends in between, it is started again. Calls are safe from any thread."""

    host = HOST

    def __init__(
        self,
        directory: Path,
        topics: Topics,
        logins: Iterable[MqttLogin],
        *,
        port: int | None = None,
        kind: Kind | None = None,
        listen: str = HOST,
        log_path: Path | None = None,
    ) -> None:
        """`logins` must hold the boss's own: with it the broker is asked whether it is ready.

        `port` None: the one of last time if it is free, else a new one. `kind` None: Mosquitto if installed.
        `listen`: the address at which other machines find it, as well.
        """
        self._directory = directory.absolute()
        self._topics = topics
        self._logins = {login.username: login for login in logins}
        self._record_path = self._directory / "broker.json"
        self._wanted_port = port
        self._program = find_program(kind, listen)
        self._listen = listen
        self._log_path = log_path or self._directory / "broker.log"
        self._lock = threading.RLock()
        self._child: Child | None = None
        #: Whoever starts or stops it sees its end; else that is made good.
        self._stopping = False
        self._closed = threading.Event()
        self.port = 0
        #: Why it cannot be started again at present, a sentence; empty: it runs.
        self.warning = ""
        #: A sentence for operators when the port of last time could not be had, else empty.
        self.notice = ""

    @property
    def kind(self) -> Kind:
        return self._program.kind

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def start(self, timeout: float = 15.0) -> None:
        """Returns when it accepts the boss's login. Raises BrokerError with the end of its log."""
        with self._lock:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            self._end_predecessor()
            self.port = self._choose_port()
            for tries_left in reversed(range(_KILLED_TRIES)):
                try:
                    self._launch(timeout)
                    return
                except _BrokerKilledError as error:
                    if not tries_left:
                        raise
                    logger.warning("%s\nIt is started again.", error, extra={"action": "broker_ended"})
                    self._wait_for_port(timeout)

    def add_logins(self, logins: Iterable[MqttLogin], timeout: float = 5.0) -> None:
        """They can log in when this returns, also while the broker runs. Raises BrokerError."""
        new = list(logins)
        with self._lock:
            self._logins |= {login.username: login for login in new}
            write_files(self._directory, self._logins.values(), self._topics)
            if new and self._reload():
                self._wait_until(new[-1], True, timeout, "does not accept the new login {!r}")

    def remove_login(self, username: str, timeout: float = 5.0) -> None:
        """It is refused when this returns; Mosquitto also ends its connection, amqtt at its next login."""
        with self._lock:
            removed = self._logins.pop(username, None)
            write_files(self._directory, self._logins.values(), self._topics)
            if self._reload() and removed is not None:
                self._wait_until(removed, False, timeout, "still accepts the login {!r}, which was removed")

    def stop(self, grace: float = 5.0) -> None:
        self._closed.set()
        with self._lock:
            self._stopping = True
            if self._child is not None:
                self._child.terminate(grace)
            if self.port:
                self._write_record(None)

    # -- starting -----------------------------------------------------------------------------------

    def _launch(self, timeout: float) -> None:
        self._stopping = False
        write_files(self._directory, self._logins.values(), self._topics)
        argv = self._program.prepare(self._directory, self.port)
        self._child = start_child(
            argv,
            env=of_the_broker(),
            log_path=self._log_path,
            die_with_parent=True,
            cwd=self._directory,
            name="broker",
            ended=self._ended,
        )
        self._write_record(self._child)
        try:
            self._wait_until_ready(self._child, time.monotonic() + timeout)
        except BrokerError:
            self._stopping = True
            self._child.terminate(1.0)
            raise
        logger.info(
            "the broker (%s) listens on %s:%d", self.kind, self._listen, self.port, extra={"action": "start_broker"}
        )

    def _wait_until_ready(self, child: Child, deadline: float) -> None:
        boss = self._boss_login()
        while time.monotonic() < deadline:
            code = child.exit_code
            if code is not None:
                raise self._failure(
                    f"ended at once with exit code {code}", _BrokerKilledError if code < 0 else BrokerError
                )
            # First whose port it is: the password is not for whoever may have taken it meanwhile.
            if listens(child.pid, self.port) and accepts_login(HOST, self.port, boss.username, boss.password):
                return
            time.sleep(_POLL_SECONDS)
        raise self._failure("does not accept the boss's login in time")

    def _boss_login(self) -> MqttLogin:
        for login in self._logins.values():
            if login.role == "boss":
                return login
        raise BrokerError("the embedded broker was given no login for the boss")

    def _failure(self, what: str, kind: type[BrokerError] = BrokerError) -> BrokerError:
        tail = log_tail(self._log_path)
        return kind(f"the embedded broker ({self.kind}, port {self.port}) {what}; its log {self._log_path}:\n{tail}")

    def _ended(self, child: Child) -> None:
        with self._lock:  # while it is being started, who starts it sees its end
            if self._stopping or child is not self._child:
                return
        while not self._closed.is_set():  # in the child's own thread
            logger.warning(
                "the broker has ended, exit code %s; it is started again", child.exit_code,
                extra={"action": "broker_ended"},
            )  # fmt: skip
            try:
                self._restart()
            except Exception as error:  # an internal error, too: without a broker nothing goes on
                self.warning = f"the broker cannot be started again: {error}"
                self._closed.wait(_RESTART_SECONDS)
            else:
                self.warning = ""
                return

    def _restart(self, timeout: float = 15.0) -> None:
        """At the same port; one that still runs is ended first. Raises BrokerError."""
        with self._lock:
            if self._closed.is_set():
                return
            self._stopping = True
            if self._child is not None:
                self._child.terminate(grace=2.0)
            if not self._wait_for_port(min(timeout, 5.0)):
                raise BrokerError(
                    f"port {self.port} of the embedded broker was taken by another program after the broker ended: "
                    "end that program, or start the boss again, which then chooses another port"
                )
            self._launch(timeout)

    # -- the port and the record of last time ---------------------------------------------------------

    def _record(self) -> dict[str, int]:
        try:
            record = json.loads(self._record_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(record, dict):
            return {}
        return {key: value for key, value in record.items() if isinstance(value, int)}

    def _write_record(self, child: Child | None) -> None:
        record = {"port": self.port}
        if child is not None:
            record |= {"pid": child.pid, "start_time": child.start_time}
        write_private(self._record_path, json.dumps(record))

    def _end_predecessor(self) -> None:
        """A boss that was killed may have left a broker that has not noticed yet.

        In a copy of a state directory the record names the broker of the original: that one works elsewhere.
        """
        record = self._record()
        if "pid" in record and "start_time" in record and works_in(record["pid"], self._directory):
            end_process(record["pid"], record["start_time"], grace=3.0)

    def _choose_port(self) -> int:
        self.notice = ""
        earlier = self._wanted_port or self._record().get("port")
        if earlier is None:
            return choose_port(self._listen)
        self.port = earlier
        if self._wait_for_port(2.0):
            return earlier
        port = choose_port(self._listen)
        self.notice = (
            f"port {earlier} of the embedded broker is taken by another program, so it now listens on {port}; "
            "workers that still look for the old one end themselves after orphan_after"
        )
        logger.warning("%s", self.notice, extra={"action": "choose_port"})
        return port

    def _wait_for_port(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not is_free(self.port, self._listen):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    # -- logins while it runs -------------------------------------------------------------------------

    def _reload(self) -> bool:
        return self._child is not None and self._child.send(signal.SIGHUP)

    def _wait_until(self, login: MqttLogin, accepted: bool, timeout: float, failure: str) -> None:
        deadline = time.monotonic() + timeout
        while accepts_login(HOST, self.port, login.username, login.password) is not accepted:
            if time.monotonic() > deadline:
                raise self._failure(failure.format(login.username))
            time.sleep(_POLL_SECONDS)


def accepts_login(host: str, port: int, username: str, password: str, timeout: float = 2.0) -> bool | None:
    """A login probe: CONNECT, and what the broker answers. None: it does not answer within `timeout` seconds. Blocks.

    Without a username it asks to come in without a login. Not through `wire.link`: edges do not use one another.
    """
    answers: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, f"probe-{secrets.token_hex(6)}", protocol=MQTTv311)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(not reason.is_failure)
    client.connect_timeout = timeout
    if username:
        client.username_pw_set(username, password)
    until = time.monotonic() + timeout
    try:
        client.connect(host, port, keepalive=10)
    except OSError:
        return None
    connection = client.socket()
    assert connection is not None, "it is connected"
    poll = select.poll()  # `client.loop` would select, which knows no descriptor above 1023
    poll.register(connection, select.POLLIN)
    while not answers and poll.poll(max(0.0, until - time.monotonic()) * 1000):
        if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            break
    client.disconnect()
    return answers[0] if answers else None
