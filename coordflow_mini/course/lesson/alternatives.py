"""What one would do without layers: the baselines of chapter 07, and a table of both on film.

scikit-image is imported where it is used: only this chapter needs it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coordflow_mini import applications
from coordflow_mini.config import FitConfig, Selection
from coordflow_mini.coords import frame_times, half_side
from coordflow_mini.course.lesson import gains
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.train import default_model, fit
from coordflow_mini.video import read as clips
from coordflow_mini.video.clip import Frames, Video

__all__ = [
    "averaged",
    "biharmonic",
    "changed",
    "crossing",
    "enlarged",
    "noisy",
    "non_local_means",
    "on_film",
    "phase_correlation",
    "temporal_mean",
]

Masks = np.ndarray[Any, np.dtype[np.bool_]]


def changed(frames: Frames, threshold: float) -> Masks:
    """Where a frame differs from the one before or after by more than so many gray levels, bool.

    frames: uint8 [time, height, width, 3], two or more.
    """
    gray = frames.astype(float).mean(-1)
    steps = np.abs(np.diff(gray, axis=0))
    most = np.concatenate([steps[:1], np.maximum(steps[:-1], steps[1:]), steps[-1:]])
    return np.asarray(most > threshold)


def biharmonic(frames: Frames, holes: Masks) -> Frames:
    """Holes filled from their edges by the smoothest surface, each frame by itself."""
    from skimage.restoration import inpaint_biharmonic

    pairs = zip(frames, holes, strict=True)
    filled = [inpaint_biharmonic(frame, hole, channel_axis=-1) for frame, hole in pairs]
    return _to_uint8(255 * np.stack(filled))


def enlarged(frames: Frames, factor: int = 2, *, lanczos: bool = False) -> Frames:
    """Frames at `factor` times their width and height, bicubic or Lanczos."""
    how = Image.Resampling.LANCZOS if lanczos else Image.Resampling.BICUBIC
    size = factor * frames.shape[2], factor * frames.shape[1]
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, how)) for frame in frames])


def averaged(frames: Frames) -> Frames:
    """The frame between each frame and the next as the mean of both."""
    return _to_uint8((frames[:-1].astype(float) + frames[1:]) / 2)


def phase_correlation(frames: Frames) -> Tensor:
    """Where the middle frame's points lie in each frame if only shifts are tried, [time, 4]."""
    from skimage.registration import phase_cross_correlation

    gray = frames.astype(float).mean(-1)
    found = torch.zeros(len(frames), 4)
    for index, picture in enumerate(gray):
        down, right = phase_cross_correlation(
            gray[len(gray) // 2], picture, upsample_factor=10, normalization=None
        )[0]
        found[index, 2:] = -torch.tensor([right, down]) / half_side(*picture.shape)
    return found


def noisy(video: Video, sigma: float = 25, seed: int = 0) -> Video:
    """The clip with Gaussian noise of standard deviation sigma [gray levels], cut off at 0 and 255."""
    noise = np.random.default_rng(seed).normal(0, sigma, video.frames.shape)
    return replace(video, frames=_to_uint8(video.frames + noise), name=f"{video.name}, noisy")


def temporal_mean(frames: Frames) -> Frames:
    """Every frame as the mean of itself and its neighbors."""
    windows = [frames[max(0, i - 1) : i + 2] for i in range(len(frames))]
    return _to_uint8(np.stack([window.astype(float).mean(0) for window in windows]))


def non_local_means(frames: Frames, sigma: float = 25) -> Frames:
    """Every pixel as the mean of those whose surroundings look alike, each frame by itself.

    Settings: the best of six that were tried on `clip:cutout` with sigma 25.
    """
    from skimage.restoration import denoise_nl_means

    how = {"h": 0.6 * sigma / 255, "sigma": sigma / 255, "patch_size": 5, "patch_distance": 6}
    shown = [denoise_nl_means(frame / 255, **how, fast_mode=True, channel_axis=-1) for frame in frames]
    return _to_uint8(255 * np.stack(shown))


def _to_uint8(values: Any) -> Frames:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- measured once


def on_film() -> Iterator[dict[str, str | float]]:
    """Chapter 07: layers and alternatives [dB] on Big Buck Bunny and a slow `cutout`; 3 minutes of one core.

    25 frames of bunny, every fourth one, at 96x54; `slow` is `cutout` with 193 frames, `cutout` has 25.
    """
    film = clips.load("clip:bunny", Selection(0, 97, 4, 96, 54))
    large = clips.load("clip:bunny", Selection(0, 97, 4, 192, 108))
    slow = clips.cutout(frames=193).video
    for seed in range(3):
        config = FitConfig(steps=1000, batch=4096, seed=seed)
        yield _row("slow", "interpolation", seed, *_between(slow, config))
        yield _row("cutout", "upsampling of one frame", seed, *_single(config))
        model = fit(film, default_model(film), config, frames=range(0, film.time, 2)).model
        shown = applications.upscale(model, 2, film).frames
        bicubic, lanczos = (enlarged(np.asarray(film.frames), lanczos=best) for best in (False, True))
        alternatives = [psnr_db(large.frames, other) for other in (bicubic, lanczos)]
        yield _row("bunny", "upsampling", seed, psnr_db(large.frames, shown), *alternatives)
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
    """The middle frame of `cutout`, enlarged by a layer that saw no other one; bicubic; Lanczos."""
    video, large = (clips.cutout(side * 64, side * 96, frames=25).video for side in (1, 2))
    shape = replace(default_model(video), layers=1)
    model = fit(video, shape, replace(config, steps=600), frames=[12]).model
    shown = applications.upscale(model, 2, video).frames
    others = (enlarged(np.asarray(video.frames), lanczos=best) for best in (False, True))
    first, second, third = (psnr_db(large.frames[12:13], frames[12:13]) for frames in (shown, *others))
    return first, second, third


def _odd(video: Video, model: Any) -> tuple[float, float]:
    """Frames that were not seen: as the model has them, and as means of their neighbors."""
    hidden = video.frames[1::2]
    times = frame_times(video.time)[1::2]
    shown = model.render(times, video.height, video.width).rgb.numpy()
    return psnr_db(hidden, shown), psnr_db(hidden, averaged(np.asarray(video.frames)[::2]))


def crossing(time: int, height: int, width: int) -> Masks:
    """A box that crosses the picture, as holes, bool [time, height, width]."""
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
    still = np.broadcast_to(_to_uint8(255 * median.numpy()), video.frames.shape)
    truth, filled = np.asarray(video.frames), applications.inpaint(video, holes, config=config)
    shown = np.asarray(filled.frames), still, biharmonic(truth, holes)
    first, second, third = (gains.hole_db(frames, truth, holes) for frames in shown)
    return first, second, third


def _denoised(video: Video, config: FitConfig) -> tuple[float, float, float]:
    rough = noisy(video)
    shown = applications.denoise(rough, config=config).frames
    others = temporal_mean(np.asarray(rough.frames)), non_local_means(np.asarray(rough.frames))
    first, second, third = (psnr_db(video.frames, frames) for frames in (shown, *others))
    return first, second, third
