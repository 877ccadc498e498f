"""PSNR of variants of training after equal seconds, one change from the default at a time.

    python -m benchmarks.learning                                # all variants, three seeds: hours
    python -m benchmarks.learning --seeds 1 --clips clip:cutout  # a screening
    python -m benchmarks.learning --only default --only "batch 4096" --clip some.mp4@183
    python -m benchmarks.learning --table                        # of what has been run

Seconds are CPU time of this process on one thread, because a machine may be shared. The number of default
steps that fit in them is measured once per clip; a variant gets as many as its seconds per step allow, timed
in turns with the default's. Every run is appended to a file and not repeated.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.variants import Training, TrainingSettings, available
from coordflow_mini import config
from coordflow_mini.config import FitConfig, ModelConfig, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.encoder import plan
from coordflow_mini.measure import metrics
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.model import CoordFlow
from coordflow_mini.render import render
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load

DEFAULT = TrainingSettings()
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    **{f"batch {size}": {"batch": (size, size)} for size in (1024, 2048, 4096, 16384)},
    "batch 1024 to 8192": {"batch": (1024, 8192)},
    "batch 2048 to 16384": {"batch": (2048, 16384)},
    "drawn by error": {"importance": "error"},
    "drawn by error, reweighted": {"importance": "error", "reweight": True},
    "drawn by gradient": {"importance": "gradient"},
    "drawn by gradient, reweighted": {"importance": "gradient", "reweight": True},
    "best of 3 starts": {"starts": 3},
    "no growing": {"grow": 0.0},
    "no static phase": {"static": 0.0},
    "static for 40 %": {"static": 0.4},
    "no warm-up of colors": {"warm_up": 0.0},
    "linear": {"schedule": "linear"},
    "cosine": {"schedule": "cosine"},
    "constant, averaged": {"schedule": "constant", "average": True},
    "cosine, averaged": {"schedule": "cosine", "average": True},
    "batch 4096, cosine": {"batch": (4096, 4096), "schedule": "cosine"},
    "batch 4096, linear": {"batch": (4096, 4096), "schedule": "linear"},
    **{f"Muon {rate:g}": {"learning_rate": rate} for rate in (0.02, 0.06)},
    **{
        f"{title} {rate:g}": {"optimizer": name, "learning_rate": rate, **more}
        for title, name, rates, more in (
            ("Adam", "adam", (0.006, 0.01, 0.02, 0.04), {}),
            ("SOAP", "soap", (0.006, 0.012, 0.024), {}),
            ("schedule-free AdamW", "schedule-free", (0.01, 0.02, 0.04), {"schedule": "constant"}),
        )
        for rate in rates
    },
}
SECONDS = {"clip:cutout": 15.0}  # of CPU time per run; any other clip has
OTHER_SECONDS = 20.0
RUNS = Path("runs/learning.jsonl")
_COSTLY = ("optimizer", "batch", "importance", "reweight", "average")  # fields that change a step's cost
_PROBE = 20  # steps timed at once
_JUDGED = 2**19  # pixels at most that a PSNR is computed from


@dataclass(frozen=True)
class Task:
    """A clip, the model that its rate allows, and where its objects are, if that is known."""

    name: str
    video: Video
    model: ModelConfig
    masks: np.ndarray | None = None


def task_named(name: str) -> Task:
    """`clip:cutout`, `clip:bunny` at 192x108, or PATH[@first frame]: 48 frames of 160 pixels width."""
    if name == "clip:bunny":
        video = load(name, Selection(0, 96, 1, 192, 108))
        return Task(name, video, plan(video, config.Recipe(bpp=0.075, fit=FitConfig())).model)
    if name.startswith("clip:"):
        scene = scenes.scene(name)
        return Task(name, scene.video, plan(scene.video, config.Recipe(fit=FitConfig())).model, scene.masks)
    path, _, first = name.partition("@")
    start = int(first or 0)
    source = load(path, Selection(start, start + 1, 1))
    height = round(160 * source.height / source.width)
    video = load(path, Selection(start, start + 48, 1, 160, height))
    return Task(Path(path).stem, video, plan(video, config.Recipe(fit=FitConfig())).model)


@dataclass(frozen=True)
class Run:
    """One line of the results."""

    clip: str
    variant: str
    seed: int
    steps: int
    cost: float  # seconds per step, as a multiple of the default's
    seconds: float  # of CPU time that training took
    psnr_db: float
    iou: float | None = None


class Results:
    """A file of JSON lines, one per run, and one per clip that says how many default steps fit."""

    def __init__(self, path: Path):
        self.path, self.runs, self.clocks = path, list[Run](), dict[str, dict[str, float]]()
        for line in path.read_text().splitlines() if path.exists() else ():
            entry = json.loads(line)
            if "clock" in entry:
                self.clocks[entry["clock"]] = entry
            else:
                self.runs.append(Run(**entry))

    def add(self, entry: Run | dict[str, Any]) -> None:
        """Remember it, on disk first."""
        values = entry.__dict__ if isinstance(entry, Run) else entry
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
        if isinstance(entry, Run):
            self.runs.append(entry)
        else:
            self.clocks[entry["clock"]] = entry

    def find(self, clip: str, variant: str) -> list[Run]:
        """The runs of a variant on a clip."""
        return [run for run in self.runs if (run.clip, run.variant) == (clip, variant)]


def settings_of(variant: str, steps: float) -> TrainingSettings:
    """Settings of a variant, given the default's steps; more than usual do not prolong the opening."""
    part = min(1.0, FitConfig().steps / steps)
    opening = {name: part * getattr(DEFAULT, name) for name in ("warm_up", "grow", "static")}
    return replace(DEFAULT, **(opening | VARIANTS[variant]))


