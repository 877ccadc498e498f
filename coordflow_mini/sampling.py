"""Batches of pixels: random pixels and patches of a clip, and a model's loss on them."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import frame_times, half_side, pixel_points
from coordflow_mini.draws import below, key_of, random_bits
from coordflow_mini.loss import LossTerms, guide_error, loss_terms, structure_loss
from coordflow_mini.model import Blend, training_dtype
from coordflow_mini.motion.measure import Motion
from coordflow_mini.video.clip import Video
from coordflow_mini.video.device import Clip, clip_on, colors_at, moved

Weights = Tensor | NDArray[Any]  # [time, height, width], how much each pixel counts
_MOST_FRAMES = 128  # a batch of 8192 then still holds 64 pixels of each
_PATCHES = 0x9A7C4E5  # turns a step's key into that of its patches


class Pixels(NamedTuple):
    """Pixels of a clip by number."""

    frames: Tensor  # [frames] int64, the frame of each row
    indices: Tensor  # [frames, pixels] int64, pixel in the frame in reading order


class Draw(NamedTuple):
    """What decides on the pixels of a batch; see `random_indices`."""

    pixels: int  # about as many
    key: int | Tensor
    frames: Tensor
    near: int | Tensor
    share: tuple[int, int]  # (number, count) of a process: each keeps its own part


class GatheredClip(NamedTuple):
    """The colors of one batch of a clip, which itself is too large for the device."""

    color: Tensor  # [frames, pixels, 3] in [0, 1]
    shape: Sequence[int]  # of the clip


class Guide(NamedTuple):
    """Measured owners of pixels on a device, and the weight that they have now; see `Motion`."""

    owner: Tensor  # [time, rows, columns] uint8, fewer than the pixels
    trust: Tensor  # float32, of the same shape
    weight: Tensor  # scalar

    def error(self, blend: Blend, pixels: Pixels, height: int, width: int) -> Tensor:
        """Weighted cross-entropy of a batch; see `loss.guide_error`."""
        _, rows, columns = self.owner.shape
        row = torch.div(pixels.indices, width, rounding_mode="floor")
        column = (pixels.indices - row * width) * columns
        row = torch.div(row * rows, height, rounding_mode="floor")
        place = row * columns + torch.div(column, width, rounding_mode="floor")
        frame = pixels.frames[:, None]
        owner, trust = (part.flatten(1)[frame, place] for part in (self.owner, self.trust))
        return self.weight * guide_error(blend, owner.long(), trust)


class PixelBatch(NamedTuple):
    """Pixels of a clip with their points and true colors."""

    points: Tensor  # [frames, pixels, 2]
    frames: Tensor  # [frames] int64, the frame of each row
    indices: Tensor  # [frames, pixels] int64, pixel in the frame in reading order
    color: Tensor  # [frames, pixels, 3] in [0, 1]


def random_indices(
    clip: Clip | GatheredClip, count: int, key: int | Tensor, frames: Tensor, near: int | Tensor | None = None
) -> Pixels:
    """About `count` random pixels, equally many of each frame, on the device of `frames`.

    With rows of equal length, everything that depends on time alone is computed once per frame and
    broadcast; equal shares also make the gradient less noisy than independent draws.  Of more than 128
    frames, one is drawn from each of 128 equal parts.
    key: see `draws`.  frames: [n] int64, the frames to draw from; if `near` is given, the first so many.
    """
    _, height, width, _ = clip.shape
    rows = min(len(frames), _MOST_FRAMES)
    bits = random_bits(key, (rows, 1 + max(1, count // rows)), frames.device)
    part = (torch.arange(rows, device=frames.device) << 32) + bits[:, 0]
    position = torch.div(part * (len(frames) if near is None else near) >> 32, rows, rounding_mode="floor")
    return Pixels(frames[position], below(bits[:, 1:], height * width))


def _drawn(clip: Clip | GatheredClip, draw: Draw) -> Pixels:
    frames, indices = random_indices(clip, draw.pixels, draw.key, draw.frames, draw.near)
    number, processes = draw.share
    part = indices.shape[1] // processes
    return Pixels(frames, indices[:, number * part : (number + 1) * part] if part else indices)


def _batch(clip: Clip | GatheredClip, pixels: Pixels) -> PixelBatch:
    _, height, width, _ = clip.shape
    frames, indices = pixels
    row = torch.div(indices, width, rounding_mode="floor")
    points = pixel_points((indices - row * width).float(), row.float(), height, width)
    color = clip.color if isinstance(clip, GatheredClip) else colors_at(clip, frames[:, None], indices)
    return PixelBatch(points, frames, indices, color)


def random_pixels(
    clip: Clip, count: int, key: int | Tensor, frames: Tensor, near: int | Tensor | None = None
) -> PixelBatch:
    """About `count` random pixels with points and colors; arguments as of `random_indices`."""
    return _batch(clip, random_indices(clip, count, key, frames, near))


class PatchBatch(NamedTuple):
    """Random square patches of a clip, for losses that look at neighborhoods."""

    points: Tensor  # [patches, height * width, 2]
    frames: Tensor  # [patches] int64
    color: Tensor  # [patches, height * width, 3] in [0, 1]
    height: int
    width: int


def random_patches(
    clip: Clip, key: int | Tensor, frames: Tensor, *, count: int = 4, side: int = 48
) -> PatchBatch:
    """`count` patches of side x side pixels (cropped to the clip's size), each from a random frame."""
    _, clip_height, clip_width, _ = clip.shape
    device, height, width = frames.device, min(side, clip_height), min(side, clip_width)
    which, row, column = random_bits(key, (3, count, 1, 1), device)
    frame = frames[below(which, len(frames))[:, 0, 0]]
    rows = below(row, clip_height - height + 1) + torch.arange(height, device=device)[:, None]
    columns = below(column, clip_width - width + 1) + torch.arange(width, device=device)
    rows, columns = torch.broadcast_tensors(rows, columns)
    points = pixel_points(columns.float(), rows.float(), clip_height, clip_width).flatten(1, 2)
    color = colors_at(clip, frame[:, None], (rows * clip_width + columns).flatten(1, 2))
    return PatchBatch(points, frame, color, height, width)


class Sampler:
    """Draws batches of a clip and computes a model's loss on them.

    weights: [time, height, width], how much each pixel counts.  frames: indices of the frames to learn from.
    share: (number, count); of `count` processes that draw the same batch, each keeps its own part.
    motion: as measured, to guide alpha by.  pixel_terms: the function of that name, or a compiled one.
    A clip that does not fit the device stays on the host, where the same pixels are drawn once more.
    """

    def __init__(
        self,
        video: Video,
        config: FitConfig,
        device: torch.device,
        *,
        weights: Weights | None = None,
        frames: Iterable[int] | None = None,
        motion: Motion | None = None,
    ):
        self.video, self.config, self.device = video, config, device
        self.clip = clip_on(video.frames, device)
        self.times = frame_times(video.time).to(device)
        chosen = _checked_frames(frames, video)
        distances = frame_times(video.time)[chosen].abs()
        order = torch.sort(distances, stable=True)
        self._order, self._distances = chosen[order.indices], order.values.tolist()
        self.frames = self._order.to(device)  # from the middle of the clip outwards
        self.weights = None if weights is None else _checked_weights(weights, video).to(device)
        if weights is not None and config.ms_ssim:
            raise ValueError("ms_ssim looks at neighborhoods and ignores weights; leave one of them out")
        self.guide = None if motion is None else _guide(motion, device)
        self.key, self.near = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
        self.dtype = training_dtype(device)
        self.share = (0, 1)
        self.pixel_terms = pixel_terms
        self.aim(0)

    def aim(self, step: int, reach: float = 1.0) -> None:
        """Choose the next batch: the one of this step, from frames with |t| up to `reach`."""
        near = bisect_right(self._distances, max(reach, self._distances[0]))
        self.drawn = key_of(self.config.seed, step), near
        self.key.fill_(self.drawn[0])
        self.near.fill_(near)
        if self.guide:
            self.guide.weight.fill_(self.config.guide * max(0.0, 1 - step / (_GUIDED * self.config.steps)))

    def pixels(self) -> Pixels:
        """The pixels of the batch; their number never changes."""
        return _drawn(self.clip, self._draw())

    def _draw(self) -> Draw:
        return Draw(self.config.batch, self.key, self.frames, self.near, self.share)

    def terms(self, model: nn.Module, dtype: torch.dtype | None = None) -> LossTerms:
        """Loss of a `CoordFlow`, or of a module that is called like one, on the batch."""
        dtype = dtype or self.dtype
        clip = self.clip if self._resident else self._gathered()
        given = self._draw(), self.weights, self.guide
        terms = self.pixel_terms(model, clip, self.times, *given, self.config, dtype)
        if not self.config.ms_ssim:
            return terms
        patch = self._patches()
        blend = model(patch.points, self.times[patch.frames], dtype)
        structure = structure_loss(blend, patch.color, patch.height, patch.width)
        return LossTerms(terms.total + self.config.ms_ssim * structure, terms.squared, terms.layer)

    @property
    def _resident(self) -> bool:
        """False for a clip that stays on the host."""
        return self.clip.device.type == self.device.type

    def _gathered(self) -> GatheredClip:
        """The colors of the batch, from a clip on the host."""
        key, near = self.drawn
        frames, indices = _drawn(self.clip, self._draw()._replace(key=key, frames=self._order, near=near))
        color = colors_at(self.clip, frames[:, None], indices)
        return GatheredClip(moved(color, self.device), self.clip.shape)

    def _patches(self) -> PatchBatch:
        if self._resident:
            return random_patches(self.clip, self.key ^ _PATCHES, self.frames)
        patch = random_patches(self.clip, self.drawn[0] ^ _PATCHES, self._order)
        points, frames, color = (moved(part, self.device) for part in patch[:3])
        return PatchBatch(points, frames, color, patch.height, patch.width)


def pixel_terms(
    model: nn.Module,
    clip: Clip | GatheredClip,
    times: Tensor,
    draw: Draw,
    weights: Tensor | None,
    guide: Guide | None,
    config: FitConfig,
    dtype: torch.dtype,
) -> LossTerms:
    """Loss of single pixels: nearly all that a training step computes, in one function to be compiled."""
    batch = _batch(clip, _drawn(clip, draw))
    blend = model(batch.points, times[batch.frames], dtype)
    weight = None if weights is None else weights[batch.frames[:, None], batch.indices]
    terms = loss_terms(blend, batch.color, config, weight)
    if guide is None:
        return terms
    error = guide.error(blend, Pixels(batch.frames, batch.indices), *clip.shape[1:3])
    return replace(terms, total=terms.total + error)


_GUIDED = 0.4  # part of all steps in which measured owners guide alpha
_UNSURE = 0.3  # weight of a pixel without tracks nearby


def _guide(motion: Motion, device: torch.device) -> Guide:
    owner, trust = torch.from_numpy(motion.owner), torch.where(torch.from_numpy(motion.sure), 1.0, _UNSURE)
    return Guide(owner.to(device), trust.to(device), torch.zeros((), device=device))


def default_model(video: Video) -> ModelConfig:
    """The default model, except for its width, which follows from the bit rate.

    The highest frequency follows from the resolution: a quarter of what the pixels can represent, because
    the sine layers add harmonics.
    """
    half = half_side(video.height, video.width)
    return ModelConfig(highest_frequency=max(4.0, round(half / 4)))


def _checked_frames(frames: Iterable[int] | None, video: Video) -> Tensor:
    """Frame indices to learn from, int64; all of them if None.  Raises ValueError."""
    chosen = [float(index) for index in (range(video.time) if frames is None else frames)]
    if not chosen or not all(index in range(video.time) for index in chosen):
        raise ValueError(f"frames must be indices from 0 to {video.time - 1}, at least one, got {chosen[:8]}")
    return torch.tensor(chosen).long()


def _checked_weights(weights: Weights, video: Video) -> Tensor:
    """Weights of pixels, float32 [time, height * width].  Raises ValueError."""
    values, shape = torch.as_tensor(weights).float(), video.frames.shape[:3]
    if values.shape != shape or not (torch.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"weights must be finite, not negative, and [time, height, width] = {shape}, got "
            f"{tuple(values.shape)} with values from {values.min():g} to {values.max():g}"
        )
    return values.flatten(1)
