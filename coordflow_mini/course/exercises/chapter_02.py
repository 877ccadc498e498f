"""Examiners of chapter 02, videos as functions."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from coordflow_mini.course.exercises.examiner import Mistake, answer, diagnose, exercise
from coordflow_mini.course.lesson import plain

SIZE = (5, 6, 10)  # time, height, width: all different, so that every mix-up shows
FRAME, ROW, COLUMN = torch.tensor([0, 3, 4, 1]), torch.tensor([0, 2, 5, 4]), torch.tensor([0, 7, 9, 3])


@exercise(chapter=2, stand_in=plain.pixel_to_point)
def pixel_to_point(theirs: Any) -> None:
    """(x, y, t) of pixels given by frame, row and column."""
    time, height, width = SIZE
    x, y, t = plain.pixel_to_point(FRAME, ROW, COLUMN, SIZE).T
    # Results of typical mistakes on one axis.
    corner_x, corner_y = (COLUMN - width / 2) / (width / 2), (ROW - height / 2) / (width / 2)
    edge_x, edge_y = 2 * COLUMN / (width - 1) - 1, (2 * ROW / (height - 1) - 1) * height / width
    square_edge_y, square_y = 2 * ROW / (height - 1) - 1, y * width / height

    def points(*columns: Tensor) -> Tensor:
        return torch.stack(columns, dim=-1)

    diagnose(
        answer(theirs, FRAME, ROW, COLUMN, SIZE, shape=(4, 3)),
        points(x, y, t),
        {
            "You have x and y swapped: x counts columns, y counts rows, and x comes first.": points(y, x, t),
            "Your order is that of the indices, (t, y, x). A point is (x, y, t).": points(t, y, x),
            "You return the corners of the pixels. Use their centers, half a pixel further right and down: "
            "column + 0.5, row + 0.5.": points(corner_x, corner_y, t),
            "You put the centers of the outer pixels on the edge by dividing by width - 1. The edge is at 1; "
            "the last center is half a pixel before it.": points(edge_x, edge_y, t),
            "You put the outer pixels on the edge and let both axes run from -1 to 1. Centers are half a "
            "pixel before the edge, and y has the same unit as x.": points(edge_x, square_edge_y, t),
            "Your y runs from -1 to 1, too, although the picture is wider than tall. Both axes share one "
            "unit, half the larger side.": points(x, square_y, t),
            "You divide each axis by its own side and return corners. Use one unit for both, half the "
            "larger side, and add 0.5 for the center.": points(corner_x, corner_y * width / height, t),
            "Your unit is half the smaller side; use half the larger one.": points(
                x * width / height, y * width / height, t
            ),
            "Your unit is the full side, so x only reaches 0.5. The unit is half the larger side.": points(
                x / 2, y / 2, t
            ),
            "Your y points up. Rows count downward, and so does y.": points(x, -y, t),
            "You forget to move the origin: x and y are zero in the middle of the picture, not in its upper "
            "left corner.": points(x + 1, y + height / width, t),
            "Your first frame is at t = 0. Time runs from -1 to 1, so the first frame is at -1.": points(
                x, y, FRAME / (time - 1)
            ),
            "Your first frame is at t = 0, and the last one does not reach 1. Time runs from -1 (first "
            "frame) to 1 (last frame).": points(x, y, FRAME / time),
            "Your last frame does not reach t = 1. From the first to the last frame there are only "
            "time - 1 steps.": points(x, y, 2 * FRAME / time - 1),
            "You treat frames like pixels, with a center. In time, the first frame is at -1 and the last "
            "at 1.": points(x, y, (2 * FRAME + 1) / time - 1),
            "Your t is the index of the frame. Map it to the range from -1 to 1.": points(
                x, y, FRAME.float()
            ),
        },
        otherwise="Not yet. Try the first pixel of the first frame by hand: with 6 x 10 pixels its x is "
        "(0 + 0.5 - 5) / 5 = -0.9, its y is (0 + 0.5 - 3) / 5 = -0.5, its t is -1.",
    )


@exercise(chapter=2, stand_in=plain.sample_pixels)
def sample_pixels(theirs: Any) -> None:
    """(x, y, t, r, g, b) of pixels given by their index in reading order."""
    time, height, width = SIZE
    count = time * height * width
    clip = (torch.arange(count * 3) * 37 % 251).to(torch.uint8).view(*SIZE, 3)
    index = torch.tensor([0, 9, 77, 123, 200, 251, 299])
    found = answer(theirs, clip, index)
    if tuple(found.shape) == (6, len(index)):
        raise Mistake("Your result is [6, pixels]; return one row per pixel, [pixels, 6].")
    if tuple(found.shape) != (len(index), 6):
        raise Mistake(f"Your result has the shape {list(found.shape)}, expected [{len(index)}, 6].")
    right = plain.sample_pixels(clip, index)
    point, color = right[:, :3], right[:, 3:]
    frame, row, column = index // (height * width), index // width % height, index % width

    def looked_up(frame: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The right rows for these pixels."""
        return plain.sample_pixels(clip, (frame * height + row) * width + column)

    diagnose(
        found,
        right,
        {
            "Your colors run from 0 to 255. The network learns colors from 0 to 1: divide by 255.": torch.cat(
                [point, color * 255], dim=-1
            ),
            "You divide the colors by 256; the largest 8-bit value is 255.": torch.cat(
                [point, color * 255 / 256], dim=-1
            ),
            "Your colors are in the order blue, green, red.": torch.cat([point, color.flip(-1)], dim=-1),
            "Your colors come first. A row is (x, y, t, r, g, b).": torch.cat([color, point], dim=-1),
            "You have rows and columns swapped in the point: pixel_to_point takes frame, row, "
            "column.": torch.cat([plain.pixel_to_point(frame, column, row, SIZE), color], dim=-1),
            "You use the first frame only: after height * width pixels, a new frame begins.": looked_up(
                0 * frame, row, column
            ),
            "You have width and height mixed up: in reading order, a row ends after `width` pixels, so "
            "the column is index % width.": looked_up(frame, index // height % height, index % height),
            "You read column by column. In reading order the column changes fastest: it is index % width, "
            "and the row is index // width % height.": looked_up(
                frame, index % height, index // height % width
            ),
        },
        otherwise="These are not the right pixels. In reading order the column changes fastest, then the "
        "row, then the frame: pixel number 77 of a clip with 6 x 10 pixels is in frame 1, row 1, column 7.",
    )


@exercise(chapter=2, stand_in=plain.nominal_bytes)
def nominal_bytes(theirs: Any) -> None:
    """Size of a network's file at 6 bits per weight [bytes]."""
    sizes = [7, 20, 12, 4]
    pairs = list(pairwise(sizes))
    weights = sum((inputs + 1) * outputs for inputs, outputs in pairs)
    products = sum(inputs * outputs for inputs, outputs in pairs)
    diagnose(
        answer(theirs, sizes, shape=()),
        weights * 6 / 8,
        {
            "You forget the biases: each output of a layer has one, so a layer has (inputs + 1) * outputs "
            "weights.": products * 6 / 8,
            "You return bits. A byte has 8 of them.": weights * 6,
            "You multiply by 8; 8 bits make one byte, so divide.": weights * 6 * 8,
            "You return the number of weights. Each takes 6 bits, three quarters of a byte.": weights,
            "You count 32 bits per weight, as PyTorch stores them. Nominally, a weight takes 6 bits.": weights
            * 4,
            "You count one bias per input. There is one per output.": (
                sum(inputs * (outputs + 1) for inputs, outputs in pairs) * 6 / 8
            ),
            "You add the sizes. Every input of a layer is connected to every output, so multiply.": sum(sizes)
            * 6
            / 8,
            "You leave out the last layer, which makes the colors.": (
                sum((inputs + 1) * outputs for inputs, outputs in pairs[:-1]) * 6 / 8
            ),
        },
    )


@exercise(chapter=2, stand_in={"A": "moves left", "B": "flickers", "C": "zooms in", "D": "moves right"})
def which_slice(theirs: Any) -> None:
    """The clip behind each x-t slice."""
    right = {"A": "moves left", "B": "flickers", "C": "zooms in", "D": "moves right"}
    if not isinstance(theirs, dict) or theirs.keys() != right.keys():
        raise Mistake('Your answer must look like {"A": "...", "B": "...", "C": "...", "D": "..."}.')
    unknown = sorted(str(clip) for clip in theirs.values() if clip not in right.values())
    if unknown:
        raise Mistake(f"{unknown[0]!r} is not one of the four clips: {', '.join(map(repr, right.values()))}.")
    if theirs["B"] != "flickers":
        raise Mistake(
            "B is the only slice with bands from side to side: all pixels of a frame change at once."
        )
    if theirs["C"] != "zooms in":
        raise Mistake(
            "In one slice the stripes fan out: those left of the center lean left, those right of it lean "
            "right. What causes that?"
        )
    if {theirs["A"], theirs["D"]} == {"moves left", "moves right"} and theirs != right:
        raise Mistake(
            "Left and right are swapped. Time runs down: put a finger on a stripe at the top, follow it "
            "down, and see which way it goes."
        )
    if theirs != right:
        raise Mistake("Each clip belongs to one slice only.")
