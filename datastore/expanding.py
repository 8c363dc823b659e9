"""Folders among the inputs of an attempt, on their way out: each becomes its files, and the folders without any.

A requirement without a digest may name a folder that was put on the datastore manually; which files it has is
seen when staging begins, and the answer says what they were. Transfers meet files only: folders that are to be made
are taken out of the order before, and put into its answer.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from datastore.agent.events import FetchFailed, InputsStaged, ResultsFetched, not_staged
from datastore.disk.listing import Entry, NotSendableError, check_sendable, list_folder
from datastore.disk.tree import Tree
from datastore.paths import shown
from wire.messages import AttemptKey, Input, Stage, StageDone

#: An attempt's inputs must fit one message, to the worker and back to the boss.
MAX_BYTES = 5_000_000
_INPUT_BYTES = 170

TransferAnswer = InputsStaged | ResultsFetched | FetchFailed
Tell = Callable[[TransferAnswer], None]


def expand(tree: Tree, jobs: list[Stage], tell: Tell) -> tuple[list[Stage], Tell]:
    """The orders as a transfer can carry them out, and how it is to answer. What cannot be done is answered at once."""
    known: dict[str, list[Entry] | None] = {}
    possible = []
    folders: dict[AttemptKey, list[Input]] = {}
    for job in jobs:
        try:
            inputs = _expanded(tree, job.inputs, known)
        except NotSendableError as error:
            tell(InputsStaged(not_staged(job, "input", f"fetching required files failed: {error}")))
            continue
        except OSError as error:
            reason = f"a folder of the inputs cannot be read on the datastore: {error}"
            tell(InputsStaged(not_staged(job, "transfer", reason)))
            continue
        only_folders = [each for each in inputs if each.folder]
        if only_folders:
            folders[job.task, job.attempt] = only_folders
            inputs = [each for each in inputs if not each.folder]
        possible.append(msgspec.structs.replace(job, inputs=inputs))
    return possible, (lambda answer: tell(_with_folders(answer, folders))) if folders else tell


def _expanded(tree: Tree, inputs: list[Input], known: dict[str, list[Entry] | None]) -> list[Input]:
    if all(each.digest or each.folder for each in inputs):
        return inputs
    found: list[Input] = []
    size = 0
    for each in inputs:
        entries = None if each.digest or each.folder else _entries(tree, each.name, known)
        expanded = [each] if entries is None else [_input(each, entry) for entry in entries]
        size += sum(_INPUT_BYTES + len(one.name.encode()) + len(one.path.encode()) for one in expanded)
        if size > MAX_BYTES:
            raise NotSendableError(
                f"with the {len(expanded):,} files of the folder {shown(each.name)} the task has too many inputs "
                "to name them one by one: pack them into one file"
            )
        found += expanded
    return found


def _entries(tree: Tree, name: str, known: dict[str, list[Entry] | None]) -> list[Entry] | None:
    if name not in known:
        entries = list_folder(tree, name)
        for entry in entries or ():
            check_sendable(name, entry)
        known[name] = entries
    return known[name]


def _input(folder: Input, entry: Entry) -> Input:
    name, path = (f"{top}/{entry.path}" if entry.path else top for top in (folder.name, folder.path))
    if entry.is_file:
        return Input(name=name, path=path, executable=bool(entry.mode & 0o100))
    return Input(name=name, path=path, folder=True)


def _with_folders(given: TransferAnswer, folders: dict[AttemptKey, list[Input]]) -> TransferAnswer:
    if not isinstance(given, InputsStaged) or not isinstance(given.answer, StageDone):
        return given
    answer = given.answer
    more = folders.get((answer.task, answer.attempt), [])
    return InputsStaged(msgspec.structs.replace(answer, inputs=[*answer.inputs, *more])) if more else given
