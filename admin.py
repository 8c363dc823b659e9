#!/usr/bin/env python3
"""Look at ecloud and change what it does: `admin.py --help` lists the commands.

Thin: options, settings, and which boss to ask; answers come from `boss.client.client`, their words from
`boss.cli.format_tasks`. Where no boss runs the same HTTP application answers inside this process, over the
state directory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boss.client.packages import require_packages

require_packages(Path(__file__).resolve().parent)

import typer  # noqa: E402  # only now is it known to be there

# They import typer, or what imports it.
from boss.cli.command import (  # noqa: E402
    AsJson,
    ExitCode,
    guarded,
    stop,
    warn,
    write,
    write_json,
)
from boss.cli.context import add_context_commands  # noqa: E402
from boss.cli.deploy import add_deploy_commands  # noqa: E402
from boss.cli.former import Command, CommandGroup  # noqa: E402
from boss.cli.machines import add_machine_commands  # noqa: E402
from boss.cli.pools import add_pool_commands  # noqa: E402
from boss.cli.results import add_result_commands  # noqa: E402
from boss.cli.tasks import add_task_commands  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boss.api.schema import ChangeAnswer, EventsAnswer, SelectionRequest, TaskAnswer, TaskDetail
    from boss.client.client import Client
    from settings import Settings

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Look at ecloud and change what it does. Each command has --help with an example.",
)

Project = Annotated[str, typer.Option("--project", help="Name space of the task ids.")]
AnyProject = Annotated[str, typer.Option("--project", help="Only tasks of this project.")]
Batch = Annotated[int, typer.Option("--batch", help="Only tasks of this batch.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0 is all.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The task's id.", show_default=False)]


def command(name: str, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command under its historic name; its help ends with an example."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        return app.command(name, cls=Command, epilog=f"Example: admin.py {example}")(guarded(function))

    return register


# --- which boss --------------------------------------------------------------------------------------


@app.callback()
def main(
    state_dir: Annotated[
        Path | None, typer.Option("--state_dir", help="State directory; else .ecloud here or above, or $ECLOUD_HOME.")
    ] = None,
) -> None:
    """Options of all commands."""
    global _state_dir
    _state_dir = state_dir


_state_dir: Path | None = None


def _state_directory() -> Path | None:
    from boss.state_directory import find

    if _state_dir is not None:
        if not _state_dir.is_dir():
            stop(ExitCode.BAD_INPUT, f"--state_dir {_state_dir} is no directory")
        return _state_dir.absolute()
    try:
        return find.find()
    except find.StateDirectoryError as error:
        stop(ExitCode.NO_BOSS, str(error))


def _settings(directory: Path | None) -> Settings:
    import settings

    try:
        values = settings.load(directory)
    except settings.SettingsError as error:
        stop(ExitCode.BAD_INPUT, "the settings cannot be used:", error.faults)
    warn(values.warnings)
    return values


@contextmanager
def _boss() -> Iterator[Client]:
    """The configured boss, the one that runs here, or the application in this process."""
    from boss.client.find import boss_of, configured_boss

    directory = _state_directory()
    values = _settings(directory)
    client: Client | None
    if values.boss_url:
        client = configured_boss(values.boss_url, values.token, directory)
    elif directory is None:
        stop(
            ExitCode.NO_BOSS, f"there is no .ecloud in {Path.cwd()} or above, and no boss_url is set; push tasks first"
        )
    else:
        client = boss_of(directory) or _inside(directory, values)
    try:
        yield client
    finally:
        client.close()


def _inside(directory: Path, values: Settings) -> Client:
    from boss.api.offline import OfflineBackend
    from boss.client.in_process import inside_client
    from boss.core.store import DatabaseAwayError
    from boss.database import Database, DatabaseError, NoDatabaseError
    from boss.database.store import DatabaseStore
    from boss.setup import make_pools
    from boss.state_directory import find
    from boss.state_directory.context import Context

    url = values.database or f"sqlite:///{directory / 'ecloud.sqlite'}"

    def open_to_read() -> Database | None:
        try:
            return Database.open_to_read(url)
        except NoDatabaseError:
            return None

    def open_to_write() -> tuple[Database, DatabaseStore]:
        database = Database.open(url)
        return database, DatabaseStore(database, directory / "spool")

    try:
        pools = [policy for policy, _ in make_pools(values)]
        backend = OfflineBackend(directory, open_to_read, open_to_write, pools)
    except DatabaseError as error:
        stop(ExitCode.NO_BOSS, str(error))
    tree = None if values.datastore_host else values.datastore_tree or find.tree_beside(directory)
    context = Context(directory, values.boss_address, values.datastore_host)
    return inside_client(backend, (DatabaseError, DatabaseAwayError), tree, context)


# --- looking -----------------------------------------------------------------------------------------


@command("status", "status --json")
def status(as_json: AsJson = False) -> None:
    """How many workers and tasks there are, and what hinders."""
    from boss.cli.format_tasks import status_lines

    with _boss() as boss:
        answer = boss.status()
        write_json(answer) if as_json else write(list(status_lines(answer)))


@command("show_workers", "show_workers")
def show_workers(as_json: AsJson = False) -> None:
    """Each worker, and what is to become one: id, address, what it is doing, whether it is kept when idle."""
    from boss.cli.format_tasks import worker_line

    with _boss() as boss:
        answer = boss.worker_list()
        workers = [*answer.workers, *answer.without_worker]
        write_json(workers) if as_json else write([worker_line(worker) for worker in workers])


def _list(states: tuple[str, ...], batch: int, project: str, limit: int, as_json: bool, words: str) -> None:
    from boss.cli import format_tasks

    with _boss() as boss:
        tasks: Iterator[TaskAnswer] = boss.tasks(*states, batch=batch, project=project, limit=limit)
        if as_json:
            write_json(list(tasks))
            return
        for line in getattr(format_tasks, words)(tasks):
            sys.stdout.write(f"{line}\n")


@command("show_queued", "show_queued --limit 20")
def show_queued(batch: Batch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
    """Tasks that wait, with their commands."""
    _list(("queued", "pending"), batch, project, limit, as_json, "queued_lines")


@command("show_in_progress", "show_in_progress")
def show_in_progress(batch: Batch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
    """Tasks that run: by which worker, with which commands."""
    _list(("running",), batch, project, limit, as_json, "in_progress_lines")


@command("show_succeeded", "show_succeeded --project leaks")
def show_succeeded(batch: Batch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
    """Tasks that succeeded: worker, exit code, commands."""
    _list(("succeeded",), batch, project, limit, as_json, "ended_lines")


@command("show_failed", "show_failed --batch 3")
def show_failed(batch: Batch = 0, project: AnyProject = "", limit: Limit = 0, as_json: AsJson = False) -> None:
    """Tasks that failed, or did not run because a dependency failed: worker, exit code, reason, commands."""
    _list(("failed", "blocked"), batch, project, limit, as_json, "ended_lines")


@command("show_batches", "show_batches")
def show_batches(as_json: AsJson = False) -> None:
    """Every push: its counts, and whether it is finished."""
    from boss.cli.format_tasks import batch_line

    with _boss() as boss:
        batches = boss.batches()
        write_json(batches) if as_json else write([batch_line(batch) for batch in batches])


def _show(id: str, project: str, as_json: bool, words: Callable[[TaskDetail], list[str]]) -> None:
    with _boss() as boss:
        detail = boss.task(project, id)
        write_json(detail) if as_json else write(words(detail))


@command("show_task", "show_task 2")
def show_task(id: Id, project: Project = "default", as_json: AsJson = False) -> None:
    """All of one task: state, commands, every attempt, and the end of what it wrote to stdout and stderr."""
    from boss.cli.format_tasks import task_lines

    _show(id, project, as_json, lambda detail: list(task_lines(detail)))


@command("show_task_status", "show_task_status 2")
def show_task_status(id: Id, project: Project = "default", as_json: AsJson = False) -> None:
    """The task's state, its worker, and how it ended."""
    from boss.cli.format_tasks import task_status_lines

    with _boss() as boss:
        detail = boss.task(project, id)
        write_json(detail.task) if as_json else write(list(task_status_lines(detail)))


