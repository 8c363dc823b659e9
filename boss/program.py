"""The boss's parts put together: lock, database, broker, link, HTTP, children, provider, and the loop.

Everything that a boss owns is started here and ended here, in the opposite order. Values come from the
settings by way of `Setup`; nothing here decides what happens to a task.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from boss.api.app import make_app
from boss.api.followers import Followers, wait_until_unneeded
from boss.api.from_datastore import ResultFetcher
from boss.api.live import LiveBackend
from boss.api.serve import ServeError, Server, serve
from boss.api.spool import Spool
from boss.api.tree import LocalTree
from boss.bootstrap.desk import GuestDesk, make_guests
from boss.bootstrap.manual import Machines, Whereabouts
from boss.bootstrap.ssh_keys import BOSS, DATASTORE, KeyFileError, ensure_keys, key_path
from boss.core.effects import Answer, AttachNetwork, DetachNetwork, StartInstance, StopInstance
from boss.core.policy import LOCAL
from boss.core.scheduler import Scheduler
from boss.core.state import State
from boss.core.store import DatabaseAwayError
from boss.core.waits import BossWarning
from boss.database import Database, DatabaseError
from boss.database.disk_space import database_free_bytes
from boss.database.store import DatabaseStore
from boss.database.upkeep import Upkeep
from boss.embedded.broker import EmbeddedBroker
from boss.embedded.children import Child, ChildError, last_words, start_child
from boss.embedded.environments import at_broker, of_a_child
from boss.embedded.logins import Login
from boss.embedded.passwords import DATASTORE_LOGIN, LoginFiles
from boss.embedded.ports import beyond, everywhere
from boss.embedded.processes import identify
from boss.inbox import Inbox
from boss.loop import Loop
from boss.messages import MqttMessages
from boss.providers.provider import OfProvider, ProviderError, Surroundings
from boss.providers.providers import Providers
from boss.setup import Setup
from boss.state_directory.boss_file import announce, withdraw
from boss.state_directory.context import Context
from boss.state_directory.lock import CannotStartError, cannot_start, lock
from boss.state_directory.private_files import kept_port, private, write_secret
from boss.state_directory.tokens import DATASTORE_TOKEN_FILE, ensure_token
from wire.codec import encode
from wire.link import LinkOptions, PresenceOptions
from wire.messages import VERSION, DatastoreOrders, Presence, WorkerOrders
from wire.topics import Topics

logger = logging.getLogger(__name__)

#: A child that ended is started again after this.
RESTART_SECONDS = 1.0
#: A sent file that no push referred to within this time is removed; looked for as often.
UNREFERENCED_SECONDS = 24 * 3600.0
#: Given to workers to end what they hold when the database is away.
WORKERS_END_SECONDS = 10.0


class Program:
    """One boss. `run` returns its exit code when it has ended."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.topics = Topics(setup.mqtt_prefix)
        self.incarnation = secrets.token_hex(6)
        self._lock = lock(setup.state_directory)
        self.inbox = Inbox()
        self._ending = False
        self._trouble: dict[str, str] = {}
        self._broker: EmbeddedBroker | None = None
        self._datastore: Child | None = None
        self._server: Server | None = None
        self._post: MqttMessages | None = None
        self._logins = LoginFiles(setup.state_directory)
        self._broker_at = ("", 0)
        self.database = Database.open(setup.database, patience=2.0)
        epoch, before = self.database.take_over(socket.gethostname(), os.getpid())
        self.deployment = self.database.deployment
        self.epoch = epoch
        logger.info("epoch %d of deployment %s; %s", epoch, self.deployment, before, extra={"action": "took_over"})
        spool = private(setup.state_directory / "spool")
        self.spool = Spool(spool, setup.spool_limit_bytes)
        upkeep = Upkeep(self.database, setup.journal_days)
        #: What is fetched from a datastore elsewhere; None: its tree is on this disk.
        self.fetching = (
            ResultFetcher(private(setup.state_directory / "outgoing"), setup.spool_limit_bytes)
            if setup.datastore_host
            else None
        )
        store = DatabaseStore(self.database, spool, by_http=bool(setup.datastore_host))
        self.loop = Loop(self.inbox, Scheduler(setup.policy), store, self, upkeep)
        self.followers = Followers()
        self.backend = LiveBackend(
            self.inbox,
            self.database.reads,
            self.database.lookups,
            spool,
            self.followers,
            datastore_host=setup.datastore_host,
            warnings=self._warnings,
            limits=lambda: self.fleet.limits(),
        )
        desk = GuestDesk(setup, self._logins, self._machines, lambda: self._broker, self.clear_presence)
        self.guests = make_guests(setup, self.deployment, desk, self.inbox.put)
        self.fleet = self._make_fleet()

    def _make_fleet(self) -> Providers:
        state_directory = self.setup.state_directory
        around = Surroundings(
            deployment=self.deployment,
            state_directory=state_directory,
            told=self._told,
            guest=self.guests.guest,
            command=[sys.executable, "-P", "-m", "worker"],
            environment=self._worker_environment,
            log_path=lambda worker: state_directory / "logs" / f"{worker}.log",
            spawn=lambda argv, environment, log: start_child(argv, environment, log, cwd=state_directory).pid,
            identify=identify,
            ssh_key=key_path(state_directory, BOSS),
            bundle=self.guests.bundle_file,
        )
        try:
            return Providers(self.setup.pools, around)
        except ProviderError as error:
            raise CannotStartError(str(error)) from None

    def _told(self, event: OfProvider) -> None:
        self.guests.instance_told(event)
        self.inbox.put(event)

    def _warnings(self) -> list[BossWarning]:
        own = [BossWarning(part, text) for part, text in list(self._trouble.items())]
        return [*own, *self.fleet.warnings(), *self.guests.warnings()]

    # --- from start to end ---------------------------------------------------------------------------

    def run(self) -> int:
        """Start everything, loop, end everything."""
        try:
            self._start_or_refuse()
            self.loop.run()
            if self.inbox.database_error:
                self._end_workers()
        finally:
            self._end()
        return 0

    def stop(self) -> None:
        """Asked to end (a signal, or nobody follows): once politely; asked again: at once."""
        self.inbox.stop()

    def _end_workers(self) -> None:
        """The polite way needs the database: without it the workers are only told to end what they hold."""
        instances = [one.row for one in self.loop.scheduler.state.instances.values() if one.row.provider == LOCAL]
        for row in instances:
            self.fleet.stop(
                StopInstance(instance=row.number, worker=row.worker, pool=row.pool, reference=row.reference)
            )
        until = time.monotonic() + WORKERS_END_SECONDS
        while time.monotonic() < until and any(_lives(row.reference) for row in instances):
            time.sleep(0.1)

    def _start_or_refuse(self) -> None:
        try:
            self._start()
        except KeyFileError as error:
            raise CannotStartError(str(error)) from error
        except OSError as error:
            raise CannotStartError(cannot_start(self.setup.state_directory, error)) from error

    def _start(self) -> None:
        setup = self.setup
        for folder in ("logs", "workers", "logins"):
            private(setup.state_directory / folder)
        ensure_keys(setup.state_directory)
        self._broker_at = host, port = self._start_broker()
        self.loop.start()
        instances = self.loop.scheduler.state.instances.values()
        self.guests.adopt((one.row.number, one.row.worker) for one in instances)
        self.guests.prepare()
        self.fleet.adopt(self.loop.scheduler.state.instances.values())
        self._post = MqttMessages(self._link_options(host, port), self.topics, self.inbox.put)
        self._post.start()
        if not setup.datastore_host:
            self._start_datastore()
        self._server = self._serve()
        announce(setup.state_directory, self._server.url)
        logger.info("the boss answers at %s", self._server.url, extra={"action": "started"})
        threading.Thread(target=self._sweep_spool, name="sweep", daemon=True).start()
        if setup.while_followed:
            threading.Thread(target=self._watch_followers, name="followers", daemon=True).start()

    def _end(self) -> None:
        self._ending = True
        withdraw(self.setup.state_directory)
        self.fleet.close()
        self.guests.close()
        if self._server is not None:
            self._server.stop()
        if self.fetching is not None:
            self.fetching.close()
        if self._datastore is not None:
            self._datastore.terminate(5.0)
        if self._post is not None:
            self._post.stop()
        if self._broker is not None:
            self._broker.stop()
        self.database.close()
        os.close(self._lock)
        logger.info("the boss has ended", extra={"action": "ended"})

    def _watch_followers(self) -> None:
        """A boss that a push started ends when no client follows any more, or nothing is left to do."""
        if wait_until_unneeded(self.followers, self.backend.view, lambda: self.inbox.ended):
            logger.info("nobody follows any more: the boss ends", extra={"action": "unfollowed"})
            self.stop()

    def _sweep_spool(self) -> None:
        """At the start and then daily. Files that the datastore has not stored yet stay."""
        while not self._ending:
            self.inbox.put(self._sweep_once)
            time.sleep(UNREFERENCED_SECONDS)

    def _sweep_once(self, state: State) -> None:
        """In the loop's thread, which alone knows what is not stored; removing takes a thread of its own."""
        keep = {row.digest for row in state.files.values()}
        before = time.time() - UNREFERENCED_SECONDS
        threading.Thread(target=self._remove_unreferenced, args=(keep, before), name="sweep", daemon=True).start()

    def _remove_unreferenced(self, keep: set[str], before: float) -> None:
        try:
            removed = self.spool.sweep(keep, before)
            if self.fetching is not None:
                self.fetching.spool.sweep((), before)
        except OSError as error:
            logger.warning("the spool cannot be swept: %s", error, extra={"action": "sweep_failed"})
            return
        if removed:
            logger.info("%d sent files that no push refers to were removed", len(removed), extra={"action": "swept"})

    # --- Outside: what the loop does to the world -------------------------------------------------------

    def send_to_worker(self, worker: str, message: WorkerOrders) -> None:
        assert self._post is not None
        self._post.send(self.topics.orders(worker), self.guests.fill(worker, message))

    def send_to_datastore(self, message: DatastoreOrders) -> None:
        assert self._post is not None
        self._post.send(self.topics.datastore_orders, message)

    def clear_presence(self, worker: str) -> None:
        if self._post is not None:
            self._post.clear(self.topics.presence(worker))

    def answer(self, answer: Answer) -> None:
        self.backend.answer(answer)

    def start_instance(self, effect: StartInstance) -> None:
        self.fleet.start(effect)

    def stop_instance(self, effect: StopInstance) -> None:
        self.fleet.stop(effect)

    def change_card(self, effect: AttachNetwork | DetachNetwork) -> None:
        self.fleet.change_card(effect)

    # --- parts ----------------------------------------------------------------------------------------

    def _start_broker(self) -> tuple[str, int]:
        setup = self.setup
        if setup.broker_host:
            port = setup.broker_port or (8883 if setup.broker_tls is not None else 1883)
            self._logins.set(setup.broker_username, setup.broker_password)
            write_secret(self._external_password, setup.broker_password)
            return setup.broker_host, port
        logins = [
            Login(setup.broker_username, self._logins.password(setup.broker_username), "boss"),
            Login(DATASTORE_LOGIN, self._logins.password(DATASTORE_LOGIN), "datastore"),
        ]
        logins += [Login(name, self._logins.password(name), "worker") for name in setup.own_workers()]
        taken = {login.username for login in logins}
        logins += [login for login in self._logins.workers() if login.username not in taken]
        self._broker = EmbeddedBroker(
            setup.state_directory / "broker",
            self.topics,
            logins,
            port=setup.broker_port or None,
            kind=setup.embedded_broker,  # type: ignore[arg-type]  # the settings allow these names only
            listen=setup.broker_listen,
            log_path=setup.state_directory / "logs" / "broker.log",
            ended=self._broker_ended,
        )
        self._broker.start()
        logger.info(
            "embedded broker: %s on port %d", self._broker.kind, self._broker.port, extra={"action": "broker_started"}
        )
        if beyond(setup.broker_listen):
            logger.warning(
                "the broker listens on %s without TLS: let only machines that you trust reach port %d",
                setup.broker_listen, self._broker.port, extra={"action": "broker_started"},
            )  # fmt: skip
        return self._broker.host, self._broker.port

    def _broker_ended(self, exit_code: int) -> None:
        """In a thread of its own: start it again until it stands."""
        while not self._ending and self._broker is not None:
            logger.info("the broker ended (exit code %d); it is started again", exit_code, extra={"action": "broker"})
            try:
                self._broker.restart()
            except Exception as error:
                self._trouble["broker"] = f"the broker cannot be started again: {error}"
                time.sleep(RESTART_SECONDS)
            else:
                self._trouble.pop("broker", None)
                return

    def _link_options(self, host: str, port: int) -> LinkOptions:
        setup = self.setup
        return LinkOptions(
            host=host,
            port=port,
            client_id=f"{setup.mqtt_prefix}-boss-{self.incarnation}",
            username=setup.broker_username,
            password=self._logins.password(setup.broker_username),
            tls=setup.broker_tls,
            presence=PresenceOptions(self.topics.boss_presence, self._presence(True), self._presence(False)),
            reconnect_max_seconds=2.0,  # one client is no storm, and everybody waits for this one
        )

    def _presence(self, online: bool) -> bytes:
        return encode(
            Presence(
                version=VERSION,
                deployment=self.deployment,
                name="boss",
                incarnation=self.incarnation,
                online=online,
                epoch=self.epoch,
            )
        )

    def _start_datastore(self) -> None:
        setup = self.setup
        host, port = self._broker_at
        environment = {
            **self._base_environment(host, port),
            "ECLOUD_DATASTORE_SSH_KEY": os.fspath(key_path(setup.state_directory, DATASTORE)),
            "ECLOUD_DATASTORE_TREE": os.fspath(setup.tree),
            "ECLOUD_DATASTORE_USERNAME": self._username(DATASTORE_LOGIN),
            "ECLOUD_DATASTORE_PASSWORD_FILE": self._password_file(DATASTORE_LOGIN),
        }
        try:
            self._datastore = start_child(
                [sys.executable, "-P", "-m", "datastore"],
                environment,
                setup.state_directory / "logs" / "datastore.log",
                die_with_parent=True,
                cwd=setup.state_directory,
                name="datastore",
                ended=self._datastore_ended,
            )
        except ChildError as error:
            self._trouble["datastore"] = str(error)

    def _datastore_ended(self, child: Child) -> None:
        if self._ending:
            return
        logger.info("the datastore's program ended; it is started again", extra={"action": "datastore_ended"})
        log = self.setup.state_directory / "logs" / "datastore.log"
        said = last_words(log)
        words = f"the datastore's program ended and is started again; {log} ends with: {said or 'nothing'}"
        self._trouble["datastore"] = words
        time.sleep(RESTART_SECONDS)
        if not self._ending:
            self._start_datastore()
            self._trouble.pop("datastore", None)

    def _worker_environment(self, worker: str) -> Mapping[str, str]:
        """Of a process beside the boss. Its login is made where the broker does not have it yet."""
        setup = self.setup
        if self._broker is not None and not self._logins.has(worker):
            self._broker.add_login(Login(worker, self._logins.password(worker), "worker"))
        host, port = self._broker_at
        home = private(setup.state_directory / "workers" / worker)
        return {
            **self._base_environment(host, port),
            "ECLOUD_WORKER_ID": worker,
            "ECLOUD_WORKER_HOME": os.fspath(home),
            "ECLOUD_WORKER_USERNAME": self._username(worker),
            "ECLOUD_WORKER_PASSWORD_FILE": self._password_file(worker),
            "ECLOUD_POOL": worker.rpartition("-")[0],
            "ECLOUD_SLOTS": str(setup.slots),
            "ECLOUD_ORPHAN_AFTER": str(setup.policy.orphan_after),
        }

    def _base_environment(self, host: str, port: int) -> dict[str, str]:
        told = at_broker(host, port, self.setup.mqtt_prefix, self.deployment)
        return of_a_child({**self.setup.child_environment, **told}, self.setup.broker_tls)

    def _username(self, child: str) -> str:
        """A broker of our own knows each child; at another one the children of this machine log in as the boss."""
        return self.setup.broker_username if self.setup.broker_host else child

    def _password_file(self, child: str) -> str:
        """Where the child reads its password; empty: it logs in without one."""
        if not self.setup.broker_host:
            self._logins.password(child)
            return os.fspath(self._logins.path(child))
        return os.fspath(self._external_password) if self.setup.broker_password else ""

    @property
    def _external_password(self) -> Path:
        return self.setup.state_directory / "logins" / "broker"

    def _machines(self) -> Machines:
        where = Whereabouts(
            self.deployment, self._broker_at[1], lambda: self._server.port if self._server is not None else 0
        )
        return Machines(
            self.setup,
            where,
            self._logins,
            self._broker,
            self._files_token,
            self.backend.place_of,
            self.guests.bundles,
        )

    def _files_token(self) -> str:
        """Of HTTP, good for files only: for a datastore elsewhere."""
        return ensure_token(self.setup.state_directory, DATASTORE_TOKEN_FILE)

    def _serve(self) -> Server:
        setup = self.setup
        token = setup.token or ensure_token(setup.state_directory)
        wide = everywhere(setup.http_host)
        hosts = [socket.gethostname(), socket.getfqdn()] if wide else [setup.http_host]
        hosts += filter(None, [setup.boss_address])
        app = make_app(
            self.backend,
            [token],
            hosts,
            submit_limit_bytes=setup.submit_limit_bytes,
            task_limit_bytes=setup.task_limit_bytes,
            database_errors=(DatabaseError, DatabaseAwayError),
            spool=self.spool,
            database_free_bytes=lambda: database_free_bytes(setup.database),
            logins=self._machines(),
            bootstrap=self.guests,
            context=Context(setup.state_directory, setup.boss_address, setup.datastore_said),
            files_tokens=[self._files_token()] if setup.datastore_host else [],
            tree=None if setup.datastore_host else LocalTree(setup.tree),
            fetching=self.fetching,
        )
        kept = setup.state_directory / "http_port"
        wanted = setup.http_port or kept_port(kept)
        counting = self.followers.counting(app)
        try:
            server = serve(counting, setup.http_host, wanted)
        except ServeError:
            if setup.http_port:
                raise
            server = serve(counting, setup.http_host, 0)
        kept.write_text(f"{server.port}\n")
        return server


def _lives(reference: str) -> bool:
    """The local process of this reference."""
    pid, _, start_time = reference.partition(" ")
    return pid.isdigit() and start_time.isdigit() and identify(int(pid)) == int(start_time)
