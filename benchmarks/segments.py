"""The cost of random access: ten frames from the middle of a file of 600, against all of them.

    python -m benchmarks.segments                       # about two minutes on 2 cores
    python -m benchmarks.segments --longest 10 60 120 600 --rounds 7 --json

The clip is generated (`clip:cutout`, 96x64), the model as wide as the default rate has room for, and trained
for a few steps only: what is timed hardly depends on what the weights are.  All decodes take turns
in one process; a figure is the median over rounds with its spread.  Frames 300 to 309 lie in one segment.
The target: at most 5 % of decoding all.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from benchmarks.speed import interleaved
from coordflow_mini import bitstream, encoder
from coordflow_mini.config import CodecConfig, FitConfig, Recipe
from coordflow_mini.decoder import decode_frames
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.model import weight_count
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

TARGET = 0.05  # of the time of a full decode
WANTED = range(300, 310)


@dataclass(frozen=True)
class Access:
    """The cost of ten frames in a file of segments of some length."""

    segment_frames: int
    segments: int
    bytes: int
    weights: int
    some_seconds: float
    all_seconds: float
    share: float  # of the time of a full decode
    share_low: float  # over the rounds
    share_high: float

    def __str__(self) -> str:
        return (
            f"{self.segments:3} segments of {self.segment_frames:3} frames, {self.bytes:,} bytes, "
            f"{self.weights:,} weights   ten frames {1000 * self.some_seconds:6.1f} ms   "
            f"all {self.all_seconds:6.2f} s   {100 * self.share:5.2f} % "
            f"({100 * self.share_low:.2f} to {100 * self.share_high:.2f})"
        )


def encoded(video: Video, longest: int, steps: int) -> bytes:
    """A file of the clip in segments of at most `longest` frames."""
    fit = FitConfig(steps=steps, batch=256, warm_up=1, grow=1, static=1)
    codec = CodecConfig(steps=steps, aim=0.9, floor=0.5)  # any size will do: no further rounds
    return encoder.encode(video, Recipe(fit=fit, codec=codec, segment_frames=longest))


def decoding(data: bytes, frames: range | None) -> Callable[[], int]:
    """An action that decodes some frames, one after the other."""
    return lambda: sum(1 for _ in decode_frames(data, frames))


def accesses(video: Video, lengths: list[int], wanted: range, steps: int, rounds: int) -> list[Access]:
    """The cost of the wanted frames in files of segments of these lengths."""
    files = [encoded(video, longest, steps) for longest in lengths]
    turns = [decoding(data, frames) for data in files for frames in (wanted, None)]
    seconds = interleaved(turns, rounds)
    return [
        _access(data, some, whole)
        for data, some, whole in zip(files, seconds[::2], seconds[1::2], strict=True)
    ]


def _access(data: bytes, some: list[float], whole: list[float]) -> Access:
    shares = [part / total for part, total in zip(some, whole, strict=True)]
    segments, model = bitstream.segments(data), bitstream.read_header(data).model
    median = statistics.median
    return Access(
        segment_frames=max(segment.frames for segment in segments),
        segments=len(segments),
        bytes=len(data),
        weights=len(segments) * weight_count(model),
        some_seconds=median(some),
        all_seconds=median(whole),
        share=median(shares),
        share_low=min(shares),
        share_high=max(shares),
    )


def main() -> None:
    """Measure and print; exit code 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--longest", nargs="+", type=int, default=[10, 60, 120], help="frames of a segment")
    parser.add_argument("--steps", type=int, default=2, help="of training, per segment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    options = parser.parse_args()
    video = scenes.cutout(64, 96, 600).video
    if not options.json:
        print(f"{hardware()}; {torch.get_num_threads()} threads; torch {torch.__version__}")
    found = accesses(video, options.longest, WANTED, options.steps, options.rounds)
    for access in found:
        print(json.dumps(asdict(access)) if options.json else access, flush=True)
    raise SystemExit(any(access.share > TARGET for access in found))


if __name__ == "__main__":
    main()
