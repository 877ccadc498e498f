"""Examiners of chapter 07, what layers give."""

from typing import Any

import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.coords import frame_times, pixel_points
from coordflow_mini.course.exercises.examiner import Mistake, answer, close, diagnose, exercise
from coordflow_mini.course.lesson import gains


@exercise(chapter=7, stand_in=gains.masked_error)
def masked_error(theirs: Any) -> None:
    """Mean squared error of the pixels outside a hole."""
    generator = torch.Generator().manual_seed(7)
    rgb, color = torch.rand(2, 10, 3, generator=generator)
    hole = torch.tensor([0, 1, 1, 0, 0, 1, 0, 0, 0, 0]).bool()
    squares, keep = (rgb - color).square(), (~hole)[:, None]
    diagnose(
        answer(theirs, rgb, color, hole, shape=()),
        gains.masked_error(rgb, color, hole),
        {
            "Your loss includes the hole: all pixels count. The network would learn the very thing that you "
            "want to remove.": squares.mean(),
            "Your mask is inverted: you count only the pixels of the hole. hole is True where nothing may "
            "be learned.": squares[hole].mean(),
            "You leave the hole out of the sum, but still divide by the number of all pixels. The larger "
            "the hole, the smaller your error; divide by the number of counted pixels.": (
                squares * keep
            ).mean(),
            "You paint the hole black in the target colors. The network would learn a black hole: these "
            "pixels must not count at all.": (rgb - color * keep).square().mean(),
            "You divide by the number of pixels only; average over the three channels, too.": 3
            * gains.masked_error(rgb, color, hole),
            "You return the sum; divide it by the number of terms.": squares[~hole].sum(),
            "You use the absolute difference, not its square.": (rgb - color)[~hole].abs().mean(),
            "You take the root of the mean; leave it squared.": squares[~hole].mean().sqrt(),
        },
        otherwise="Your error is not the mean of (rgb - color)² over the pixels outside the hole.",
    )
    nothing = torch.zeros(10, dtype=torch.bool)
    if not close(answer(theirs, rgb, color, nothing, shape=()), squares.mean()):
        raise Mistake("Without a hole, the error must be the mean over all pixels; yours is not.")


# Scale, angle and shift all change, and no frame is at the identity: every mistake shows.
MOTION = torch.tensor(
    [
        [0.3, 0.5, 0.15, -0.1],
        [0.2, 0.3, 0.1, 0.05],
        [0.1, 0.2, -0.2, 0.15],
        [-0.1, -0.1, -0.25, 0.3],
        [-0.2, -0.4, -0.3, 0.2],
    ]
)


@exercise(chapter=7, stand_in=gains.still_camera)
def still_camera(theirs: Any) -> None:
    """Transforms from the picture of a still camera to each frame."""
    middle, flow = MOTION[2].expand_as(MOTION), MOTION
    back = similarity.inverse(flow)
    diagnose(
        answer(theirs, flow, shape=(5, 4)),
        gains.still_camera(flow),
        {
            "This is the flow itself, from a frame to the canonical picture. A still camera needs the "
            "opposite: where in the frame is a point of the canonical picture? Use the inverse.": flow,
            "You use the flow of each frame instead of its inverse: this leads to the canonical picture "
            "twice.": similarity.compose(flow, middle),
            "The inverse of the flow is half of the solution: it starts in the canonical picture, whose "
            "position is arbitrary. Get there first, from the middle frame, by the middle frame's "
            "flow.": back,
            "Your order is wrong: you undo a frame's flow first and then apply the middle frame's. Begin "
            "with the middle frame's flow; compose(after, before) applies `before` first.": (
                similarity.compose(middle, back)
            ),
            "Your direction is reversed, from the frame to the still picture. To fill a still picture, each "
            "of *its* points must know where to look in the frame.": similarity.inverse(
                gains.still_camera(flow)
            ),
            "Your camera is that of the first frame. Use the middle one, motion[len(motion) // 2], which is "
            "closest to all others.": similarity.compose(back, flow[0]),
            "You subtract the four numbers. That is right for log s and θ, but the shift of the inverse is "
            "rotated and scaled: use similarity.inverse and compose.": middle - flow,
        },
        otherwise="Your transforms do not lead from the middle frame, via the canonical picture, to the "
        "same point in each frame.",
    )


