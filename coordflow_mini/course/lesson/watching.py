"""A view of a fit while it runs: one frame, its alpha maps, and the training curve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets
import numpy as np

from coordflow_mini.coords import frame_times
from coordflow_mini.course.lesson.figures import pictures, series_color
from coordflow_mini.render import render
from coordflow_mini.show.figure import Picture, styled, to_pixels, to_png
from coordflow_mini.show.plots import write_beside
from coordflow_mini.show.widgets import Shown, picture_widget, preview

if TYPE_CHECKING:
    from coordflow_mini.video.clip import Video

ALPHAS_SHOWN = 4


class TrainingView(Shown):
    """View of a fit, made by `watch` and passed to the fit as `on_step`.

    images: original, model's frame, alpha maps.  curve: PSNR over steps.  now: a line of text.
    """

    def __init__(self, video: Video, *, layers: int, frame: int) -> None:
        self._video, self._frame = video, frame
        self._history: list[Any] = []
        self._next = 0.0  # earliest time of the next redraw [s]
        shown = video.frames[frame]
        titles = ["original", "model", *(f"alpha of layer {i}" for i in range(min(layers, ALPHAS_SHOWN)))]
        alt = f"Frame {frame} of {video.name}, which a model learns; a running notebook shows its progress."
        waiting = preview(np.full_like(shown, 128))
        self.images = [picture_widget(waiting) for _ in titles]
        self.images[0].value = preview(shown)
        self.curve = ipywidgets.Image(format="png", layout={"width": "100%", "max_width": "560px"})
        self.now = ipywidgets.HTML("waiting for the first steps")
        wide = {"flex": "1 1 0", "min_width": "140px", "max_width": "320px", "margin": "0 8px 0 0"}
        columns = [
            ipywidgets.VBox([ipywidgets.HTML(title), image], layout=wide)
            for title, image in zip(titles, self.images, strict=True)
        ]
        row = ipywidgets.HBox(columns, layout={"flex_flow": "row wrap"})
        super().__init__(ipywidgets.VBox([self.now, row, self.curve]), pictures({"original": shown}, alt=alt))

    def __call__(self, progress: Any) -> None:
        """Redraw, in at most about a tenth of the time; progress: as `ops.run.fit` reports it."""
        self._history.append(progress)
        began = time.perf_counter()
        if progress.step < progress.steps and began < self._next:
            return
        self._draw(progress)
        self._next = began + 10 * (time.perf_counter() - began)

    def _draw(self, progress: Any) -> None:
        self.now.value = (
            f"{progress.stage}: step {progress.step} of {progress.steps}, {progress.psnr_db:.1f} dB, "
            f"{progress.seconds:.0f} s, about {progress.seconds_left:.0f} s left"
        )
        self.curve.value = to_png(training_curve(self._history), dpi=96)
        if getattr(progress, "model", None) is None:
            return
        now = frame_times(self._video.time)[self._frame : self._frame + 1]
        seen = render(progress.model, now, self._video.height, self._video.width)
        shown = [seen.rgb[0], *(alpha[0] for alpha in seen.alpha)]
        for image, picture in zip(self.images[1:], shown, strict=False):
            image.value = preview(to_pixels(picture))


def watch(video: Video, *, layers: int = 2, frame: int | None = None) -> TrainingView:
    """A view of a fit: show it in one cell, then run `fit(video, ..., on_step=view)` in the next.

    layers: of the model to fit.  frame: the one to show, by default the middle one.
    """
    return TrainingView(video, layers=layers, frame=video.time // 2 if frame is None else frame)


class _Progress(Protocol):
    """The fields of `train.Progress` that are drawn."""

    @property
    def stage(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def psnr_db(self) -> float: ...


@styled
def training_curve(history: Sequence[_Progress]) -> Picture:
    """PSNR over training steps, one line for each stage of a fit's history.

    Raises ValueError if the history is empty.
    """
    stages: dict[str, list[_Progress]] = {}
    for progress in history:
        stages.setdefault(progress.stage, []).append(progress)
    if not stages:
        raise ValueError("history must hold at least one step, got none; train before you plot")
    figure = Picture(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    ends = []
    for index, (stage, run) in enumerate(stages.items()):
        steps, quality = [progress.step for progress in run], [progress.psnr_db for progress in run]
        axes.plot(steps, quality, color=series_color(index), marker="o" if len(run) == 1 else None)
        ends.append((float(steps[-1]), quality[-1], f"{stage} {quality[-1]:.1f} dB"))
    axes.set(xlabel="training step", ylabel="quality [dB RGB PSNR]")
    write_beside(axes, ends, lines=16)
    spoken = "; ".join(f"{text} after {steps:.0f} steps" for steps, _, text in ends)
    figure.set_label(f"Quality in dB RGB PSNR over training steps: {spoken}.")
    return figure
