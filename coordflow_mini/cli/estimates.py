"""How long a training will take, before it begins."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coordflow_mini.config import ModelConfig
from coordflow_mini.ops.console import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from coordflow_mini.sweeps.budget import Budget
    from coordflow_mini.sweeps.job import Recipe
    from coordflow_mini.video.clip import Video

__all__ = ["Estimate", "estimate", "timed"]


@dataclass(frozen=True)
class Estimate:
    """How long, in seconds, and in words that say why."""

    seconds: float
    text: str


def estimate(video: "Video", bpp: float, recipe: "Recipe", device: str) -> Estimate:
    """What an encode of a sweep takes."""
    from coordflow_mini import encoder
    from coordflow_mini.ops.compiling import device_named
    from coordflow_mini.sweeps.budget import Budget
    from coordflow_mini.train import default_model

    model = replace(default_model(video), layers=recipe.layers, depth=recipe.depth)
    planned = encoder.plan(
        video, bpp=bpp, model=model, codec=recipe.codec, segment_frames=recipe.segment_frames
    )
    chosen = Budget(recipe.fit, recipe.codec)
    return timed(video, planned.model, chosen, device_named(device), planned.segments)


def timed(
    video: "Video",
    model: ModelConfig,
    chosen: "Budget",
    device: "torch.device",
    segments: "Sequence[range] | None" = None,
) -> Estimate:
    """What this encode takes, from a few steps of its first segment; see `encoder.Plan`."""
    from coordflow_mini import encoder
    from coordflow_mini.sweeps import budget

    first, count = encoder.cut(video, segments[0]) if segments else video, len(segments or [1])
    pace = budget.pace(first, model, chosen.fit, chosen.codec, device=device)
    seconds = count * pace.seconds(chosen)
    steps = f"{chosen.fit.steps:,} steps of {1000 * pace.fit_seconds:.3g} ms"
    tuning = f"{chosen.codec.steps:,} of fine-tuning of {1000 * pace.tune_seconds:.3g} ms"
    each = f", for each of {count} segments" if count > 1 else ""
    return Estimate(seconds, f"{duration(seconds)}: {steps}, {tuning}{each}")
