"""Chapter 07's table of layers and their alternatives, on film and on generated clips."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from coordflow_mini import applications
from coordflow_mini.config import FitConfig, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.course.lesson import alternatives, gains
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.ops.run import fit
from coordflow_mini.render import render
from coordflow_mini.sampling import default_model
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load

Masks = np.ndarray[Any, np.dtype[np.bool_]]


def on_film() -> Iterator[dict[str, str | float]]:
    """Chapter 07: PSNR [dB] of layers and of alternatives; takes 3 minutes on one core.

    bunny: 25 frames, every fourth one, at 96x54.  slow: `cutout` with 193 frames.  cutout: with 25 frames.
    """
    film = load("clip:bunny", Selection(0, 97, 4, 96, 54))
    large = load("clip:bunny", Selection(0, 97, 4, 192, 108))
    slow = scenes.cutout(frames=193).video
    for seed in range(3):
        config = FitConfig(steps=1000, batch=4096, seed=seed)
        yield _row("slow", "interpolation", seed, *_between(slow, config))
        yield _row("cutout", "upsampling of one frame", seed, *_single(config))
        model = fit(film, default_model(film), config, frames=range(0, film.time, 2)).model
        shown = applications.upscale(model, 2, film).frames
        enlarged = (alternatives.enlarged(np.asarray(film.frames), lanczos=best) for best in (False, True))
        others = [psnr_db(large.frames, other) for other in enlarged]
        yield _row("bunny", "upsampling", seed, psnr_db(large.frames, shown), *others)
        yield _row("bunny", "interpolation", seed, *_odd(film, model))
        yield _row("bunny", "inpainting", seed, *_filled(film, config))
        yield _row("bunny", "denoising", seed, *_denoised(film, replace(config, steps=600)))


def _row(clip: str, application: str, seed: int, ours: float, *others: float) -> dict[str, str | float]:
    numbers = {"layers_db": ours, "first_db": others[0], "second_db": others[1] if others[1:] else ""}
    rounded = {key: round(value, 2) if isinstance(value, float) else value for key, value in numbers.items()}
    return {"clip": clip, "application": application, "seed": seed, **rounded}


def _between(video: Video, config: FitConfig) -> tuple[float, float]:
    return _odd(video, fit(video, default_model(video), config, frames=range(0, video.time, 2)).model)


def _single(config: FitConfig) -> tuple[float, float, float]:
    """Middle frame of `cutout` enlarged by one layer fitted to it alone, by bicubic and by Lanczos."""
    video, large = (scenes.cutout(side * 64, side * 96, frames=25).video for side in (1, 2))
    shape = replace(default_model(video), layers=1)
    model = fit(video, shape, replace(config, steps=600), frames=[12]).model
    shown = applications.upscale(model, 2, video).frames
    others = (alternatives.enlarged(np.asarray(video.frames), lanczos=best) for best in (False, True))
    first, second, third = (psnr_db(large.frames[12:13], frames[12:13]) for frames in (shown, *others))
    return first, second, third


def _odd(video: Video, model: Any) -> tuple[float, float]:
    """Frames left out of the fit: rendered by the model, and as means of their neighbors."""
    hidden = video.frames[1::2]
    times = frame_times(video.time)[1::2]
    shown = render(model, times, video.height, video.width).rgb.numpy()
    return psnr_db(hidden, shown), psnr_db(hidden, alternatives.averaged(np.asarray(video.frames)[::2]))


def crossing(time: int, height: int, width: int) -> Masks:
    """Masks of a box that moves across the picture, bool [time, height, width]."""
    holes = np.zeros((time, height, width), bool)
    for index in range(time):
        left = round((0.05 + 0.7 * index / max(1, time - 1)) * width)
        holes[index, round(0.4 * height) : round(0.62 * height), left : left + round(0.16 * width)] = True
    return holes


def _filled(video: Video, config: FitConfig) -> tuple[float, float, float]:
    holes = crossing(video.time, video.height, video.width)
    median = gains.temporal_median(
        torch.from_numpy(np.asarray(video.frames)).float() / 255, torch.from_numpy(holes)
    )
    still = np.broadcast_to(alternatives.to_uint8(255 * median.numpy()), video.frames.shape)
    truth, filled = np.asarray(video.frames), applications.inpaint(video, holes, config=config)
    shown = np.asarray(filled.frames), still, alternatives.biharmonic(truth, holes)
    first, second, third = (gains.hole_db(frames, truth, holes) for frames in shown)
    return first, second, third


def _denoised(video: Video, config: FitConfig) -> tuple[float, float, float]:
    rough = alternatives.noisy(video)
    shown = applications.denoise(rough, config=config).frames
    frames = np.asarray(rough.frames)
    others = alternatives.temporal_mean(frames), alternatives.non_local_means(frames)
    first, second, third = (psnr_db(video.frames, result) for result in (shown, *others))
    return first, second, third
