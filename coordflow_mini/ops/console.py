"""Messages for a terminal or a log: lines and progress on stderr, tables and durations as text."""

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from coordflow_mini.ops.text import printable

if TYPE_CHECKING:
    from coordflow_mini.ops.run import OnStep
    from coordflow_mini.train import Progress

T = TypeVar("T")

_PAUSE = 5.0  # seconds between two lines of progress in a log, at least


class Console:
    """Prints to stderr, which keeps stdout for results; prints nothing if `quiet`.

    On a terminal, progress is a line that is rewritten; in a log or a pipe, a line every few seconds.
    to: receives the lines in place of stderr.
    """

    def __init__(self, *, quiet: bool = False, to: Callable[[str], None] | None = None) -> None:
        self.quiet, self.to = quiet, to
        self._began = self._spoken = time.perf_counter()
        self._stage = ""  # of the line that is being rewritten

    def say(self, text: str) -> None:
        """Print one line."""
        self._end_line()
        if self.to:
            self.to(text)
        elif not self.quiet:
            _print(f"{printable(text)}\n")

    @contextmanager
    def training(self) -> "Iterator[OnStep]":
        """A listener for `fit` and `encode`: PSNR, bits per weight and the time left of each stage."""
        stage, step, steps = "", 0, 0

        def on_step(progress: "Progress") -> None:
            nonlocal stage, step, steps
            if progress.stage != stage and progress.stage.endswith("fine-tune") and step < steps:
                self.say(f"stopped at step {step:,} of {steps:,}; fine-tuning the model as it is")
            stage, step, steps = progress.stage, progress.step, progress.steps
            bits = progress.bits_per_weight
            quality = [f"{progress.psnr_db:.2f} dB", *([] if bits is None else [f"{bits:.2f} bits/weight"])]
            self._show(stage, step, steps, "  ".join(quality), progress.seconds_left)

        with self._progress():
            yield on_step

    def counted(self, stage: str, items: Iterable[T], total: int) -> Iterator[T]:
        """Yield the items and show how many of `total` are done."""
        began = time.perf_counter()
        with self._progress():
            for number, item in enumerate(items, start=1):
                yield item
                left = (time.perf_counter() - began) / number * (total - number)
                self._show(stage, number, total, "", left)

    @contextmanager
    def bytes_moved(self, name: str) -> "Iterator[Callable[[str, int, int | None], None]]":
        """A listener for `fetch`: megabytes and the time left of each stage."""
        began: dict[str, tuple[float, int]] = {}
        shown = ("", -1)

        def on_bytes(stage: str, done: int, total: int | None) -> None:
            nonlocal shown
            if shown == (shown := (stage, done // 1_000_000)) and done != total:
                return
            now, total = time.perf_counter(), total or done
            start, had = began.setdefault(stage, (now, done))
            left = (now - start) / max(done - had, 1) * (total - done)
            self._show(f"{stage} {name}", done // 1_000_000, total // 1_000_000, "MB", left)

        with self._progress():
            yield on_bytes

    @contextmanager
    def _progress(self) -> Iterator[None]:
        self._began = self._spoken = time.perf_counter()
        try:
            yield
        finally:
            self._end_line()

    def _show(self, stage: str, done: int, total: int, figures: str, left: float) -> None:
        if self.quiet:
            return
        time_left = f"{duration(left)} left" if done < total else "done"
        text = "  ".join(part for part in (stage, f"{done:,}/{total:,}", figures, time_left) if part)
        if not self.to and sys.stderr.isatty():
            if stage != self._stage:
                self._end_line()
            self._stage = stage
            width = shutil.get_terminal_size().columns - 1
            line = re.sub(r"\s", " ", printable(text))[:width]
            _print(f"\r{line:{width}}")
            return
        now = time.perf_counter()
        if done == total or now - self._spoken >= max(_PAUSE, 0.1 * (now - self._began)):
            self._spoken = now
            self.say(text)

    def _end_line(self) -> None:
        if self._stage:
            self._stage = ""
            _print("\n")


def _print(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)  # noqa: T201


def plural(count: int, noun: str) -> str:
    """A number and its noun, in the plural where needed.

    >>> plural(1, "frame"), plural(1200, "step")
    ('1 frame', '1,200 steps')
    """
    return f"{count:,} {noun}" + "s" * (count != 1)


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(7.26), duration(42.4), duration(95), duration(12_010)
    ('7.3 s', '42 s', '1 min 35 s', '3 h 20 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Rows as lines of aligned columns; the first `left` columns align left, the others right.

    >>> print(table([["codec", "bytes"], ["x264", "18,615"]]))
    codec   bytes
    x264   18,615
    """
    rows = [[re.sub(r"[\n\t]", " ", printable(text)) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = (
        [text.ljust(width) if index < left else text.rjust(width) for index, (text, width) in enumerate(row)]
        for row in (zip(row, widths, strict=True) for row in rows)
    )
    return "\n".join("  ".join(row).rstrip() for row in cells)
