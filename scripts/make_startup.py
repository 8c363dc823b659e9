"""Puts worker/bootstrap/bootstrap.py into worker/startup.sh, between its two marks: that script is complete by itself.

python scripts/make_startup.py
"""

from __future__ import annotations

from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SCRIPT = TOP / "worker" / "startup.sh"
PROGRAM = TOP / "worker" / "bootstrap" / "bootstrap.py"
WORD = "END_OF_BOOTSTRAP"
BEGIN, END = f"<<'{WORD}'\n", f"\n{WORD}\n"


def text() -> str:
    """What the script should be."""
    before, _, rest = SCRIPT.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not ended:
        raise SystemExit(f"{SCRIPT} has no line {WORD} behind what it carries")
    return before + BEGIN + PROGRAM.read_text().removesuffix("\n") + END + after


if __name__ == "__main__":
    SCRIPT.write_text(text())
