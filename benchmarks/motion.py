"""Distance between a model's motion and the true motion of a scene."""

import math

import torch
from torch import Tensor

from coordflow_mini import similarity
from coordflow_mini.coords import frame_times, half_side
from coordflow_mini.measure import metrics
from coordflow_mini.model import CoordFlow
from coordflow_mini.render import render
from coordflow_mini.video.scenes import Scene

__all__ = ["aligned", "motion_errors"]


def aligned(found: Tensor, truth: Tensor) -> Tensor:
    """The found motion [time, 4] seen in the truth's canonical frame.

    A canonical frame is only defined up to a similarity A; the best A is searched by gradient
    descent on where A ∘ found and truth send the corners of the unit square.
    """
    points = torch.tensor([[-0.6, -0.4], [0.6, -0.4], [-0.6, 0.4], [0.6, 0.4]], dtype=torch.float64)
    goal = similarity.apply(truth[:, None], points)
    middle = len(found) // 2
    align = similarity.compose(truth[middle], similarity.inverse(found[middle])).clone().requires_grad_()
    optimizer = torch.optim.LBFGS([align], max_iter=200, line_search_fn="strong_wolfe")

    def error() -> Tensor:
        optimizer.zero_grad()
        moved = similarity.apply(similarity.compose(align.expand_as(found), found)[:, None], points)
        loss = (moved - goal).square().mean()
        loss.backward()
        return loss

    optimizer.step(error)
    return similarity.compose(align.detach().expand_as(found), found)


def motion_errors(model: CoordFlow, scene: Scene, layer: str) -> tuple[float, float, float]:
    """Mean errors over frames: scale [percent], rotation [degrees], translation [pixels].

    layer: "background" or "foreground"; which layer of the model plays it is found by its mask.
    """
    video = scene.video
    times = frame_times(video.time)
    top = render(model, times, video.height, video.width).alpha.argmax(dim=0)
    masks = torch.stack([top == index for index in range(model.config.layers)]).numpy()
    wanted = scene.masks if layer == "foreground" else ~scene.masks
    index = metrics.match_layers(masks, wanted[None]).order[0]
    truth = scene.motion[1 if layer == "foreground" else 0]
    with torch.no_grad():
        found = model.transforms(times)[index].double()
    difference = similarity.compose(aligned(found, truth), similarity.inverse(truth))
    turn = torch.remainder(difference[:, 1] + math.pi, 2 * math.pi) - math.pi
    shift = difference[:, 2:].norm(dim=1) * half_side(video.height, video.width)
    scale = 100 * torch.expm1(difference[:, 0]).abs()
    return float(scale.mean()), float(turn.rad2deg().abs().mean()), float(shift.mean())
