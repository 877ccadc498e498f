"""Uses that fit a model of their own: filled holes, less noise."""

from dataclasses import replace

import torch

from coordflow_mini.applications.views import Counted, Masks, shown_by, silently
from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.ops.run import OnStep, fit
from coordflow_mini.sampling import default_model
from coordflow_mini.video.clip import Video


def inpaint(
    video: Video,
    holes: Masks,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    counted: Counted = silently,
) -> Video:
    """The clip with its holes filled from other frames, moved into place.

    The fit sees no pixel of a hole; outside the holes the clip keeps its pixels.
    holes: bool [time, height, width], True where to fill.  model: one layer by default, because there is one
    scene behind an object, and nothing holds a second layer where the hole is.
    Raises ValueError if the holes have another shape, or leave nothing to learn from.
    """
    if holes.shape != video.frames.shape[:3] or holes.dtype != bool:
        raise ValueError(
            f"holes must be bool [time, height, width] = {video.frames.shape[:3]}, "
            f"got {holes.dtype} {holes.shape}"
        )
    if holes.all():
        raise ValueError("the holes cover every pixel of the clip: nothing is left to learn from")
    model = model or replace(default_model(video), layers=1)
    fitted = fit(video, model, config, weights=~holes, device=device, on_step=on_step)
    frames = shown_by(fitted.model, video, counted)
    for shown, hole, own in zip(frames, holes, video.frames, strict=True):
        shown[~hole] = own[~hole]
    return replace(video, frames=frames, name=f"{video.name}, filled")


def denoise(
    video: Video,
    model: ModelConfig | None = None,
    config: FitConfig | None = None,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    counted: Counted = silently,
) -> Video:
    """The clip as a small network reproduces it: what repeats from frame to frame stays, noise does not.

    model: half the default width by default; narrower ones keep less noise and less detail.
    """
    if model is None:
        model = default_model(video)
        model = replace(model, width=model.width // 2)
    fitted = fit(video, model, config, device=device, on_step=on_step)
    return replace(video, frames=shown_by(fitted.model, video, counted), name=f"{video.name}, denoised")
