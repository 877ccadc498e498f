"""A clip fitted on the command line: what the options ask for, with progress, and what came of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from coordflow_mini.cli.figures import count, print_json, say
from coordflow_mini.cli.options import load, recipe_for
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.ops.console import Console, duration

if TYPE_CHECKING:
    import torch

    from coordflow_mini.applications import Counted, Extent
    from coordflow_mini.cli.arguments import Coded
    from coordflow_mini.model import CoordFlow
    from coordflow_mini.train import OnStep, Progress
    from coordflow_mini.video.clip import Video

__all__ = ["Fit", "Work", "open_input"]


def open_input(
    source: str,
    frames: str | None,
    size: str | None,
    raw: str | None,
    matrix: str | None,
    recipe: Recipe,
) -> "Video | Coded":
    """The frames that the arguments select, or an encoded file, about which nothing is to be said."""
    if source.startswith("clip:") or Path(source).suffix.lower() != ".cfv":
        return load(source, frames, size, raw, matrix)
    if (frames, size, raw, matrix, recipe) != (None, None, None, None, recipe_for()):
        raise ValueError(
            f"{source} is fitted already; leave out what says how to fit: "
            "--frames, --size, --raw, --matrix, --layers, --width, --steps, --minutes, --seed"
        )
    from coordflow_mini.cli import arguments

    coded = arguments.read_coded(Path(source))
    arguments.check_one_segment(coded, source)
    return coded


class Fit(NamedTuple):
    """How to fit, and who hears of it."""

    config: FitConfig
    on_step: "OnStep"


class Work:
    """One command at work: its fits, what else takes time, and its report.

    fits: how many there will be; they share the minutes.
    """

    def __init__(self, recipe: Recipe, console: Console, place: "torch.device", *, fits: int = 1) -> None:
        self.recipe, self.console, self.place, self.fits = recipe, console, place, fits
        self.began = time.perf_counter()
        self.reached: list[Progress] = []  # the last of each fit
        self.interrupted = False

    def shape(self, clip: "Video") -> ModelConfig:
        """The model to fit."""
        from coordflow_mini import encoder

        return encoder.adapted(self.recipe, clip).model or ModelConfig()

    def model(self, subject: "Video | Coded") -> "tuple[CoordFlow, Video | Extent]":
        """The model of a clip, fitted now, or of a file, and how many frames of which size it shows."""
        from coordflow_mini import decoder
        from coordflow_mini import train as fit
        from coordflow_mini.applications import Extent
        from coordflow_mini.video.clip import Video

        if isinstance(subject, Video):
            with self.fit("fit", subject, self.shape(subject)) as (config, on_step):
                shape = self.shape(subject)
                result = fit.fit(subject, shape, config, device=self.place, on_step=on_step)
            return result.model, subject
        header, model = decoder.read_model(subject.data)
        size = (header.time, header.height, header.width)
        like = Extent(*size, header.fps, "decoded", header.selection, header.matrix)
        return model.to(self.place), like

    @contextmanager
    def fit(self, stage: str, clip: "Video", model: ModelConfig) -> Iterator[Fit]:
        """Says what is fitted, shows progress, remembers how far it came: Ctrl-C ends a fit, not the work."""
        config = self._config(clip, model)
        self.console.say(
            f"{clip.name}: {count(clip.time, 'frame')} of {clip.width}x{clip.height}; "
            f"{count(model.layers, 'layer')} of width {model.width}, {count(config.steps, 'step')}"
        )
        last: list[Progress] = []
        with self.console.training() as show:

            def on_step(progress: "Progress") -> None:
                last[:] = [replace(progress, stage=stage, model=None)]
                show(last[0])

            yield Fit(config, on_step)
        self.reached += last
        step = last[0].step if last else 0
        if step < config.steps:
            self.interrupted = True
            self.console.say(f"stopped at step {step:,} of {config.steps:,}; going on with what there is")

    def _config(self, clip: "Video", model: ModelConfig) -> FitConfig:
        """As many steps as the options ask for; no fine-tuning follows."""
        from coordflow_mini.sweeps import budget

        if self.recipe.minutes is None:
            return self.recipe.fit
        share = replace(self.recipe, codec=CodecConfig(steps=0), minutes=self.recipe.minutes / self.fits)
        return budget.steps_within(share, clip, model, device=self.place).fit

    def counted(self, stage: str) -> "Counted":
        """Shows how far something is that comes picture by picture."""
        return partial(self.console.counted, stage)

    def report(
        self,
        output: Path,
        shown: "Video | Extent",
        text: str,
        figures: dict[str, Any],
        as_json: bool,
        what: str = "",
    ) -> None:
        """What was written, and the figures: of the command, then of its fits."""
        seconds, fps = time.perf_counter() - self.began, float(shown.fps)
        if as_json:
            written = {"file": str(output), "frames": shown.time, "height": shown.height}
            written |= {"width": shown.width, "fps": fps}
            fits = [{"steps": last.step, "psnr_db": last.psnr_db} for last in self.reached]
            print_json(
                written | figures | {"fits": fits, "seconds": seconds, "interrupted": self.interrupted}
            )
        elif not self.console.quiet:
            size = f"{shown.width}x{shown.height}, {fps:g} fps"
            say(f"{output}: {what}{count(shown.time, 'frame')} of {size}")
            quality = [f"fitted at {self.reached[-1].psnr_db:.2f} dB"] if self.reached else []
            say(", ".join([text, *quality, duration(seconds)]))
            if self.interrupted:
                say("interrupted: all of it is there, but worse than it could be; run it again for the rest")
