"""Examiners of chapter 03, similarity transforms."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from coordflow_mini import similarity
from coordflow_mini.coords import pixel_grid
from coordflow_mini.course.exercises.examiner import Mistake, answer, close, diagnose, exercise
from coordflow_mini.course.lesson import warping

MOTION = torch.tensor([0.4, 0.6, 0.3, -0.2])  # scale 1.5, 34 degrees: every mistake shows


@exercise(chapter=3, stand_in=similarity.matrix)
def matrix(theirs: Any) -> None:
    """The 3x3 matrix of (log s, θ, dx, dy)."""
    right = similarity.matrix(MOTION)
    log_scale, angle, right_shift, down_shift = MOTION
    diagnose(
        answer(theirs, MOTION, shape=(3, 3)),
        right,
        {
            "Your matrix is the transpose: the shift belongs in the last column, since points are columns "
            "(x, y, 1).": right.T,
            "Your rotation goes the wrong way: the minus belongs to the sine in the first row. With y "
            "pointing down, a positive θ then turns x towards y.": _matrix(log_scale, -angle, MOTION[2:]),
            "You use log s as the scale. The first number is log s, so s = exp(log s).": _scaled_by(
                log_scale
            ),
            "You leave out the scale: multiply all four entries of the rotation by s.": _matrix(
                torch.zeros(()), angle, MOTION[2:]
            ),
            "You scale the shift as well. In p' = s R p + d the shift comes last, unscaled.": _matrix(
                log_scale, angle, MOTION[2:] * log_scale.exp()
            ),
            "You treat θ as degrees; it is in radians, as torch.cos expects.": _matrix(
                log_scale, torch.deg2rad(angle), MOTION[2:]
            ),
            "You have dx and dy swapped.": _matrix(log_scale, angle, torch.stack([down_shift, right_shift])),
        },
    )


def _matrix(log_scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    return similarity.matrix(torch.cat([torch.stack([log_scale, angle]), shift]))


def _scaled_by(scale: Tensor) -> Tensor:
    """The right matrix with another number in place of s."""
    wrong = similarity.matrix(MOTION)
    wrong[:2, :2] *= scale / MOTION[0].exp()
    return wrong


@exercise(chapter=3, stand_in=similarity.inverse)
def inverse(theirs: Any) -> None:
    """The four numbers of the inverse transform."""
    right = similarity.inverse(MOTION)
    scale, turn_back = MOTION[0].exp(), torch.cat([torch.zeros(1), -MOTION[1:2], torch.zeros(2)])
    turned = similarity.apply(turn_back, MOTION[2:])
    diagnose(
        answer(theirs, MOTION, shape=(4,)),
        right,
        {
            "You negate all four numbers. That is right for log s and θ, but the shift came *after* scaling "
            "and rotating, so it is undone first and gets scaled and rotated, too.": -MOTION,
            "You forget to rotate the shift back: it must be rotated by -θ, R⁻¹d.": _with_shift(
                -MOTION[2:] / scale
            ),
            "You forget 1/s on the shift: it must shrink as much as the points do.": _with_shift(-turned),
            "The sign of your shift is wrong: to undo a shift to the right, shift to the left.": _with_shift(
                turned / scale
            ),
            "You rotate the shift by +θ; to undo a rotation, rotate by -θ.": _with_shift(
                -similarity.apply(-turn_back, MOTION[2:]) / scale
            ),
            "You multiply the shift by s; to undo the scale, divide by it.": _with_shift(-turned * scale),
            "Your first number is 1 / log s. The inverse of the scale is 1/s, whose logarithm is "
            "-log s.": torch.cat([1 / MOTION[:1], right[1:]]),
        },
    )


def _with_shift(shift: Tensor) -> Tensor:
    """The right inverse with another shift."""
    return torch.cat([-MOTION[:2], shift])


@exercise(chapter=3, stand_in=warping.warp)
def warp(theirs: Any) -> None:
    """A picture with its content moved."""
    picture = _picture(12, 20)
    motion = torch.tensor([0.3, 0.5, 0.15, -0.1])
    found = answer(theirs, picture, motion)
    if tuple(found.shape) == (240, 3):
        raise Mistake("Your result is a list of pixels, [240, 3]; reshape it to the picture.")
    if found.shape != picture.shape:
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected {list(picture.shape)}.")
    diagnose(
        found,
        warping.warp(picture, motion),
        _wrong_warps(picture, motion),
        otherwise="The content does not end up where it should. For each pixel at p, find the point that the "
        "motion moves *to* p, and sample the picture there.",
        tolerance=2e-3,
    )
    still = torch.zeros(4)
    if not close(answer(theirs, picture, still), picture, 2e-3):
        raise Mistake("The motion (0, 0, 0, 0) must leave the picture unchanged; yours does not.")


def _picture(height: int, width: int) -> Tensor:
    """A smooth picture without any symmetry, [height, width, 3]."""
    x, y = pixel_grid(height, width).T
    waves = [torch.sin(3 * x + 1), torch.cos(4 * y - x), torch.sin(2 * x * y + y)]
    return torch.stack(waves, dim=-1).view(height, width, 3) * 0.4 + 0.5


def _wrong_warps(picture: Tensor, motion: Tensor) -> dict[str, Tensor]:
    """Results of typical mistakes."""
    height, width, _ = picture.shape
    points, back = pixel_grid(height, width), similarity.inverse(motion)
    down_up = torch.tensor([1.0, -1.0])
    degrees = torch.cat([motion[:1], torch.deg2rad(motion[1:2]), motion[2:]])

    def seen_at(places: Tensor) -> Tensor:
        return warping.sample(picture, places).view_as(picture)

    return {
        "You move the grid instead of the content: with the motion itself, each pixel looks where its "
        "content goes, so the content moves the other way. Each pixel has to look where its content comes "
        "from: use the inverse motion.": seen_at(similarity.apply(motion, points)),
        "You negate the four numbers instead of inverting the motion; use inverse.": seen_at(
            similarity.apply(-motion, points)
        ),
        "Your y axis points up: in pictures, rows count downward, and so does y.": seen_at(
            similarity.apply(back, points * down_up) * down_up
        ),
        "Your picture is upside down: y was flipped on the way.": seen_at(
            similarity.apply(back, points) * down_up
        ),
        "You treat θ as degrees; it is in radians.": seen_at(
            similarity.apply(similarity.inverse(degrees), points)
        ),
        "Your picture is sheared: your coordinates run from -1 to 1 in both directions, although the "
        "picture is not square. A rotation is a rotation only if x and y have the same unit: use "
        "pixel_grid.": _anisotropic(picture, back),
        "You have x and y swapped.": seen_at(similarity.apply(back, points).flip(-1)),
    }


def _anisotropic(picture: Tensor, back: Tensor) -> Tensor:
    """The warp in coordinates from -1 to 1 in both directions."""
    height, width, _ = picture.shape
    x = (torch.arange(width) * 2 + 1) / width - 1
    y = (torch.arange(height) * 2 + 1) / height - 1
    square = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    places = similarity.apply(back, square)[None]
    return grid_sample(picture.movedim(-1, 0)[None], places, align_corners=False)[0].movedim(0, -1)


@exercise(chapter=3, stand_in={"A": "sign of the angle", "B": "stripes", "C": "anisotropic"})
def which_bug(theirs: Any) -> None:
    """The bug behind each run."""
    right = {"A": "sign of the angle", "B": "stripes", "C": "anisotropic"}
    if not isinstance(theirs, dict) or theirs.keys() != right.keys():
        raise Mistake('Your answer must look like {"A": "...", "B": "...", "C": "..."}.')
    unknown = sorted(str(bug) for bug in theirs.values() if bug not in right.values() and bug is not ...)
    if unknown:
        raise Mistake(f"{unknown[0]!r} is not one of the three bugs: {', '.join(map(repr, right.values()))}.")
    if theirs["A"] == "anisotropic" or theirs["B"] == "anisotropic":
        raise Mistake(
            "A bug that distorts the geometry cannot be fitted away: look for the run whose error stays high."
        )
    if theirs == {"A": "stripes", "B": "sign of the angle", "C": "anisotropic"}:
        raise Mistake(
            "A and B are swapped: one of the two recovers every number up to a single wrong sign; the "
            "other is off by one whole period."
        )
    if theirs != right:
        raise Mistake("Each bug belongs to exactly one run.")
