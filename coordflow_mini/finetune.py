"""Fine-tuning for few bits: training goes on with quantized weights and a price on every bit.

Each tensor of each layer has its own quantization step, learned together with the weights.  The forward pass
sees rounded weights; the backward pass ignores the rounding (straight-through estimator, Bengio et al., arXiv
1308.3432; learned steps: Esser et al., LSQ, arXiv 1902.08153).  Training decides how the bits are shared out;
`RateControl` decides how many there are, by moving all steps together until the file has the wanted size.  In
the last steps of training the quantization steps stand still, so that the weights can settle on them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.config import CodecConfig
from coordflow_mini.loss import LossTerms
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import adjustable, cosine, set_rates
from coordflow_mini.quantize import LARGEST, LAST_INDEX, QuantizedTensor, nearest_index, quantize, step
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import FitResult, Progress, Training

FileSize = Callable[[list[QuantizedTensor]], int]

_GENTLE = 7  # bits per weight at the start: rounding that hardly hurts
_FINEST, _COARSEST = -12.0, LAST_INDEX / 8  # log2 of a step; at the finest, integers hold weights up to 256
_ARRIVED = 0.25  # part of all steps after which the rate is the target's
_SETTLED = 0.7  # part after which quantization steps stand still: moving them undoes what was learned
_MEASURED = 8  # times that the real file is measured in all steps; it takes as long as a hundred of a GPU's
_HOLD = 5  # steps between two corrections of the rate
_ROUND = 100  # steps of a further round
_ROUND_RATE, _ROUND_MOVING_SHARE = 0.1, 0.1  # its learning rate, and part of it in which steps move
_REACHABLE = 0.9  # of the floor: weights that change in further rounds may cost a little more
_LIMIT = 0.5  # mean squared error of a diverged model: twice that of a gray picture at its worst


def quantize_model(model: CoordFlow, step_indices: list[list[int]]) -> list[QuantizedTensor]:
    """Integers of every tensor of every layer: all layers of the first parameter, then of the next.

    step_indices: per parameter, per layer; see `quantize.step`.
    """
    return [
        QuantizedTensor(quantize(tensor, step(index)), index)
        for parameter, indices in zip(model.parameters(), step_indices, strict=True)
        for tensor, index in zip(parameter, indices, strict=True)
    ]


def rate_bits(weights: Tensor, log2_step: Tensor) -> Tensor:
    """Approximate bits of a tensor's integers, differentiable in weights and step, [layers].

    The entropy of a Gaussian with the tensor's variance, rounded to the step.  1/12, the variance of the
    rounding itself, keeps it above zero for tensors that are nearly constant.
    weights: [layers, in, out].  log2_step: [layers].
    """
    return _entropy(weights.flatten(1).var(1, unbiased=False), log2_step) * weights[0].numel()


def _entropy(variance: Tensor, log2_step: Tensor) -> Tensor:
    """Approximate bits of one integer, of the shape of both."""
    return 0.5 * torch.log2(2 * math.pi * math.e * (variance * torch.exp2(-2 * log2_step) + 1 / 12))


class _Variances(torch.autograd.Function):
    """Variances of the tensors of every layer, [layers, tensors], of all weights side by side.

    The gradient is computed for all weights at once; PyTorch would do it tensor by tensor.
    """

    @staticmethod
    def forward(context: Any, flat: Tensor, sizes: Tensor, counts: tuple[int, ...]) -> Tensor:
        found = [torch.var_mean(part, 1, correction=0) for part in flat.split(counts, 1)]
        variances, means = (torch.stack(column, 1) for column in zip(*found, strict=True))
        context.counts = counts
        context.save_for_backward(flat, means, sizes)
        return variances

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        flat, means, sizes = context.saved_tensors
        slopes = _spread(2 * gradient / sizes, context.counts)
        return (flat - _spread(means, context.counts)) * slopes, None, None


def _spread(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Each tensor's value [layers, tensors] beside each of its weights, [layers, weights]."""
    columns = zip(values.split(1, dim=1), counts, strict=True)
    return torch.cat([column.expand(-1, count) for column, count in columns], dim=1)


