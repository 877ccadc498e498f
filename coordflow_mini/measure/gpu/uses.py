"""Checks of what users do with a GPU: encode, resume, decode, evaluate, use the applications."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.measure.gpu.card import Card, Figures, must, small_clip
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.train import Progress

with lazily():
    from coordflow_mini import applications, decoder, encoder
    from coordflow_mini.measure import evaluate
    from coordflow_mini.ops import checkpoint

# one step more than there are between two reports
_FIT = FitConfig(steps=51, batch=256, warm_up=10, grow=20, static=30)
_RECIPE = Recipe(bpp=1.6, fit=_FIT, codec=CodecConfig(steps=101, rounds=2))


class _KilledError(Exception):
    """Stands for a process that is killed."""


def encoding(card: Card) -> Figures:
    """Encoding twice gives the same bytes, and so does what is killed in both stages and resumed."""
    video = small_clip()
    data, again = (encoder.encode(video, _RECIPE, device=card.device) for _ in range(2))
    must(data == again, "two encodes with the same settings differ")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        _killed_in("fit", path, card)
        _killed_in("fine-tune", path, card)
        kept = checkpoint.Checkpoint(path)
        must(
            encoder.compress(video, _RECIPE, device=card.device, checkpoint=kept).data == data,
            "a resumed encode differs from an undisturbed one",
        )
    return {"bytes": len(data)}


def _killed_in(stage: str, path: Path, card: Card) -> None:
    def on_step(progress: Progress) -> None:
        if progress.stage == stage:
            raise _KilledError

    kept = checkpoint.Checkpoint(path, every=0)
    try:
        encoder.compress(small_clip(), _RECIPE, device=card.device, on_step=on_step, checkpoint=kept)
    except _KilledError:
        return
    must(False, f"no report came from {stage}")


def applying(card: Card) -> Figures:
    """Decode, evaluate and segments; the applications; a fit that comes from the CPU is fine-tuned."""
    video, device = small_clip(), card.device
    data = encoder.encode(video, replace(_RECIPE, bpp=3.0, segment_frames=4), device=device)
    must(
        decoder.decode(data, device=device).frames.shape == video.frames.shape,
        "decoded frames have another shape",
    )
    figures = evaluate.evaluate(video, data, device=device).point
    fitted = fit(video, ModelConfig(width=16), _FIT, device=device)
    applications.segment(fitted.model, video)
    applications.upscale(fitted.model, 2, video)
    applications.interpolate(fitted.model, 2, video)
    applications.stabilize(fitted.model, 0, video)
    applications.inpaint(video, np.asarray(video.frames)[..., 0] > 250, None, _FIT, device=device)
    applications.denoise(video, None, _FIT, device=device)
    fitted.model.layer(0)(torch.zeros(5, 2, device=device), torch.zeros(5, device=device))
    fitted.model.cpu()
    finetune(fitted, video, CodecConfig(steps=20, rounds=0), 3000, lambda tensors: 3000, device=device)
    return {"PSNR [dB]": figures.psnr_db, "MS-SSIM": figures.ms_ssim}
