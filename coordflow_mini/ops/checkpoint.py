"""What has been trained so far, in a file, so that an interrupted training goes on exactly where it was.

    checkpoint = Checkpoint("clip.checkpoint", every=120)
    fit(video, model, config, checkpoint=checkpoint)

A stage of training ("fit", "fine-tune") offers its state after every report; it is written every few minutes,
and when the stage ends or breaks off.  If that fails, on a full disk, a warning says so and training goes on.
On the same machine with the same number of threads, a training that goes on ends with the very weights of one
that was never interrupted.  Files hold tensors, numbers and strings under a checksum, see `states`: a file of
somebody else cannot run code, nor claim much more memory than it has bytes.  PyTorch is imported late, so
that a command can look for checkpoints before it.
"""

import glob
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any
from zlib import crc32

from coordflow_mini.ops import states
from coordflow_mini.ops.files import replacing, tidy

__all__ = ["Checkpoint", "CheckpointError", "State", "figure"]

State = dict[str, Any]  # of tensors, numbers, strings, and lists and dicts of them

_log = logging.getLogger("coordflow_mini")

_MAGIC = b"\x89CFK\x03"  # the last byte is the version; a CRC of all that follows comes next
_LARGEST = 1 << 32  # bytes of a file that is looked at
_PLAIN = (bool, int, float, str, type(None))


class CheckpointError(ValueError):
    """A checkpoint that cannot be gone on with: damaged, or of another training; one line says which."""


