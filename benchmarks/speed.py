"""Speed of the library against a naive CoordFlow (`benchmarks/naive.py`), measured in turns.

    python -m benchmarks.speed                          # everything, about 15 minutes on 2 cores
    python -m benchmarks.speed --only train decode      # train | decode | seconds | memory
    python -m benchmarks.speed --widths 64 --layers 2 --clips cutout --json

Both versions take turns in one process, and every figure is the median over rounds with its spread.
A share compares with what this machine's matrix products reach in the same run: of two square matrices
of 1,024, in bfloat16 for training where the library uses it, in float32 for decoding.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product

import torch

from benchmarks import naive
from coordflow_mini.config import FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow, training_dtype
from coordflow_mini.muon import make_optimizer
from coordflow_mini.ops.compiling import compiled
from coordflow_mini.ops.run import fit
from coordflow_mini.render import pictures, render
from coordflow_mini.sampling import Sampler, default_model, pixel_terms
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load

BATCH, ROUNDS, STEPS, FRAMES = 8192, 7, 10, 4  # pixels a step; rounds; steps and frames in a round
TARGET_DB, SEEDS = 36.0, (0, 1, 2)
CLIPS: dict[str, Callable[[], Video]] = {
    "cutout": lambda: load("clip:cutout"),
    "bunny": lambda: load("clip:bunny", Selection(0, 96, 1, 192, 108)),
}


@dataclass(frozen=True)
class Ratio:
    """One comparison: what both versions need, and how many times faster the library is."""

    name: str
    naive: float
    library: float
    unit: str
    ratio: float
    ratio_low: float  # over the rounds
    ratio_high: float
    share: float | None = None  # of this machine's matrix products

    def __str__(self) -> str:
        share = "" if self.share is None else f"   {100 * self.share:3.0f} % of the matrix rate"
        return (
            f"{self.name:44} naive {self.naive:9.3g}   library {self.library:9.3g} {self.unit}   "
            f"ratio {self.ratio:5.2f} ({self.ratio_low:.2f} to {self.ratio_high:.2f}){share}"
        )


def compared(name: str, work: float, unit: str, naive_s: list[float], library_s: list[float]) -> Ratio:
    """Rates of the same `work` from seconds, round by round."""
    ratios = [slow / fast for slow, fast in zip(naive_s, library_s, strict=True)]
    median = statistics.median
    rates = work / median(naive_s), work / median(library_s)
    return Ratio(name, *rates, unit, median(ratios), min(ratios), max(ratios))


def seconds_of(action: Callable[[], object]) -> float:
    """Wall time of one call [s]."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def interleaved(actions: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each action in each round; all take turns, after one round that does not count."""
    for action in actions:
        action()
    timed = [[seconds_of(action) for action in actions] for _ in range(rounds)]
    return [list(column) for column in zip(*timed, strict=True)]


def matrix_product(dtype: torch.dtype) -> Callable[[], object]:
    """Eight products of two square matrices of 1,024: 2^34 multiplications and additions."""
    left, right = torch.randn(2, 1024, 1024).to(dtype)
    return lambda: [left @ right for _ in range(8)]


def flops(model: ModelConfig) -> int:
    """Multiplications and additions of all matrix products for one pixel; sines are not counted."""
    sizes = [2 * model.space_frequencies, *[model.width] * model.depth, 4]
    return 2 * model.layers * sum(a * b for a, b in pairwise(sizes))


def train(video: Video, model: ModelConfig, name: str, rounds: int) -> Ratio:
    """Training pixels per second, after all frames are in; the library compiled."""
    network = CoordFlow(model, torch.Generator().manual_seed(0))
    slow = naive.Training(
        naive.from_library(network), video, steps=10**6, batch=BATCH, rate=1e-3, gamma=FitConfig.gamma
    )
    config = FitConfig(steps=10**6, batch=BATCH)
    sampler = Sampler(video, config, torch.device("cpu"))
    sampler.pixel_terms = compiled(pixel_terms, model)
    optimizer = make_optimizer(config.optimizer, network.parameters(), 1e-3)

    steps = itertools.count()

    def step() -> None:
        sampler.aim(next(steps))
        optimizer.zero_grad(set_to_none=True)
        sampler.terms(network).total.backward()
        optimizer.step()

    product = matrix_product(training_dtype(torch.device("cpu")))
    turns = [lambda: [slow.step() for _ in range(STEPS)], lambda: [step() for _ in range(STEPS)], product]
    naive_s, library_s, product_s = interleaved(turns, rounds)
    result = compared(name, STEPS * BATCH, "pixels/s", naive_s, library_s)
    share = 3 * flops(model) * result.library / (2**34 / statistics.median(product_s))
    return replace(result, share=share)


def decode(video: Video, model: ModelConfig, name: str, rounds: int) -> Ratio:
    """Pixels rendered per second, in float32."""
    network = CoordFlow(model, torch.Generator().manual_seed(0))
    slow, times = naive.from_library(network), frame_times(video.time)[:FRAMES]

    def library() -> None:
        for _ in pictures(network, times, video.height, video.width):
            pass

    turns = [lambda: naive.render(slow, times, video.height, video.width), library]
    naive_s, library_s, product_s = interleaved([*turns, matrix_product(torch.float32)], rounds)
    result = compared(name, len(times) * video.height * video.width, "pixels/s", naive_s, library_s)
    share = flops(model) * result.library / (2**34 / statistics.median(product_s))
    return replace(result, share=share)


