"""What is printed on a terminal: foreign text made harmless, durations, sizes, a progress bar. No HTTP.

Ids, outputs and errors come from the author of the task: an escape sequence in them could rewrite the screen
or the window's title, so control characters are shown, not sent.
"""

from __future__ import annotations

import errno
import shutil
import signal
import time
import unicodedata
from typing import TextIO

from boss.api.schema import BatchAnswer
from boss.common.plural import plural

#: Seconds between two plain lines where the output is no terminal.
PLAIN_SECONDS = 10.0
_REDRAW_SECONDS = 0.1


def harmless(text: str, *, lines: bool = False) -> str:
    """Control, format and surrogate characters as \\x1b and the like; line ends and tabs stay with `lines`."""
    if text.isprintable():
        return text
    return "".join(_shown(character, lines) for character in text)


def _shown(character: str, lines: bool) -> str:
    if character.isprintable() or (lines and character in "\n\t"):
        return character
    category = unicodedata.category(character)
    if category in ("Zs", "Co", "Cn"):  # blanks of all widths and what this Python has no name for
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def duration(seconds: float) -> str:
    """0:07, 12:30, 3:04:05."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


def format_size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"


def format_progress(batch: BatchAnswer) -> str:
    """12/100 done, 4 running, 1 failed, 3.2/s, ETA 0:25."""
    counts = batch.counts
    words = [f"{counts.ended:,}/{batch.total:,} done", f"{counts.running:,} running"]
    unlucky = {"failed": counts.failed, "blocked": counts.blocked, "cancelled": counts.cancelled}
    words += [f"{count:,} {word}" for word, count in unlucky.items() if count]
    if batch.rate:
        words.append(f"{batch.rate:,.1f}/s")
    if batch.eta_seconds is not None and not batch.finished:
        words.append(f"ETA {duration(batch.eta_seconds)}")
    if batch.files_waiting:
        words.append(f"{plural(batch.files_waiting, 'file')} on the way to the datastore")
    if batch.paused:
        words.append("paused")
    return ", ".join(words)


class ProgressLine:
    """One line that is drawn again and again on a terminal, or a plain line now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.on_terminal = stream.isatty()
        self._drawn_at = -1e9
        self._width = 0
        self._last = ""

    def show(self, done: float, total: float, words: str, *, last: bool = False) -> None:
        """So much of the total is done. `last`: at once, as nothing comes after it."""
        now = time.monotonic()
        if not last and now - self._drawn_at < (_REDRAW_SECONDS if self.on_terminal else PLAIN_SECONDS):
            return
        if not self.on_terminal and words == self._last:
            return
        self._drawn_at, self._last = now, words
        self._draw(done / total if total else 1.0, words)

    def _draw(self, fraction: float, words: str) -> None:
        if not self.on_terminal:
            self._write(words + "\n")
        else:
            columns = shutil.get_terminal_size().columns - 1
            line = f"{bar(fraction, 24)} {words}"[:columns]
            self._write("\r" + line.ljust(min(self._width, columns)))
            self._width = len(line)

    def end(self) -> None:
        """Leave the line as it is."""
        if self.on_terminal and self._width:
            self._write("\n")
            self._width = 0

    def say(self, sentence: str) -> None:
        """A line of its own, above what is drawn next."""
        self.end()
        self._write(sentence + "\n")

    def _write(self, text: str) -> None:
        """A terminal that was closed takes nothing: then the program ends as by the signal that comes with that, which
        may be a moment late.
        """
        try:
            self.stream.write(text)
            self.stream.flush()
        except OSError as error:
            if not self.on_terminal or error.errno != errno.EIO:
                raise
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)


def bar(fraction: float, width: int) -> str:
    full = int(max(0.0, min(1.0, fraction)) * width)
    return "[" + "#" * full + "." * (width - full) + "]"