class Checkpoint:
    """The states of a training's stages, in memory and, now and then, in a file.

    path: nothing is there before the first write.  every: seconds between two writes.
    cure: what errors say is to be done with a file that cannot be gone on with.
    before: seconds that processes before this one have spent, known once the file has been looked at.
    """

    def __init__(self, path: str | Path, *, every: float = 120.0, cure: str = "remove it"):
        self.path, self.every, self.cure = Path(path), every, cure
        self.before = 0.0
        self._stages: dict[str, State] | None = None  # not looked at yet
        self._began = self._written = time.monotonic()
        self._fresh, self._warned = False, False

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every {self.every:g} s)"

    def part(self, number: int) -> "Checkpoint":
        """The checkpoint of a part that is trained by itself, in a file of its own."""
        path = self.path.with_name(f"{self.path.name}.{number}")
        return Checkpoint(path, every=self.every, cure=self.cure)

    def files(self) -> list[Path]:
        """The files that are there, those of parts too."""
        pattern = f"{glob.escape(self.path.name)}.[0-9]*"
        return [path for path in [self.path, *sorted(self.path.parent.glob(pattern))] if path.is_file()]

    def subject(self, stage: str) -> State | None:
        """What a stage that has begun depends on, as it was given to `reached`."""
        state = self._known().get(stage)
        return None if state is None else dict(state["of"])

    def restored(self, stage: str, of: Mapping[str, Any]) -> State | None:
        """The last state of a stage; None if it has not begun.

        of: what the stage depends on, as strings and numbers; it is stored with the state.
        Raises CheckpointError if the file is damaged, or of something else.
        """
        state = self._known().get(stage)
        if state is None:
            return None
        for name, now in of.items():
            before = state["of"].get(name)
            if before != now:
                raise CheckpointError(
                    f"{self.path} is of another {stage}: {name} was {before!r:.60}, now it is {now!r:.60}; "
                    f"use the same settings, or {self.cure}"
                )
        return state

    @contextmanager
    def taken_up(self, stage: str) -> Iterator[None]:
        """While a state is given to what it is of.  Raises CheckpointError if it does not fit."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = _in_short(error)
            raise CheckpointError(
                f"{self.path} cannot be gone on with here: its {stage} is of another device or version "
                f"({reason}); {self.cure}"
            ) from None

    def reached(self, stage: str, of: Mapping[str, Any], state: State) -> None:
        """Remember how far a stage has come; written if it is time to."""
        self._known()[stage] = {"of": dict(of), **states.copied(state, "cpu")}
        self._fresh = True
        if time.monotonic() - self._written >= self.every:
            self.end()

    def end(self) -> None:
        """Write what was reached, if that can be done: no training ends because it cannot."""
        try:
            self.write()
        except (OSError, ValueError) as error:
            self._written = time.monotonic()  # not again at every report
            if not self._warned:
                self._warned = True
                _log.warning("%s cannot be written, training goes on: %s", self.path, _in_short(error))

    def write(self) -> None:
        """Write what was reached since the last time; a reader finds the old file or the new one."""
        if not self._fresh:
            return
        seconds = self.before + time.monotonic() - self._began
        payload = states.to_bytes({"seconds": seconds, "stages": self._known()})
        with replacing(self.path) as temporary:
            temporary.write_bytes(_MAGIC + crc32(payload).to_bytes(4, "little") + payload)
        self._written, self._fresh = time.monotonic(), False

    def remove(self) -> None:
        """Forget everything, parts too: what was trained for is done."""
        for path in self.files():
            path.unlink(missing_ok=True)
        tidy(self.path)
        self._stages, self._fresh = {}, False

    def set_aside(self) -> list[Path]:
        """Forget everything, but leave the files under other names, which nothing looks for: these."""
        names: list[Path] = []
        for path in self.files():
            free = (path.with_name(f"{path.name}.unreadable{end}") for end in chain([""], map(str, count(2))))
            names.append(path.rename(next(name for name in free if not name.exists())))
        self._stages, self._fresh = {}, False
        return names

    def _known(self) -> dict[str, State]:
        """All stages; the file is read once."""
        if self._stages is None:
            self._stages = self._read() if self.path.exists() else {}
        return self._stages

    def _read(self) -> dict[str, State]:
        if self.path.stat().st_size > _LARGEST:
            raise CheckpointError(f"{self.path} has more than {_LARGEST:,} bytes: no checkpoint; {self.cure}")
        data = self.path.read_bytes()
        start = len(_MAGIC) + 4
        if data[: len(_MAGIC)] != _MAGIC and data[: len(_MAGIC) - 1] == _MAGIC[:-1]:
            raise CheckpointError(
                f"{self.path} was written by another version of coordflow-mini: finish it with that version, "
                f"or {self.cure}"
            )
        if data[: len(_MAGIC)] != _MAGIC:
            raise CheckpointError(f"{self.path} is no checkpoint that this version can read; {self.cure}")
        if crc32(memoryview(data)[start:]).to_bytes(4, "little") != data[len(_MAGIC) : start]:
            raise CheckpointError(
                f"{self.path} is a damaged checkpoint: its checksum does not match; {self.cure}"
            )
        try:
            self.before, stages = _checked(states.from_bytes(memoryview(data)[start:]))
        except ValueError as error:
            raise CheckpointError(
                f"{self.path} is no checkpoint of tensors and numbers ({error!s:.80}); {self.cure}"
            ) from None
        return stages


def _in_short(error: Exception) -> str:
    """What an error says, without the file and the number that a system adds."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition("\n")[0][:80]


def _checked(content: Any) -> tuple[float, dict[str, State]]:
    """Seconds and stages of a file's content, if they are such; raises ValueError."""
    seconds, stages = (
        content.get(name) if isinstance(content, dict) else None for name in ("seconds", "stages")
    )
    if not (isinstance(seconds, float) and math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"its time is {seconds!r:.40}")
    if not isinstance(stages, dict) or not all(map(_is_stage, stages.values())):
        raise ValueError("it has no stages of a training")
    return seconds, stages


def _is_stage(stage: Any) -> bool:
    """Whether this is a state together with what it is of, in strings and numbers."""
    of = stage.get("of") if isinstance(stage, dict) else None
    return isinstance(of, dict) and all(type(value) in _PLAIN for value in of.values())


def figure(state: State, name: str, *, least: float = 0.0, most: float = math.inf) -> Any:
    """A finite number of a state, within bounds.  Raises ValueError: a file may say anything."""
    value = state[name]
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"its {name} is {value!r:.40}")
    return value
