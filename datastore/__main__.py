"""The datastore program: `python -m datastore`. Reads its settings, locks the tree, runs the loop until TERM.

Everything comes by options or by the environment variables that `--help` names with them; the password only by file.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import secrets
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from datastore.agent import DatastoreAgent, DatastorePolicy, Outgoing
from datastore.agent.events import Started
from datastore.disk.index import Index, IndexUnusableError
from datastore.disk.tree import Tree, TreeError
from datastore.http import BossError
from datastore.loop import DatastoreLoop, Inbox, StopDatastore
from datastore.threads import end_with_lost_threads
from datastore.work import Performer
from wire.codec import encode
from wire.descriptors import raise_limit, within_limit
from wire.link import Link, LinkError, LinkOptions, PresenceOptions
from wire.messages import VERSION, DatastoreHello, Presence
from wire.tls import tls_options
from wire.topics import Topics

logger = logging.getLogger("datastore")

#: Exit codes: a clean end; what an operator has to put right; the arguments (argparse's own).
OK, UNUSABLE = 0, 1

_EPILOG = """examples:
  python -m datastore --tree ecloud-data --broker-port 1883 --password-file .ecloud/logins/datastore
  ECLOUD_DATASTORE_TREE=/srv/ecloud python -m datastore

One tree has one datastore. TERM or Ctrl-C ends it; what was under way is taken up at the next start.
Exit codes: 0 ended as asked, 1 the tree, the index or the broker's settings cannot be used, 2 wrong arguments."""


#: Descriptors of one transfer (rsync, its connection, the files that are read), and of all else.
TRANSFER_DESCRIPTORS, OWN_DESCRIPTORS = 16, 96


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    end_with_lost_threads()
    raise_limit()
    try:
        return _run(options)
    except (TreeError, IndexUnusableError, LinkError, BossError, ValueError, OSError) as error:
        logger.error("%s", error, extra={"action": "give_up"})
        return UNUSABLE


def _run(options: argparse.Namespace) -> int:
    incarnation = secrets.token_hex(6)
    topics = Topics(options.prefix)
    link_options = _link_options(options, topics, incarnation)
    tree = Tree(options.tree, incarnation)
    index = Index(tree.index_path)
    try:
        transfers = within_limit(options.transfers, TRANSFER_DESCRIPTORS, OWN_DESCRIPTORS)
        policy = DatastorePolicy(
            transfers_at_once=transfers,
            retry_seconds=options.retry_seconds,
            disk_retry_seconds=options.disk_retry_seconds,
        )
        hello = DatastoreHello(address=socket.gethostname(), pid=os.getpid(), program=f"ecloud {VERSION}")
        agent = DatastoreAgent(options.deployment, incarnation, policy, hello)
        inbox: Inbox = queue.SimpleQueue()
        work = Performer(inbox.put, tree, index, options.deployment, transfers, options.ssh_key, _boss(options))
        loop = DatastoreLoop(inbox, agent, Outgoing(options.deployment, incarnation), work, topics, tree.free_bytes)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: inbox.put(StopDatastore()))
        if options.die_with:
            _end_with(options.die_with, inbox)
        logger.info("datastore of %s, tree %s", options.deployment, tree.root, extra={"action": "start"})
        loop.run(Link(link_options, inbox.put), Started(index.epoch(options.deployment), index.records()))
    finally:
        index.close()
        tree.close()
    return OK


def _boss(options: argparse.Namespace) -> tuple[str, Path] | None:
    """Where files are exchanged with a boss on another host. Raises ValueError."""
    if bool(options.boss_url) != bool(options.http_token_file):
        raise ValueError("--boss-url and --http-token-file go together: give both, or none where the boss is here")
    return (options.boss_url, options.http_token_file) if options.boss_url else None


