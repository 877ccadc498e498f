"""The cost of many hours of video: measured steps of each preset, and arithmetic for other machines.

    python -m benchmarks.scaling                        # a minute on 2 cores: two presets are timed
    python -m benchmarks.scaling --hours 1000 --teraflops 100 --segment-frames 120

Training multiplies every weight six times a pixel (forward, and twice backward), decoding twice.  How many
of these products a machine really does in a second is measured here for the processor at hand, and is an
assumption (--teraflops) for any other.  docs/scaling.md quotes what this prints.
"""

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from coordflow_mini.config import PRESETS, CodecConfig, ModelConfig, Recipe
from coordflow_mini.encoder import cut
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.model import weight_count
from coordflow_mini.sweeps import budget, sweep
from coordflow_mini.sweeps import job as jobs
from coordflow_mini.sweeps.job import Job
from coordflow_mini.video import scenes

HEIGHT, WIDTH, FPS = 1080, 1920, 30
RAW_BYTES = HEIGHT * WIDTH * 3 // 2  # of a frame, 4:2:0


@dataclass(frozen=True)
class Cost:
    """One segment of 1080p with one preset."""

    weights: int
    file_bytes: float
    train_flops: float  # products and sums
    decode_flops: float  # of one frame

    @classmethod
    def of(cls, preset: Recipe) -> "Cost":
        """By arithmetic; fine-tuning counts twice, because it computes in float32 at half the speed."""
        weights = weight_count(preset.model or ModelConfig())
        seen = preset.fit.batch * (preset.fit.steps + 2 * preset.codec.steps)
        bits = CodecConfig.bits_per_weight
        return cls(weights, weights * bits / 8, 6.0 * weights * seen, 2.0 * weights * HEIGHT * WIDTH)


def arithmetic(hours: float, teraflops: float, segment_frames: int) -> None:
    """Print the cost of the hours with each preset, one segment at a time, at `teraflops` sustained."""
    frames = hours * 3600 * FPS
    segments = frames / segment_frames
    terabytes, megabytes = frames * RAW_BYTES / 1e12, segment_frames * RAW_BYTES / 1e6
    print(
        f"{hours:,g} hours at {FPS} fps: {frames:,.0f} frames, {segments:,.0f} segments of {segment_frames}"
    )
    print(f"raw 4:2:0: {terabytes:,.0f} TB, {megabytes:,.0f} MB a segment; {teraflops:g} TFLOP/s sustained:")
    for name, preset in PRESETS.items():
        cost = Cost.of(preset)
        train, decode = (flops / teraflops / 1e12 for flops in (cost.train_flops, cost.decode_flops))
        bpp = 8 * cost.file_bytes / (segment_frames * HEIGHT * WIDTH)
        size, hours_of_training = cost.file_bytes / 1e6, segments * train / 3600
        print(f"  {name}: {cost.weights:,} weights")
        print(f"    {size:.2f} MB a segment, {bpp:.4f} bpp; {segments * size / 1e6:.2f} TB")
        print(
            f"    training {cost.train_flops:.1e} FLOP, {train:,.0f} s; {hours_of_training:,.0f} device hours"
        )
        print(f"    decoding {1 / decode:,.1f} frames/s; {frames * decode / 3600:,.0f} device hours")


def measured(names: list[str]) -> None:
    """Steps of the presets on this machine, on two frames of the generated scene in 1080p."""
    print(hardware())
    video = cut(scenes.cutout(HEIGHT, WIDTH, 2).video, range(2))
    for name in names:
        preset = PRESETS[name]
        model = preset.model or ModelConfig()
        plain = replace(preset, fit=replace(preset.fit, compile=False))
        pace = budget.pace(video, model, plain, enough=10)
        speed = 6 * weight_count(model) * preset.fit.batch / pace.fit_seconds
        whole = pace.seconds(preset)
        frame = pace.check_seconds / 2 / video.time
        print(f"  {name}: {pace.fit_seconds:.2f} s a step of {preset.fit.batch:,} pixels")
        print(f"    {speed / 1e12:.3f} TFLOP/s")
        print(f"    fine-tuning {pace.tune_seconds:.2f} s a step; a segment {whole / 3600:,.0f} hours")
        print(f"    decoding {frame:.2f} s a frame")


def bookkeeping(count: int) -> None:
    """The overhead of a sweep: making so many folders and reading so many results."""
    point = RatePoint("CoordFlow", "clip:pan", 1000, 0.1, 30.0)
    result = RunResult("clip:pan", (24, 64, 96), point, 5.4, 1000, 30.1)
    folder = Path(tempfile.mkdtemp())
    try:
        began = time.perf_counter()
        for number in range(count):
            job = Job("clip:pan", "clip:pan", 1e-6 * (number + 1), Recipe())
            place = folder / "jobs" / job.name
            jobs.prepare(place, job)
            (place / "result.json").write_text(json.dumps(result.to_json()))
        made = time.perf_counter()
        found = len(sweep.collect(folder).points)
        read = time.perf_counter()
        print(
            f"  {found:,} jobs: {1000 * (made - began) / count:.2f} ms to prepare and finish one, "
            f"{1000 * (read - made) / count:.2f} ms to read one"
        )
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1000)
    parser.add_argument("--teraflops", type=float, default=100)
    parser.add_argument("--segment-frames", type=int, default=120)
    parser.add_argument("--presets", nargs="*", default=["uvg-s", "uvg-m"], choices=list(PRESETS))
    parser.add_argument("--jobs", type=int, default=2000)
    options = parser.parse_args()
    arithmetic(options.hours, options.teraflops, options.segment_frames)
    measured(options.presets)
    bookkeeping(options.jobs)


if __name__ == "__main__":
    main()
