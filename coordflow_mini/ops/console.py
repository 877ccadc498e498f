"""What a terminal is told: progress on stderr, tables as text."""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from coordflow_mini.ops.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from coordflow_mini.train import OnStep, Progress

__all__ = ["Console", "duration", "table"]

T = TypeVar("T")

_MOST_BARS = 8
_PAUSE = 5.0  # seconds at least between two lines where there is no terminal to draw bars on


class Console:
    """Speaks on stderr, so that stdout stays clean; says nothing at all if quiet.

    In a terminal a bar moves; elsewhere (a log, a pipe) a line appears every few seconds.
    to: takes the lines instead of stderr, for a log of their own.
    """

    def __init__(self, *, quiet: bool = False, to: Callable[[str], None] | None = None) -> None:
        self.quiet, self.to = quiet, to

    def say(self, text: str) -> None:
        """One line."""
        if self.to:
            self.to(text)
        elif not self.quiet:
            print(printable(text), file=sys.stderr, flush=True)  # noqa: T201

    @contextmanager
    def training(self) -> "Iterator[OnStep]":
        """A listener for `fit` and `encode`: PSNR, bits per weight, and the time left of each stage."""
        with self._bars() as show:
            stage, last = "", (0, 0)

            def on_step(progress: "Progress") -> None:
                nonlocal stage, last
                stopped_early = stage and progress.stage != stage and last[0] < last[1]
                if stopped_early and progress.stage.endswith("fine-tune"):
                    self.say(f"stopped at step {last[0]:,} of {last[1]:,}; fine-tuning what there is")
                stage, last = progress.stage, (progress.step, progress.steps)
                show(progress.stage, progress.step, progress.steps, _figures(progress), progress.seconds_left)

            yield on_step

    def counted(self, stage: str, items: Iterable[T], total: int) -> Iterator[T]:
        """The items as they come, counted."""
        began = time.perf_counter()
        with self._bars() as show:
            for number, item in enumerate(items, start=1):
                yield item
                left = (time.perf_counter() - began) / number * (total - number)
                show(stage, number, total, "", left)

    @contextmanager
    def bytes_moved(self, name: str) -> "Iterator[Callable[[str, int, int | None], None]]":
        """A listener for `fetch`: megabytes done, and the time left of each stage."""
        began: dict[str, tuple[float, int]] = {}
        shown = ("", -1)
        with self._bars() as show:

            def on_bytes(stage: str, done: int, total: int | None) -> None:
                nonlocal shown
                if shown == (shown := (stage, done // 1_000_000)) and done != total:
                    return
                now, total = time.perf_counter(), total or done
                start, had = began.setdefault(stage, (now, done))
                left = (now - start) / max(done - had, 1) * (total - done)
                show(f"{stage} {name}", done // 1_000_000, total // 1_000_000, "MB", left)

            yield on_bytes

    @contextmanager
    def _bars(self) -> Iterator["_Show"]:
        """How one stage after the other is shown here."""
        if self.quiet:
            yield lambda *_: None
        elif self.to or not sys.stderr.isatty():
            yield _lines(self.say)
        else:
            from rich import console, progress

            words = ("{task.description:<10}", "{task.fields[figures]}")
            texts = [progress.TextColumn(text, markup=False) for text in words]  # a name may hold [brackets]
            columns = (texts[0], progress.BarColumn(), texts[1])
            screen = console.Console(stderr=True)
            # redrawn when there is news only: no thread that takes time from the training
            with progress.Progress(*columns, console=screen, auto_refresh=False) as bars:
                yield _drawn(bars)


_Show = Callable[[str, int, int, str, float], None]  # stage, done, total, figures, seconds left


def _figures(progress: "Progress") -> str:
    """`28.31 dB`, and while fine-tuning `4.62 bits/weight`."""
    bits = progress.bits_per_weight
    return f"{progress.psnr_db:.2f} dB" + (f"  {bits:.2f} bits/weight" if bits is not None else "")


def _line(done: int, total: int, figures: str, left: float) -> str:
    """The text beside a bar."""
    left_text = f"{duration(left)} left" if done < total else "done"
    return "  ".join(part for part in (f"{done:,}/{total:,}", figures, left_text) if part)


def _lines(say: Callable[[str], None]) -> _Show:
    """Shows stages as lines: now and then, and the last one of each stage."""
    began = spoken = time.perf_counter()

    def show(stage: str, done: int, total: int, figures: str, left: float) -> None:
        nonlocal spoken
        now = time.perf_counter()
        if done == total or now - spoken >= max(_PAUSE, 0.1 * (now - began)):
            spoken = now
            say(f"{stage}  {_line(done, total, figures, left)}")

    return show


def _drawn(bars: "Bars") -> _Show:
    """Shows stages as bars, one below the other; the last few, or those in work would leave the screen."""
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int, figures: str, left: float) -> None:
        if stage not in tasks:
            if len(tasks) == _MOST_BARS:
                bars.remove_task(tasks.pop(next(iter(tasks))))
            tasks[stage] = bars.add_task(printable(stage), total=total, figures="")
        text = _line(done, total, figures, left)
        bars.update(tasks[stage], completed=done, total=total, figures=text, refresh=True)

    return show


def duration(seconds: float) -> str:
    """A time for a reader.

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
    """Rows as lines of aligned columns: the first `left` ones to the left, the others to the right.

    >>> print(table([["codec", "bytes"], ["x264", "18,615"]]))
    codec   bytes
    x264   18,615
    """
    rows = [[re.sub(r"[\n\t]", " ", printable(text)) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = (
        [text.ljust(width) if place < left else text.rjust(width) for place, (text, width) in enumerate(row)]
        for row in (zip(row, widths, strict=True) for row in rows)
    )
    return "\n".join("  ".join(row).rstrip() for row in cells)