@command("show_task_dependencies", "show_task_dependencies 4")
def show_task_dependencies(id: Id, project: Project = "default", as_json: AsJson = False) -> None:
    """The ids of the tasks that must succeed before it, on one line."""
    from boss.cli.terminal import harmless

    with _boss() as boss:
        detail = boss.task(project, id)
        write_json(detail.dependencies) if as_json else write([" ".join(map(harmless, detail.dependencies))])


@command("show_task_commands", "show_task_commands 4")
def show_task_commands(id: Id, project: Project = "default", as_json: AsJson = False) -> None:
    """All that a worker does for it: downloads, commands, uploads, cleaning up."""
    from boss.cli.format_tasks import derived_lines

    with _boss() as boss:
        commands = boss.task_commands(boss.task(project, id).task.number)
        write_json(commands) if as_json else write(list(derived_lines(commands)))


# --- changing ----------------------------------------------------------------------------------------


def _change(verb: str, selection: SelectionRequest, as_json: bool) -> None:
    from boss.cli.format_tasks import change_lines

    with _boss() as boss:
        answer = {"cancel": boss.cancel, "retry": boss.retry, "redo": boss.redo}[verb](selection)
        write_json(answer) if as_json else write(list(change_lines(answer)))


Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of tasks.", show_default=False)]
Batches = Annotated[list[int] | None, typer.Option("--batch", help="All tasks of this batch; may be repeated.")]


