"""Many clips in one process, and many processes at once: nothing may grow, no file may differ.

    python -m campaigns.soak                       # 240 clips, then eight encodes at once: four minutes
    python -m campaigns.soak --clips 2400 --at-once 16

Clips come in turns of ten, each of another size and model, from and to another kind of file. Three gauges
are read after each turn: private memory, open files, and tensors that Python can reach. After the second
turn none may grow (memory by at most 4 MiB). In the first two they may: PyTorch keeps kernels for the sizes
it has met, and the codec its probability tables (31 MiB in all).
"""

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.decoder import decode
from coordflow_mini.encoder import encode
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.video import scenes
from coordflow_mini.video.read import load
from coordflow_mini.video.write import write

KINDS = (".npy", ".y4m", ".mp4", "")
TURN = 10
MOST_GROWTH = 4.0  # MiB, from the end of the second turn to that of the last
AT_ONCE = ("--steps", "60", "--width", "4", "--seed", "3", "--quiet")  # options of each process


@dataclass(frozen=True)
class Gauges:
    """Private memory of a process [MiB], open files, tensors that Python can reach."""

    memory: float
    files: int
    tensors: int

    def __str__(self) -> str:
        return f"{self.memory:.1f} MiB, {self.files} open files, {self.tensors} tensors"

    @classmethod
    def read(cls) -> "Gauges":
        gc.collect()
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        (memory,) = (int(words[1]) / 2**10 for words in lines if words[0] == "RssAnon:")
        tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
        return cls(memory, len(list(Path("/proc/self/fd").iterdir())), tensors)


def there_and_back(number: int, folder: Path) -> None:
    """Write, read, encode, decode and write one clip, of a size that follows from its number."""
    random = np.random.default_rng(number)
    time_, height, width = (int(random.integers(low, high)) for low, high in ((1, 9), (8, 40), (8, 56)))
    source, result = folder / f"source{KINDS[number % 4]}", folder / f"result{KINDS[number // 4 % 4]}"
    write(source, scenes.cutout(height, width, time_).video.frames)
    recipe = Recipe(
        model=ModelConfig(layers=1 + number % 3, width=4 + number % 5, depth=2),
        fit=FitConfig(steps=10, batch=512, starts=1),
        codec=CodecConfig(steps=10, choose_width=False),
        segment_frames=[None, 3][number % 2],
    )
    data = encode(load(source), recipe)
    decoded = decode(data)
    assert decoded.frames.shape == (time_, height, width, 3)
    write(result, decoded.frames)


def soaked(turns: int, length: int = TURN) -> Iterator[Gauges]:
    """Gauges after every turn of `length` clips in this process."""
    with tempfile.TemporaryDirectory() as name:
        for number in range(turns * length):
            folder = Path(name) / str(number % 5)  # some outputs are there already
            folder.mkdir(exist_ok=True)
            there_and_back(number % length, folder)
            if number % length == length - 1:
                yield Gauges.read()


def grown(gauges: list[Gauges]) -> list[str]:
    """Growth after the second turn, one line each."""
    early, end = gauges[1], gauges[-1]
    found = [
        f"{name} grew from {getattr(early, name)} to {getattr(end, name)}"
        for name in ("files", "tensors")
        if getattr(end, name) > getattr(early, name)
    ]
    if end.memory > early.memory + MOST_GROWTH:
        found.append(f"memory grew from {early.memory:.1f} to {end.memory:.1f} MiB")
    return found


def encoded_at_once(source: Path, folder: Path, count: int, *options: str) -> list[bytes]:
    """Files that `count` processes encode from one source at the same time.

    Raises RuntimeError if one fails.
    """
    outputs = [folder / f"{number}.cfv" for number in range(count)]
    command = (sys.executable, "-m", "coordflow_mini", "encode", str(source))
    started = [
        subprocess.Popen([*command, str(output), *AT_ONCE, *options], stderr=subprocess.PIPE, text=True)
        for output in outputs
    ]
    errors = [process.communicate()[1] for process in started]
    if failed := [error for process, error in zip(started, errors, strict=True) if process.returncode]:
        raise RuntimeError(f"{len(failed)} of {count} failed: {failed[0]}")
    return [output.read_bytes() for output in outputs]


def crowded(count: int, *options: str) -> list[str]:
    """Differences between one process alone and `count` at once, one line each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "source.npy", scenes.cutout(24, 32, 6).video.frames)
        (alone,) = encoded_at_once(folder / "source.npy", folder, 1, *options)
        made = encoded_at_once(folder / "source.npy", folder, count, *options)
    return [f"process {number} made another file" for number, data in enumerate(made) if data != alone]


def main() -> int:
    """Run both and print; exit code 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=24 * TURN, help="at least three turns of ten")
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args()
    print(f"on {hardware()}", flush=True)
    began, gauges = time.perf_counter(), []
    for turn, gauge in enumerate(soaked(max(3, options.clips // TURN)), start=1):
        gauges.append(gauge)
        print(f"{turn * TURN} clips, {time.perf_counter() - began:.0f} s: {gauge}", flush=True)
    found = grown(gauges)
    for threads in ("1", "2"):
        began = time.perf_counter()
        found += crowded(options.at_once, "--threads", threads)
        print(f"{options.at_once} encodes at once with {threads} threads each: "
              f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    print("\n".join(found) or "nothing grew, all files are the same")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
