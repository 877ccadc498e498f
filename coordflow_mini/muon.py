"""Muon: gradient descent whose steps are orthogonal matrices, for stacked weights.

Adam rescales every entry of a weight matrix separately; Muon rescales whole directions, so faint ones
(here: fine texture) are learned as fast as strong ones.  On clip:bunny it ended 3 dB above the best Adam we
tried with the same number of steps; LOG.md has the figures and says how little they cover.

Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import half_side
from coordflow_mini.model import CoordFlow, training_dtype
from coordflow_mini.video.clip import Video

_ADAM_SHARE = 0.25  # Adam's learning rate as a fraction of Muon's
_NARROW = 8  # matrices with a side of at most this go to Adam: too few directions to balance
_LARGE = 128  # from this many rows and columns on, matrices are multiplied in the training dtype
_TUNED_WIDTH = 68  # the widest model for which the default learning rate is the best
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, from the reference above


def orthogonalized(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Approximately U Vᵀ of each matrix U S Vᵀ, [..., rows, columns]: all singular values near 1.

    Newton-Schulz iteration, which needs matrix products only.  After five iterations, singular values above
    1/500 of the matrix's norm lie between 0.68 and 1.21, smaller ones below.  Large matrices are multiplied
    in the training dtype, usually bfloat16; the directions hardly change.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).reshape(-1, *sorted(matrices.shape[-2:]))
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    if min(matrices.shape[-2:]) >= _LARGE and matrices.dtype == torch.float32:
        x = x.to(training_dtype(x.device))
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype).view(matrices.shape)


class Muon(torch.optim.Optimizer):
    """Muon for stacked weights [layers, in, out], Adam for biases and narrow matrices.

    A step changes a matrix by 0.2 · learning rate in root mean square, about as much as Adam's, so one
    learning rate serves both (Moonlight, arXiv 2502.16982).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.9):
        wide: list[nn.Parameter] = []
        narrow: list[nn.Parameter] = []
        for parameter in parameters:
            matrix = parameter.dim() == 3 and min(parameter.shape[1:]) > _NARROW
            (wide if matrix else narrow).append(parameter)
        groups = [{"params": wide, "wide": True}, {"params": narrow, "wide": False}]
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient.  The closure is ignored."""
        for group in self.param_groups:
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["wide"]:
                self._muon(moving, group["lr"], group["momentum"])
            elif moving:
                self._adam(moving, group["lr"], group["momentum"])

    def _muon(self, parameters: list[nn.Parameter], rate: float | Tensor, momentum: float) -> None:
        for shape, alike in groupby(parameters, key=lambda parameter: parameter.shape):
            same = list(alike)  # consecutive matrices of one shape are orthogonalized together
            gradients = [_gradient(parameter) for parameter in same]
            means = [self._kept(parameter, "mean") for parameter in same]
            torch._foreach_lerp_(means, gradients, 1 - momentum)
            directions = orthogonalized(torch.stack(torch._foreach_lerp(gradients, means, momentum)))
            changes = directions * (-0.2 * math.sqrt(max(shape[1:])) * rate)
            torch._foreach_add_(tuple(same), changes.unbind())

    def _adam(self, parameters: list[nn.Parameter], rate: float | Tensor, momentum: float) -> None:
        adam(
            cast(list[Tensor], parameters),
            [_gradient(parameter) for parameter in parameters],
            [self._kept(parameter, "mean") for parameter in parameters],
            [self._kept(parameter, "square") for parameter in parameters],
            [],
            [self._kept(parameter, "count") for parameter in parameters],
            fused=True,
            amsgrad=False,
            beta1=momentum,
            beta2=0.99,
            lr=_ADAM_SHARE * rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def _kept(self, parameter: nn.Parameter, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = parameter.new_zeros(() if name == "count" else parameter.shape)
        kept: Tensor = state[name]
        return kept


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def learning_rate(config: FitConfig, model: ModelConfig) -> float:
    """The configured learning rate up to width 68, then less: proportional to width ** -1.5.

    In wider networks the changes of more weights add up.  At the full rate, width 89 ends 3 dB below where
    it ends at two thirds of it, and even below width 68 (LOG.md).
    """
    return config.learning_rate * min(1.0, _TUNED_WIDTH / model.width) ** 1.5


def trapezoid(part: float) -> float:
    """Learning rate relative to its peak after a part of all steps: 1 for 70 %, then linear to 0.

    Ends about 1 dB above half a cosine with the same number of steps (LOG.md).
    """
    return min(1.0, (1 - part) / 0.3)


def cosine(part: float) -> float:
    """Learning rate relative to its peak after a part of all steps: half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * part))


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """The optimizer that `FitConfig.optimizer` names, its learning rates on the parameters' device.

    Raises ValueError for other names.
    """
    if name == "muon":
        optimizer: torch.optim.Optimizer = Muon(parameters, rate)
    elif name == "adam":
        optimizer = torch.optim.Adam(parameters, rate, betas=(0.9, 0.99), fused=True)
    else:
        raise ValueError(f"optimizer must be muon or adam, got {name!r}")
    return adjustable(optimizer)


