"""The boss's parts put together, and nothing else: which there are, and which gets which.

They are made in an order in which each gets those that it requires, as finished objects; they stop in the opposite
order. Values come from the settings by way of `Setup`. Nothing here decides what happens to a task.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from boss.api.app import make_app
from boss.api.followers import Followers, wait_until_unneeded
from boss.api.from_datastore import ResultFetcher
from boss.api.live import LiveBackend
from boss.api.local_tree import LocalTree
from boss.api.serve import ServeError, Server, listen
from boss.api.spool import Spool
from boss.api.sweep import sweep_daily
from boss.bootstrap.addresses import Addresses, addresses_of, fault_of_pools
from boss.bootstrap.bootstrap import InstanceBootstrap
from boss.bootstrap.grants import Grants, GrantsError
from boss.bootstrap.local import LocalPrograms
from boss.bootstrap.login_files import LoginFiles
from boss.bootstrap.manual import ManualLogins, WorkerDebugger
from boss.bootstrap.ssh_keys import KeyFileError, SshKey, ensure_keys
from boss.common import processes
from boss.common.private_files import private_folder
from boss.core.effects import Answer, AttachNetwork, ClearPresence, DetachNetwork, StartInstance, StopInstance
from boss.core.policy import LOCAL
from boss.core.scheduler import Scheduler
from boss.core.state import State
from boss.core.store import DatabaseAwayError, TurnRefusedError
from boss.core.waits import BossWarning
from boss.database import Database
from boss.database.engine import database_free_bytes
from boss.database.reserve import Reserve
from boss.database.store import DatabaseStore
from boss.database.upkeep import Upkeep
from boss.embedded.broker import EmbeddedBroker
from boss.embedded.broker_logins import BrokerLogins
from boss.embedded.kept_child import KeptChild
from boss.embedded.logins import MqttLogin
from boss.embedded.passwords import DATASTORE_LOGIN, Passwords
from boss.embedded.ports import beyond, everywhere
from boss.inbox import Inbox
from boss.loop import Loop
from boss.messages import MqttMessages
from boss.providers.provider import BossServices, OfProvider, ProviderError, Recorded
from boss.providers.providers import Providers
from boss.setup import Setup
from boss.state_directory.boss_file import announce, withdraw
from boss.state_directory.context import Context
from boss.state_directory.known_deployment import check_deployment, keep_deployment
from boss.state_directory.lock import CannotStartError, cannot_start, lock
from boss.state_directory.tokens import DATASTORE_TOKEN_FILE, ensure_token
from boss.turn import MessageToWorker, Outside
from wire.codec import encode
from wire.link import LinkOptions, PresenceOptions
from wire.messages import VERSION, DatastoreOrders, Presence
from wire.topics import Topics

logger = logging.getLogger(__name__)

#: Given to local workers to stop when the database is away.
WORKERS_STOP_SECONDS = 10.0


def run_boss(setup: Setup, inbox: Inbox) -> None:
    """Start every part, loop until the boss is to stop, stop every part. Blocks; `inbox.stop` stops it.

    Raises CannotStartError, DatabaseError, BrokerError, ServeError or LinkError with a sentence.
    """
    if fault := fault_of_pools(setup):
        raise CannotStartError(fault)
    with ExitStack() as ends:
        try:
            loop, providers = _start(setup, inbox, ends)
        except (DatabaseAwayError, GrantsError, KeyFileError, ProviderError, TurnRefusedError) as error:
            raise CannotStartError(str(error)) from error
        except OSError as error:
            raise CannotStartError(cannot_start(setup.state_directory, error)) from error
        loop.run()
        if inbox.database_error:
            _stop_local_workers(loop.scheduler.state, providers)
    logger.info("the boss has ended", extra={"action": "ended"})


def _start(setup: Setup, inbox: Inbox, ends: ExitStack) -> tuple[Loop, Providers]:
    """Make and start all parts; `ends` gets what ends them."""
    home = setup.state_directory
    ends.callback(os.close, lock(home))
    database = Database.open(setup.database, retry_seconds=2.0)
    ends.callback(database.close)
    check_deployment(home, database.deployment, database.place)
    epoch, before = database.take_over(socket.gethostname(), os.getpid())
    logger.info("epoch %d of deployment %s; %s", epoch, database.deployment, before, extra={"action": "took_over"})
    keep_deployment(home, database.deployment)
    for folder in ("logs", "workers", "logins"):
        private_folder(home / folder)
    boss_key, datastore_key = ensure_keys(home)

    # Broker and HTTP listen before the parts that require their addresses are made.
    topics, passwords = Topics(setup.mqtt_prefix), Passwords(home)
    broker = _start_broker(setup, topics, passwords, ends)
    http_socket = _listen(setup)
    ends.callback(http_socket.close)
    addresses = addresses_of(
        setup, database.deployment, _broker_port(setup, broker), http_port=http_socket.getsockname()[1]
    )
    logins = BrokerLogins(passwords, broker)
    login_files = LoginFiles(home, addresses, logins)
    programs = LocalPrograms(setup, addresses, passwords, logins)

    grants = Grants(home)

    # What acts on the world.
    messages = MqttMessages(_link_options(setup, topics, addresses, passwords, epoch), topics, inbox)
    ends.callback(messages.stop)
    datastore = None if setup.datastore_host else _datastore(setup, programs)
    bootstrap = InstanceBootstrap(
        home,
        setup.pools,
        addresses,
        logins,
        login_files,
        authorized_keys=[key.authorized_keys_line for key in (boss_key, datastore_key)],
        settings=setup.child_environment,
        notify=inbox.put,
        clear_presence=messages.clear_presence,
    )
    ends.callback(bootstrap.close)
    providers = _make_providers(setup, addresses, inbox, bootstrap, programs, boss_key)
    ends.callback(providers.close)

    # The loop, and before it the parts that put events into it.
    sent = Spool(private_folder(home / "spool"), setup.spool_limit_bytes)
    fetcher = (
        ResultFetcher(private_folder(home / "outgoing"), setup.spool_limit_bytes) if setup.datastore_host else None
    )
    store = DatabaseStore(
        database, sent.directory, by_http=bool(setup.datastore_host), reserve=Reserve.beside(setup.database)
    )

    def warnings() -> list[BossWarning]:
        children = {"broker": broker, "datastore": datastore}
        own = [BossWarning(name, child.warning) for name, child in children.items() if child and child.warning]
        return [*own, *providers.warnings(), *bootstrap.warnings()]

    followers = Followers()
    backend = LiveBackend(
        inbox,
        database.reads,
        database.lookups,
        sent.directory,
        followers,
        datastore_host=setup.datastore_host,
        warnings=warnings,
        limits=providers.limits,
    )
    loop = Loop(
        inbox,
        Scheduler(msgspec.structs.replace(setup.policy, grants=grants.all())),
        store,
        _outside(messages, bootstrap, providers, backend),
        Upkeep(database, setup.journal_days),
        backend.note,
    )
    app = make_app(
        backend,
        [setup.token, ensure_token(home)],  # commands beside it read the file, whatever their settings
        _allowed_hosts(setup),
        submit_limit_bytes=setup.submit_limit_bytes,
        task_limit_bytes=setup.task_limit_bytes,
        spool=sent,
        database_free_bytes=lambda: database_free_bytes(setup.database),
        logins=ManualLogins(setup, logins, login_files, grants, inbox.put),
        debugger=WorkerDebugger(backend.place_of, boss_key.path, datastore_key.public, bootstrap.bundles),
        bootstrap=bootstrap,
        context=Context(home, setup.boss_address, setup.configured_datastore),
        files_tokens=[ensure_token(home, DATASTORE_TOKEN_FILE)] if setup.datastore_host else [],
        tree=None if setup.datastore_host else LocalTree(setup.tree),
        fetching=fetcher,
    )

    # All parts are made; from here on they work.
    loop.start()
    on_record = [one.row for one in loop.scheduler.state.instances.values()]
    bootstrap.adopt((row.number, row.worker) for row in on_record)
    bootstrap.prepare()
    providers.adopt(
        (row.pool, Recorded(instance=row.number, worker=row.worker, reference=row.reference)) for row in on_record
    )
    messages.start()
    if datastore is not None:
        ends.callback(datastore.stop, 5.0)
        datastore.start()
    if fetcher is not None:
        ends.callback(fetcher.close)
    server = Server(followers.counting(app), http_socket)
    ends.callback(server.stop)
    server.start()
    ends.callback(withdraw, home)
    announce(home, server.url)
    logger.info("the boss answers at %s", server.url, extra={"action": "started"})
    fetched = fetcher.spool if fetcher is not None else None
    threading.Thread(target=sweep_daily, args=(inbox, sent, fetched), name="sweep", daemon=True).start()
    if setup.while_followed:
        threading.Thread(
            target=_stop_unfollowed, args=(inbox, followers, backend), name="followers", daemon=True
        ).start()
    return loop, providers


def _outside(
    messages: MqttMessages, bootstrap: InstanceBootstrap, providers: Providers, backend: LiveBackend
) -> Outside:
    """Which part performs which effect of a turn."""
    return {
        MessageToWorker: lambda step: messages.send_to_worker(step.worker, bootstrap.fill(step.worker, step.message)),
        DatastoreOrders: messages.send_to_datastore,
        ClearPresence: lambda effect: messages.clear_presence(effect.worker),
        Answer: backend.answer,
        StartInstance: providers.start,
        StopInstance: providers.stop,
        AttachNetwork: providers.change_nic,
        DetachNetwork: providers.change_nic,
    }


# --- broker and datastore ------------------------------------------------------------------------------


def _start_broker(setup: Setup, topics: Topics, passwords: Passwords, ends: ExitStack) -> EmbeddedBroker | None:
    """None: the settings name another one."""
    if setup.broker_host:
        passwords.set(setup.broker_username, setup.broker_password)
        return None
    logins = [
        MqttLogin(setup.broker_username, passwords.password(setup.broker_username), "boss"),
        MqttLogin(DATASTORE_LOGIN, passwords.password(DATASTORE_LOGIN), "datastore"),
        *(MqttLogin(name, passwords.password(name), "worker") for name in setup.own_workers()),
    ]
    taken = {login.username for login in logins}
    broker = EmbeddedBroker(
        setup.state_directory / "broker",
        topics,
        [*logins, *(login for login in passwords.workers() if login.username not in taken)],
        port=setup.broker_port or None,
        kind=setup.embedded_broker,  # type: ignore[arg-type]  # the settings allow these names only
        listen=setup.broker_listen,
        log_path=setup.state_directory / "logs" / "broker.log",
    )
    ends.callback(broker.stop)
    broker.start()
    logger.info(
        "embedded broker: %s, process %d, on port %d", broker.kind, broker.pid, broker.port,
        extra={"action": "broker_started"},
    )  # fmt: skip
    if beyond(setup.broker_listen):
        logger.warning(
            "the broker listens on %s without TLS: let only machines that you trust reach port %d",
            setup.broker_listen, broker.port, extra={"action": "broker_started"},
        )  # fmt: skip
    return broker


def _broker_port(setup: Setup, broker: EmbeddedBroker | None) -> int:
    if broker is not None:
        return broker.port
    return setup.broker_port or (8883 if setup.broker_tls is not None else 1883)


def _link_options(setup: Setup, topics: Topics, addresses: Addresses, passwords: Passwords, epoch: int) -> LinkOptions:
    incarnation = secrets.token_hex(6)

    def presence(online: bool) -> bytes:
        return encode(
            Presence(
                version=VERSION,
                deployment=addresses.deployment,
                name="boss",
                incarnation=incarnation,
                online=online,
                epoch=epoch,
            )
        )

    return LinkOptions(
        host=setup.broker_host or EmbeddedBroker.host,
        port=addresses.broker_port,
        client_id=f"{setup.mqtt_prefix}-boss-{incarnation}",
        username=setup.broker_username,
        password=passwords.password(setup.broker_username),
        tls=setup.broker_tls,
        presence=PresenceOptions(topics.boss_presence, presence(True), presence(False)),
        reconnect_max_seconds=2.0,  # one client is no storm, and all others wait for this one
    )


def _datastore(setup: Setup, programs: LocalPrograms) -> KeptChild:
    return KeptChild(
        "datastore",
        [sys.executable, "-P", "-m", "datastore"],
        programs.datastore(),
        setup.state_directory / "logs" / "datastore.log",
        setup.state_directory,
    )


# --- instances ---------------------------------------------------------------------------------------


def _make_providers(
    setup: Setup,
    addresses: Addresses,
    inbox: Inbox,
    bootstrap: InstanceBootstrap,
    programs: LocalPrograms,
    boss_key: SshKey,
) -> Providers:
    def notify(event: OfProvider) -> None:
        bootstrap.on_event(event)
        inbox.put(event)

    return Providers(
        setup.pools,
        BossServices(
            deployment=addresses.deployment,
            state_directory=setup.state_directory,
            notify=notify,
            bootstrap_data=bootstrap.data,
            bundle=bootstrap.bundle_file,
            local_environment=programs.worker,
            ssh_key=boss_key.path,
        ),
    )


def _stop_local_workers(state: State, providers: Providers) -> None:
    """A graceful stop requires the database: without it local workers are stopped with what they hold. Blocks."""
    rows = [one.row for one in state.instances.values() if one.row.provider == LOCAL]
    for row in rows:
        providers.stop(StopInstance(instance=row.number, worker=row.worker, pool=row.pool, reference=row.reference))
    until = time.monotonic() + WORKERS_STOP_SECONDS
    while time.monotonic() < until and any(_lives(row.reference) for row in rows):
        time.sleep(0.1)  # no event reports the end of another process


def _lives(reference: str) -> bool:
    """The local process of this reference."""
    pid, _, start_time = reference.partition(" ")
    return pid.isdigit() and start_time.isdigit() and processes.start_time(int(pid)) == int(start_time)


# --- HTTP --------------------------------------------------------------------------------------------


def _listen(setup: Setup) -> socket.socket:
    """As configured; else at the port of last time, if it is free, else at another one. Raises ServeError."""
    kept = setup.state_directory / "http_port"
    try:
        listening = listen(setup.http_host, setup.http_port or _kept_port(kept))
    except ServeError:
        if setup.http_port:
            raise
        listening = listen(setup.http_host)
    kept.write_text(f"{listening.getsockname()[1]}\n")
    return listening


def _allowed_hosts(setup: Setup) -> list[str]:
    """Names under which clients may ask for this boss."""
    own = [socket.gethostname(), socket.getfqdn()] if everywhere(setup.http_host) else [setup.http_host]
    return [*own, *filter(None, [setup.boss_address])]


def _stop_unfollowed(inbox: Inbox, followers: Followers, backend: LiveBackend) -> None:
    """Of a boss that a push started: stop it when it is no longer required."""
    if wait_until_unneeded(followers, backend.view, lambda: inbox.ended):
        logger.info("no client follows any more: the boss stops", extra={"action": "unfollowed"})
        inbox.stop()


def _kept_port(path: Path) -> int:
    """The port that the file has; 0: none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
