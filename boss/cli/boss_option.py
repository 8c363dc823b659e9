"""What the modules of admin.py's commands share: how a command is registered, how a boss is reached, common options."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

from boss.client.client import Client

#: (historic name, example) -> what registers a function under that name.
Command = Callable[[str, str], Callable[[Callable[..., None]], Callable[..., None]]]
#: The boss that is asked, for as long as the context lasts.
Boss = Callable[[], AbstractContextManager[Client]]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
