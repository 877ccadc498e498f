"""Motion measured before training: a few similarity trajectories that explain a clip's tracks.

A gradient finds only motions smaller than the structures that a network already shows.  So the motion of
ordinary footage is measured first: points are tracked (see `tracks`), and each track is given to one of a
few trajectories, as k-means gives points to centers.  A trajectory is a similarity per frame, frame ->
canonical; a track belongs to it as far as its canonical position stands still.

    candidates   tracks that move alike from one frame to the next (RANSAC), followed through the whole clip
    choice       the candidate that explains most, then those that explain most of the rest
    refinement   tracks to their nearest trajectory, trajectories to their tracks, a few times

This is ours; in the paper, motion is learned from scratch (`FitConfig.flow_start`).  Layer 0 is the
background: the trajectory of most tracks near the edges of the frames.  Points are complex numbers x + iy.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.motion.tracks import LONG_SIDE, Tracks, tracks
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.clip import Video

with lazily():
    import cv2

MOST_LAYERS = 4

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

# Lengths in coordinate units; a frame is 2 units long.
_PIXEL = 2 / LONG_SIDE
_EXACT = 1.5 * _PIXEL  # error of a track that fits its trajectory well
_EXPLAINED = 5 * _PIXEL  # largest error of a track that its trajectory explains: parallax, perspective
_TIE = 3 * _PIXEL  # a track that the background misses by less belongs to the background
_LOST = 40 * _PIXEL  # all larger errors count alike

_EDGE = 0.2  # width of the strip along the edges of a frame in which the background is looked for
_TRACKS = 1500  # that candidates are judged by
_MOMENTS = 8  # in which candidates are looked for
_ALIKE = 3  # candidates of a moment
_PAIRS = 200  # of tracks, each of which suggests a motion
_RECENT = 10  # frames in which the tracks of a candidate have to stand still to be followed further
_LEAST_TRACKS = 6

_LEAST_SHARE, _LEAST_FRAMES = 0.03, 0.3  # of the tracks, in a share of the frames: what is worth a layer
_EXPLAINS_ALL = 0.4  # cost of the tracks that needs no further layer
_SECOND_SAVES, _MORE_SAVE = 0.05, 0.3  # of the cost: a third layer takes room from the others
_LEAST_EXPLAINED = 0.5  # by all layers, or motion is not measured but learned


class Trajectory(NamedTuple):
    """A trajectory: frame k maps z to a[k] z + b[k] in its canonical frame."""

    a: Complex  # [time]
    b: Complex  # [time]


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of the layers of a clip, as measured.

    transforms: [layers, time, 4], frame -> canonical, see `similarity`; no change in the middle frame.
    owner: uint8 [time, height, width], the layer that tracks near a pixel belong to; smaller than the frames.
    sure: bool, of the same shape: False where there are no tracks, and the background is a guess.
    explained: share of the textured pixels whose motion the layers explain.
    """

    transforms: Tensor = field(repr=False)
    owner: NDArray[np.uint8] = field(repr=False)
    sure: NDArray[np.bool_] = field(repr=False)
    explained: float

    @property
    def layers(self) -> int:
        """Number of trajectories."""
        return len(self.transforms)


def measure(video: Video, layers: int | None = None) -> Motion | None:
    """The motion of a clip; None if no similarities explain half of its textured pixels.

    layers: number of trajectories; None: as many as are worth a layer, 1 to 4.
    """
    found, rng = tracks(video), np.random.default_rng(0)
    some = np.sort(rng.permutation(len(found.points))[:_TRACKS])
    part = Tracks(found.points[some], found.seen[some])
    candidates = _candidates(part, rng) if len(some) >= 2 * _LEAST_TRACKS else []
    if not candidates:
        return None
    paths = _background_first(part, _chosen(part, candidates, layers))
    transforms = torch.stack([_transforms(path) for path in paths])
    errors = np.stack([_errors(found, path) for path in paths])
    length = found.seen.sum(1)
    explained = float(length[errors.min(0) < _EXPLAINED].sum() / length.sum())
    if explained < _LEAST_EXPLAINED or not torch.isfinite(transforms).all():
        return None
    owner, sure = _map(found, _owners(errors), len(paths), video.height / video.width)
    return Motion(transforms, owner, sure, explained)


