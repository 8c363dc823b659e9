"""`python -m boss --reset`: what a boss knows is archived, and the next one begins with nothing.

Results stay where they are, and so does all that is no database: logins, keys, logs. The new database is another
deployment, so whatever the old one had under way counts for nothing, and workers that users started join the new one.
Refused while machines or processes are on record that a boss started: nothing would ever stop them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from boss.core.model import OVER
from boss.database import Database, NoDatabaseError
from boss.database.archive import archive
from boss.state_directory.lock import CannotStartError, lock


def reset(state_directory: Path, url: str) -> str:
    """What was done, as a sentence. Raises CannotStartError, DatabaseError, OSError; then nothing was changed."""
    descriptor = lock(state_directory)
    try:
        try:
            database = Database.open_to_read(url)
        except NoDatabaseError as error:
            return f"there is nothing to archive: {error}"
        try:
            started = sorted(row.worker for row in database.reads.instances() if row.state not in OVER)
        finally:
            database.close()
        if started:
            shown = ", ".join(started[:5]) + (f" and {len(started) - 5} more" if len(started) > 5 else "")
            raise CannotStartError(
                f"{len(started)} workers are on record that a boss has started and not ended ({shown}): start the boss "
                "once more and end it (TERM or Ctrl-C ends its own workers), then reset; nothing was changed"
            )
        archived = archive(url, time.strftime("%Y%m%d_%H%M%S", time.gmtime()))
    finally:
        os.close(descriptor)
    return f"the boss begins with nothing; all that it knew is kept in {archived}"