def _link_options(options: argparse.Namespace, topics: Topics, incarnation: str) -> LinkOptions:
    password = options.password_file.read_text().strip() if options.password_file else ""
    return LinkOptions(
        host=options.broker_host,
        port=options.broker_port,
        client_id=f"{topics.prefix}-datastore-{incarnation}",
        username=options.username if password else "",
        password=password,
        tls=tls_options(options.tls_ca, options.tls_cert, options.tls_key),
        presence=PresenceOptions(
            topic=topics.datastore_presence,
            online=_presence(options.deployment, incarnation, True),
            offline=_presence(options.deployment, incarnation, False),
        ),
        reconnect_max_seconds=2.0,  # one client is no storm, and everybody's results wait for this one
    )


def _presence(deployment: str, incarnation: str, online: bool) -> bytes:
    return encode(
        Presence(version=VERSION, deployment=deployment, name="datastore", incarnation=incarnation, online=online)
    )


def _end_with(pid: int, inbox: Inbox) -> None:
    """End when that process does. A pidfd stays with the process, whoever gets its number later."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        inbox.put(StopDatastore())
        return

    def wait() -> None:
        select.select([process], [], [])
        logger.info("process %d has ended", pid, extra={"action": "stop"})
        inbox.put(StopDatastore())

    threading.Thread(target=wait, name="die-with", daemon=True).start()


#: Options that are environment variables too: what the default is, and what help says of it. None: it must be given.
_OPTIONS: tuple[tuple[str, str, Callable[[str], object], object, str], ...] = (
    ("--tree", "ECLOUD_DATASTORE_TREE", Path, "ecloud-data", "directory of inputs and results"),
    ("--deployment", "ECLOUD_DEPLOYMENT", str, None, "id of the deployment that it serves"),
    ("--broker-host", "ECLOUD_BROKER_HOST", str, "127.0.0.1", "the MQTT broker's host"),
    ("--broker-port", "ECLOUD_BROKER_PORT", int, 1883, "the MQTT broker's port"),
    ("--username", "ECLOUD_DATASTORE_USERNAME", str, "datastore", "name of its login at the broker"),
    ("--password-file", "ECLOUD_DATASTORE_PASSWORD_FILE", Path, "", "file with the login's password"),
    ("--tls-ca", "ECLOUD_BROKER_TLS_CA", Path, "", "use TLS, and trust these certificates"),
    ("--tls-cert", "ECLOUD_BROKER_TLS_CERT", Path, "", "its own certificate, if the broker asks for one"),
    ("--tls-key", "ECLOUD_BROKER_TLS_KEY", Path, "", "the key of that certificate"),
    ("--boss-url", "ECLOUD_BOSS_URL", str, "", "HTTP address of a boss on another host"),
    ("--http-token-file", "ECLOUD_DATASTORE_HTTP_TOKEN_FILE", Path, "", "file with the token for its files"),
    ("--prefix", "ECLOUD_MQTT_PREFIX", str, "ecloud", "first part of all MQTT topics"),
    ("--ssh-key", "ECLOUD_DATASTORE_SSH_KEY", Path, "", "private SSH key that workers on other hosts accept"),
    ("--transfers", "ECLOUD_TRANSFERS_AT_ONCE", int, 16, "transfers under way at once"),
    (
        "--retry-seconds",
        "ECLOUD_TRANSFER_RETRY_SECONDS",
        float,
        2.0,
        "pause before results are fetched again after a failure, longer each time",
    ),
    (
        "--disk-retry-seconds",
        "ECLOUD_TRANSFER_DISK_RETRY_SECONDS",
        float,
        10.0,
        "pause before results are fetched again after the disk was full",
    ),
    ("--log-level", "ECLOUD_LOG_LEVEL", str.upper, "INFO", "DEBUG, INFO, WARNING or ERROR"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m datastore",
        description="Keeps inputs and results, and moves them between its tree and the workers, as the boss orders.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option, variable, kind, default, text in _OPTIONS:
        value = os.environ.get(variable) or default or None
        shown = f"{text} [{variable}, else {default}]" if default else f"{text} [{variable}]"
        required = value is None and default is None
        parser.add_argument(option, type=kind, default=value, required=required, help=shown)
    parser.add_argument("--die-with", type=int, default=0, metavar="PID", help="stop when this process ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
