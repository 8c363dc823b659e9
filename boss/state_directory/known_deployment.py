"""Which deployment a state directory has served: the id of the database that its last boss worked on.

A database that was emptied, or another one under the same address, has another id: a boss that took it would report as
never done what was, and end the work of workers that are still busy.
"""

from __future__ import annotations

from pathlib import Path

from boss.common.private_files import secret_of, write_private
from boss.state_directory.lock import CannotStartError

FILE = "deployment"


def check_deployment(state_directory: Path, found: str, place: str) -> None:
    """`found`: the database's id; empty: there is no database. `place`: how errors name it.

    Raises CannotStartError, OSError.
    """
    known = secret_of(state_directory / FILE)
    if not known or known == found:
        return
    what = f"is of deployment {found}" if found else "is not there"
    raise CannotStartError(
        f"database {place} {what}, and {state_directory} has served deployment {known}: it was emptied, or is another "
        "one. Bring the right one back (a backup, the setting database); or archive what is there and begin with "
        f"nothing: python -m boss --reset; or, to go on with that database: rm {state_directory / FILE}"
    )


def keep_deployment(state_directory: Path, deployment: str) -> None:
    """From now on this is its deployment. Raises OSError."""
    if secret_of(state_directory / FILE) != deployment:
        write_private(state_directory / FILE, deployment + "\n", durable=True)


def forget_deployment(state_directory: Path) -> None:
    """The next boss may take a new one. Raises OSError."""
    (state_directory / FILE).unlink(missing_ok=True)
