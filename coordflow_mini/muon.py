"""Muon: gradient descent whose steps are orthogonal matrices, for stacked weights.

Adam rescales each number of a weight by itself; Muon rescales whole directions, so the faint ones
(in our case: fine texture) are learned as fast as the strong ones.  On clip:bunny it was 3 dB ahead of
the best Adam we tried after as many steps: LOG.md has the figures, and how little they cover.

Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from coordflow_mini.model import training_dtype
from coordflow_mini.ops.states import copied

__all__ = ["Muon", "make_optimizer", "orthogonalized", "restore"]

_ADAM_SHARE = 0.25  # Adam's learning rate as a part of Muon's
_NARROW = 8  # matrices with a side up to this go to Adam: too few directions to balance
_LARGE = 128  # matrices of at least this many rows and columns are worth the machine's fast arithmetic
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, from the reference above


def orthogonalized(matrices: Tensor, iterations: int = 5) -> Tensor:
    """About U Vᵀ of each matrix U S Vᵀ, [..., rows, columns]: all singular values near 1.

    A Newton-Schulz iteration: only matrix products, and exact enough after five rounds: singular
    values above 1/500 of the matrix's norm end between 0.68 and 1.21, smaller ones below.  Large
    matrices are multiplied in bfloat16 where the machine is faster at that: the directions hardly change.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).reshape(-1, *sorted(matrices.shape[-2:]))
    if min(matrices.shape[-2:]) >= _LARGE and matrices.dtype == torch.float32:
        x = x.to(training_dtype(x.device))
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype).view(matrices.shape)


class Muon(torch.optim.Optimizer):
    """Muon for stacked weights [layers, in, out], Adam for biases and narrow matrices.

    A step changes a matrix by 0.2 · learning rate in root mean square, about what Adam does, so both
    kinds share one rate (Moonlight, arXiv 2502.16982).
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
        """Move every parameter that has a gradient; a closure is not called."""
        for group in self.param_groups:
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["wide"]:
                self._muon(moving, group["lr"], group["momentum"])
            elif moving:
                self._adam(moving, group["lr"], group["momentum"])

    def _muon(self, parameters: list[nn.Parameter], rate: float, momentum: float) -> None:
        for shape, alike in groupby(parameters, key=lambda parameter: parameter.shape):
            same = list(alike)  # matrices of one shape are orthogonalized together
            gradients = [_gradient(parameter) for parameter in same]
            means = [self._kept(parameter, "mean") for parameter in same]
            torch._foreach_lerp_(means, gradients, 1 - momentum)
            directions = orthogonalized(torch.stack(torch._foreach_lerp(gradients, means, momentum)))
            size = 0.2 * rate * math.sqrt(max(shape[1:]))
            torch._foreach_add_(tuple(same), tuple(directions), alpha=-size)

    def _adam(self, parameters: list[nn.Parameter], rate: float, momentum: float) -> None:
        gradients = [_gradient(parameter) for parameter in parameters]
        means = [self._kept(parameter, "mean") for parameter in parameters]
        squares = [self._kept(parameter, "square") for parameter in parameters]
        steps = [self._counted(parameter) for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        torch._foreach_mul_(squares, 0.99)
        torch._foreach_addcmul_(squares, gradients, gradients, 0.01)
        scales = torch._foreach_div(squares, [1 - 0.99**step for step in steps])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, 1e-8)
        rates = [-_ADAM_SHARE * rate / (1 - momentum**step) for step in steps]
        torch._foreach_addcdiv_(tuple(parameters), tuple(means), scales, rates)

    def _kept(self, parameter: nn.Parameter, name: str) -> Tensor:
        """What is remembered about a parameter from step to step; zeros at first."""
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        kept: Tensor = state[name]
        return kept

    def _counted(self, parameter: nn.Parameter) -> int:
        """How many steps a parameter has made, this one included."""
        count: int = self.state[parameter].get("step", 0) + 1
        self.state[parameter]["step"] = count
        return count


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


def make_optimizer(name: str, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """The optimizer that `FitConfig.optimizer` names, at a learning rate."""
    if name == "muon":
        return Muon(parameters, rate)
    if name == "adam":
        return torch.optim.Adam(parameters, rate, betas=(0.9, 0.99), fused=True)
    raise ValueError(f"optimizer must be muon or adam, got {name!r}")


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimizer the `state_dict` of one that was made alike; its tensors are copied.

    PyTorch would train in the given ones.  And it compares the numbers of parameters only; what else does not
    fit would be met at some later step.
    Raises ValueError, or whatever PyTorch raises, if it is that of another one.
    """
    made = _settings(optimizer)
    optimizer.load_state_dict(copied(state))
    for group, ours, theirs in zip(optimizer.param_groups, made, _settings(optimizer), strict=True):
        if any(theirs[name] != ours[name] for name in ours.keys() & theirs.keys()):
            raise ValueError("its optimizer has other settings")
        for name in theirs.keys() - ours.keys():  # versions of PyTorch have more or fewer
            del group[name]
        group.update(ours)
    for parameter, kept in optimizer.state.items():
        if not isinstance(parameter, Tensor) or not _fits(optimizer, parameter, kept):
            raise ValueError("its optimizer remembers something else")


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """All of an optimizer that does not change while it is used."""
    changing = ("params", "lr")
    return [{k: v for k, v in group.items() if k not in changing} for group in optimizer.param_groups]


def _fits(optimizer: torch.optim.Optimizer, parameter: Tensor, kept: dict[str, Any]) -> bool:
    """Whether this is what an optimizer remembers about a parameter."""
    count, *means = kept.get("step", 0), *(value for name, value in kept.items() if name != "step")
    alike = all(isinstance(mean, Tensor) and mean.shape == parameter.shape for mean in means)
    if isinstance(optimizer, Muon):
        return alike and kept.keys() <= {"mean", "square", "step"} and type(count) is int and count >= 0
    counted = isinstance(count, Tensor) and count.shape == () and bool(count >= 0)
    return alike and counted and kept.keys() == {"exp_avg", "exp_avg_sq", "step"}