@command("retry_failed", "retry_failed")
def retry_failed(ids: Ids = None, batch: Batches = None, project: AnyProject = "", as_json: AsJson = False) -> None:
    """Run failed tasks again (all of them, or those named); what they blocked follows by itself."""
    from boss.api.schema import SelectionRequest

    if ids or batch:
        selection = SelectionRequest(tasks=ids or [], batches=batch or [], project=project or "default")
    else:
        selection = SelectionRequest(all=True, project=project)
    _change("retry", selection, as_json)


@command("redo_task", "redo_task 4")
def redo_task(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of tasks.", show_default=False)],
    project: Project = "default",
    as_json: AsJson = False,
) -> None:
    """Run ended tasks again, succeeded ones too; tasks that depend on them are left as they are."""
    from boss.api.schema import SelectionRequest

    _change("redo", SelectionRequest(tasks=ids, project=project), as_json)


@command("cancel", "cancel 4 5")
def cancel(
    ids: Ids = None,
    batch: Batches = None,
    everything: Annotated[bool, typer.Option("--all", help="Every task that has not ended.")] = False,
    project: AnyProject = "",
    as_json: AsJson = False,
) -> None:
    """Cancel tasks that have not ended; those that run are ended within seconds."""
    from boss.api.schema import SelectionRequest

    if not ids and not batch and not everything:
        stop(ExitCode.BAD_INPUT, "name tasks, --batch N or --all")
    if everything and (ids or batch):
        stop(ExitCode.BAD_INPUT, "name tasks and batches, or say --all; not both")
    name = project if everything else project or "default"
    _change("cancel", SelectionRequest(tasks=ids or [], batches=batch or [], all=everything, project=name), as_json)


# --- the journal -------------------------------------------------------------------------------------

#: Between two looks for new events.
_FOLLOW_SECONDS = 0.5


@command("story", "story 4")
def story(id: Id, project: Project = "default", as_json: AsJson = False) -> None:
    """All that happened to one task and its attempts, with times and causes."""
    from boss.cli.format_journal import story_lines

    with _boss() as boss:
        answer = boss.story(boss.task(project, id).task.number)
        write_json(answer) if as_json else write(list(story_lines(answer)))


