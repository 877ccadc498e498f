"""What training has reached, in a file, so that an interrupted training goes on exactly where it was.

    checkpoint = Checkpoint("clip.checkpoint", every=120)
    fit(video, model, config, checkpoint=checkpoint)

Each stage of training ("fit", "fine-tune") offers its state after every report; it is written every few
minutes, and when the stage ends or breaks off.  If writing fails, on a full disk, a warning is logged and
training goes on.  On the same machine with the same number of threads, resumed training ends with exactly the
weights of uninterrupted training.

The file is a magic number, a CRC-32 and safetensors: tensors by name, and JSON for the rest.  Unlike a pickle
it cannot run code, and reading it takes memory in proportion to its size.
"""

import glob
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from coordflow_mini.ops.files import replacing, tidy
from coordflow_mini.ops.lazy import lazily

with lazily():  # a command looks for checkpoints before it loads PyTorch
    import safetensors
    import torch
    from safetensors import torch as tensor_file

State = dict[str, Any]  # of tensors, numbers, strings, lists without tensors, and states

_MAGIC = b"\x89CFK\x05"  # the last byte is the version
_LARGEST = 1 << 32  # bytes of a file that is read
_MOST_JSON = 1 << 22  # bytes
_PLAIN = (bool, int, float, str, type(None))
_log = logging.getLogger("coordflow_mini")


class CheckpointError(ValueError):
    """A checkpoint that cannot be resumed: damaged, or of another training; one line says which."""


class Checkpoint:
    """The states of a training's stages, in memory and, now and then, in a file.

    path: the file, which need not exist.  every: seconds between two writes.  cure: what errors tell to do
    with a file that cannot be resumed.  before: seconds spent by earlier processes, known once the file has
    been read.
    """

    def __init__(self, path: str | Path, *, every: float = 120.0, cure: str = "remove it"):
        self.path, self.every, self.cure = Path(path), every, cure
        self.before = 0.0
        self._stages: State | None = None  # not read yet
        self._began = self._written = time.monotonic()
        self._fresh, self._warned = False, False

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every {self.every:g} s)"

    def part(self, number: int) -> "Checkpoint":
        """The checkpoint of a part that is trained by itself, in a file of its own."""
        path = self.path.with_name(f"{self.path.name}.{number}")
        return Checkpoint(path, every=self.every, cure=self.cure)

    def files(self) -> list[Path]:
        """Existing files, including those of parts."""
        pattern = f"{glob.escape(self.path.name)}.[0-9]*"
        return [path for path in [self.path, *sorted(self.path.parent.glob(pattern))] if path.is_file()]

    def subject(self, stage: str) -> State | None:
        """What a stage depends on, as given to `reached`; None if the stage has not begun."""
        state = self._known().get(stage)
        return None if state is None else dict(state["of"])

    def restored(self, stage: str, of: Mapping[str, Any]) -> State | None:
        """The last state of a stage; None if it has not begun.

        of: what the stage depends on, as strings and numbers; it is stored with the state.
        Raises CheckpointError if the file is damaged, or of another training.
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
    def restoring(self, stage: str) -> Iterator[None]:
        """Turns errors while a state is being loaded into CheckpointError."""
        try:
            yield
        except torch.cuda.OutOfMemoryError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} cannot be resumed here: its {stage} is of another device or version "
                f"({_in_short(error)}); {self.cure}"
            ) from None

    def reached(self, stage: str, of: Mapping[str, Any], state: State) -> None:
        """Remember the state that a stage has reached, and write it if it is time to."""
        self._known()[stage] = {"of": dict(of), **state}
        self._fresh = True
        if time.monotonic() - self._written >= self.every:
            self.end()

    def end(self) -> None:
        """Write what was reached; if that fails, log a warning."""
        try:
            self.write()
        except (OSError, ValueError) as error:
            self._written = time.monotonic()  # do not retry at every report
            if not self._warned:
                self._warned = True
                _log.warning("%s cannot be written, training goes on: %s", self.path, _in_short(error))

    def write(self) -> None:
        """Write what was reached since the last time; readers find the old file or the new one."""
        if not self._fresh:
            return
        seconds = self.before + time.monotonic() - self._began
        payload = to_bytes({"seconds": seconds, "stages": self._known()})
        with replacing(self.path) as temporary:
            temporary.write_bytes(_MAGIC + crc32(payload).to_bytes(4, "little") + payload)
        self._written, self._fresh = time.monotonic(), False

    def remove(self) -> None:
        """Delete all files, including those of parts."""
        for path in self.files():
            path.unlink(missing_ok=True)
        tidy(self.path)
        self._stages, self._fresh = {}, False

    def _known(self) -> State:
        if self._stages is None:
            self._stages = self._read() if self.path.exists() else {}
        return self._stages

    def _read(self) -> State:
        if self.path.stat().st_size > _LARGEST:
            raise CheckpointError(f"{self.path} has more than {_LARGEST:,} bytes: no checkpoint; {self.cure}")
        data = self.path.read_bytes()
        start = len(_MAGIC) + 4
        magic, checksum, payload = data[: len(_MAGIC)], data[len(_MAGIC) : start], data[start:]
        if magic != _MAGIC and magic[:-1] == _MAGIC[:-1]:
            raise CheckpointError(
                f"{self.path} was written by another version of coordflow-mini: finish it with that version, "
                f"or {self.cure}"
            )
        if magic != _MAGIC:
            raise CheckpointError(f"{self.path} is not a checkpoint; {self.cure}")
        if crc32(payload).to_bytes(4, "little") != checksum:
            raise CheckpointError(
                f"{self.path} is a damaged checkpoint: its checksum does not match; {self.cure}"
            )
        try:
            content = from_bytes(payload)
            self.before, stages = figure(content, "seconds"), content["stages"]
            if not all(type(value) in _PLAIN for stage in stages.values() for value in stage["of"].values()):
                raise ValueError("its settings are not plain values")
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} is not a checkpoint of tensors and numbers ({_in_short(error)}); {self.cure}"
            ) from None
        return dict(stages)


def _in_short(error: Exception) -> str:
    """The message of an error, without the file and the number that a system adds."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition("\n")[0][:80]


