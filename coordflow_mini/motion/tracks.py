"""Tracks of textured points through a clip, by dense optical flow between neighboring frames.

The flow is OpenCV's DIS (Kroeger et al., arXiv 1603.03590), on gray frames 384 pixels long.  A point is
followed while the flow back leads to where it came from, and new points fill the gaps.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coordflow_mini.ops.lazy import lazily
from coordflow_mini.video.clip import Video

with lazily():
    import cv2

LONG_SIDE = 384  # of the frames that are compared [pixels]; lengths below are in such pixels
_SPACING = 8  # of the points
_TEXTURE = 2e-4  # smallest eigenvalue of the gradients' covariance, of a point worth following
_AWAY, _AWAY_SHARE = 0.4, 0.03  # largest distance of a round trip from its start, and per pixel of motion
_SHORTEST = 4  # frames of a track
_MOST = 2**23  # tracks x frames, which take 140 MB; of more tracks, some

Gray = NDArray[np.uint8]
Field = NDArray[np.float32]  # [height, width, 2], the motion (x, y) of every pixel


class Tracks(NamedTuple):
    """Points followed through a clip, as x + iy in coordinate units (see `coords`)."""

    points: NDArray[np.complex128]  # [tracks, time], 0 where not seen
    seen: NDArray[np.bool_]  # [tracks, time]


def tracks(video: Video) -> Tracks:
    """Tracks of at least four frames each, from every eighth of 384 pixels where there is texture."""
    points, numbers = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    total, before = 0, None
    for frame in range(video.time):
        now = _gray(np.asarray(video.frames[frame]))
        if before is not None:
            points, alive = _followed(points, before, now)
            numbers = numbers[alive]
        fresh = _seeds(now, points)
        numbers = np.concatenate([numbers, np.arange(total, total + len(fresh))])
        points, total = np.concatenate([points, fresh]), total + len(fresh)
        found.append((numbers, points))
        before = now
    lengths = np.bincount(np.concatenate([who for who, _ in found]), minlength=total)
    kept = np.random.default_rng(0).permutation(np.flatnonzero(lengths >= _SHORTEST))
    kept = np.sort(kept[: _MOST // video.time])
    row = np.full(total, -1)
    row[kept] = np.arange(len(kept))
    height, width = now.shape
    made = Tracks(*(np.zeros((len(kept), video.time), kind) for kind in (complex, bool)))
    for frame, (who, where) in enumerate(found):
        here = row[who] >= 0
        x, y = where[here, 0] - (width - 1) / 2, where[here, 1] - (height - 1) / 2
        made.points[row[who[here]], frame] = (x + 1j * y) * (2 / max(height, width))
        made.seen[row[who[here]], frame] = True
    return made


def _gray(frame: NDArray[np.uint8]) -> Gray:
    """A gray frame whose longer side has `LONG_SIDE` pixels."""
    height, width, _ = frame.shape
    scale = LONG_SIDE / max(height, width)
    size = max(16, round(width * scale)), max(16, round(height * scale))  # DIS needs patches of 8 pixels
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=way), np.uint8)


def _followed(points: Field, before: Gray, now: Gray) -> tuple[Field, NDArray[np.bool_]]:
    """Where the points are now, of those that are still in sight; and which ones these are."""
    forth, back = _flows(before, now)
    moved = _at(forth, points)
    there = points + moved
    gap = np.linalg.norm(moved + _at(back, there), axis=1)
    height, width = now.shape
    alive = gap < _AWAY + _AWAY_SHARE * np.linalg.norm(moved, axis=1)
    alive &= ((there >= 0) & (there <= (width - 1, height - 1))).all(1)
    return there[alive], alive


def _flows(before: Gray, now: Gray) -> tuple[Field, Field]:
    """Dense flow from one frame to the next, and back; on one thread, for their number changes it."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return flow.calc(before, now, None), flow.calc(now, before, None)
    finally:
        cv2.setNumThreads(threads)


def _at(field: Field, points: Field) -> Field:
    """A field at points between pixels, [points, 2]."""
    if not len(points):
        return np.zeros((0, 2), np.float32)
    columns, rows = (np.ascontiguousarray(points[:, i : i + 1], np.float32) for i in (0, 1))
    there = cv2.remap(field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(there, np.float32)[:, 0]


def _seeds(frame: Gray, points: Field) -> Field:
    """Textured points of a grid, in cells that hold no point yet, [points, 2]."""
    height, width = frame.shape
    rows, columns = np.mgrid[_SPACING // 2 : height : _SPACING, _SPACING // 2 : width : _SPACING]
    free = np.ones((height // _SPACING + 1, width // _SPACING + 1), bool)
    free[tuple((points[:, ::-1] // _SPACING).astype(int).T)] = False
    textured = cv2.cornerMinEigenVal(frame, 7)[rows, columns] > _TEXTURE
    here = textured & free[rows // _SPACING, columns // _SPACING]
    return np.stack([columns[here], rows[here]], 1).astype(np.float32)