@exercise(chapter=7, stand_in=gains.finer_points)
def finer_points(theirs: Any) -> None:
    """Points of a finer grid over the same picture."""
    height, width, factor = 3, 5, 2
    rows, columns = factor * height, factor * width
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    row, column = row.reshape(-1).float(), column.reshape(-1).float()

    def at(column: Tensor, row: Tensor) -> Tensor:
        return pixel_points(column, row, height, width)

    right = at((column + 0.5) / factor - 0.5, (row + 0.5) / factor - 0.5)
    diagnose(
        answer(theirs, height, width, factor, shape=(rows * columns, 2)),
        right,
        {
            "Your grid is half a fine pixel too far right and down: you divide the indices, and 0 stays 0. "
            "Divide the positions of the centers instead: index (i + 0.5) / factor - 0.5.": at(
                column / factor, row / factor
            ),
            "You return the corners of the fine pixels; use their centers.": at(
                column / factor - 0.5, row / factor - 0.5
            ),
            "Your outer points are the centers of the outer coarse pixels. A finer grid covers the same "
            "*area*: its outer centers are closer to the edge.": at(
                column * (width - 1) / (columns - 1), row * (height - 1) / (rows - 1)
            ),
            "Your grid is as coarse as before, with every point repeated. This gives big square pixels.": at(
                column.div(factor).floor(), row.div(factor).floor()
            ),
            "Your picture grows instead of its grid: the points extend beyond the edge. The coordinates of "
            "a picture do not depend on its number of pixels.": right * factor,
            "Your y has its own unit. Divide both by half the larger side.": right
            * torch.tensor([1.0, width / height]),
            "You have x and y swapped.": right.flip(-1),
        },
        otherwise="Your points are not the pixel centers of a picture with factor times as many rows and "
        "columns over the same area.",
    )


@exercise(chapter=7, stand_in=gains.times_between)
def times_between(theirs: Any) -> None:
    """Times halfway between neighboring frames."""
    frames = 6
    times = frame_times(frames)
    found = answer(theirs, frames)
    if found.shape == (frames,) or found.shape == (2 * frames - 1,):
        raise Mistake(
            f"You return {len(found)} times, but there are {frames - 1} gaps between {frames} frames."
        )
    if found.shape != (frames - 1,):
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected {[frames - 1]}.")
    diagnose(
        found,
        gains.times_between(frames),
        {
            "You count in frames: as an index, 0.5 is halfway between the first two. The network expects t, "
            "which runs from -1 to 1.": torch.arange(frames - 1) + 0.5,
            "You stretch fewer times from -1 to 1: they begin at the first frame and end at the last one; "
            "times halfway between frames are inside.": frame_times(frames - 1),
            "These are the times of the frames themselves, without the last. Halfway is half a frame "
            "later.": times[:-1],
            "These are the times of the frames themselves, without the first. Halfway is half a frame "
            "earlier.": times[1:],
            "Your t runs from 0 to 1. It runs from -1 at the first frame to 1 at the last.": (
                (torch.arange(frames - 1) + 0.5) / (frames - 1)
            ),
            "You divide the span into as many intervals as there are frames. Between the first frame (-1) "
            "and the last (1) there is one interval fewer.": (2 * torch.arange(frames) + 2)[:-1] / frames - 1,
            "Your t = 1 is one frame after the last. It is the last frame.": (
                2 * (torch.arange(frames - 1) + 0.5) / frames - 1
            ),
        },
    )


@exercise(chapter=7, stand_in=gains.temporal_median)
def temporal_median(theirs: Any) -> None:
    """Median over the frames in which a pixel is visible."""
    generator = torch.Generator().manual_seed(3)
    frames, holes = torch.rand(6, 3, 4, 3, generator=generator), torch.zeros(6, 3, 4, dtype=torch.bool)
    holes[0], holes[:3, 1] = True, True  # visible in five frames, or in three
    never = torch.zeros(3, 4, dtype=torch.bool)
    never[2, 3] = True
    holes[:, never] = True
    found, right = answer(_finite(theirs), frames, holes), gains.temporal_median(frames, holes)
    if tuple(found.shape) == (6, 3, 4, 3):
        raise Mistake("You return one picture per frame; the median over time is a single picture.")
    if found.shape != right.shape:
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected {list(right.shape)}.")
    rest, seen = ~never, (~holes)[..., None]
    _diagnose_median(found[rest].float(), frames[:, rest], seen[:, rest], right[rest])
    if not close(found, right):
        raise Mistake("A pixel that is never visible must be gray, 0.5; yours is not.")


def _finite(theirs: Any) -> Any:
    """The same function with NaN replaced by 9: NaN is a common answer where nothing is visible."""
    return lambda *arguments: torch.as_tensor(theirs(*arguments)).nan_to_num(9.0)


def _diagnose_median(found: Tensor, frames: Tensor, seen: Tensor, right: Tensor) -> None:
    """Diagnose pixels that some frame shows; frames: [time, pixels, 3], seen: [time, pixels, 1]."""
    nan = torch.tensor(torch.nan)
    diagnose(
        found,
        right,
        {
            "Your median includes the hole: you used all frames. Where the object covers a pixel half of "
            "the time, the median is the object.": frames.median(dim=0).values,
            "Your mask is inverted: this is the median of the hidden values.": torch.where(seen, nan, frames)
            .nanmedian(dim=0)
            .values.nan_to_num(9.0),
            "This is the mean, not the median: one wrong value shifts it.": torch.where(
                seen, frames, nan
            ).nanmean(dim=0),
            "You set hidden values to 0 and take the median of all: the zeros count as black.": (
                frames * seen
            )
            .median(dim=0)
            .values,
            "You set hidden values to 0 and take the mean of all: the zeros count as black.": (
                frames * seen
            ).mean(dim=0),
        },
        otherwise="Your picture is not the median over the frames in which a pixel is visible.",
    )