def to_bytes(state: State) -> bytes:
    """The state as safetensors: its tensors named by their path, "stages/fit/step"; JSON for the rest.

    Raises TypeError for other values, ValueError for too much JSON.
    """
    tensors: dict[str, torch.Tensor] = {}

    def plain(state: State, path: str) -> State:
        values = {}
        for name, value in state.items():
            if isinstance(value, dict):
                values[name] = plain(value, f"{path}{name}/")
            elif isinstance(value, torch.Tensor):
                tensors[path + name] = value.detach().cpu().contiguous()
            else:
                values[name] = value
        return values

    text = json.dumps(plain(state, ""))
    if len(text) > _MOST_JSON:
        raise ValueError(f"a state has {len(text):,} bytes besides its tensors, at most {_MOST_JSON:,}")
    return tensor_file.save(tensors, {"state": text})


def from_bytes(data: bytes) -> State:
    """The state that `to_bytes` was given, tensors on the CPU.  Raises ValueError for other bytes."""
    try:
        tensors = tensor_file.load(data)
        length = int.from_bytes(data[:8], "little")  # of the header, see the safetensors format
        text = json.loads(data[8 : 8 + length])["__metadata__"]["state"]
        if len(text) > _MOST_JSON:
            raise ValueError("it has too much JSON")
        state: State = json.loads(text)
        for name, tensor in tensors.items():
            *path, last = name.split("/")
            place = state
            for part in path:
                place = place[part]
            place[last] = tensor
    except (LookupError, RecursionError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise ValueError(_in_short(error)) from None
    return state


def figure(state: State, name: str, *, least: float = 0.0, most: float = math.inf) -> Any:
    """A finite number of a state, within bounds.  Raises ValueError: a file may say anything."""
    value = state[name]
    if type(value) not in (int, float) or not math.isfinite(value) or not least <= value <= most:
        raise ValueError(f"its {name} is {value!r:.40}")
    return value
