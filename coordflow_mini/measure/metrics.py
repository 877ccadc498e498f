"""Quality and rate: PSNR, MS-SSIM, bits per pixel, overlap of masks, BD-rate.

Clips are uint8 [time, height, width, 3], NumPy arrays, or tensors, which are compared on their device.
Quality is measured frame by frame on the 8-bit frames that a viewer gets, then averaged over frames.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from coordflow_mini.ops.lazy import lazily

with lazily():
    import bjontegaard
    import torch
    from torch.nn import functional

if TYPE_CHECKING:
    from coordflow_mini.video.clip import Video

PSNR_CAP = 100.0
"""PSNR of identical frames [dB]; infinity would swallow the mean over frames."""

_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003, finest scale first
_WINDOW = 11  # pixels; the Gaussian window of SSIM


def psnr_db(reference: Any, decoded: Any) -> float:
    """Peak signal-to-noise ratio in RGB [dB]: 10 log10(255² / MSE) per frame, then the mean over frames.

    At most `PSNR_CAP`.  The mean of PSNRs is the field's convention; it is not the PSNR of the mean error.
    Raises ValueError unless both clips are uint8 of one shape.  Taught in chapter 01.

    >>> black = np.zeros((2, 4, 4, 3), np.uint8)
    >>> psnr_db(black, black), round(psnr_db(black, black + 255), 6)
    (100.0, 0.0)
    """
    return float(frame_psnr_db(reference, decoded).mean())


def frame_psnr_db(reference: Any, decoded: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """PSNR of every frame [dB], float64 [time]; see `psnr_db`."""
    errors = [_squared_error(a, b) for a, b in _frame_pairs(reference, decoded)]
    return np.array(
        [min(PSNR_CAP, 10 * math.log10(255**2 / error)) if error else PSNR_CAP for error in errors]
    )


def _squared_error(a: Any, b: Any) -> float:
    """Mean squared difference of two frames; the same number for arrays and tensors, whose sums are exact."""
    if hasattr(a, "detach") and hasattr(b, "detach"):
        total = (a.short() - b.short()).int().square().sum(dtype=torch.int64)  # uint8 would wrap around
        return int(total) / a.numel()
    difference = as_numpy(a).astype(np.int16) - as_numpy(b)
    return float(np.square(difference, dtype=np.int32).mean())


def ms_ssim(reference: Any, decoded: Any) -> float:
    """Multi-scale structural similarity, at most 1 (identical): per frame, then the mean over frames.

    R, G and B count equally.  Frames below 176x176 pixels get fewer than the usual five scales (see
    `ssim_scales`), so values of small and large clips cannot be compared.  NaN below 11x11 pixels.
    Wang, Simoncelli, Bovik, "Multi-scale structural similarity", 2003; the values are those of torchmetrics.
    Raises ValueError unless both clips are uint8 of one shape.
    """
    pairs = _frame_pairs(reference, decoded)
    scales = ssim_scales(*reference.shape[1:3])
    device = getattr(decoded, "device", "cpu")

    def batch(frame: Any) -> "torch.Tensor":
        frame = frame if hasattr(frame, "detach") else torch.from_numpy(np.ascontiguousarray(frame))
        return frame.to(device).permute(2, 0, 1)[None].float()

    with torch.no_grad():
        values = [float(_multiscale(batch(b), batch(a), scales, 255.0)) for a, b in pairs if scales]
    return float(np.mean(values)) if values else math.nan


def _multiscale(
    decoded: "torch.Tensor", reference: "torch.Tensor", scales: int, peak: float
) -> "torch.Tensor":
    """MS-SSIM of pictures [n, 3, height, width] over the finest `scales` scales, differentiable."""
    pair, result = (decoded.contiguous(), reference.contiguous()), decoded.new_ones(len(decoded))
    for scale, beta in enumerate(_BETAS[:scales]):
        similar = _similarity(*pair, peak, coarsest=scale == scales - 1)
        result = result * similar.relu() ** (beta * sum(_BETAS) / sum(_BETAS[:scales]))
        pair = functional.avg_pool2d(pair[0], 2), functional.avg_pool2d(pair[1], 2)
    return result.mean()


def _similarity(
    decoded: "torch.Tensor", reference: "torch.Tensor", peak: float, *, coarsest: bool
) -> "torch.Tensor":
    """Mean similarity of contrast and structure, and at the coarsest scale of luminance, [n].

    Without PyTorch's reflection padding, whose gradient adds in any order on a GPU, and contiguous, since
    cuDNN would round channels that come last to TF32.
    """
    a, b = (_mirrored(decoded), _mirrored(reference)) if coarsest else (decoded, reference)
    distance = torch.arange(-(_WINDOW // 2), _WINDOW // 2 + 1, device=a.device)
    bell = torch.exp(-((distance / 1.5) ** 2) / 2)
    bell = bell / bell.sum()
    window = (bell[:, None] * bell).expand(3, 1, -1, -1)
    means = functional.conv2d(torch.cat([a, b, a * a, b * b, a * b]), window, groups=3)
    a, b, aa, bb, ab = means.chunk(5)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    variances = (aa - a * a).clamp(min=0) + (bb - b * b).clamp(min=0)
    upper, lower = 2 * (ab - a * b) + c2, variances + c2
    if coarsest:
        upper, lower = (2 * (a * b) + c1) * upper, (a * a + b * b + c1) * lower
    return (upper / lower).flatten(1).mean(1)


def _mirrored(pictures: "torch.Tensor") -> "torch.Tensor":
    """Pictures with half a window more at each side, where they are reflected."""
    half = _WINDOW // 2
    for axis in (-1, -2):
        first = pictures.narrow(axis, 1, half).flip(axis)
        last = pictures.narrow(axis, pictures.shape[axis] - 1 - half, half).flip(axis)
        pictures = torch.cat([first, pictures, last], axis)
    return pictures


def ms_ssim_loss(decoded: "torch.Tensor", reference: "torch.Tensor") -> "torch.Tensor":
    """1 - MS-SSIM of pictures [n, 3, height, width] with values in [0, 1]: a differentiable scalar.

    Raises ValueError if a side is below 11 pixels.
    """
    scales = ssim_scales(*reference.shape[-2:])
    if not scales:
        raise ValueError(
            f"MS-SSIM needs pictures of at least 11x11 pixels, got {tuple(reference.shape[-2:])}"
        )
    return 1 - _multiscale(decoded, reference, scales, 1.0)


def ssim_scales(height: int, width: int) -> int:
    """Number of scales of MS-SSIM that fit frames of this size, 0 to 5; their weights are renormalized.

    By the smaller side: five from 176 pixels, four from 99, three from 44, two from 22, one from 11.
    The 11-pixel window must fit the coarsest scale, side // 2^(scales - 1), and torchmetrics also wants it to
    fit side // (scales - 1)².

    >>> ssim_scales(1080, 1920), ssim_scales(108, 192), ssim_scales(64, 96), ssim_scales(8, 8)
    (5, 4, 3, 0)
    """
    side = min(height, width)
    fits = [n for n in range(1, len(_BETAS) + 1) if side // max(2 ** (n - 1), (n - 1) ** 2) >= _WINDOW]
    return max(fits, default=0)


def bits_per_pixel(size: int, video: "Video | int") -> float:
    """Rate of a file of `size` bytes: 8·size / (time·height·width).  A pixel counts once, not per channel.

    video: a `Video`, or its number of pixels in all frames.  Taught in chapter 02.

    >>> bits_per_pixel(18_662, 96 * 108 * 192)
    0.07499839248971193
    """
    pixels = video if isinstance(video, int) else video.pixels
    if size < 0 or pixels < 1:
        raise ValueError(f"expected bytes >= 0 and pixels >= 1, got {size} bytes for {pixels} pixels")
    return 8 * size / pixels


def iou(mask: Any, truth: Any) -> float:
    """Intersection over union of two boolean masks of one shape, in [0, 1]; 1 if both are empty.

    Raises ValueError if they are not boolean or differ in shape.  Taught in chapter 05.

    >>> iou(np.array([True, True, False]), np.array([False, True, True]))
    0.3333333333333333
    """
    mask, truth = as_numpy(mask), as_numpy(truth)
    if mask.dtype != bool or truth.dtype != bool or mask.shape != truth.shape:
        raise ValueError(
            f"masks must be boolean and of one shape, got {mask.dtype} {mask.shape} and "
            f"{truth.dtype} {truth.shape}; compare weights with 0.5 first"
        )
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0


@dataclass(frozen=True)
class LayerMatch:
    """An assignment of found layers to true layers.

    order: order[i] is the found layer that matches true layer i.  ious: one per true layer.
    """

    order: tuple[int, ...]
    ious: tuple[float, ...]

    @property
    def iou(self) -> float:
        """Mean over the true layers."""
        return sum(self.ious) / len(self.ious)


def match_layers(masks: Any, truths: Any) -> LayerMatch:
    """The assignment of found layers to true layers with the best mean IoU.

    A fit does not know which layer is the object, so layers are compared up to a permutation.
    masks: bool [layers, ...].  truths: bool [true layers, ...], at most as many.
    With `truths = mask[None]` this finds the foreground layer.

    >>> object_ = np.array([True, False, False])
    >>> match_layers(np.stack([~object_, object_]), object_[None])
    LayerMatch(order=(1,), ious=(1.0,))
    """
    masks, truths = as_numpy(masks), as_numpy(truths)
    if masks.shape[1:] != truths.shape[1:] or not 1 <= len(truths) <= len(masks):
        raise ValueError(
            f"expected masks [layers, ...] and at most as many truths of the same shape, "
            f"got {masks.shape} and {truths.shape}"
        )
    table = [[iou(mask, truth) for mask in masks] for truth in truths]
    order = max(
        permutations(range(len(masks)), len(truths)),
        key=lambda order: sum(row[layer] for row, layer in zip(table, order, strict=True)),
    )
    return LayerMatch(order, tuple(row[layer] for row, layer in zip(table, order, strict=True)))


def bd_rate(
    anchor_rates: Sequence[float],
    anchor_psnr_db: Sequence[float],
    rates: Sequence[float],
    psnr_db: Sequence[float],
) -> float:
    """Mean difference in rate at equal quality [percent]; negative means fewer bits than the anchor.

    Bjøntegaard, VCEG-M33, 2001: both curves, log(rate) over PSNR, are interpolated by a monotone cubic
    (PCHIP) and integrated over the PSNRs that both reach, without extrapolation.
    Raises ValueError if the curves share no range, have fewer than two points, or do not rise.
    Taught in chapter 09.

    >>> round(bd_rate([0.1, 0.2, 0.4, 0.8], [30, 33, 36, 39], [0.05, 0.1, 0.2, 0.4], [30, 33, 36, 39]), 6)
    -50.0
    """
    curves = _curve(anchor_rates, anchor_psnr_db), _curve(rates, psnr_db)
    return _bjontegaard(bjontegaard.bd_rate, curves, 1, "PSNR [dB]")


def bd_psnr(
    anchor_rates: Sequence[float],
    anchor_psnr_db: Sequence[float],
    rates: Sequence[float],
    psnr_db: Sequence[float],
) -> float:
    """Mean difference in PSNR at equal rate [dB]; positive means better than the anchor.

    As `bd_rate`, but PSNR over log(rate), integrated over the rates that both curves reach.
    Raises ValueError if the curves share no range, have fewer than two points, or do not rise.

    >>> round(bd_psnr([0.1, 0.2, 0.4, 0.8], [30, 33, 36, 39], [0.05, 0.1, 0.2, 0.4], [30, 33, 36, 39]), 6)
    3.0
    """
    curves = _curve(anchor_rates, anchor_psnr_db), _curve(rates, psnr_db)
    return _bjontegaard(bjontegaard.bd_psnr, curves, 0, "rates [bpp]")


def _bjontegaard(measure: Callable[..., Any], curves: Sequence[Any], axis: int, what: str) -> float:
    """`measure` of two curves that share a range of the axis: 0 is the rate, 1 the PSNR."""
    (a, b), (c, d) = ((curve[axis][0], curve[axis][-1]) for curve in curves)
    if max(a, c) >= min(b, d):
        raise ValueError(
            f"the curves share no range of {what}: {a:.4g} to {b:.4g} and {c:.4g} to {d:.4g}; "
            f"measure more rates, so that both cover one range"
        )
    (anchor, curve), matching = curves, {"require_matching_points": False, "min_overlap": 0}
    return float(measure(*anchor, *curve, method="pchip", **matching))


def _curve(rates: Sequence[float], psnr_db: Sequence[float]) -> tuple[Any, Any]:
    """Rates and PSNRs of one curve, sorted by rate and checked to rise."""
    rate, quality = np.asarray(rates, float), np.asarray(psnr_db, float)
    if rate.ndim != 1 or rate.shape != quality.shape or len(rate) < 2 or not (rate > 0).all():
        raise ValueError(
            f"a curve needs two or more positive rates, each with its PSNR, got {list(rates)} and "
            f"{list(psnr_db)}"
        )
    order = np.argsort(rate)
    rate, quality = rate[order], quality[order]
    if not ((np.diff(rate) > 0).all() and (np.diff(quality) > 0).all()):
        raise ValueError(
            f"PSNR must rise with the rate, got {quality.tolist()} dB at {rate.tolist()}; "
            f"leave out points that a smaller rate beats"
        )
    return rate, quality


def as_numpy(value: Any) -> np.ndarray[Any, Any]:
    """A NumPy view of an array or tensor; a copy if the tensor is on a GPU."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _frame_pairs(reference: Any, decoded: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of frames; types and shapes are checked at the call."""
    for clip in (reference, decoded):
        kind, shape = str(getattr(clip, "dtype", type(clip).__name__)), tuple(getattr(clip, "shape", ()))
        if kind.removeprefix("torch.") != "uint8" or len(shape) != 4 or shape[3] != 3 or not shape[0]:
            raise ValueError(
                f"frames must be uint8 [time, height, width, 3], got {kind} {shape}; "
                f"round to 8 bits first, as the decoder does"
            )
    if tuple(reference.shape) != tuple(decoded.shape):
        raise ValueError(
            f"both clips must have one shape, got {tuple(reference.shape)} and {tuple(decoded.shape)}"
        )
    return zip(reference, decoded, strict=True)
