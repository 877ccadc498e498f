"""How long a training will take, before it begins."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coordflow_mini.config import Recipe
from coordflow_mini.ops.console import duration

if TYPE_CHECKING:
    import torch

    from coordflow_mini.encoder import Plan
    from coordflow_mini.video.clip import Video

__all__ = ["Estimate", "estimate", "timed"]


@dataclass(frozen=True)
class Estimate:
    """How long, in seconds, and in words that say why."""

    seconds: float
    text: str


def estimate(video: "Video", recipe: Recipe, device: str) -> Estimate:
    """What an encode of a sweep takes."""
    from coordflow_mini import encoder
    from coordflow_mini.ops.compiling import device_named

    recipe = encoder.adapted(recipe, video)
    return timed(video, encoder.plan(video, recipe), recipe, device_named(device))


def timed(video: "Video", plan: "Plan", recipe: Recipe, device: "torch.device") -> Estimate:
    """What this encode takes, from a few steps of its first segment."""
    from coordflow_mini import encoder
    from coordflow_mini.sweeps import budget

    first, count = encoder.cut(video, plan.segments[0]), len(plan.segments)
    pace = budget.pace(first, plan.model, recipe, device=device)
    seconds = count * pace.seconds(recipe)
    steps = f"{recipe.fit.steps:,} steps of {1000 * pace.fit_seconds:.3g} ms"
    tuning = f"{recipe.codec.steps:,} of fine-tuning of {1000 * pace.tune_seconds:.3g} ms"
    each = f", for each of {count} segments" if count > 1 else ""
    return Estimate(seconds, f"{duration(seconds)}: {steps}, {tuning}{each}")
