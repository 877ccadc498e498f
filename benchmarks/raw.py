"""Training from a raw YUV file against training from RGB in memory.

    python -m benchmarks.raw                    # 600 frames of 1920x1080: 1.9 GB of disk for a minute
    python -m benchmarks.raw --frames 120       # where that is too much

Memory is measured in a process of its own, which opens the file, draws 200 batches and fits five steps: what
it holds itself ("own"; pages of the file, which the system takes back when it likes, are not in it) and how
many bytes of the file those batches brought into memory.  Batches are timed in turns with those of RGB in
memory, of the first frames only; the ratio of the medians counts.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from coordflow_mini.config import FitConfig, ModelConfig, Selection
from coordflow_mini.draws import key_of
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.ops.run import fit
from coordflow_mini.sampling import random_pixels
from coordflow_mini.video import scenes
from coordflow_mini.video.device import Clip, clip_on
from coordflow_mini.video.raw import RawFormat
from coordflow_mini.video.read import load

RAW = RawFormat(1920, 1080)
RGB_FRAMES = 60  # 373 MB
TURNS = 40


def write_file(path: Path, frames: int) -> None:
    """A moving pattern with noise, as planes; ten pictures in turn, since only reading is measured."""
    random, pictures = np.random.default_rng(0), []
    for shift in range(10):
        picture = scenes.pan(135, 240, frames=1).video.frames[0][..., 1].repeat(8, 0).repeat(8, 1)
        y = np.roll(picture, 4 * shift, 1) // 2 + random.integers(0, 8, picture.shape, np.uint8) + 16
        chroma = random.integers(118, 138, RAW.frame_bytes - y.size, np.uint8)
        pictures.append(y.astype(np.uint8).tobytes() + chroma.tobytes())
    with open(path, "wb") as file:
        for index in range(frames):
            file.write(pictures[index % len(pictures)])


def forget(path: Path) -> None:
    """Takes the file out of the system's cache, so that what is read shows."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def status() -> dict[str, float]:
    """Memory of this process [MiB], by the kernel's names."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {words[0][:-1]: int(words[1]) / 2**10 for words in lines if words[-1] == "kB"}


def child(path: str) -> None:
    """The run whose memory is measured."""
    before, others = status()["RssAnon"], status()["RssFile"]

    def mapped() -> float:
        return status()["RssFile"] - others

    clip = load(path, raw=RAW)
    data = clip_on(clip.frames, "cpu")
    one = random_pixels(data, 8192, key_of(0, 0), torch.arange(clip.time))
    one_batch = mapped()
    most = 0.0
    for step in range(200):
        random_pixels(data, 8192, key_of(1, step), torch.arange(clip.time))
        most = max(most, status()["RssAnon"])
    drawn = most - before
    fit(clip, ModelConfig(width=8), FitConfig(steps=5, starts=1, compile=False))
    assert one.color.shape[-1] == 3
    size = Path(path).stat().st_size / 2**20
    print(f"{clip}: {clip.frames.size / 2**20:,.0f} MiB as RGB, {size:,.0f} as it is")
    print(f"own memory: {before:,.0f} MiB before, {drawn:+,.0f} for 200 batches of 8192")
    print(f"own memory after 5 steps of a fit at width 8: {status()['RssAnon'] - before:+,.0f} MiB")
    print(f"pages of the file in memory: {one_batch:,.0f} MiB after a batch, {mapped():,.0f} at the end")


def seconds(clip: Clip, batch: int, step: int) -> float:
    """Time of one batch [s]."""
    began = time.perf_counter()
    random_pixels(clip, batch, key_of(0, step), torch.arange(clip.shape[0]))
    return time.perf_counter() - began


def timed(path: Path) -> None:
    """Batches from the file and from RGB in memory, in turns."""
    few = load(path, Selection(0, RGB_FRAMES), RAW)
    mapped, rgb = clip_on(few.frames, "cpu"), clip_on(np.asarray(few.frames), "cpu")
    everything = clip_on(load(path, raw=RAW).frames, "cpu")
    for batch in (8192, 65536):
        runs = [[seconds(clip, batch, turn) for clip in (rgb, mapped, everything)] for turn in range(TURNS)]
        first, second, third = (1000 * statistics.median(times) for times in zip(*runs[5:], strict=True))
        print(
            f"a batch of {batch}: {first:.2f} ms of RGB, {second:.2f} ms of the same frames of the file "
            f"({second / first:.2f} times), {third:.2f} ms of all its frames"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    print(f"on {hardware()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.yuv"
        write_file(path, options.frames)
        forget(path)
        subprocess.run([sys.executable, "-m", "benchmarks.raw", "--child", str(path)], check=True)
        timed(path)


if __name__ == "__main__":
    main()
