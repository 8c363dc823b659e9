"""The boss's database: SQLite or MariaDB/MySQL, one writer, one transaction a turn.

    Database.open(url)            make it, or bring it up to date (Alembic)
    Database.open_to_read(url)    beside a boss or without one; raises NoDatabaseError
      .take_over(host, pid)       -> (epoch, words on the boss before); raises DatabaseHeldError
      .load()                     -> Loaded: unfinished batches as columns, and all that is live
      .load_batches(numbers)      -> (LoadedBatch list, states outside, crossing edges)
      .commit(changes, wall)      one turn; raises SupersededError ...; may be repeated
      .committed(turn)            read back on a new connection
      .set_context(key, value)    .prune_events(before)    .deployment    .epoch    .turn    .close()
      .lookups                    what the loop needs: known, executions, requirements, result_names,
                                  task_numbers, states, batches_of
      .reads                      what people see: tasks_of, task_lines, task_detail, batches, batch,
                                  workers, instances, counts, story, events, last_events, context

Everything raised is a DatabaseError (tree in `errors`). Which rows there are is `boss.core.rows`; this
package writes and reads them and decides nothing.
"""

from boss.database.database import Database
from boss.database.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseHeldError,
    DatabaseUnavailableError,
    NoDatabaseError,
    NotWritableError,
    RowTooLargeError,
    SchemaTooNewError,
    SchemaTooOldError,
    SupersededError,
)
from boss.database.lookups import DatabaseLookups
from boss.database.queries import DatabaseReads
from boss.database.views import AttemptView, DependencyView, JournalLine, JournalPage, StoredTask, TaskLine

__all__ = [
    "AttemptView",
    "Database",
    "DatabaseBusyError",
    "DatabaseError",
    "DependencyView",
    "DatabaseFullError",
    "DatabaseHeldError",
    "JournalLine",
    "JournalPage",
    "DatabaseLookups",
    "NoDatabaseError",
    "NotWritableError",
    "DatabaseReads",
    "SupersededError",
    "StoredTask",
    "TaskLine",
    "RowTooLargeError",
    "SchemaTooNewError",
    "SchemaTooOldError",
    "DatabaseUnavailableError",
]
