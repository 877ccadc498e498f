# ruff: noqa: F811
from itertools import pairwise

import torch

from coordflow_mini.course.lesson import plain
from coordflow_mini.course.lesson.plain import pixel_to_point as to_point
from tests.exercises import wrong, wrong_value


@wrong(says="x and y swapped")
def pixel_to_point(frame, row, column, size):
    "x and y swapped"
    time, height, width = size
    unit = max(height, width) / 2
    x, y = (column + 0.5 - width / 2) / unit, (row + 0.5 - height / 2) / unit
    return torch.stack([y, x, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="order is that of the indices")
def pixel_to_point(frame, row, column, size):
    "keeps the order of the indices"
    return to_point(frame, row, column, size).flip(-1)


@wrong(says="corners of the pixels")
def pixel_to_point(frame, row, column, size):
    "corners instead of centers"
    time, height, width = size
    unit = max(height, width) / 2
    x, y = (column - width / 2) / unit, (row - height / 2) / unit
    return torch.stack([x, y, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="width - 1")
def pixel_to_point(frame, row, column, size):
    "outer pixels on the edge, isotropic"
    time, height, width = size
    x = torch.linspace(-1, 1, width)[column]
    y = torch.linspace(-height / width, height / width, height)[row]
    return torch.stack([x, y, torch.linspace(-1, 1, time)[frame]], dim=-1)


@wrong(says="both axes run")
def pixel_to_point(frame, row, column, size):
    "linspace in all three directions"
    time, height, width = size
    x, y = torch.linspace(-1, 1, width)[column], torch.linspace(-1, 1, height)[row]
    return torch.stack([x, y, torch.linspace(-1, 1, time)[frame]], dim=-1)


@wrong(says="Your y runs from -1 to 1")
def pixel_to_point(frame, row, column, size):
    "anisotropic"
    time, height, width = size
    x, y = (2 * column + 1) / width - 1, (2 * row + 1) / height - 1
    return torch.stack([x, y, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="by its own side")
def pixel_to_point(frame, row, column, size):
    "anisotropic corners"
    time, height, width = size
    return torch.stack([2 * column / width - 1, 2 * row / height - 1, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="smaller side")
def pixel_to_point(frame, row, column, size):
    "divides by half the smaller side"
    time, height, width = size
    unit = min(height, width) / 2
    x, y = (column + 0.5 - width / 2) / unit, (row + 0.5 - height / 2) / unit
    return torch.stack([x, y, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="full side")
def pixel_to_point(frame, row, column, size):
    "divides by the larger side"
    time, height, width = size
    unit = max(height, width)
    x, y = (column + 0.5 - width / 2) / unit, (row + 0.5 - height / 2) / unit
    return torch.stack([x, y, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="y points up")
def pixel_to_point(frame, row, column, size):
    "y up"
    time, height, width = size
    unit = max(height, width) / 2
    x, y = (column + 0.5 - width / 2) / unit, (height / 2 - row - 0.5) / unit
    return torch.stack([x, y, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="move the origin")
def pixel_to_point(frame, row, column, size):
    "zero in the upper left corner"
    time, height, width = size
    unit = max(height, width) / 2
    return torch.stack([(column + 0.5) / unit, (row + 0.5) / unit, 2 * frame / (time - 1) - 1], dim=-1)


@wrong(says="first frame is at t = 0. Time runs")
def pixel_to_point(frame, row, column, size):
    "t from 0 to 1"
    right = to_point(frame, row, column, size)
    return torch.cat([right[:, :2], frame[:, None] / (size[0] - 1)], dim=-1)


@wrong(says="does not reach 1")
def pixel_to_point(frame, row, column, size):
    "t = frame / time"
    right = to_point(frame, row, column, size)
    return torch.cat([right[:, :2], frame[:, None] / size[0]], dim=-1)


@wrong(says="time - 1 steps")
def pixel_to_point(frame, row, column, size):
    "one frame too many"
    right = to_point(frame, row, column, size)
    return torch.cat([right[:, :2], 2 * frame[:, None] / size[0] - 1], dim=-1)


@wrong(says="treat frames like pixels")
def pixel_to_point(frame, row, column, size):
    "centers in time, too"
    right = to_point(frame, row, column, size)
    return torch.cat([right[:, :2], (frame[:, None] + 0.5 - size[0] / 2) / (size[0] / 2)], dim=-1)


@wrong(says="index of the frame")
def pixel_to_point(frame, row, column, size):
    "t in frames"
    right = to_point(frame, row, column, size)
    return torch.cat([right[:, :2], frame[:, None]], dim=-1)


@wrong(says="shape [3, 4]")
def pixel_to_point(frame, row, column, size):
    "stacked along the first axis"
    return to_point(frame, row, column, size).T


@wrong(says="returns a tuple")
def pixel_to_point(frame, row, column, size):
    "three tensors instead of one"
    return tuple(to_point(frame, row, column, size).T)


@wrong(says="from 0 to 255")
def sample_pixels(clip, index):
    "colors stay 0 to 255"
    time, height, width, _ = clip.shape
    frame, row, column = index // (height * width), index // width % height, index % width
    point = to_point(frame, row, column, (time, height, width))
    return torch.cat([point, clip[frame, row, column]], dim=-1)


@wrong(says="by 256")
def sample_pixels(clip, index):
    "divides by 256"
    right = plain.sample_pixels(clip, index)
    return torch.cat([right[:, :3], clip.view(-1, 3)[index] / 256], dim=-1)


@wrong(says="blue, green, red")
def sample_pixels(clip, index):
    "channels backwards"
    right = plain.sample_pixels(clip, index)
    return right[:, [0, 1, 2, 5, 4, 3]]


@wrong(says="colors come first")
def sample_pixels(clip, index):
    "color before the point"
    right = plain.sample_pixels(clip, index)
    return right[:, [3, 4, 5, 0, 1, 2]]


@wrong(says="swapped in the point")
def sample_pixels(clip, index):
    "row and column swapped in the point"
    time, height, width, _ = clip.shape
    frame, row, column = index // (height * width), index // width % height, index % width
    point = to_point(frame, column, row, (time, height, width))
    return torch.cat([point, clip[frame, row, column] / 255], dim=-1)


@wrong(says="IndexError")
def sample_pixels(clip, index):
    "row and column swapped in the clip"
    time, height, width, _ = clip.shape
    frame, row, column = index // (height * width), index // width % height, index % width
    point = to_point(frame, row, column, (time, height, width))
    return torch.cat([point, clip[frame, column, row] / 255], dim=-1)


@wrong(says="first frame only")
def sample_pixels(clip, index):
    "forgets the frame"
    time, height, width, _ = clip.shape
    row, column = index // width % height, index % width
    point = to_point(0 * row, row, column, (time, height, width))
    return torch.cat([point, clip[0, row, column] / 255], dim=-1)


@wrong(says="width and height mixed up")
def sample_pixels(clip, index):
    "divides by the height"
    time, height, width, _ = clip.shape
    frame = index // (height * width)
    row, column = index // height % height, index % height
    point = to_point(frame, row, column, (time, height, width))
    return torch.cat([point, clip[frame, row, column] / 255], dim=-1)


@wrong(says="column by column")
def sample_pixels(clip, index):
    "column-major order"
    time, height, width, _ = clip.shape
    frame = index // (height * width)
    row, column = index % height, index // height % width
    point = to_point(frame, row, column, (time, height, width))
    return torch.cat([point, clip[frame, row, column] / 255], dim=-1)


@wrong(says="one row per pixel")
def sample_pixels(clip, index):
    "transposed"
    return plain.sample_pixels(clip, index).T


@wrong(says="expected [7, 6]")
def sample_pixels(clip, index):
    "colors only"
    return clip.view(-1, 3)[index] / 255


@wrong(says="pixel number 77")
def sample_pixels(clip, index):
    "off by one"
    return plain.sample_pixels(clip, (index + 1) % len(clip.view(-1, 3)))


@wrong(says="forget the biases")
def nominal_bytes(sizes):
    "no biases"
    return sum(a * b for a, b in pairwise(sizes)) * 6 / 8


@wrong(says="return bits")
def nominal_bytes(sizes):
    "bits"
    return sum(a * b + b for a, b in pairwise(sizes)) * 6


@wrong(says="so divide")
def nominal_bytes(sizes):
    "times 8"
    return sum(a * b + b for a, b in pairwise(sizes)) * 6 * 8


@wrong(says="number of weights")
def nominal_bytes(sizes):
    "one byte a weight"
    return sum(a * b + b for a, b in pairwise(sizes))


@wrong(says="32 bits")
def nominal_bytes(sizes):
    "float32"
    return sum(a * b + b for a, b in pairwise(sizes)) * 4


@wrong(says="per input")
def nominal_bytes(sizes):
    "biases of the inputs"
    return sum(a * b + a for a, b in pairwise(sizes)) * 6 / 8


@wrong(says="add the sizes")
def nominal_bytes(sizes):
    "sum of the sizes"
    return sum(sizes) * 6 / 8


@wrong(says="last layer")
def nominal_bytes(sizes):
    "stops one layer early"
    return sum((sizes[i] + 1) * sizes[i + 1] for i in range(len(sizes) - 2)) * 6 / 8


wrong_value(
    "which_slice",
    "left and right swapped",
    {"A": "moves right", "B": "flickers", "C": "zooms in", "D": "moves left"},
    says="swapped",
)
wrong_value(
    "which_slice",
    "flicker taken for a zoom",
    {"A": "moves left", "B": "zooms in", "C": "flickers", "D": "moves right"},
    says="all pixels of a frame",
)
wrong_value(
    "which_slice",
    "zoom taken for a shift",
    {"A": "zooms in", "B": "flickers", "C": "moves left", "D": "moves right"},
    says="fan out",
)
wrong_value(
    "which_slice",
    "one clip twice",
    {"A": "moves left", "B": "flickers", "C": "zooms in", "D": "moves left"},
    says="one slice only",
)
wrong_value(
    "which_slice",
    "a fifth clip",
    {"A": "left", "B": "flickers", "C": "zooms in", "D": "moves right"},
    says="not one of",
)
wrong_value("which_slice", "not a dictionary", ["A", "B", "C", "D"], says="must look like")
