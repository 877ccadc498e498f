# ruff: noqa: F811
import torch
from torch import nn

from coordflow_mini import similarity
from tests.exercises import wrong, wrong_value


@wrong(says="log 1 = 0")
def start_at_identity(flow):
    "scale 1 as the first number"
    with torch.no_grad():
        flow[-1].weight.mul_(0.001)
        flow[-1].bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    return flow


@wrong(says="never follow a motion")
def start_at_identity(flow):
    "all weights zero"
    for parameter in flow.parameters():
        nn.init.zeros_(parameter)
    return flow


@wrong(says="bias still moves everything")
def start_at_identity(flow):
    "forgets the bias"
    nn.init.zeros_(flow[-1].weight)
    return flow


@wrong(says="starts at a motion")
def start_at_identity(flow):
    "forgets the weights"
    nn.init.zeros_(flow[-1].bias)
    return flow


@wrong(says="Nothing has changed")
def start_at_identity(flow):
    "makes a copy of the weights small"
    flow[-1].weight.detach().clone().zero_()
    return flow


@wrong(says="flow network itself")
def start_at_identity(flow):
    "returns the identity transform"
    return torch.zeros(4)


@wrong(says="return missing")
def start_at_identity(flow):
    "forgets to return"
    nn.init.zeros_(flow[-1].bias)


@wrong(says="not to pixel i")
def gather(flow, times, frame, points):
    "row i for pixel i"
    return similarity.apply(flow(times), points)


@wrong(says="once per frame")
def gather(flow, times, frame, points):
    "evaluates the flow for every pixel"
    return similarity.apply(flow(times[frame]), points)


@wrong(says="wrong axis")
def gather(flow, times, frame, points):
    "indexes the columns"
    return similarity.apply(flow(times)[:, frame], points)


@wrong(says="frame indices")
def gather(flow, times, frame, points):
    "frame numbers as times"
    return similarity.apply(flow(frame), points)


@wrong(says="reorder the points")
def gather(flow, times, frame, points):
    "gathers the points"
    return similarity.apply(flow(times), points[frame])


@wrong(says="wrong way")
def gather(flow, times, frame, points):
    "applies the inverse"
    return similarity.apply(similarity.inverse(flow(times)[frame]), points)


@wrong(says="motion of every frame")
def gather(flow, times, frame, points):
    "all frames for all pixels"
    return similarity.apply(flow(times)[:, None], points)


@wrong(says="apply them")
def gather(flow, times, frame, points):
    "stops after the gather"
    return flow(times)[frame]


def corners(height, width):
    unit = max(height, width) / 2
    x, y = width / 2 / unit, height / 2 / unit
    return torch.tensor([[-x, -y], [x, -y], [x, y], [-x, y]])


@wrong(says="inverse")
def outline(transform, height, width):
    "carries the corners the wrong way"
    return similarity.apply(similarity.inverse(transform), corners(height, width))


@wrong(says="centers of the corner pixels")
def outline(transform, height, width):
    "takes pixel centers"
    unit = max(height, width) / 2
    x, y = (width - 1) / 2 / unit, (height - 1) / 2 / unit
    return similarity.apply(transform, torch.tensor([[-x, -y], [x, -y], [x, y], [-x, y]]))


@wrong(says="±1 in both directions")
def outline(transform, height, width):
    "the unit square"
    return similarity.apply(transform, torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]))


@wrong(says="wrong order")
def outline(transform, height, width):
    "reading order, which makes a bow tie"
    return similarity.apply(transform, corners(height, width)[[0, 1, 3, 2]])


@wrong(says="in the frame itself")
def outline(transform, height, width):
    "forgets the motion"
    return corners(height, width)


@wrong(says="in pixels")
def outline(transform, height, width):
    "corners in pixels"
    pixels = torch.tensor([[0.0, 0], [width, 0], [width, height], [0, height]])
    return similarity.apply(transform, pixels)


wrong_value(
    "which_motion",
    "takes the moved canonical picture for a bug",
    {
        "A": "sign of the angle",
        "B": "the inverse",
        "C": "all weights zero",
        "D": "another canonical picture",
    },
    says="Exactly one run is right",
)
wrong_value(
    "which_motion",
    "A and D swapped",
    {
        "A": "the inverse",
        "B": "another canonical picture",
        "C": "all weights zero",
        "D": "sign of the angle",
    },
    says="swapped",
)
wrong_value(
    "which_motion",
    "does not see the dead flow",
    {
        "A": "sign of the angle",
        "B": "all weights zero",
        "C": "another canonical picture",
        "D": "the inverse",
    },
    says="level lines",
)
wrong_value(
    "which_motion",
    "a fifth explanation",
    {"A": "noise", "B": "another canonical picture", "C": "all weights zero", "D": "the inverse"},
    says="not one of",
)
