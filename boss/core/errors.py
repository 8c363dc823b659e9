"""What the core raises, or has raised to it.

CoreError
├── InvariantError          a bug: something that must always hold does not; carries the story (`boss.core.story`)
│   └── IllegalMoveError    a bug: a move that the table of its machine does not have
├── DatabaseAwayError       the environment: the turn was not committed and may be tried again (`boss.core.store`)
└── TurnRefusedError        one row of the turn: the database takes the turn neither now nor later (`boss.core.store`)
"""

from __future__ import annotations


class CoreError(Exception):
    """The text states what happened, and to which thing."""
