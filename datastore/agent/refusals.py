"""Which names a Collect order may not have: those that leave their directory, and those that cannot all be. Pure."""

from __future__ import annotations

from datastore.paths import NameRefusedError, clash, clean_name, clean_path, folders_of, shown
from wire.messages import Collect, ResultFolder


def refusal(order: Collect) -> str:
    """Why its names are refused; empty: they are not."""
    try:
        for file in order.files:
            clean_path(file.source)
            clean_name(file.target)
        for folder in order.folders:
            _clean_folder(folder)
    except NameRefusedError as error:
        return str(error)
    # A folder without files is as a file to whatever else wants its name, or a name below it.
    empty = (f"{folder.target}/{inner}" for folder in order.folders for inner in folder.empty)
    return clash([*(file.target for file in order.files), *empty]) or _folders_clash(order)


def _clean_folder(folder: ResultFolder) -> None:
    clean_path(folder.source)
    clean_name(folder.target)
    for inner in folder.empty:
        clean_name(f"{folder.target}/{inner}")


def _folders_clash(order: Collect) -> str:
    if not order.folders:
        return ""
    targets = [folder.target for folder in order.folders]
    wanted = set(targets)
    files = {file.target for file in order.files}
    for target in targets:
        if target in files:
            return f"{shown(target)} is named as a file and as a folder"
        if any(above in wanted or above in files for above in folders_of(target)):
            return f"{shown(target)} is a folder of its own in another one"
    if len(wanted) == len(targets):
        return ""
    return f"{shown(next(target for target in targets if targets.count(target) > 1))} is named twice"
