"""admin.py's commands about pools: their plans, and workers that people start, end or drop by hand.

Registered by `admin.py`, which knows which boss to ask. What is done is the boss's word.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from boss.api.schema_pools import DropRequest, InstanceAnswer, TerminateRequest
from boss.cli.command import AsJson, Boss, Command, ExitCode, ask_first, stop, write, write_json
from boss.cli.format_pools import dropped_lines, note_lines, pool_lines, terminated_lines
from boss.cli.terminal import harmless, plural
from boss.core.policy import LOCAL

Workers = Annotated[list[str] | None, typer.Argument(metavar="WORKER", help="Ids of workers.", show_default=False)]

#: What terminate_workers without names is about: not the boss's own processes, not the datastore's machine.
_SPARED_PROVIDER, _SPARED_WORKER = LOCAL, "datastore"
#: Its historic second argument.
_KEEP_ALIVE = ("keep_alive", "keep-alive", "true", "yes", "1")


def add_pool_commands(command: Command, boss: Boss) -> None:
    @command("scaling", "scaling --pool cloud")
    def scaling(
        pool: Annotated[str, typer.Option("--pool", help="Only this one.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Each pool: how many workers, what was decided last, why not more, why not fewer, what was spent."""
        with boss() as asked:
            pools = asked.pools()
        known = [each.name for each in pools]
        if pool and pool not in known:
            stop(ExitCode.BAD_INPUT, f"there is no pool {pool!r} (there are: {', '.join(known) or 'none'})")
        chosen = [each for each in pools if pool in ("", each.name)]
        write_json(chosen) if as_json else write([line for each in chosen for line in pool_lines(each)])

    @command("instantiate_worker", "instantiate_worker 3 --keep-alive --pool cloud")
    def instantiate_worker(
        count: Annotated[int, typer.Argument(metavar="N", min=1, max=10_000, help="How many.")] = 1,
        word: Annotated[str, typer.Argument(metavar="keep_alive", help="The same as --keep-alive.")] = "",
        keep_alive: Annotated[
            bool, typer.Option("--keep-alive", "--keep_alive", help="They stay when there is no work.")
        ] = False,
        pool: Annotated[str, typer.Option("--pool", help="Of which pool; else the one that is used first.")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Start workers now, whatever the work wants: prints their ids, and says what did not fit the limit."""
        if word and word.lower() not in _KEEP_ALIVE:
            stop(ExitCode.BAD_INPUT, f"{word!r} is not understood: what may follow the number is keep_alive")
        with boss() as asked:
            answer = asked.start_workers(count, pool, keep_alive or bool(word))
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
        workers: Workers = None,
        pool: Annotated[list[str] | None, typer.Option("--pool", help="All of this pool; may be repeated.")] = None,
        now: Annotated[bool, typer.Option("--now", help="What they run is lost, and runs elsewhere.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """End workers and the machines they run in, those named or all; first they finish what they have in hand."""
        everything = not workers and not pool
        with boss() as asked:
            if everything and not yes:
                _ask_first([each for each in asked.instances() if _is_meant(each)])
            request = TerminateRequest(workers=workers or [], pools=pool or [], all=everything, now=now)
            answer = asked.terminate_workers(request)
        write_json(answer) if as_json else write(list(terminated_lines(answer)))

    @command("drop_workers", "drop_workers cloud-7")
    def drop_workers(
        workers: Workers = None,
        everything: Annotated[bool, typer.Option("--all", help="Every worker.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Forget workers (those named, else the lost ones): what they have goes to others, their machines live on."""
        if everything and workers:
            stop(ExitCode.BAD_INPUT, "name workers, or say --all; not both")
        with boss() as asked:
            answer = asked.drop_workers(DropRequest(workers=workers or [], all=everything))
        write_json(answer) if as_json else write(list(dropped_lines(answer)))


def _is_meant(instance: InstanceAnswer) -> bool:
    return instance.provider != _SPARED_PROVIDER and instance.worker != _SPARED_WORKER and instance.state != "stopping"


def _ask_first(meant: list[InstanceAnswer]) -> None:
    """Before all end."""
    if not meant:
        return
    pools = ", ".join(sorted({harmless(each.pool) for each in meant}))
    question = f"End {plural(len(meant), 'worker')} (pools: {pools}) with what they run in?"
    ask_first(question, "say --yes, or name workers or --pool")