class Quantizer(torch.nn.Module):
    """A model whose weights are rounded at learned steps in the forward pass.

    All weights are rounded at once, side by side as [layers, weights]: tensor by tensor, a GPU would start
    more than twice as many kernels (LOG.md).
    """

    sizes: Tensor

    def __init__(self, model: CoordFlow):
        super().__init__()
        self.model = model
        self.counts = tuple(parameter[0].numel() for parameter in model.parameters())
        scales = [parameter.detach().flatten(1).square().mean(1).sqrt() for parameter in model.parameters()]
        self.log2_steps = torch.nn.Parameter(torch.log2(torch.stack(scales, 1) / 8 + 1e-4))
        self.register_buffer("sizes", torch.tensor(self.counts, device=model.device), persistent=False)

    def flat(self) -> Tensor:
        """All weights side by side, [layers, weights]."""
        return torch.cat([parameter.flatten(1) for parameter in self.model.parameters()], dim=1)

    def rounded(self) -> dict[str, Tensor]:
        """Weights as the file will hold them, by name, with straight-through gradients."""
        size = _spread(torch.exp2(self._storable()), self.counts)
        scaled = self.flat() / size
        parts = ((scaled + (torch.round(scaled) - scaled).detach()) * size).split(self.counts, 1)
        named = zip(self.model.named_parameters(), parts, strict=True)
        return {name: part.view(parameter.shape) for (name, parameter), part in named}

    def _storable(self) -> Tensor:
        """log2 of the nearest steps that a file can hold, with straight-through gradients."""
        return self.log2_steps + (torch.round(self.log2_steps * 8) / 8 - self.log2_steps).detach()

    def bits(self) -> Tensor:
        """Differentiable estimate of the bits of all integers, scalar."""
        variances: Tensor = _Variances.apply(self.flat(), self.sizes, self.counts)  # type: ignore[no-untyped-call]
        return (_entropy(variances, self.log2_steps) * self.sizes).sum()

    @torch.no_grad()
    def spend(self, bits: float | Tensor) -> None:
        """Make all steps finer by as much as should cost that many bits; coarser if negative."""
        self.log2_steps.sub_(bits / self.model.parameter_count).clamp_(_FINEST, _COARSEST)

    @torch.no_grad()
    def fits_format(self) -> bool:
        """True if the file format can hold the weights at these steps."""
        largest = torch.stack([p.flatten(1).abs().amax(1) for p in self.model.parameters()], 1)
        return bool((largest <= LARGEST * torch.exp2(self._storable())).all())

    def step_indices(self) -> list[list[int]]:
        """Indices of the nearest storable steps, per parameter and layer."""
        return [[nearest_index(2.0**value) for value in steps] for steps in self.log2_steps.T.tolist()]

    def quantized(self) -> list[QuantizedTensor]:
        """Integers as they would be stored now.  Raises ValueError if the file format cannot hold them."""
        return quantize_model(self.model, self.step_indices())

    def forward(self, *arguments: Tensor) -> Tensor:
        """Output of the model with rounded weights."""
        return torch.func.functional_call(self.model, self.rounded(), arguments)


class RateControl:
    """Keeps the size of the file at a target by moving all quantization steps together.

    target_bytes: the most that the file may have.  file_size: bytes of the whole file with these tensors; the
    rate is held by it, and no estimate of ours decides.  fraction: part of all steps done so far.
    Between two measurements of the file, everything stays on the device.
    """

    def __init__(self, quantizer: Quantizer, config: CodecConfig, target_bytes: int, file_size: FileSize):
        self.quantizer, self.config, self.file_size = quantizer, config, file_size
        self.least, self.aim, self.most = config.floor * target_bytes, config.aim * target_bytes, target_bytes
        for _ in range(3):
            self.calibrate()
            self.hold(0.0 if config.steps else 1.0)

    @torch.no_grad()
    def calibrate(self) -> None:
        """Compare the estimate of the rate with the real file."""
        self.size = self.file_size(self.quantizer.quantized())
        self.surcharge = 8 * self.size / float(self.quantizer.bits())  # real bits per estimated bit

    @torch.no_grad()
    def estimate(self) -> None:
        """Estimate the size of the file by its last measurement."""
        self.size = round(self.surcharge * float(self.quantizer.bits()) / 8)

    def wanted_bits(self, fraction: float) -> float:
        """Rate to hold now: from gentle down to the target [bits]."""
        part = min(1.0, fraction / _ARRIVED)
        gentle = max(8 * self.aim, _GENTLE * self.quantizer.model.parameter_count)
        return 8 * self.aim * part + gentle * (1 - part)

    @torch.no_grad()
    def hold(self, fraction: float) -> None:
        """Bring the estimated size to the wanted one."""
        self.quantizer.spend(self.wanted_bits(fraction) - self.surcharge * self.quantizer.bits())

    def price(self, fraction: float) -> float:
        """Worth of the last bit relative to the error, if distortion falls as rate ** -config.price."""
        return self.config.price / self.wanted_bits(fraction)

    def settle(self) -> None:
        """Meet the target by the quantization steps alone, without training."""
        for _ in range(8):
            self.size = self.file_size(self.quantizer.quantized())
            if self.least <= self.size <= self.most:
                return
            self.quantizer.spend(8 * (self.aim - self.size))

    def arrived(self) -> bool:
        """True if the size is right, or out of reach: zeros take too much, or the finest steps too little."""
        if self.least <= self.size <= self.most:
            return True
        layers, tensors = self.quantizer.log2_steps.shape
        coarsest, finest = (
            [[nearest_index(2.0**log2)] * layers for _ in range(tensors)] for log2 in (_COARSEST, _FINEST)
        )
        zeros = [
            QuantizedTensor(np.zeros_like(tensor.integers), tensor.step_index)
            for tensor in quantize_model(self.quantizer.model, coarsest)
        ]
        if self.file_size(zeros) > self.most:
            return True
        try:
            return self.file_size(quantize_model(self.quantizer.model, finest)) < _REACHABLE * self.least
        except ValueError:  # these weights are too large for such fine steps
            return False