def grid(what: str, names: list[str], widths: list[int], layers: list[int], rounds: int) -> Iterator[Ratio]:
    """Training or decoding for all clips, widths and numbers of layers."""
    measure = {"train": train, "decode": decode}[what]
    for clip, width, count in product(names, widths, layers):
        torch._dynamo.reset()  # type: ignore[no-untyped-call]
        video = CLIPS[clip]()
        model = replace(default_model(video), width=width, layers=count)
        yield measure(video, model, f"{what} {clip}, width {width}, {count} layers", rounds)


def seconds(video: Video, model: ModelConfig) -> Iterator[Ratio]:
    """Seconds until the unquantized model has 36 dB: the shortest training, of a grid, that ends there.

    Both anneal their learning rate, so a training is as long as it was planned, and every length of the
    grid is run from its beginning; what it took counts in full (compiling, too, where the library does).
    The naive version's learning rate is the best of a grid at 1,000 steps.  If it does not reach the target
    within its grid, the seconds of its longest training stand for it, and the ratio is a lower bound.
    """
    rates = {rate: naive_run(video, model, 1000, rate)[1] for rate in (1.5e-3, 3e-3, 6e-3, 1e-2, 2e-2)}
    rate = max(rates, key=lambda rate: rates[rate])
    _note(f"naive, 1,000 steps: {', '.join(f'rate {r:g} {db:.1f} dB' for r, db in rates.items())}")
    slow, fast = [], []
    for seed in SEEDS:
        fast.append(first_to_reach(lambda steps, s=seed: library_run(video, model, steps, s), 150, 1200))
        slow.append(first_to_reach(lambda steps, s=seed: naive_run(video, model, steps, rate, s), 1000, 4000))
    ratio = compared(f"seconds to {TARGET_DB:g} dB, cutout, width {model.width}", 1.0, "s", slow, fast)
    yield replace(ratio, naive=statistics.median(slow), library=statistics.median(fast))


def first_to_reach(run: Callable[[int], tuple[float, float]], least: int, most: int) -> float:
    """Seconds of the shortest run of least · √2^k steps that reaches the target, or else of the longest."""
    spent, steps = 0.0, float(least)
    while steps <= most + 1:
        spent, quality = run(round(steps))
        _note(f"  {round(steps)} steps: {spent:.1f} s, {quality:.2f} dB")
        if quality >= TARGET_DB:
            return spent
        steps *= 2**0.5
    _note("  not reached")
    return spent


def _note(text: str) -> None:
    """A line beside the table."""
    print(text, file=sys.stderr, flush=True)


def naive_run(
    video: Video, model: ModelConfig, steps: int, rate: float, seed: int = 0
) -> tuple[float, float]:
    """Seconds and PSNR of a naive training [s, dB]."""
    network = naive.from_library(CoordFlow(model, torch.Generator().manual_seed(seed)))
    began = time.perf_counter()
    training = naive.Training(
        network, video, steps=steps, batch=BATCH, rate=rate, gamma=FitConfig.gamma, seed=seed
    )
    for _ in range(steps):
        training.step()
    spent = time.perf_counter() - began
    frames = naive.render(network, frame_times(video.time), video.height, video.width)
    return spent, psnr_db(video.frames, frames)


def library_run(video: Video, model: ModelConfig, steps: int, seed: int = 0) -> tuple[float, float]:
    """Seconds and PSNR of the library's fit [s, dB]."""
    torch._dynamo.reset()  # type: ignore[no-untyped-call]
    config = Recipe(fit=FitConfig(seed=seed)).with_steps(steps).fit
    began = time.perf_counter()
    network = fit(video, model, config).model
    spent = time.perf_counter() - began
    frames = render(network, frame_times(video.time), video.height, video.width).rgb
    return spent, psnr_db(video.frames, frames)


def memory() -> Iterator[Ratio]:
    """Peak memory of a process that trains 50 steps on bunny at width 64 and decodes it [MB]."""
    peaks = {
        version: float(subprocess.run([*_THIS, "--peak", version], check=True, capture_output=True).stdout)
        for version in ("naive", "library")
    }
    ratio = peaks["naive"] / peaks["library"]
    yield Ratio("peak memory, bunny", peaks["naive"], peaks["library"], "MB", ratio, ratio, ratio)


_THIS = [sys.executable, "-m", "benchmarks.speed"]


def peak(version: str) -> float:
    """Peak memory of this process after training and decoding with one version [MB]."""
    video, model = CLIPS["bunny"](), ModelConfig()
    if version == "naive":
        naive_run(video, model, 50, 1e-3)
    else:
        library_run(video, model, 50)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(options: argparse.Namespace) -> Iterator[Ratio]:
    """All comparisons that were asked for."""
    for what in options.only:
        if what in ("train", "decode"):
            yield from grid(what, options.clips, options.widths, options.layers, options.rounds)
        elif what == "seconds":
            video = CLIPS["cutout"]()
            yield from seconds(video, replace(default_model(video), width=64))
        else:
            yield from memory()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    everything = ["train", "decode", "seconds", "memory"]
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    parser.add_argument("--clips", nargs="+", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--widths", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--layers", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    parser.add_argument("--peak", choices=["naive", "library"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak))
        return
    if not options.json:
        print(f"{hardware()}; {torch.get_num_threads()} threads; torch {torch.__version__}")
    for ratio in measured(options):
        print(json.dumps(asdict(ratio)) if options.json else ratio, flush=True)


if __name__ == "__main__":
    main()
