# ruff: noqa: F811
import math

import torch

from coordflow_mini import similarity
from coordflow_mini.coords import pixel_grid
from coordflow_mini.course.lesson import warping
from tests.exercises import wrong, wrong_value


@wrong(says="transpose")
def matrix(transform):
    "points as rows"
    return similarity.matrix(transform).T


@wrong(says="wrong way")
def matrix(transform):
    "minus at the wrong sine"
    log_scale, angle, right, down = transform
    cos, sin = log_scale.exp() * angle.cos(), log_scale.exp() * angle.sin()
    return torch.tensor([[cos, sin, right], [-sin, cos, down], [0, 0, 1]])


@wrong(says="log s as the scale")
def matrix(transform):
    "log s as the scale"
    scale, angle, right, down = transform
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    return torch.tensor([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])


@wrong(says="leave out the scale")
def matrix(transform):
    "rotation and shift only"
    _, angle, right, down = transform
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.tensor([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])


@wrong(says="shift comes last")
def matrix(transform):
    "s (R p + d)"
    found = similarity.matrix(transform)
    found[:2, 2] *= torch.exp(transform[0])
    return found


@wrong(says="degrees")
def matrix(transform):
    "angle taken as degrees"
    log_scale, angle, right, down = transform.tolist()
    cos = math.exp(log_scale) * math.cos(math.radians(angle))
    sin = math.exp(log_scale) * math.sin(math.radians(angle))
    return torch.tensor([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])


@wrong(says="shape [2, 3]")
def matrix(transform):
    "two rows only"
    return similarity.matrix(transform)[:2]


@wrong(says="return missing")
def matrix(transform):
    "forgets to return"
    torch.exp(transform[0])


@wrong(says="NameError")
def matrix(transform):
    "uses a name that is not there"
    return cosine(transform[1])  # noqa: F821


@wrong(says="all four numbers")
def inverse(transform):
    "negates all four numbers"
    return -transform


@wrong(says="R⁻¹d")
def inverse(transform):
    "forgets the rotation of the shift"
    scale = torch.exp(transform[0])
    return torch.cat([-transform[:2], -transform[2:] / scale])


@wrong(says="forget 1/s")
def inverse(transform):
    "forgets the scale of the shift"
    cos, sin = torch.cos(transform[1]), torch.sin(transform[1])
    right, down = transform[2:]
    return torch.stack([-transform[0], -transform[1], -(cos * right + sin * down), sin * right - cos * down])


@wrong(says="rotate by -θ")
def inverse(transform):
    "turns the shift by +θ"
    scale, cos, sin = torch.exp(transform[0]), torch.cos(transform[1]), torch.sin(transform[1])
    right, down = transform[2:]
    shift = -torch.stack([cos * right - sin * down, sin * right + cos * down]) / scale
    return torch.cat([-transform[:2], shift])


@wrong(says="sign of your shift")
def inverse(transform):
    "keeps the sign of the shift"
    right = similarity.inverse(transform)
    return torch.cat([right[:2], -right[2:]])


@wrong(says="grid instead of the content")
def warp(picture, motion):
    "rotates the grid instead of the content"
    height, width, _ = picture.shape
    return warping.sample(picture, similarity.apply(motion, pixel_grid(height, width))).view(height, width, 3)


@wrong(says="y axis points up")
def warp(picture, motion):
    "y up"
    height, width, _ = picture.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    unit = max(height, width) / 2
    x, y = (columns + 0.5 - width / 2) / unit, (height / 2 - rows - 0.5) / unit
    source = similarity.apply(similarity.inverse(motion), torch.stack([x, y], dim=-1).float())
    return warping.sample(picture, source * torch.tensor([1.0, -1.0]))


@wrong(says="degrees")
def warp(picture, motion):
    "angle taken as degrees"
    height, width, _ = picture.shape
    motion[1] = torch.deg2rad(motion[1])
    source = similarity.apply(similarity.inverse(motion), pixel_grid(height, width))
    return warping.sample(picture, source).view(height, width, 3)


@wrong(says="sheared")
def warp(picture, motion):
    "anisotropic coordinates"
    height, width, _ = picture.shape
    square = torch.tensor([1.0, height / width])
    source = similarity.apply(similarity.inverse(motion), pixel_grid(height, width) / square) * square
    return warping.sample(picture, source).view(height, width, 3)


@wrong(says="use inverse")
def warp(picture, motion):
    "negates the motion instead of inverting it"
    height, width, _ = picture.shape
    return warping.sample(picture, similarity.apply(-motion, pixel_grid(height, width))).view(
        height, width, 3
    )


@wrong(says="list of pixels")
def warp(picture, motion):
    "forgets the shape"
    height, width, _ = picture.shape
    return warping.sample(picture, similarity.apply(similarity.inverse(motion), pixel_grid(height, width)))


wrong_value(
    "which_bug",
    "A and B swapped",
    {"A": "stripes", "B": "sign of the angle", "C": "anisotropic"},
    says="swapped",
)
wrong_value(
    "which_bug",
    "bent geometry with a low error",
    {"A": "anisotropic", "B": "stripes", "C": "sign of the angle"},
    says="stays high",
)
wrong_value("which_bug", "a fourth bug", {"A": "sign", "B": "stripes", "C": "anisotropic"}, says="not one of")
wrong_value("which_bug", "not a dictionary", ["A", "B"], says="must look like")
