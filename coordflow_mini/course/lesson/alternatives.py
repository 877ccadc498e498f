"""Chapter 07: baselines that work without layers."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coordflow_mini.coords import half_side
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.clip import Video
from coordflow_mini.video.raw import Frames

with lazily():  # belongs to the extra [lab]
    from skimage import registration, restoration

Masks = np.ndarray[Any, np.dtype[np.bool_]]


def changed(frames: Frames, threshold: float) -> Masks:
    """Masks of pixels that differ from the previous or next frame by more than `threshold` gray levels.

    frames: uint8 [time, height, width, 3], two or more.
    """
    gray = frames.astype(float).mean(-1)
    steps = np.abs(np.diff(gray, axis=0))
    most = np.concatenate([steps[:1], np.maximum(steps[:-1], steps[1:]), steps[-1:]])
    return np.asarray(most > threshold)


def biharmonic(frames: Frames, holes: Masks) -> Frames:
    """Frames with holes filled by biharmonic inpainting, frame by frame."""
    pairs = zip(frames, holes, strict=True)
    filled = [restoration.inpaint_biharmonic(frame, hole, channel_axis=-1) for frame, hole in pairs]
    return to_uint8(255 * np.stack(filled))


def enlarged(frames: Frames, factor: int = 2, *, lanczos: bool = False) -> Frames:
    """Frames enlarged `factor` times in both directions, bicubic or Lanczos."""
    how = Image.Resampling.LANCZOS if lanczos else Image.Resampling.BICUBIC
    size = factor * frames.shape[2], factor * frames.shape[1]
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, how)) for frame in frames])


def averaged(frames: Frames) -> Frames:
    """Frames in between, each the mean of its two neighbors."""
    return to_uint8((frames[:-1].astype(float) + frames[1:]) / 2)


def phase_correlation(frames: Frames) -> Tensor:
    """Transforms from the middle frame to each frame, shifts only, by phase correlation, [time, 4]."""
    gray = frames.astype(float).mean(-1)
    found = torch.zeros(len(frames), 4)
    for index, picture in enumerate(gray):
        down, right = registration.phase_cross_correlation(
            gray[len(gray) // 2], picture, upsample_factor=10, normalization=None
        )[0]
        found[index, 2:] = -torch.tensor([right, down]) / half_side(*picture.shape)
    return found


def noisy(video: Video, sigma: float = 25, seed: int = 0) -> Video:
    """The clip with Gaussian noise of standard deviation sigma [gray levels], clipped to 0..255."""
    noise = np.random.default_rng(seed).normal(0, sigma, video.frames.shape)
    return replace(video, frames=to_uint8(video.frames + noise), name=f"{video.name}, noisy")


def temporal_mean(frames: Frames) -> Frames:
    """Each frame averaged with its neighbors."""
    windows = [frames[max(0, i - 1) : i + 2] for i in range(len(frames))]
    return to_uint8(np.stack([window.astype(float).mean(0) for window in windows]))


def non_local_means(frames: Frames, sigma: float = 25) -> Frames:
    """Frames denoised by non-local means, frame by frame.

    Settings are the best of six tried on `clip:cutout` with sigma 25.
    """
    how = {"h": 0.6 * sigma / 255, "sigma": sigma / 255, "patch_size": 5, "patch_distance": 6}
    how |= {"fast_mode": True, "channel_axis": -1}
    shown = [restoration.denoise_nl_means(frame / 255, **how) for frame in frames]
    return to_uint8(255 * np.stack(shown))


def to_uint8(values: Any) -> Frames:
    """Values rounded and clipped to 0..255."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