class Tuning(Training):
    """A training run of quantized weights, their steps and the size of the file."""

    stage = "fine-tune"
    every = 100
    cure = "use a fine-tuning learning rate below {:g}, for example {:g}"

    def __init__(self, fitted: FitResult, sampler: Sampler, control: RateControl):
        super().__init__(sampler, fitted.model, fitted.config, control.config.learning_rate)
        self.control, self.quantizer, self.codec = control, control.quantizer, control.config
        self.steps = self.codec.steps
        self.last = self.steps + self.codec.rounds * _ROUND
        steps = torch.optim.Adam([self.quantizer.log2_steps], self.codec.step_learning_rate, fused=True)
        self.optimizers.append(adjustable(steps))
        self.rates.append(self.codec.step_learning_rate)
        error = 10 ** (-fitted.history[-1].psnr_db / 10) if fitted.history else 0.01
        self.limit = max(_LIMIT, 2 * error)  # a fit may end worse
        self.running, self.price = (torch.tensor(x, device=sampler.device) for x in (error, 0.0))
        self.measured = self.every * max(1, self.steps // (_MEASURED * self.every))  # steps from file to file

    def rounds(self) -> Iterator[Progress]:
        """Train for all steps, then in short rounds until the file has its size."""
        yield from self.reports(self.codec.steps)
        for first in range(self.codec.steps, self.last, _ROUND):
            if self.step <= first and self.control.arrived():
                return
            self.steps = first + _ROUND
            yield from self.reports(self.steps)

    def _settled(self, step: int) -> bool:
        if step < self.codec.steps:
            return step > _SETTLED * self.codec.steps
        return (step - self.codec.steps) % _ROUND > _ROUND_MOVING_SHARE * _ROUND

    def _fraction(self) -> float:
        return self.step / self.codec.steps if self.codec.steps else 1.0

    def aim(self) -> None:
        """Choose the next batch, the price of a bit, and learning rates: half a cosine, then small ones."""
        self.sampler.aim(self.step)
        self.price.fill_(self.control.price(self._fraction()))
        later = (self.step - self.codec.steps) % _ROUND / _ROUND
        rate = cosine(self._fraction()) if self.step < self.codec.steps else _ROUND_RATE * cosine(later)
        set_rates(self.optimizers, [full * rate * 0.1**self.lowered for full in self.rates])

    def loss(self) -> LossTerms:
        """Loss of the rounded weights, and the price of their bits."""
        dtype = torch.float32 if self._settled(self.step) else None  # as decoders compute
        terms = self.sampler.terms(self.quantizer, dtype)
        return replace(terms, total=terms.total + self.price * self.running * self.quantizer.bits())

    def freeze(self) -> None:
        """Keep settled quantization steps."""
        if self._settled(self.step):
            self.optimizers[-1].zero_grad(set_to_none=True)

    def observe(self, squared: Tensor) -> None:
        """Update the running error; hold the rate while steps may move."""
        self.running.lerp_(squared, 0.02)
        if self.step % _HOLD == 0 and not self._settled(self.step - 1):
            self.control.hold(self._fraction())

    def error(self) -> float:
        """Running mean squared error; infinite if the file format cannot hold the weights."""
        return float(self.running) if self.quantizer.fits_format() else math.inf

    def report(self) -> Progress:
        """Measure the real file if it is time to, and add progress to the history."""
        if math.isfinite(self.error()):
            due = self.step % self.measured == 0 or self.step >= self.codec.steps
            self.control.calibrate() if due else self.control.estimate()
        bits = 8 * self.control.size / self.model.parameter_count
        self.history[-1] = replace(super().report(), bits_per_weight=bits)
        return self.history[-1]

    def finish(self) -> None:
        """Meet the target by the quantization steps alone, and report what came after the last report."""
        self.control.settle()
        if not self.history or self.history[-1].step < self.step:
            self.report()

    def state(self) -> dict[str, Any]:
        """As of any training run, with the quantization steps and the rate."""
        return {
            **super().state(),
            "log2_steps": self.quantizer.log2_steps.detach().clone(),
            "running": self.running.clone(),
            "size": self.control.size,
            "surcharge": self.control.surcharge,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """As of any training run."""
        super().restore(state)
        if state["log2_steps"].shape != self.quantizer.log2_steps.shape:
            raise ValueError("its quantization steps are of another model")
        with torch.no_grad():
            self.quantizer.log2_steps.copy_(state["log2_steps"])
            self.running.fill_(float(state["running"]))
        self.control.size, self.control.surcharge = int(state["size"]), float(state["surcharge"])


@dataclass(frozen=True)
class FineTuned:
    """Quantized weights, trained as such, and how they got there."""

    tensors: list[QuantizedTensor]  # see `quantize_model`
    history: tuple[Progress, ...]
    interrupted: bool = False
