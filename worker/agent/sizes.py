"""How large a report can get as JSON: upper bounds, cheap enough to compute for every one. Pure."""

from __future__ import annotations

import msgspec

from wire.messages import Heartbeat, Outcome, WorkerHello, WorkerReport

#: A control character takes six bytes in JSON; no character takes more per byte of UTF-8.
_WORST = 6
#: Names and punctuation of a small report.
_FRAME = 160
#: Digests, sizes and names of the fields of one listed file.
_FILE = 200
_DIGEST = 72
#: An outcome larger than this cannot be reported. The limit of the codec is above it by what the boss adds when it has
#: the results collected: the folder of the project, to each name.
OUTCOME_MAX = 5 * 1024 * 1024


def size_bound(report: WorkerReport) -> int:
    """Not fewer bytes than the report takes on the wire (text of four-byte characters included)."""
    if isinstance(report, Outcome):
        return _outcome_bound(report)
    if isinstance(report, WorkerHello):
        return len(msgspec.json.encode(report))
    if isinstance(report, Heartbeat):
        return _FRAME + 64 * len(report.progress) + _DIGEST * (len(report.cached) + len(report.dropped))
    digests = getattr(report, "digests", ())
    return _FRAME + _DIGEST * len(digests) + _WORST * len(getattr(report, "reason", ""))


def _outcome_bound(outcome: Outcome) -> int:
    text = len(outcome.reason) + len(outcome.command) + len(outcome.stdout_tail) + len(outcome.stderr_tail)
    fixed = _FRAME * (2 + len(outcome.commands) + len(outcome.figures)) + _FILE * len(outcome.manifest)
    # Plain loops: most outcomes have nothing in these lists, and this runs twice for each.
    for summary in outcome.commands:
        text += len(summary.command)
    for entry in outcome.manifest:
        text += len(entry.source) + len(entry.target)
    for each in outcome.folders:
        text += len(each.source) + len(each.target) + sum(map(len, each.empty))
        fixed += _FRAME + 3 * len(each.empty)
    return fixed + _WORST * text


def is_too_large(outcome: Outcome) -> bool:
    """Whether it does not fit one message. Encoded only where the bound leaves a doubt."""
    return _outcome_bound(outcome) > OUTCOME_MAX and len(msgspec.json.encode(outcome)) > OUTCOME_MAX
