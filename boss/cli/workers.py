"""admin.py's commands that change workers: quarantine, drain, and manual starts, terminations and drops."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from boss.api.schema import DropRequest, InstanceAnswer, TerminateRequest
from boss.cli.command import (
    AsJson,
    ExitCode,
    Register,
    WorkerId,
    WorkerIds,
    Yes,
    ask_first,
    show,
    stop,
    write,
    write_json,
)
from boss.cli.format_workers import dropped_lines, note_lines, terminated_lines, worker_change_lines
from boss.cli.target import Target
from boss.cli.terminal import harmless
from boss.common.plural import plural
from boss.core.policy import LOCAL

#: What terminate_workers without names is about: not the boss's own processes, not the datastore's machine.
_SPARED_PROVIDER, _SPARED_WORKER = LOCAL, "datastore"
#: The legacy second argument of instantiate_worker.
_KEEP_ALIVE = ("keep_alive", "keep-alive", "true", "yes", "1")


def add_worker_commands(command: Register, target: Target) -> None:
    @command("quarantine", 'quarantine local-1 "its disk makes noises"')
    def quarantine(
        worker: WorkerId,
        reason: Annotated[str, typer.Argument(metavar="REASON", help="Shown with the worker.", show_default=False)],
        as_json: AsJson = False,
    ) -> None:
        """Quarantine a worker: it gets no tasks, and those it has not started go to others, until it is released."""
        with target.boss() as boss:
            show(boss.quarantine(worker, reason), worker_change_lines, as_json)

    @command("release", "release local-1")
    def release(worker: WorkerId, as_json: AsJson = False) -> None:
        """Release a quarantined worker, whether an operator or the boss quarantined it."""
        with target.boss() as boss:
            show(boss.release(worker), worker_change_lines, as_json)

    @command("drain", "drain local-1")
    def drain(worker: WorkerId, as_json: AsJson = False) -> None:
        """Let a worker finish what it runs, and send it no new tasks until it is resumed."""
        with target.boss() as boss:
            show(boss.drain(worker), worker_change_lines, as_json)

    @command("resume", "resume local-1")
    def resume(worker: WorkerId, as_json: AsJson = False) -> None:
        """Resume a draining worker."""
        with target.boss() as boss:
            show(boss.resume(worker), worker_change_lines, as_json)

    @command("instantiate_worker", "instantiate_worker 3 --keep-alive --pool cloud")
    def instantiate_worker(
        count: Annotated[int, typer.Argument(metavar="N", min=1, max=10_000, help="How many.")] = 1,
        word: Annotated[str, typer.Argument(metavar="keep_alive", help="The same as --keep-alive.")] = "",
        keep_alive: Annotated[
            bool, typer.Option("--keep-alive", "--keep_alive", help="They stay when there is no work.")
        ] = False,
        pool: Annotated[str, typer.Option("--pool", help="The pool; default: the one that is used first.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Start workers now, whatever the demand: prints their ids, and what did not fit the limit."""
        if word and word.lower() not in _KEEP_ALIVE:
            stop(ExitCode.BAD_INPUT, f"{word!r} is not known: only keep_alive may follow the number")
        with target.boss() as boss:
            answer = boss.start_workers(count, pool, keep_alive or bool(word))
        if as_json:
            write_json(answer)
        else:
            write([harmless(worker) for worker in answer.workers])
            # The ids alone are what a script reads.
            sys.stdout.flush()
            sys.stderr.writelines(f"{line}\n" for line in note_lines(answer.notes))
        if not answer.workers:
            stop(ExitCode.NO_BOSS, f"no worker was started in pool {answer.pool}")

    @command("terminate_workers", "terminate_workers --pool cloud")
    def terminate_workers(
        workers: WorkerIds = None,
        pool: Annotated[list[str] | None, typer.Option("--pool", help="All of this pool; may be repeated.")] = None,
        now: Annotated[
            bool, typer.Option("--now", help="Do not wait for their tasks: these are lost, and run elsewhere.")
        ] = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        """Terminate workers and their machines, those named or all; first they finish the tasks that they hold."""
        everything = not workers and not pool
        with target.boss() as boss:
            if everything and not yes:
                _ask_first([each for each in boss.instances() if _is_meant(each)])
            request = TerminateRequest(workers=workers or [], pools=pool or [], all=everything, now=now)
            show(boss.terminate_workers(request), terminated_lines, as_json)

    @command("drop_workers", "drop_workers cloud-7")
    def drop_workers(
        workers: WorkerIds = None,
        everything: Annotated[bool, typer.Option("--all", help="Every worker.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Forget workers (those named, else the lost ones): their tasks go to others, their machines keep running."""
        if everything and workers:
            stop(ExitCode.BAD_INPUT, "name workers, or give --all; not both")
        with target.boss() as boss:
            show(boss.drop_workers(DropRequest(workers=workers or [], all=everything)), dropped_lines, as_json)


def _is_meant(instance: InstanceAnswer) -> bool:
    return instance.provider != _SPARED_PROVIDER and instance.worker != _SPARED_WORKER and instance.state != "stopping"


def _ask_first(meant: list[InstanceAnswer]) -> None:
    """Before all are terminated."""
    if not meant:
        return
    pools = ", ".join(sorted({harmless(each.pool) for each in meant}))
    question = f"Terminate {plural(len(meant), 'worker')} (pools: {pools}) and their machines?"
    ask_first(question, "give --yes, or name workers or --pool")