def started(
    video: Video, model: ModelConfig, config: FitConfig, motion: Motion | None
) -> tuple[FitConfig, Motion | None]:
    """The motion that the flow starts from, if any, and the settings of such a start.  Raises ValueError."""
    if config.flow_start == "random" or model.motion == "none":
        return replace(config, flow_start="random"), None
    motion = motion or measure(video, model.layers)
    if motion and motion.layers != model.layers:
        raise ValueError(f"motion has {motion.layers} layers, and the model {model.layers}")
    return (config, motion) if motion else (replace(config, flow_start="random"), None)


# --- candidates -----------------------------------------------------------------------------------


def _candidates(found: Tracks, rng: np.random.Generator) -> list[Trajectory]:
    """Trajectories of groups of tracks that move alike at some moments of the clip."""
    time = found.seen.shape[1]
    moments = np.unique(np.linspace(0.04 * time, 0.96 * time - 2, _MOMENTS).astype(int).clip(0, time - 2))
    return [_followed(found, frame, group) for frame in moments for group in _alike(found, frame, rng)]


def _alike(found: Tracks, frame: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The largest groups of tracks with one similarity from a frame to the next, largest first."""
    rest = np.flatnonzero(found.seen[:, frame] & found.seen[:, frame + 1])
    groups: list[NDArray[np.int64]] = []
    while len(groups) < _ALIKE and len(rest) > _LEAST_TRACKS:
        x, y = found.points[rest, frame], found.points[rest, frame + 1]
        one = rng.integers(0, len(rest), _PAIRS)
        others = rng.integers(0, len(rest), (_PAIRS, 8))  # of eight, the nearest that is not too near
        distance = np.abs(x[others] - x[one, None])
        distance[distance < 6 * _PIXEL] = np.inf
        two = others[np.arange(_PAIRS), distance.argmin(1)]
        with np.errstate(all="ignore"):
            a = (y[two] - y[one]) / (x[two] - x[one])
            b = y[one] - a * x[one]
            misses = np.abs(a[:, None] * x + b[:, None] - y)
            score = np.nan_to_num((1 / (1 + (misses / _EXACT) ** 2)).sum(1))
        alike = misses[score.argmax()] < _EXACT
        if alike.sum() < _LEAST_TRACKS:
            break
        groups.append(rest[alike])
        rest = rest[~alike]
    return groups


def _followed(found: Tracks, frame: int, group: NDArray[np.int64]) -> Trajectory:
    """The trajectory of a group of tracks, and of those that join it, from a moment to both ends of the clip.

    In each frame, the canonical positions so far of the tracks that stand still are the targets of the next
    similarity.  Where too few are left, as behind an obstacle, the motion goes on at its speed.
    """
    points, seen = found
    time = seen.shape[1]
    path = Trajectory(np.ones(time, complex), np.zeros(time, complex))
    path.a[frame + 1], path.b[frame + 1] = _robust(points[group, frame + 1], points[group, frame])
    for way in (1, -1):
        k, joined = (frame + 1 if way == 1 else frame), np.isin(np.arange(len(points)), group)
        while 0 <= k + way < time:
            after, last = k + way, np.arange(k, np.clip(k - way * _RECENT, -1, time), -way)
            last = last[(last - frame) * way >= min(0, way)]
            a, b = path.a[k], path.b[k]
            mean, error, count = _standing(found, path, last)
            good = seen[:, k] & seen[:, after] & (error < _EXPLAINED * abs(a))
            good &= joined if len(last) < 5 else count > 1
            if good.sum() >= _LEAST_TRACKS:
                step = _robust(points[good, after], points[good, k])
                start = a * step[0], a * step[1] + b
                path.a[after], path.b[after] = _robust(points[good, after], mean[good], start, abs(a))
            else:
                speed = a / path.a[k - way], (b - path.b[k - way]) / path.a[k - way]
                path.a[after], path.b[after] = a * speed[0], a * speed[1] + b
            k = after
    return path


def _standing(found: Tracks, path: Trajectory, frames: Any = slice(None)) -> tuple[Complex, Real, Real]:
    """Mean canonical position of every track in some frames, its deviation from it, and its frames."""
    seen = found.seen[:, frames]
    count = seen.sum(1)
    place = np.where(seen, path.a[frames] * found.points[:, frames] + path.b[frames], 0)
    mean = place.sum(1) / np.maximum(count, 1)
    square = (seen * np.abs(place - mean[:, None]) ** 2).sum(1) / np.maximum(count, 1)
    return mean, np.sqrt(square), count


def _robust(
    x: Complex, y: Complex, start: tuple[Any, Any] | None = None, scale: float = 1.0
) -> tuple[Any, Any]:
    """The similarity of most points x to y, by reweighted least squares: large errors count little."""
    if start is None:
        start = 1.0, complex(np.median((y - x).real), np.median((y - x).imag))
    a, b = start
    for _ in range(4):
        weight = 1 / (1 + (np.abs(a * x + b - y) / (scale * _EXACT)) ** 2)
        a, b = _fitted(x, y, weight)
    return a, b


def _fitted(x: Complex, y: Complex, weight: Real) -> tuple[Any, Any]:
    """Least-squares a, b of y ≈ a x + b along the last axis."""
    total = weight.sum(-1) + 1e-12
    mean_x, mean_y = (weight * x).sum(-1) / total, (weight * y).sum(-1) / total
    centered = x - mean_x[..., None]
    spread = (weight * np.abs(centered) ** 2).sum(-1) + 1e-12
    a = (weight * centered.conj() * (y - mean_y[..., None])).sum(-1) / spread
    return a, mean_y - a * mean_x


# --- choice and refinement ------------------------------------------------------------------------


def _errors(found: Tracks, path: Trajectory) -> Real:
    """Deviation of every track's canonical position from its mean, as seen in the frames, [tracks]."""
    _, error, length = _standing(found, path)
    return np.asarray(error / np.maximum((found.seen * np.abs(path.a)).sum(1) / length, 1e-6))


def _cost(errors: Real) -> Real:
    """Price of an error: the logarithm forgives outliers."""
    return np.log1p((np.minimum(errors, _LOST) / _EXACT) ** 2)


def _chosen(found: Tracks, candidates: list[Trajectory], layers: int | None) -> list[Trajectory]:
    """The best candidates one after another, then all of them refined together."""
    errors = [_errors(found, path) for path in candidates]
    length, time = found.seen.sum(1), found.seen.shape[1]
    paths: list[Trajectory] = []
    best = np.full(len(found.points), np.inf)
    while len(paths) < (layers or MOST_LAYERS):
        gains = [_cost(best) - _cost(np.minimum(best, error)) for error in errors]
        if paths:  # a gain in all frames is worth more than a larger one in a few
            worth = [np.sqrt(gain @ found.seen).sum() ** 2 / time for gain in gains]
        else:
            worth = [gain @ length for gain in gains]
        number = int(np.argmax(worth))
        path = _refined(found, candidates[number], (errors[number] < best).astype(float), 4)
        more = _together(found, [*paths, path])
        if layers is None and paths and not _is_worth_a_layer(found, paths, more):
            break
        paths = more
        best = np.min([_errors(found, path) for path in paths], axis=0)
    return paths


def _together(found: Tracks, paths: list[Trajectory]) -> list[Trajectory]:
    """All trajectories, each fitted to the tracks that are nearest to it, four times over."""
    for _ in range(4 if len(paths) > 1 else 0):
        nearest = np.argmin([_errors(found, path) for path in paths], axis=0)
        paths = [_refined(found, path, (nearest == i).astype(float), 2) for i, path in enumerate(paths)]
    return paths


def _refined(found: Tracks, path: Trajectory, weight: Real, times: int) -> Trajectory:
    """The trajectory fitted to its tracks in all frames at once: each keeps its mean canonical position."""
    points, seen = found
    for _ in range(times):
        mean = _standing(found, path)[0]
        own = np.abs(path.a * points + path.b - mean[:, None]) / np.maximum(np.abs(path.a), 1e-6)
        trust = seen * (weight / (1 + (_errors(found, path) / _EXACT) ** 2))[:, None]
        trust = (trust / (1 + (own / _EXACT) ** 2)).T
        a, b = _fitted(points.T, np.broadcast_to(mean, points.T.shape), trust)
        enough = trust.sum(1) > _LEAST_TRACKS / 2
        path = Trajectory(np.where(enough, a, path.a), np.where(enough, b, path.b))
    return path


def _background_first(found: Tracks, paths: list[Trajectory]) -> list[Trajectory]:
    """The trajectories, first that of most tracks near the edges of the frames, where objects rarely are."""
    x, y = np.abs(found.points.real), np.abs(found.points.imag)
    near = found.seen & ((x > x.max() - _EDGE) | (y > y.max() - _EDGE))
    nearest = np.argmin([_errors(found, path) for path in paths], axis=0)
    votes = np.bincount(nearest, near.sum(1), len(paths))
    return [paths[number] for number in np.argsort(-votes, kind="stable")]


def _owners(errors: Real) -> NDArray[np.int64]:
    """The layer of every track: the nearest one, or the background if that is nearly as good."""
    owner: NDArray[np.int64] = errors.argmin(0)
    return np.where(errors[0] < _TIE, 0, owner)


def _is_worth_a_layer(found: Tracks, fewer: list[Trajectory], more: list[Trajectory]) -> bool:
    """True if the last trajectory has tracks enough, in frames enough, and saves enough of their cost."""
    length = found.seen.sum(1)
    errors = np.stack([_errors(found, path) for path in more])
    before, after = (
        float(_cost(np.min([_errors(found, path) for path in paths], 0)) @ length / length.sum())
        for paths in (fewer, more)
    )
    own = _owners(errors) == len(more) - 1
    share = found.seen[own].sum(0) / np.maximum(found.seen.sum(0), 1)
    saved = before - after >= (_SECOND_SAVES if len(more) == 2 else _MORE_SAVE)
    return before > _EXPLAINS_ALL and saved and bool((share >= _LEAST_SHARE).mean() >= _LEAST_FRAMES)


# --- results --------------------------------------------------------------------------------------


def _transforms(path: Trajectory) -> Tensor:
    """The trajectory as transforms [time, 4], without change in the middle frame."""
    middle = len(path.a) // 2
    a, b = path.a / path.a[middle], (path.b - path.b[middle]) / path.a[middle]
    angle = np.unwrap(np.angle(a))
    columns = [np.log(np.abs(a)), angle - angle[middle], b.real, b.imag]
    return torch.from_numpy(np.stack(columns, -1)).float()


def _map(
    found: Tracks, owner: NDArray[np.int64], layers: int, shape: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """`Motion.owner` and `Motion.sure`, half as large as the frames that were compared."""
    long = LONG_SIDE // 2
    height, width = max(1, round(long * min(1.0, shape))), max(1, round(long / max(1.0, shape)))
    time = found.seen.shape[1]
    owners, sure = np.zeros((time, height, width), np.uint8), np.zeros((time, height, width), bool)
    for frame in range(time):
        votes = np.zeros((layers, height, width), np.float32)
        here = found.seen[:, frame]
        place = found.points[here, frame]
        column = (place.real * long / 2 + width / 2).astype(int).clip(0, width - 1)
        row = (place.imag * long / 2 + height / 2).astype(int).clip(0, height - 1)
        np.add.at(votes, (owner[here], row, column), 1)
        votes = np.stack([cv2.GaussianBlur(vote, (0, 0), 2.5) for vote in votes])
        votes[0] += 1e-3  # of the background, where nobody votes
        owners[frame], sure[frame] = votes.argmax(0), votes.sum(0) > 4e-3
    return owners, sure
