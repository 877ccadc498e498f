"""How long a training will take, before it begins."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coordflow_mini.config import ModelConfig
from coordflow_mini.console import duration

if TYPE_CHECKING:
    import torch

    from coordflow_mini.budget import Budget
    from coordflow_mini.jobs import Recipe
    from coordflow_mini.video import Video

__all__ = ["Estimate", "estimate", "timed"]


@dataclass(frozen=True)
class Estimate:
    """How long, in seconds, and in words that say why."""

    seconds: float
    text: str


def estimate(video: "Video", bpp: float, recipe: "Recipe", device: str) -> Estimate:
    """What an encode of a sweep takes."""
    from coordflow_mini import encoder
    from coordflow_mini.budget import Budget
    from coordflow_mini.fit import default_model
    from coordflow_mini.machine import device_named

    model = replace(default_model(video), layers=recipe.layers, depth=recipe.depth)
    planned = encoder.plan(video, bpp=bpp, model=model, codec=recipe.codec)
    return timed(video, planned.model, Budget(recipe.fit, recipe.codec), device_named(device))


def timed(video: "Video", model: ModelConfig, chosen: "Budget", device: "torch.device") -> Estimate:
    """What this training takes, from a few steps of it."""
    from coordflow_mini import budget

    pace = budget.pace(video, model, chosen.fit, chosen.codec, device=device)
    seconds = pace.seconds(chosen)
    steps = f"{chosen.fit.steps:,} steps of {1000 * pace.fit_seconds:.3g} ms"
    tuning = f"{chosen.codec.steps:,} of fine-tuning of {1000 * pace.tune_seconds:.3g} ms"
    return Estimate(seconds, f"{duration(seconds)}: {steps}, {tuning}")
