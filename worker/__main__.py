"""`python -m worker`: reads its options, builds the parts of a worker agent, and runs its loop to the end.

The only place that knows all parts; decides nothing about attempts.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pwd
import queue
import secrets
import signal
import sys
from pathlib import Path

from wire.codec import encode
from wire.descriptors import limit, raise_limit, within_limit
from wire.link import Link, LinkError, LinkOptions, PresenceOptions
from wire.messages import VERSION, Place, Presence
from wire.tls import tls_options
from wire.topics import Topics
from worker.agent import AgentOptions, WorkerAgent
from worker.agent.events import ProgressReported, TermReceived
from worker.agent.state import ORPHANED
from worker.attempt_files import AttemptFiles, FileThreads, Inbox
from worker.bootstrap.halt import halt, refusal
from worker.cache import Cache
from worker.home import Home, HomeError
from worker.journal import Journal
from worker.loop import WorkerLoop
from worker.options import OptionError, WorkerOptions, address_of, host_keys, read_options, write_start
from worker.replacement import Replacement
from worker.runner import Runner, RunnerOptions
from worker.runner.processes import become_subreaper
from worker.runner.shared import now
from worker.runner.spawn import base_environment
from worker.threads import end_with_lost_threads

logger = logging.getLogger("worker")

_PROGRAM = "ecloud worker 0.1"
#: Descriptors of an executing attempt (its process, its output, a helper of EPANET), and of all else.
SLOT_DESCRIPTORS, OWN_DESCRIPTORS = 8, 96
_MODULE = Path(__file__).resolve().parents[1] / "ecloud.py"


def main() -> int:
    try:
        options = read_options(sys.argv[1:], os.environ)
    except OptionError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    end_with_lost_threads()
    try:
        home = Home(options.home)
        home.end_leftovers(options.grace)
        _tell_start(home)
        raise_limit()
        code = WorkerProgram(_within_descriptors(options), home).live()
        if code == ORPHANED and options.halt_command:
            _halt(options.halt_command)
        return code
    except (HomeError, LinkError) as error:
        sys.stderr.write(f"{error}\n")
        return 3
    except OSError as error:  # of its home: a full disk, say
        logger.error("this worker cannot go on: %s", error, exc_info=error, extra={"action": "end"})
        return 3


def _within_descriptors(options: WorkerOptions) -> WorkerOptions:
    """With no more slots than there are descriptors for."""
    slots = within_limit(options.slots, SLOT_DESCRIPTORS, OWN_DESCRIPTORS)
    if slots == options.slots:
        return options
    logger.warning(
        "%d slots instead of %d: this process may have %d files open (ulimit -n), and a slot takes %d",
        slots, options.slots, limit(), SLOT_DESCRIPTORS, extra={"action": "slots"},
    )  # fmt: skip
    return dataclasses.replace(options, slots=slots)


def _tell_start(home: Home) -> None:
    """For operators only: a full disk does not keep an agent from starting."""
    try:
        write_start(home.path, sys.argv[1:], os.environ)
    except OSError as error:
        logger.warning("how this agent was started cannot be kept for debug.sh: %s", error, extra={"action": "start"})


def _halt(command: str) -> None:
    """Where no keeper does it."""
    why = refusal(os.environ) or halt(command)
    if why:
        logger.error("this machine is not halted: %s", why, extra={"action": "not_halted"})


class WorkerProgram:
    """All parts of one running agent."""

    def __init__(self, options: WorkerOptions, home: Home) -> None:
        become_subreaper()
        self._home = home
        self._inbox: Inbox = queue.SimpleQueue()
        self._journal = Journal(home.path / "journal.jsonl")
        if options.deployment:
            self._journal.adopt(options.deployment)
        died = self._journal.forget_begun()
        kept = self._journal.kept.items()
        home.remove_attempts({key for key, outcome in kept if outcome.manifest or outcome.folders})
        cache = Cache(home.path / "cache", options.cache_limit, options.placement)
        cache.trim()
        topics = Topics(options.mqtt_prefix)
        incarnation = secrets.token_hex(8)
        agent = WorkerAgent(
            _agent_options(options, home, incarnation),
            now(),
            kept=self._journal.kept.values(),
            initialized=self._journal.initialized,
            cached=cache.contents(),
            deployment=self._journal.deployment,
            died=died,
        )
        self._link = Link(_link_options(options, topics, incarnation), self._inbox.put)
        self._link.subscribe(topics.orders(options.id))
        self._link.subscribe(topics.boss_presence)
        self._link.subscribe(topics.presence(options.id), required=False)
        self._file_threads = FileThreads()
        environment = base_environment(os.environ, home.provide_module(_MODULE))
        files = AttemptFiles(self._inbox, home.attempts, cache, self._file_threads)
        self._runner = Runner(
            RunnerOptions(
                home=home.path,
                worker=options.id,
                environment=environment,
                grace_seconds=options.grace,
                output_limit=options.output_limit,
                owns_all_children=True,
            ),
            files.finished,
            lambda task, attempt, fraction: self._inbox.put(ProgressReported(task, attempt, fraction)),
        )
        self._loop = WorkerLoop(
            agent=agent,
            inbox=self._inbox,
            topics=topics,
            publish=self._link.publish,
            runner=self._runner,
            files=files,
            journal=self._journal,
            fetch=Replacement(home.path, options.boss_url, self._inbox.put).fetch,
        )
        logger.info(
            "worker %s with %d slots in %s, incarnation %s", options.id, options.slots, home.path, incarnation,
            extra={"action": "start"},
        )  # fmt: skip

    def live(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._inbox.put(TermReceived()))
        self._runner.start()
        self._file_threads.start()
        self._link.start()
        ended = self._loop.run()
        logger.log(
            logging.ERROR if ended.code else logging.INFO, "ending: %s", ended.reason or "done", extra={"action": "end"}
        )
        self._link.stop(5.0)
        self._runner.stop()
        self._file_threads.stop(5.0)
        self._journal.close()
        self._home.close()
        return ended.code


def _agent_options(options: WorkerOptions, home: Home, incarnation: str) -> AgentOptions:
    place = _place(options, home)
    return AgentOptions(
        worker=options.id,
        incarnation=incarnation,
        slots=options.slots,
        place=place,
        deployment=options.deployment,
        pool=options.pool,
        memory=options.memory,
        labels=options.labels,
        address=place.host or address_of(options),
        pid=os.getpid(),
        program=_PROGRAM,
        bundle=options.bundle,
        given_up=options.given_up,
        attempt_disk_bytes=options.attempt_disk,
        halt_when_orphaned=options.halt_when_orphaned,
        heartbeat_seconds=options.heartbeat,
        orphan_after_seconds=options.orphan_after,
    )


def _place(options: WorkerOptions, home: Home) -> Place:
    if options.place == "local":
        return Place(path=str(home.path))
    return Place(
        kind="ssh",
        path=str(home.path),
        host=address_of(options),
        port=options.ssh_port,
        user=options.ssh_user or pwd.getpwuid(os.geteuid()).pw_name,
        host_keys=list(host_keys(options)),
    )


def _link_options(options: WorkerOptions, topics: Topics, incarnation: str) -> LinkOptions:
    def presence(online: bool) -> bytes:
        return encode(
            Presence(
                version=VERSION,
                deployment=options.deployment,
                name=options.id,
                incarnation=incarnation,
                online=online,
            )
        )

    return LinkOptions(
        host=options.broker_host,
        port=options.broker_port,
        client_id=f"{options.id}-{incarnation}",
        username=options.username,
        password=options.password,
        tls=tls_options(options.tls_ca, options.tls_certificate, options.tls_key),
        presence=PresenceOptions(topics.presence(options.id), presence(True), presence(False)),
        # The boss counts this worker's silence from its own reconnection on: a longer pause could outlast the lease.
        reconnect_min_seconds=min(0.2, options.heartbeat),
        reconnect_max_seconds=options.heartbeat,
    )


if __name__ == "__main__":
    sys.exit(main())
