"""Names inside the tree, and paths inside a working directory: which ones can be, and why not.

Pure: it looks at text and knows no file. Symbolic links and what really stands at a name are the business of
`datastore.disk.beneath`, which opens every name step by step; but no name that is refused here ever gets that far.

    NameRefusedError
"""

from __future__ import annotations

from collections.abc import Iterable

from datastore.errors import DatastoreError

#: The datastore's own folder at the root of its tree.
OWN_FOLDER = ".ecloud"

#: Bytes of one component, as every file system of Linux has it.
MAX_COMPONENT_BYTES = 255
#: Bytes of a whole name.
MAX_NAME_BYTES = 1024


class NameRefusedError(DatastoreError):
    """A name that cannot be; the text says which and why."""


def clean_path(path: str) -> str:
    """The path, if it names something inside its directory. Raises NameRefusedError."""
    if not path:
        raise NameRefusedError("an empty path names no file")
    if "\0" in path:
        raise NameRefusedError(f"the path {shown(path)} holds a NUL character")
    if path.startswith("/"):
        raise NameRefusedError(f"the path {shown(path)} is absolute; it must be relative")
    if len(_encoded(path)) > MAX_NAME_BYTES:
        raise NameRefusedError(f"the path {shown(path)} is longer than {MAX_NAME_BYTES:,} bytes")
    for component in path.split("/"):
        if component == "":
            raise NameRefusedError(f"the path {shown(path)} has an empty component ('//' or a '/' at its end)")
        if component == ".":
            raise NameRefusedError(f"the path {shown(path)} has a component '.'")
        if component == "..":
            raise NameRefusedError(f"the path {shown(path)} has a component '..': it could leave its directory")
        if len(_encoded(component)) > MAX_COMPONENT_BYTES:
            raise NameRefusedError(f"the path {shown(path)} has a component longer than {MAX_COMPONENT_BYTES} bytes")
    return path


def clean_name(name: str) -> str:
    """The name, if it may stand in the tree: as `clean_path`, and not the datastore's own. Raises NameRefusedError."""
    clean_path(name)
    if name.partition("/")[0] == OWN_FOLDER:
        raise NameRefusedError(f"the name {shown(name)} is in {OWN_FOLDER}/, which is the datastore's own")
    return name


def clash(names: Iterable[str]) -> str:
    """Why these names cannot all be files of one tree: one stands twice, or is another's folder. Empty: they can."""
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        if name in files:
            return f"{shown(name)} is named twice"
        above = folders_of(name)
        both = next((folder for folder in above if folder in files), name if name in folders else None)
        if both is not None:
            return f"{shown(both)} is named as a file and as a folder"
        files.add(name)
        folders.update(above)
    return ""


def folders_of(name: str) -> list[str]:
    """Every folder above a name, nearest first: `a/b/c` gives `a/b`, `a`."""
    folders = []
    cut = name.rfind("/")
    while cut > 0:
        name = name[:cut]
        folders.append(name)
        cut = name.rfind("/")
    return folders


def shown(name: str) -> str:
    """A name as a message may show it: quoted, control characters escaped, not endless."""
    return repr(name if len(name) <= 120 else name[:117] + "...")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NameRefusedError(f"the path {shown(text)} is not valid Unicode") from None
