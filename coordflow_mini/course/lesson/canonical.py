"""Chapter 04: the geometry of canonical pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from coordflow_mini import similarity
from coordflow_mini.coords import half_side
from coordflow_mini.show.figure import Pixels, to_pixels

_LINE = (255, 255, 255)  # of an outline: white with a dark edge is visible on any picture
_EDGE = (36, 41, 47)


def start_at_identity(flow: nn.Sequential) -> nn.Sequential:
    """The flow network (linear, tanh, linear), changed in place so that it starts at "no motion".

    Four outputs near 0 are the identity, since the first is log s.  The first layer stays random, so that
    gradients flow.
    """
    last = flow[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.mul_(1e-3)
        last.bias.zero_()
    return flow


def nearest(points: Tensor, targets: Tensor) -> Tensor:
    """The least-squares transform [4] of points [n, 2] onto targets [n, 2].

    With points x + iy, a similarity is z -> a z + b, and a and b are those of a fitted line.
    """
    z, w = torch.view_as_complex(points.contiguous()), torch.view_as_complex(targets.contiguous())
    centered = z - z.mean()
    a = (centered.conj() * (w - w.mean())).sum() / centered.abs().square().sum()
    b = w.mean() - a * z.mean()
    return torch.stack([a.abs().log(), a.angle(), b.real, b.imag])


def gather(flow: Callable[[Tensor], Tensor], times: Tensor, frame: Tensor, points: Tensor) -> Tensor:
    """Canonical coordinates of pixels, [pixels, 2]; evaluates the flow once per frame.

    flow: times [n] -> transforms [n, 4].  times: [time].  frame: int64 [pixels].  points: [pixels, 2].
    """
    return similarity.apply(flow(times)[frame], points)


def outline(transform: Tensor, height: int, width: int) -> Tensor:
    """The four corners of a frame in the canonical picture, [4, 2], clockwise from the upper left.

    >>> outline(similarity.identity(), 64, 96)[2]
    tensor([1.0000, 0.6667])
    """
    unit = half_side(height, width)
    x, y = width / 2 / unit, height / 2 / unit
    corners = torch.tensor([[-x, -y], [x, -y], [x, y], [-x, y]]).to(transform)
    return similarity.apply(transform, corners)


def align(found: Tensor, truth: Tensor) -> Tensor:
    """The motion `found`, expressed in the canonical picture of `truth`, float64 [time, 4].

    A canonical picture is determined only up to a similarity A: what can be compared with a truth is
    A ∘ found.  A is the least-squares fit over the corners of all frames.
    """
    corners = outline(similarity.identity().double(), 2, 3)
    here, there = (
        similarity.apply(motion.double()[:, None], corners).flatten(0, 1) for motion in (found, truth)
    )
    best = nearest(here, there)
    return similarity.compose(best.expand_as(found), found.double())


def pixels_apart(found: Tensor, truth: Tensor, height: int, width: int) -> float:
    """Mean distance between a recovered and a true motion over the corners of all frames [pixels].

    found, truth: [time, 4], aligned first, see `align`.
    """
    corners = outline(similarity.identity().double(), height, width)
    seen, wanted = (
        similarity.apply(motion[:, None], corners) for motion in (align(found, truth), truth.double())
    )
    return float((seen - wanted).norm(dim=-1).mean()) * half_side(height, width)


@dataclass(frozen=True)
class Canvas:
    """A rectangle of the canonical plane with its resolution.

    left, top: upper left corner [coordinate units].  unit: pixels per coordinate unit.
    """

    left: float
    top: float
    unit: float
    height: int
    width: int

    @classmethod
    def around(cls, points: Tensor, *, unit: float) -> "Canvas":
        """The smallest canvas that contains all points [..., 2]."""
        low, high = points.reshape(-1, 2).amin(0), points.reshape(-1, 2).amax(0)
        width, height = ((high - low) * unit).ceil().int().clamp_min(1).tolist()
        return cls(float(low[0]), float(low[1]), unit, height, width)

    @property
    def points(self) -> Tensor:
        """Coordinates of the pixel centers, [height, width, 2]."""
        y = self.top + (torch.arange(self.height) + 0.5) / self.unit
        x = self.left + (torch.arange(self.width) + 0.5) / self.unit
        return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)

    def pixels(self, points: Tensor) -> Tensor:
        """(column, row) of points [..., 2] on this canvas; the upper left corner is (0, 0)."""
        return (points - torch.tensor([self.left, self.top])) * self.unit


def with_outline(picture: object, corners: Tensor, *, thickness: int = 1) -> Pixels:
    """The picture as uint8 with a closed line through the corners and a dot on the first one.

    corners: [n, 2] as (column, row).
    """
    drawn = Image.fromarray(to_pixels(picture))
    pen = ImageDraw.Draw(drawn)
    points = [(float(x), float(y)) for x, y in corners]
    for color, extra in ((_EDGE, 2), (_LINE, 0)):
        pen.line([*points, *points[:2]], fill=color, width=thickness + extra)
        radius = 2 * thickness + extra / 2
        x, y = points[0]
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)
    return np.asarray(drawn)


def motion_riddle(truth: Tensor) -> dict[str, Tensor]:
    """Four made-up recovered motions [time, 4] of one clip: three with a bug, one without."""
    mirrored = truth * torch.tensor([1.0, -1.0, 1.0, 1.0]).to(truth)
    elsewhere = torch.tensor([0.1, 0.25, 0.1, -0.05]).to(truth)
    return {
        "A": mirrored,
        "B": similarity.compose(elsewhere.expand_as(truth), truth),
        "C": truth.mean(0, keepdim=True).expand_as(truth),
        "D": similarity.inverse(truth),
    }
