"""Kernels, waits and copies of the pretend GPU while a block of code runs, and the lines that asked."""

import ctypes
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.gpu.library import loaded

__all__ = ["Counting"]

PACKAGE = str(Path(__file__).parents[2] / "coordflow_mini")
_Witness = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Counting:
    """Counts within its block.

    A sync is any wait of the host for the GPU: numbers that are read, copies that block, masks, events.
    A kernel is an operation of PyTorch that is no view: with few exceptions, one launch.  A plain copy within
    the GPU is none: it is a "memcpy".
    """

    def __enter__(self) -> "Counting":
        self.counts, self.lines = Counter[str](), Counter[str]()
        self._before = _counts()
        self._witness = _Witness(lambda what: self.lines.update([f"{what.decode()} at {_line()}"]))
        loaded().pretend_witness(self._witness)
        return self

    def __exit__(self, *_: object) -> None:
        loaded().pretend_witness(_Witness())
        self.counts = _counts() - self._before

    def of(self, kind: str) -> Counter[str]:
        """Numbers by name of each "kernel", "memcpy", "sync", "copy", or "unstable" (sums in any order)."""
        pairs = ((name.partition(" "), count) for name, count in self.counts.items())
        return Counter({name: count for (found, _, name), count in pairs if found == kind})

    @property
    def kernels(self) -> int:
        """Launches."""
        return self.of("kernel").total()

    @property
    def syncs(self) -> int:
        """Times that the host waited."""
        return self.of("sync").total()

    @property
    def copies(self) -> int:
        """Copies between host and GPU, either way."""
        return self.of("copy").total()

    def where(self) -> Counter[str]:
        """Lines of the library that waited or copied."""
        return self.lines


def _counts() -> Counter[str]:
    lines = loaded().pretend_counts().decode().splitlines()
    return Counter({name: int(count) for count, _, name in (line.partition(" ") for line in lines)})


def _line() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "no line of ours"
