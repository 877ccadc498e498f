"""Quality at equal bytes and equal seconds: this library, Fourier features of (x, y, t), and a SIREN.

    python -m benchmarks.quality                  # cutout and bunny, three seeds, with the tuned rates
    python -m benchmarks.quality --only cutout
    python -m benchmarks.quality --tune           # search rates and factors anew; `TUNED` holds the outcome

All three have the same number of weights (to one column of a layer), the same batch and loss.  Each trains as
many steps as take the same CPU seconds on one thread: the PSNR then is the one at equal seconds.  The same
codec fine-tunes each to the same bytes (`finetune`, `bitstream`: real files, read back): the PSNR of the
decoded file is the one at equal bytes.  Runs are appended to a file and not run again.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.rivals import KINDS, Rival, Settings, Training, rival
from coordflow_mini import bitstream
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.encoder import header_of, plan
from coordflow_mini.measure import metrics
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.model import weight_count
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.render import to_uint8
from coordflow_mini.train import FitResult
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load

OURS = "CoordFlow"
RUNS = Path("runs/quality.jsonl")
START = {  # where the search begins: per network, the rates of each optimizer, and the factor
    "Fourier features": ({"adam": 0.01, "muon": 0.04}, 1.0),
    "SIREN": ({"adam": 0.001, "muon": 0.004}, 30.0),
}
TUNED: dict[str, dict[str, Settings]] = {  # what `--tune` found; LOG.md has the grids
    "cutout": {
        "Fourier features": Settings("muon", 0.08, 0.5),
        "SIREN": Settings("muon", 0.004, 30.0),
    },
    "bunny": {
        "Fourier features": Settings("muon", 0.08, 0.25),
        "SIREN": Settings("muon", 0.004, 15.0),
    },
}
_JUDGED = 2**19  # pixels at most that a PSNR is computed from
_PROBE = 30  # steps timed at once


@dataclass(frozen=True)
class Task:
    """A clip, our model for its rate, and the size of every file."""

    name: str
    video: Video
    model: ModelConfig
    target_bytes: int
    steps: int = 600  # of our fit; the others get as many as take the same time
    tuning_steps: int = 300  # of each run of the search for rates
    codec_steps: int = 200  # of fine-tuning
    codec_rounds: int = 12  # of 100 more steps each, while the file does not have its size


def task_named(name: str) -> Task:
    """The generated scene at its default rate, or bunny, 96 frames of 192x108 at 0.075 bpp."""
    if name == "cutout":
        video, bpp = load("clip:cutout"), None
    else:
        video, bpp = load("clip:bunny", Selection(0, 96, 1, 192, 108)), 0.075
    planned = plan(video, Recipe(bpp=bpp, fit=FitConfig()))
    return Task(name, video, planned.model, planned.target_bytes)


@dataclass(frozen=True)
class Run:
    """One network trained and written."""

    clip: str
    network: str
    seed: int
    weights: int
    steps: int
    seconds: float  # of CPU time that the fit took
    psnr_db: float  # unquantized
    bytes: int
    decoded_db: float


# --- the three networks under one roof --------------------------------------------------------------


def fit_config(steps: int, seed: int) -> FitConfig:
    """The library's defaults, its phases as shares of a run of that many steps."""
    default = FitConfig()
    part = steps / default.steps
    phases = {name: max(1, round(part * getattr(default, name))) for name in ("warm_up", "grow", "static")}
    return replace(default, steps=steps, seed=seed, **phases)


def rival_for(task: Task, kind: str, settings: Settings, seed: int) -> Rival:
    """A rival with as many weights as our model for this clip."""
    return rival(kind, task.model, weight_count(task.model), settings.factor, seed)


