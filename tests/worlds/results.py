"""Lines of results as the database has them."""

from __future__ import annotations

from boss.database.views import ResultLine
from tests.worlds.digests import digest

CONTENT = b"1,2,3\n" * 1000


def result(name: str, content: bytes = CONTENT, task: int = 1, project: str = "default") -> ResultLine:
    return ResultLine(
        project=project, name=name, task=task, id=f"t{task}", attempt=1, digest=digest(content), size=len(content),
        time=9.0, key=name.encode(),
    )  # fmt: skip
