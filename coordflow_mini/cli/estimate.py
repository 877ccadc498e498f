"""How long an encode will take, before it begins."""

from dataclasses import dataclass

from coordflow_mini.config import Recipe
from coordflow_mini.lazy import lazily
from coordflow_mini.ops.console import duration

with lazily():
    import torch

    from coordflow_mini import encoder
    from coordflow_mini.sweeps import budget
    from coordflow_mini.video import clip

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """A time in seconds, and in words with what it is made of."""

    seconds: float
    text: str


def estimate(video: "clip.Video", recipe: Recipe, device: "torch.device") -> Estimate:
    """An upper bound for an encode, from a few steps on its first segment."""
    recipe = encoder.adapted(recipe, video)
    plan = encoder.plan(video, recipe)
    first, count = encoder.cut(video, plan.segments[0]), len(plan.segments)
    pace = budget.pace(first, plan.model, recipe, device=device)
    seconds = count * pace.seconds(recipe)
    steps = f"{recipe.fit.steps:,} steps of {1000 * pace.fit_seconds:.3g} ms"
    tuning = f"{recipe.codec.steps:,} of fine-tuning of {1000 * pace.tune_seconds:.3g} ms"
    each = f", for each of {count} segments" if count > 1 else ""
    return Estimate(seconds, f"{duration(seconds)}: {steps}, {tuning}{each}")