def psnr_db(model: nn.Module, video: Video) -> float:
    """PSNR of the 8-bit pictures of evenly spaced frames [dB]."""
    count = min(video.time, max(1, _JUDGED // (video.height * video.width)))
    chosen = np.unique(np.linspace(0, video.time - 1, count).round().astype(int))
    points = pixel_grid(video.height, video.width)[None]
    with torch.no_grad():
        frames = [to_uint8(model(points, moment[None]).rgb) for moment in frame_times(video.time)[chosen]]
    decoded = torch.cat(frames).view(-1, video.height, video.width, 3)
    return metrics.psnr_db(video.frames[chosen], decoded)


def steps_for(task: Task, kind: str, settings: Settings) -> int:
    """Steps of a rival that take as long as our fit: the median ratio of three pairs, timed in turns."""
    ratios = []
    for _ in range(3):
        began = time.process_time()
        fit(task.video, task.model, fit_config(_PROBE, 0))
        ours = time.process_time() - began
        training = Training(task.video, rival_for(task, kind, settings, 0), settings, _PROBE)
        began = time.process_time()
        training.advance(_PROBE)
        ratios.append(ours / (time.process_time() - began))
    return round(task.steps * statistics.median(ratios))


def fitted(task: Task, kind: str, settings: Settings | None, steps: int, seed: int) -> FitResult:
    """A fit of our model (without settings) or of a rival, as the codec wants it."""
    if settings is None:
        return fit(task.video, task.model, fit_config(steps, seed))
    training = Training(task.video, rival_for(task, kind, settings, seed), settings, steps, seed)
    training.advance(steps)
    config = FitConfig(optimizer=settings.optimizer, learning_rate=settings.rate, seed=seed)
    return FitResult(training.model, config, ())  # type: ignore[arg-type]  # it is called like a CoordFlow


def coded(task: Task, fit_: FitResult) -> tuple[int, float]:
    """Bytes of the file after the library's fine-tuning, and PSNR of what is read back from it [dB].

    The file starts with our header, whatever is inside: a rival would need one of the same length.
    The rate of fine-tuning keeps the library's ratio to the rate of the fit.
    """
    default = CodecConfig()
    rate = default.learning_rate * fit_.config.learning_rate / FitConfig().learning_rate
    config = replace(default, steps=task.codec_steps, rounds=task.codec_rounds, learning_rate=rate)
    header = header_of(task.video, task.model, fit_.config)
    tuned = finetune(fit_, task.video, config, task.target_bytes, lambda t: len(bitstream.write(header, t)))
    data = bitstream.write(header, tuned.tensors)
    shapes = [tuple(part.shape) for parameter in fit_.model.parameters() for part in parameter]
    values = [tensor.values for tensor in bitstream.read(data, lambda _: shapes)[1]]
    with torch.no_grad():
        parts = iter(values)
        for parameter in fit_.model.parameters():
            parameter.copy_(torch.stack([torch.from_numpy(next(parts)) for _ in parameter]))
    return len(data), psnr_db(fit_.model, task.video)


# --- tuning -----------------------------------------------------------------------------------------


def bracketed(score: Callable[[float], float], start: float, factor: float = 2.0) -> dict[float, float]:
    """Scores of a grid start · factor^n that goes on until its best value is not at an end."""
    scores = {value: score(value) for value in (start / factor, start, start * factor)}
    while (best := max(scores, key=scores.__getitem__)) in (min(scores), max(scores)) and len(scores) < 9:
        value = best / factor if best == min(scores) else best * factor
        scores[value] = score(value)
    return dict(sorted(scores.items()))


def tune(task: Task, kind: str) -> Iterator[tuple[Settings, float]]:
    """All settings that were tried and their PSNR [dB]: rates of both optimizers, then the factor.

    Short runs like high rates, so the last three have all steps: the best rate, a half and a quarter of it.
    """
    tried: dict[Settings, float] = {}

    def score(settings: Settings) -> float:
        if settings not in tried:
            model = fitted(task, kind, settings, task.tuning_steps, 0).model
            tried[settings] = psnr_db(model, task.video)
        return tried[settings]

    rates, factor = START[kind]
    for optimizer, rate in rates.items():
        bracketed(lambda rate, name=optimizer: score(Settings(name, rate, factor)), rate)
    best = max(tried, key=tried.__getitem__)
    bracketed(lambda factor: score(replace(best, factor=factor)), factor)
    if kind == "Fourier features":
        score(replace(best, factor=0.0))
    yield from tried.items()
    best = max(tried, key=tried.__getitem__)
    yield from confirmed(task, kind, [replace(best, rate=best.rate / 2**n) for n in range(3)])


def confirmed(task: Task, kind: str, candidates: list[Settings]) -> Iterator[tuple[Settings, float]]:
    """Settings and what they reach in the time that our fit takes [dB]."""
    steps = steps_for(task, kind, candidates[0])
    for settings in candidates:
        yield settings, psnr_db(fitted(task, kind, settings, steps, 0).model, task.video)


# --- results ----------------------------------------------------------------------------------------


def read_runs(path: Path) -> list[Run]:
    """The runs in a file of JSON lines; none if there is no file."""
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def measured(task: Task, network: str, seed: int, steps: int, settings: Settings | None) -> Run:
    """Fit, judge, fine-tune, write, read back, judge."""
    began = time.process_time()
    result = fitted(task, network, settings, steps, seed)
    seconds = time.process_time() - began
    weights, unquantized = result.model.parameter_count, psnr_db(result.model, task.video)
    size, decoded = coded(task, result)
    return Run(task.name, network, seed, weights, steps, round(seconds, 1), unquantized, size, decoded)


def compare(task: Task, seeds: int, path: Path) -> Iterator[Run]:
    """All runs of a clip that are not in the file yet, which they are appended to."""
    known = {(run.clip, run.network, run.seed): run for run in read_runs(path)}
    tuned = TUNED[task.name]
    steps = {OURS: task.steps} | {run.network: run.steps for run in known.values() if run.clip == task.name}
    for seed in range(seeds):
        for network in (OURS, *KINDS):
            if (task.name, network, seed) in known:
                continue
            settings = tuned.get(network)
            if settings is not None and network not in steps:
                steps[network] = steps_for(task, network, settings)
            run = measured(task, network, seed, steps[network], settings)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(asdict(run)) + "\n")
            yield run


def table(runs: list[Run]) -> str:
    """Medians and spreads as a markdown table."""
    lines = ["| clip | network | weights | steps | CPU s | unquantized [dB] | bytes | decoded [dB] |"]
    lines.append("|---|---|---:|---:|---:|---|---:|---|")
    for clip, network in dict.fromkeys((run.clip, run.network) for run in runs):
        group = [run for run in runs if (run.clip, run.network) == (clip, network)]
        cells = [clip, network, f"{group[0].weights:,}", f"{group[0].steps}"]
        cells.append(f"{statistics.median(run.seconds for run in group):.1f}")
        cells.append(_spread([run.psnr_db for run in group]))
        cells.append(f"{statistics.median(run.bytes for run in group):,.0f}")
        cells.append(_spread([run.decoded_db for run in group]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def main() -> int:
    """Tune or compare; print each result, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=("cutout", "bunny"), help="this clip alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tune", action="store_true", help="search the rivals' settings instead")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"where runs are kept ({RUNS})")
    parser.add_argument("--json", action="store_true", help="print the runs as JSON, not as a table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for task in map(task_named, [options.only] if options.only else ["cutout", "bunny"]):
        if options.tune:
            for kind in KINDS:
                for settings, quality in tune(task, kind):
                    print(f"{task.name}, {kind}: {settings} {quality:.2f} dB", flush=True)
        else:
            for run in compare(task, options.seeds, options.runs):
                print(run, file=sys.stderr, flush=True)
    if not options.tune:
        runs = read_runs(options.runs)
        text = json.dumps([asdict(run) for run in runs], indent=2)
        print(text if options.json else f"on {hardware()}\n{table(runs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
