"""What one check found, and how it is printed. Values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "FAILED"]


@dataclass(frozen=True)
class Finding:
    name: str
    state: State
    #: What was seen.
    words: str = ""
    #: What an operator can do; of a failure never empty.
    remedy: str = ""
    #: What was done to find out, as an operator could do it.
    did: str = ""


def lines(finding: Finding) -> Iterator[str]:
    """`ok      name: words`; readers look for what begins with FAILED."""
    if finding.did:
        yield f"+ {finding.did}"
    yield f"{finding.state:<7} {finding.name}{': ' if finding.words else ''}{finding.words}"
    if finding.remedy:
        yield f"        what to do: {finding.remedy}"


def summary(findings: list[Finding]) -> str:
    failed = [finding.name for finding in findings if finding.state == "FAILED"]
    if not failed:
        return f"All {len(findings)} checks passed."
    return f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}."