@command("events", "events --follow --task 4")
def events(
    task: Annotated[str, typer.Option("--task", metavar="ID", help="Only what happened to this task.")] = "",
    project: Project = "default",
    since: Annotated[str, typer.Option("--since", help="10m, 2h, 3d, or a date and time.")] = "",
    last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="Without --since: the last so many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what happens, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Every move of tasks, attempts, workers, instances, pools and batches, oldest first, with its cause."""
    import time

    import msgspec

    from boss.cli.format_journal import event_line
    from boss.cli.times import moment_of

    def tell(page: EventsAnswer) -> int:
        for event in page.events:
            line = msgspec.json.encode(event).decode() if as_json else event_line(event)
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        return page.next

    try:
        start = moment_of(since, time.time()) if since else 0.0
    except ValueError as error:
        stop(ExitCode.BAD_INPUT, f"--since {error}")
    with _boss() as boss:
        number = boss.task(project, task).task.number if task else 0
        page = boss.events(since=start, task=number) if since else boss.last_events(last, number)
        after = tell(page)
        try:
            while page.more or follow:
                if not page.more:
                    time.sleep(_FOLLOW_SECONDS)
                page = boss.events(after=after, since=start, task=number)
                after = tell(page)
        except KeyboardInterrupt:
            return  # how following ends


# --- workers and batches -----------------------------------------------------------------------------

WorkerId = Annotated[str, typer.Argument(metavar="WORKER", help="The worker's id.", show_default=False)]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="The batch's number.", show_default=False)]


def _change_worker(ask: Callable[[Client], ChangeAnswer], as_json: bool) -> None:
    from boss.cli.format_journal import worker_change_lines

    with _boss() as boss:
        answer = ask(boss)
        write_json(answer) if as_json else write(list(worker_change_lines(answer)))


@command("quarantine", 'quarantine local-1 "its disk makes noises"')
def quarantine(
    worker: WorkerId,
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Shown with the worker.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Set a worker aside: it gets nothing new, and what it has not begun goes to others, until it is released."""
    _change_worker(lambda boss: boss.quarantine(worker, reason), as_json)


@command("release", "release local-1")
def release(worker: WorkerId, as_json: AsJson = False) -> None:
    """Let a worker in again that was set aside, by hand or by itself."""
    _change_worker(lambda boss: boss.release(worker), as_json)


@command("drain", "drain local-1")
def drain(worker: WorkerId, as_json: AsJson = False) -> None:
    """Let a worker finish what it runs and give it nothing new, until it is resumed."""
    _change_worker(lambda boss: boss.drain(worker), as_json)


@command("resume", "resume local-1")
def resume(worker: WorkerId, as_json: AsJson = False) -> None:
    """The end of draining."""
    _change_worker(lambda boss: boss.resume(worker), as_json)


@command("pause_batch", 'pause_batch 3 "the network is needed"')
def pause_batch(
    batch: BatchNumber,
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Shown with the batch.")] = "a person asked for it",
    as_json: AsJson = False,
) -> None:
    """Let the queued tasks of a batch wait; what runs goes on."""
    from boss.cli.format_journal import pause_line

    with _boss() as boss:
        answer = boss.pause_batch(batch, reason)
        write_json(answer) if as_json else write(list(pause_line(batch, answer, paused=True)))


@command("resume_batch", "resume_batch 3")
def resume_batch(batch: BatchNumber, as_json: AsJson = False) -> None:
    """The end of a pause."""
    from boss.cli.format_journal import pause_line

    with _boss() as boss:
        answer = boss.resume_batch(batch)
        write_json(answer) if as_json else write(list(pause_line(batch, answer, paused=False)))


# --- without a boss ----------------------------------------------------------------------------------


@command("settings", "settings")
def settings_command(as_json: AsJson = False) -> None:
    """Each setting with its value and where that came from; secrets are not shown."""
    from boss.cli.terminal import harmless

    shown = list(_settings(_state_directory()).show())
    if as_json:
        write_json([{"name": each.name, "value": each.value, "origin": each.origin} for each in shown])
        return
    width = max(len(each.name) for each in shown)
    write([f"{each.name:{width}}  {harmless(each.value)}  ({harmless(each.origin)})" for each in shown])


def _made_state_directory() -> Path:
    from boss.state_directory import find

    try:
        return _state_directory() or Path() if _state_dir is not None else find.find_or_make()
    except find.StateDirectoryError as error:
        stop(ExitCode.NO_BOSS, str(error))


add_task_commands(command, _boss)
add_result_commands(command, _boss)
add_context_commands(command, _boss)
add_deploy_commands(command, _made_state_directory, _settings)
add_pool_commands(command, _boss)
add_machine_commands(command, _boss, _made_state_directory, lambda: _settings(_state_directory()).broker_username)


if __name__ == "__main__":
    app()