def optimizers_for(
    model: CoordFlow, config: FitConfig, rate: float, video: Video
) -> tuple[list[torch.optim.Optimizer], list[float]]:
    """Optimizers of a model's weights, and their learning rates.

    A measured motion has an Adam of its own, whose rate is given in pixels of the video: the rate that suits
    colors would move it by more than a pixel a step, and away (LOG.md).
    """
    flow = list(model.flow.parameters()) if model.flow and config.flow_start == "measured" else []
    apart = {id(parameter) for parameter in flow}
    colors = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    optimizers, rates = [make_optimizer(config.optimizer, colors, rate)], [rate]
    if flow:
        rates.append(config.flow_rate / half_side(video.height, video.width))
        optimizers.append(make_optimizer("adam", flow, rates[-1]))
    return optimizers, rates


def adjustable(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer with learning rates on its parameters' device, changed in place and read there.

    Its step can then be captured as a CUDA graph.
    """
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
        group["capturable"] = True
    return optimizer


def set_rates(
    optimizers: Sequence[torch.optim.Optimizer], rates: Sequence[float], warm: float = 1, others: bool = True
) -> None:
    """Set learning rates of `adjustable` optimizers.

    warm: part of its rate that the first one's wide matrices get.  others: False to set the others' to 0.
    """
    for group in optimizers[0].param_groups:
        group["lr"].fill_(rates[0] * (warm if group.get("wide", True) else 1.0))
    for optimizer, rate in zip(optimizers[1:], rates[1:], strict=True):
        for group in optimizer.param_groups:
            group["lr"].fill_(rate * others)


def memory(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """A copy of what an optimizer remembers of each parameter, by the parameter's number.

    Unlike its `state_dict`, this holds no settings: those follow from the configuration.
    """
    return {str(number): copy.deepcopy(kept) for number, kept in optimizer.state_dict()["state"].items()}


def restore(optimizer: torch.optim.Optimizer, memory: dict[str, dict[str, Any]]) -> None:
    """Give an optimizer the `memory` of one like it; the tensors are copied.

    PyTorch itself checks only how many parameters there are; a misfit would fail at a later step.
    Raises ValueError, or whatever PyTorch raises, for the memory of another kind of optimizer.
    """
    state = {int(number): copy.deepcopy(kept) for number, kept in memory.items()}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    for parameter, kept in optimizer.state.items():
        if not isinstance(parameter, Tensor) or not _fits(optimizer, parameter, kept):
            raise ValueError("its optimizer remembers something else")


def _fits(optimizer: torch.optim.Optimizer, parameter: Tensor, kept: dict[str, Any]) -> bool:
    if isinstance(optimizer, Muon):
        counter, complete = "count", kept.keys() <= {"mean", "square", "count"}
    else:
        counter, complete = "step", kept.keys() == {"exp_avg", "exp_avg_sq", "step"}
    alike = all(
        isinstance(value, Tensor) and value.shape == (() if name == counter else parameter.shape)
        for name, value in kept.items()
    )
    return complete and alike and (counter not in kept or bool(kept[counter] >= 0))