def seconds_per_step(task: Task, settings: TrainingSettings) -> float:
    """CPU seconds of a step, the mean over a short run that passes through all of its schedule."""
    training = Training(task.video, task.model, settings, _PROBE + 2)
    training.advance(2)
    began = time.process_time()
    training.advance(_PROBE + 2)
    return (time.process_time() - began) / _PROBE


def cost_of(task: Task, settings: TrainingSettings) -> float:
    """Seconds per step as a multiple of the default's: the fastest of each, timed in turns."""
    if all(getattr(settings, name) == getattr(DEFAULT, name) for name in _COSTLY):
        return 1.0
    pairs = [(seconds_per_step(task, settings), seconds_per_step(task, DEFAULT)) for _ in range(5)]
    return min(ours for ours, _ in pairs) / min(default for _, default in pairs)


def quality(task: Task, model: CoordFlow) -> tuple[float, float | None]:
    """PSNR of the 8-bit pictures of evenly spaced frames [dB], and the mask's IoU if there is a truth."""
    count = min(task.video.time, max(1, _JUDGED // (task.video.height * task.video.width)))
    chosen = np.unique(np.linspace(0, task.video.time - 1, count).round().astype(int))
    times = frame_times(task.video.time, at=torch.from_numpy(chosen))
    rendering = render(model, times, task.video.height, task.video.width)
    psnr_db = metrics.psnr_db(task.video.frames[chosen], rendering.rgb)
    if task.masks is None:
        return psnr_db, None
    top = rendering.alpha.argmax(dim=0)
    masks = np.stack([(top == layer).numpy() for layer in range(task.model.layers)])
    return psnr_db, metrics.match_layers(masks, task.masks[chosen][None]).iou


def trained(task: Task, settings: TrainingSettings, steps: int, seed: int) -> CoordFlow:
    """The model trained with these settings; of several starts, the best continues."""
    runs = [
        Training(task.video, task.model, settings, steps, seed + 1000 * n) for n in range(settings.starts)
    ]
    if settings.starts > 1:
        for run in runs:
            run.advance(round(settings.start * steps))
    best = min(runs, key=lambda run: float(run.squared))
    best.advance(steps)
    return best.finish()


def measured(task: Task, variant: str, seed: int, seconds: float, results: Results) -> Run:
    """Train one variant from one seed for as many steps as fit in the seconds, and judge it."""
    if task.name not in results.clocks:
        step = statistics.median(seconds_per_step(task, DEFAULT) for _ in range(3))
        results.add({"clock": task.name, "seconds": seconds, "steps": round(seconds / step)})
    settings = settings_of(variant, results.clocks[task.name]["steps"])
    earlier = results.find(task.name, variant)
    cost = earlier[0].cost if earlier else cost_of(task, settings)
    steps = settings.steps_of(results.clocks[task.name]["steps"] / cost)
    began = time.process_time()
    model = trained(task, settings, steps, seed)
    spent = time.process_time() - began
    psnr_db, iou = quality(task, model)
    return Run(task.name, variant, seed, steps, round(cost, 3), round(spent, 1), psnr_db, iou)


def table(results: Results) -> str:
    """Everything as a markdown table: median, min..max over seeds, change against the default's seeds."""
    names = list(dict.fromkeys(run.clip for run in results.runs))
    order = [variant for variant in VARIANTS if any(run.variant == variant for run in results.runs)]
    lines = ["| one change | " + " | ".join(names) + " | median change |", "|---" * (len(names) + 2) + "|"]
    for variant in order:
        cells, changes = [], []
        for name in names:
            cell, change = _cell(results, name, variant)
            cells.append(cell)
            changes.extend([] if change is None else [change])
        total = f"{statistics.median(changes):+.2f}" if changes else ""
        lines.append(f"| {variant} | {' | '.join(cells)} | {total} |")
    return "\n".join(lines)


def _cell(results: Results, clip: str, variant: str) -> tuple[str, float | None]:
    """One variant on one clip: median (min..max) and change; IoU where there is one."""
    runs = results.find(clip, variant)
    if not runs:
        return "", None
    values = [run.psnr_db for run in runs]
    text = f"{statistics.median(values):.2f}"
    if len(values) > 1:
        text += f" ({min(values):.2f}..{max(values):.2f})"
    default = {run.seed: run.psnr_db for run in results.find(clip, "default")}
    changes = [run.psnr_db - default[run.seed] for run in runs if run.seed in default]
    change = statistics.median(changes) if changes else None
    if change is not None and variant != "default":
        text += f" {change:+.2f}"
    ious = [run.iou for run in runs if run.iou is not None]
    if ious:
        text += f", IoU {statistics.median(ious):.2f}"
    return text, change


def study(options: argparse.Namespace, results: Results) -> Iterator[Run | str]:
    """All runs that are asked for and not there yet, seed by seed; a line for what is skipped."""
    variants = options.only or list(VARIANTS)
    wanted = options.clips if options.clips is not None else ["clip:cutout", "clip:bunny"]
    tasks = [task_named(name) for name in [*wanted, *options.clip]]
    for seed in range(options.seeds):
        for task in tasks:
            seconds = options.seconds or SECONDS.get(task.name, OTHER_SECONDS)
            for variant in variants:
                if any(run.seed == seed for run in results.find(task.name, variant)):
                    continue
                if not available(replace(DEFAULT, **VARIANTS[variant])):
                    yield f"{variant}: skipped, its package is not installed"
                    continue
                run = measured(task, variant, seed, seconds, results)
                results.add(run)
                yield run


def main() -> int:
    """Run what is missing, print each run, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=VARIANTS, action="append", metavar="VARIANT", help="this variant")
    parser.add_argument("--clips", nargs="*", help="generated clips and clip:bunny; both if not given")
    parser.add_argument("--clip", action="append", default=[], metavar="PATH[@FRAME]", help="a clip of yours")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="CPU time per run; 15 on clip:cutout, else 20")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"where results are kept ({RUNS})")
    parser.add_argument("--table", action="store_true", help="print the table of what has been run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(options.runs)
    if not options.table:
        print(f"on {hardware()}", flush=True)
        for run in study(options, results):
            print(run, flush=True)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
