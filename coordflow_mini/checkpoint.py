"""What has been trained so far, in a file, so that an interrupted training goes on exactly where it was.

    checkpoint = Checkpoint("clip.checkpoint", every=120)
    fit(video, model, config, checkpoint=checkpoint)

A stage of training ("fit", "fine-tune") offers its state after every report; it is written every few minutes,
and when the stage ends or breaks off.  On the same machine with the same number of threads, a training that
goes on ends with the very weights of one that was never interrupted.  Files hold tensors, numbers and
strings under a checksum, and are read by PyTorch's restricted loader: no code of a file is ever run.
PyTorch is imported late, so that a command can look for checkpoints before it.
"""

import glob
import io
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from coordflow_mini.files import replacing

__all__ = ["Checkpoint", "CheckpointError", "State"]

State = dict[str, Any]  # of tensors, numbers, strings, and lists and dicts of them

_MAGIC = b"\x89CFK\x01"  # the last byte is the version; a CRC of all that follows comes next


class CheckpointError(ValueError):
    """A checkpoint that cannot be gone on with: damaged, or of another training; one line says which."""


class Checkpoint:
    """The states of a training's stages, in memory and, now and then, in a file.

    path: nothing is there before the first write.  every: seconds between two writes.
    before: seconds that processes before this one have spent, known once the file has been looked at.
    """

    def __init__(self, path: str | Path, *, every: float = 120.0):
        self.path, self.every = Path(path), every
        self.before = 0.0
        self._stages: dict[str, State] | None = None  # not looked at yet
        self._began = self._written = time.monotonic()
        self._fresh = False

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every {self.every:g} s)"

    def part(self, number: int) -> "Checkpoint":
        """The checkpoint of a part that is trained by itself, in a file of its own."""
        return Checkpoint(self.path.with_name(f"{self.path.name}.{number}"), every=self.every)

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
                    f"use the same settings, or remove it"
                )
        return state

    @contextmanager
    def taken_up(self, stage: str) -> Iterator[None]:
        """While a state is given to what it is of.  Raises CheckpointError if it does not fit."""
        try:
            yield
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0][:80]
            raise CheckpointError(
                f"{self.path} cannot be gone on with here: its {stage} is of another device or version "
                f"({reason}); remove it"
            ) from None

    def reached(self, stage: str, of: Mapping[str, Any], state: State) -> None:
        """Remember how far a stage has come; written if it is time to."""
        self._known()[stage] = {"of": dict(of), **_copied(state)}
        self._fresh = True
        if time.monotonic() - self._written >= self.every:
            self.write()

    def write(self) -> None:
        """Write what was reached since the last time; a reader finds the old file or the new one."""
        if not self._fresh:
            return
        import torch

        buffer = io.BytesIO()
        seconds = self.before + time.monotonic() - self._began
        torch.save({"seconds": seconds, "stages": self._known()}, buffer)
        payload = buffer.getvalue()
        with replacing(self.path) as temporary:
            temporary.write_bytes(_MAGIC + crc32(payload).to_bytes(4, "little") + payload)
        self._written, self._fresh = time.monotonic(), False

    def remove(self) -> None:
        """Forget everything, parts too: what was trained for is done."""
        halves = self.path.parent.glob(
            f".{glob.escape(self.path.name)}*.part"
        )  # of processes that were killed
        for path in (*self.files(), *halves):
            path.unlink(missing_ok=True)
        self._stages, self._fresh = {}, False

    def _known(self) -> dict[str, State]:
        """All stages; the file is read once."""
        if self._stages is None:
            self._stages = self._read() if self.path.exists() else {}
        return self._stages

    def _read(self) -> dict[str, State]:
        import torch

        data = self.path.read_bytes()
        start = len(_MAGIC) + 4
        if data[: len(_MAGIC)] != _MAGIC:
            raise CheckpointError(f"{self.path} is no checkpoint that this version can read; remove it")
        if crc32(data[start:]).to_bytes(4, "little") != data[len(_MAGIC) : start]:
            raise CheckpointError(
                f"{self.path} is a damaged checkpoint: its checksum does not match; remove it"
            )
        try:
            content = torch.load(io.BytesIO(data[start:]), map_location="cpu", weights_only=True)
            self.before, stages = float(content["seconds"]), dict(content["stages"])
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, KeyError) as error:
            reason = str(error).partition("\n")[0][:80]
            raise CheckpointError(
                f"{self.path} is no checkpoint of tensors and numbers ({reason}); remove it"
            ) from None
        if not all(isinstance(stage, dict) and "of" in stage for stage in stages.values()):
            raise CheckpointError(f"{self.path} holds no stages of a training; remove it")
        return stages


def _copied(value: Any) -> Any:
    """The same with tensors of its own, on the CPU: training goes on, what is remembered stays."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(inner) for inner in value]
    return value
