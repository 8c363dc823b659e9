"""`python -m boss --check`: does what stands in the database hold together? Reads only, beside a boss or without one.

Goes through all batches, finished ones too, one at a time, so that it needs the memory of the largest one.
Beside a boss that works, a batch that changed while it was read is read again before it is called wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from boss.common.plural import plural
from boss.core.audit import AuditFinding, audit_batch
from boss.database import Database, DatabaseError

#: Times that a batch is read before what is wrong with it is reported.
TRIES = 3


def check_database(database: Database, tell: Callable[[str], None]) -> int:
    """Tell each violation, with its task, and what was looked at; answers how many there are."""
    found = batches = tasks = 0
    for number in [row.number for row in database.reads.batches()]:
        count, findings = _batch(database, number)
        batches, tasks = batches + 1, tasks + count
        for line in _lines(database, findings):
            found += 1
            tell(line)
    for line in _lines(database, _stable(database.audit.dangling)):
        found += 1
        tell(line)
    words = "all of it holds together" if not found else f"{plural(found, 'thing')} that cannot be"
    tell(f"Database {database.place}: {batches:,} batches with {tasks:,} tasks, {words}.")
    return found


def _batch(database: Database, number: int) -> tuple[int, list[AuditFinding]]:
    count = 0

    def look() -> list[AuditFinding]:
        nonlocal count
        try:
            loaded, outside, _ = database.load_batches([number])
        except DatabaseError as error:
            if type(error) is not DatabaseError:
                raise  # away, not wrong
            return [AuditFinding(0, f"batch {number} cannot be loaded: {error}")]
        except (KeyError, ValueError) as error:
            return [AuditFinding(0, f"batch {number} cannot be loaded: a row of it is damaged or missing ({error!r})")]
        if not loaded:
            return []
        count = loaded[0].row.count
        return list(audit_batch(loaded[0], outside, database.audit.attempts(loaded[0].row)))

    findings = _stable(look)
    return count, findings


def _stable(look: Callable[[], list[AuditFinding]]) -> list[AuditFinding]:
    """What is found each time: a boss may be writing while this reads."""
    findings = look()
    for _ in range(TRIES - 1):
        if not findings:
            break
        again = set(look())
        findings = [finding for finding in findings if finding in again]
    return findings


def _lines(database: Database, findings: list[AuditFinding]) -> Iterator[str]:
    numbers = sorted({finding.task for finding in findings if finding.task})
    names = {line.number: f"{line.id!r} of project {line.project!r}" for line in database.reads.task_lines(numbers)}
    for finding in findings:
        if finding.task:
            id_shown = f" ({names[finding.task]})" if finding.task in names else ""
            yield f"task {finding.task}{id_shown} {finding.text}"
        else:
            yield finding.text
