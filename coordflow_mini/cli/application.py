"""What `segment`, `inpaint`, `upscale`, `interpolate`, `stabilize` and `denoise` share.

Each fits a video and asks the model something, see `coordflow_mini.applications`; four of them also take a
.cfv file, which holds a model already.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from coordflow_mini.cli.options import Computing, Fitting, Footage, Messages
from coordflow_mini.cli.output import print_json, say
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.ops.console import duration, plural
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import applications, decoder, encoder, model, train
    from coordflow_mini.cli import checks
    from coordflow_mini.ops import run
    from coordflow_mini.sweeps import budget
    from coordflow_mini.video import clip, write


def open_input(source: str, footage: Footage, fitting: Fitting) -> "clip.Video | checks.Coded":
    """The selected frames of a video, or a .cfv file of one segment, which takes no options about either."""
    if source.startswith("clip:") or Path(source).suffix.lower() != ".cfv":
        return footage.load(source)
    if (footage, fitting) != (Footage(), Fitting()):
        raise ValueError(
            f"{source} is fitted already; leave out the options that say what to fit and how: "
            "--frames, --size, --raw, --matrix, --layers, --width, --steps, --minutes, --seed"
        )
    coded = checks.read_coded(Path(source))
    checks.one_segment(coded, source)
    return coded


class Application:
    """A command at work: its fits with their progress, and its report.

    fits: how many there will be; they share `--minutes`.
    """

    def __init__(self, fitting: Fitting, computing: Computing, messages: Messages, *, fits: int = 1) -> None:
        self.recipe, self.messages, self.fits = fitting.recipe(), messages, fits
        self.console, self.device = messages.console(), computing.start()
        self.began = time.perf_counter()
        self.reached: list[train.Progress] = []  # the last of each fit
        self.interrupted = False

    def shape(self, video: "clip.Video") -> ModelConfig:
        """The model to fit."""
        return encoder.adapted(self.recipe, video).model or ModelConfig()

    def model(
        self, subject: "clip.Video | checks.Coded"
    ) -> "tuple[model.CoordFlow, clip.Video | applications.Extent]":
        """The model of a video, fitted now, or of a file; and the extent that it shows."""
        if isinstance(subject, clip.Video):
            shape = self.shape(subject)
            with self.fit("fit", subject, shape) as fit:
                return run.fit(subject, shape, **fit).model, subject
        header, fitted = decoder.read_model(subject.data)
        size = (header.time, header.height, header.width)
        like = applications.Extent(*size, header.fps, "decoded", header.selection, header.matrix)
        return fitted.to(self.device), like

    @contextmanager
    def fit(self, stage: str, video: "clip.Video", shape: ModelConfig) -> Iterator[dict[str, Any]]:
        """Announces a fit and yields its config, device and on_step; Ctrl-C ends the fit, not the command."""
        config = self._config(video, shape)
        self.console.say(
            f"{video.name}: {plural(video.time, 'frame')} of {video.width}x{video.height}; "
            f"{plural(shape.layers, 'layer')} of width {shape.width}, {plural(config.steps, 'step')}"
        )
        last: list[train.Progress] = []
        with self.console.training() as show:

            def on_step(progress: "train.Progress") -> None:
                last[:] = [replace(progress, stage=stage)]
                show(last[0])

            yield {"config": config, "device": self.device, "on_step": on_step}
        self.reached += last
        step = last[0].step if last else 0
        if step < config.steps:
            self.interrupted = True
            self.console.say(f"stopped at step {step:,} of {config.steps:,}; continuing with this model")

    def _config(self, video: "clip.Video", shape: ModelConfig) -> FitConfig:
        if self.recipe.minutes is None:
            return self.recipe.fit
        share = replace(self.recipe, codec=CodecConfig(steps=0), minutes=self.recipe.minutes / self.fits)
        return budget.steps_within(share, video, shape, device=self.device).fit

    def counted(self, stage: str) -> "Callable[[Iterable[Any], int], Iterable[Any]]":
        """Shows the progress of rendering, see `applications.Counted`."""
        return partial(self.console.counted, stage)

    def write(self, output: Path, video: "clip.Video", text: str, figures: dict[str, Any]) -> None:
        """Write the video and report it."""
        write.write(output, video.frames, video.fps)
        self.report(output, video, text, figures)

    def report(
        self, output: Path, shown: "clip.Video | applications.Extent", text: str, figures: dict[str, Any]
    ) -> None:
        """Print what was written, the command's figures, then those of its fits."""
        seconds, fps = time.perf_counter() - self.began, float(shown.fps)
        if self.messages.as_json:
            written = {"file": str(output), "frames": shown.time, "height": shown.height}
            written |= {"width": shown.width, "fps": fps}
            fits = [{"steps": last.step, "psnr_db": last.psnr_db} for last in self.reached]
            print_json(
                written | figures | {"fits": fits, "seconds": seconds, "interrupted": self.interrupted}
            )
        elif not self.messages.quiet:
            say(f"{output}: {plural(shown.time, 'frame')} of {shown.width}x{shown.height}, {fps:g} fps")
            quality = [f"fitted at {self.reached[-1].psnr_db:.2f} dB"] if self.reached else []
            say(", ".join([text, *quality, duration(seconds)]))
            if self.interrupted:
                say("interrupted: the output is complete, but of lower quality; run again for the rest")
