"""python -m boss: run a boss on a state directory until a signal stops it."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import settings as ecloud_settings
from boss.api.serve import ServeError
from boss.cli.terminal import harmless
from boss.common.threads import end_with_lost_threads
from boss.configuration.values import SettingsError
from boss.core.policy import Policy, PoolPolicy
from boss.database import Database, DatabaseError
from boss.database.check import check_database
from boss.database.reset import reset
from boss.embedded.broker import BrokerError
from boss.inbox import Inbox
from boss.program import run_boss
from boss.setup import PoolSetup, Setup, make_pools
from boss.state_directory import find
from boss.state_directory.context import said_datastore
from boss.state_directory.lock import CannotStartError, cannot_start
from wire.descriptors import raise_limit
from wire.link import LinkError, TlsOptions

EXAMPLE = """example:
  python -m boss                      with SQLite, a broker and a worker of its own, in .ecloud/ of this directory
  ECLOUD_HOME=/srv/ecloud python -m boss
  python -m boss --check              only check that its database is consistent
  python -m boss --reset              archive the database, and start with an empty one
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m boss", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--while_followed", action="store_true", help="stop when no push follows any more")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only read the database and print what is inconsistent in it; exit code 1 if anything is",
    )
    parser.add_argument(
        "--reset", action="store_true", help="archive the database under another name, and start with an empty one"
    )
    options = parser.parse_args(arguments)
    # A push makes millions of objects, none in cycles: at the usual 700 an eighth of its CPU time is looking for them.
    gc.set_threshold(10_000, 20, 20)
    if options.check:
        return _check()
    raise_limit()
    try:
        home = find.find_or_make()
        values = ecloud_settings.load(home, {"datastore_host": said_datastore(home) or None})
        _log(values.log_level)
        for warning in values.warnings:
            logging.getLogger("boss").warning("%s", warning, extra={"action": "settings"})
        setup = _setup(home, values, while_followed=options.while_followed)
        if not setup.datastore_host:
            find.refuse_tree_of_others(setup.tree)
        if options.reset:
            logging.getLogger("boss").info("%s", reset(home, setup.database), extra={"action": "reset"})
    except (find.StateDirectoryError, SettingsError, DatabaseError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(cannot_start(home, error))
    end_with_lost_threads()
    inbox = Inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.stop())
    try:
        run_boss(setup, inbox)
    except (BrokerError, CannotStartError, DatabaseError, LinkError, ServeError) as error:
        return _refuse(str(error))
    return 0


def _check() -> int:
    """0: the database is consistent. 1: it is not. 3: there is nothing to check."""
    from boss.cli.command import write  # and an HTTP client, which a boss does not use

    try:
        home = find.find()
        if home is None:
            return _refuse("there is no .ecloud here or above: nothing to check")
        values = ecloud_settings.load(home)
        database = Database.open_to_read(values.database or f"sqlite:///{home / 'ecloud.sqlite'}")
        try:
            return 1 if check_database(database, lambda line: write([harmless(line)])) else 0
        finally:
            database.close()
    except (find.StateDirectoryError, SettingsError, DatabaseError) as error:
        return _refuse(str(error))


def _setup(home: Path, values: ecloud_settings.Settings, *, while_followed: bool) -> Setup:
    tls = None
    if values.broker_tls_ca is not None or values.broker_tls_cert is not None:
        tls = TlsOptions(values.broker_tls_ca, values.broker_tls_cert, values.broker_tls_key)
    pools = make_pools(values)
    policy = Policy(
        heartbeat=values.heartbeat_seconds,
        lease=values.lease_seconds,
        resend=values.heartbeat_seconds,
        orphan_after=values.orphan_after_seconds,
        prefetch=values.prefetch_seconds,
        prefetch_max=values.prefetch_max,
        probe=values.probe_seconds,
        retries=values.retries,
        retry_delay=values.retry_delay_seconds,
        retry_delay_max=values.retry_delay_max_seconds,
        pools=tuple(pool for pool, _ in pools),
    )
    return Setup(
        state_directory=home,
        tree=(values.datastore_tree or find.tree_beside(home)).absolute(),
        datastore_host=values.datastore_host or _datastore_machine(pools),
        configured_datastore="" if said_datastore(home) else values.datastore_host,
        database=values.database or f"sqlite:///{home / 'ecloud.sqlite'}",
        http_host=values.http_host,
        http_port=values.http_port,
        token=values.token,
        broker_host=values.broker_host,
        broker_port=values.broker_port,
        broker_username=values.broker_username,
        broker_password=values.broker_password,
        broker_tls=tls,
        embedded_broker=None if values.embedded_broker == "auto" else values.embedded_broker,
        broker_listen=values.broker_listen,
        boss_address=values.boss_address,
        mqtt_prefix=values.mqtt_prefix,
        policy=policy,
        pools=tuple(setup for _, setup in pools),
        slots=values.slots or len(os.sched_getaffinity(0)),
        spool_limit_bytes=values.spool_limit_bytes,
        submit_limit_bytes=values.max_push_bytes,
        task_limit_bytes=values.max_task_bytes,
        journal_days=values.journal_days,
        child_environment={
            "ECLOUD_OUTPUT_LIMIT_BYTES": str(values.output_limit_bytes),
            "ECLOUD_ATTEMPT_DISK_BYTES": str(values.attempt_disk_bytes),
            "ECLOUD_CACHE_LIMIT_BYTES": str(values.cache_limit_bytes),
            "ECLOUD_PLACEMENT": values.placement,
            "ECLOUD_TRANSFERS_AT_ONCE": str(values.transfers_at_once),
            "ECLOUD_HEARTBEAT_SECONDS": str(values.heartbeat_seconds),
            "ECLOUD_LOG_LEVEL": values.log_level.upper(),
        },
        while_followed=while_followed,
    )


def _datastore_machine(pools: list[tuple[PoolPolicy, PoolSetup]]) -> str:
    """What sentences call the host of the datastore where it is a pool's machine; empty: there is no such pool."""
    return next((f"the machine of pool {setup.name!r}" for _, setup in pools if setup.role == "datastore"), "")


def _log(level: str) -> None:
    faulthandler.enable()
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"python -m boss: {sentence}\n")
    return 3


if __name__ == "__main__":
    sys.exit(main())
