"""The canonical stream: how a checked task file travels to the boss, in lines of JSON.

The first line is a `Header`, each further line one `StreamTask`. All dialects end here, with all defaults of
the file merged in and everything that has its default left out. A line holds what the worker needs
(`wire.messages.Execution`) and what the scheduler needs (`boss.core.model.Profile`) as they will be stored,
so that equal ones can be recognised by their bytes. It knows the form only; `collector` judges the contents.
"""

from __future__ import annotations

import msgspec

from boss.core.model import Profile, SentFile
from wire.messages import EpanetRun, Execution, Input, ResultItem

VERSION = 1
#: The form of what is digested as a task's content, where it is another one than in rows of older programs.
CONTENT_FORM = b"2"

#: Bytes of one task's line where no setting says otherwise; the most that one may allow (a description travels to its
#: worker in one message); bytes of the header with its list of files.
TASK_BYTES, MAX_TASK_BYTES, HEADER_BYTES = 1024**2, 4 * 1024**2, 256 * 1024**2

_EMPTY_OBJECT = msgspec.Raw(b"{}")


class SentFolder(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A folder beside the task file that tasks require: it means these files, which stand among the sent ones."""

    #: Inside the project's tree.
    name: str
    #: Paths relative to it.
    files: list[str] = msgspec.field(default_factory=list)
    #: Folders below it that hold nothing, relative to it.
    empty: list[str] = msgspec.field(default_factory=list)


class Header(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """First line of the stream."""

    #: Always written, so that an older boss can say that it is too old.
    version: int
    project: str = "default"
    name: str = ""
    merge_strategy: str = ""
    allow_shared_results: bool = False
    #: Who pushes it, and the digest of the file's absolute path; empty: not said. See `boss.core.versions`.
    submitter: str = ""
    source: str = ""
    #: False: the name is only that of the file.
    named: bool = True
    created_ids: bool = False
    prune: bool = False
    dry_run: bool = False
    #: Tasks that run now and are changed may be superseded.
    confirmed: bool = False
    #: As `overwrite_result: false` on every task that has results. It is no part of their contents.
    skip_existing: bool = False
    #: `database` for files of the database era: errors then speak of its fields.
    dialect: str = ""
    #: How many task lines follow; -1: unknown.
    tasks: int = -1
    files: list[SentFile] = msgspec.field(default_factory=list)
    folders: list[SentFolder] = msgspec.field(default_factory=list)
    #: Networks of EPANET tasks among the files -> digest of what they say, however their lines end.
    networks: dict[str, str] = msgspec.field(default_factory=dict)


class StreamTask(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One task."""

    id: str
    #: Ids of tasks of the same project, in this push or not.
    dependencies: list[str] = []
    #: (name in the project's tree, path in the working directory).
    requirements: list[tuple[str, str]] = []
    #: A `wire.messages.Execution`; slots and memory stand here only.
    execution: msgspec.Raw = _EMPTY_OBJECT
    #: A `boss.core.model.Profile` without slots, memory and staging, which follow from the rest.
    profile: msgspec.Raw = _EMPTY_OBJECT
    #: An init task: has no profile, no dependencies and no results.
    init: bool = False
    #: Of an EPANET task: digest of its own rows of the table of scenarios; empty: all of that file counts.
    rows: str = ""


class StrictEpanet(EpanetRun, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An EpanetRun from outside: a field that we do not know is a mistake."""


class StrictResult(ResultItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ResultItem from outside."""


class StrictExecution(Execution, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Execution from outside."""

    epanet: StrictEpanet | None = None
    results: list[StrictResult] = msgspec.field(default_factory=list)  # type: ignore[assignment]  # narrower


class StrictProfile(Profile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Profile from outside."""


#: Sorts the keys of objects, so that equal values are equal bytes.
encoder = msgspec.json.Encoder(order="deterministic")

decode_header = msgspec.json.Decoder(Header).decode
decode_line = msgspec.json.Decoder(StreamTask).decode
decode_lines = msgspec.json.Decoder(StreamTask).decode_lines
decode_execution = msgspec.json.Decoder(StrictExecution).decode
decode_profile = msgspec.json.Decoder(StrictProfile).decode
decode_inputs = msgspec.json.Decoder(list[Input]).decode


def raw(value: Execution | Profile) -> msgspec.Raw:
    return msgspec.Raw(encoder.encode(value))


#: Values of a profile that make the same content as none.
_SAME_AS_NONE = {"retries": 0, "retry_delay": 1.0, "retry_delay_max": 300.0}


def content_of_profile(profile: Profile) -> bytes:
    """A profile's part of a task's content: without the kind of command, which is no part of a description.

    A value that meant "not set" when the contents on record were made still makes the same content: else pushing the
    same file again would run its tasks again.
    """
    unset = {name: None for name, value in _SAME_AS_NONE.items() if getattr(profile, name) == value}
    return encoder.encode(msgspec.structs.replace(profile, template=0, **unset))
