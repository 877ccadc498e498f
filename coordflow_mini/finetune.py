"""Fine-tuning for few bits: the fit goes on with quantized weights and a price on every bit.

Each tensor of each layer has its own quantization step, learned together with the weights.  The
forward pass sees rounded weights; the backward pass pretends that rounding did nothing (the
straight-through estimator, Bengio et al., arXiv 1308.3432; learned steps: Esser et al., LSQ,
arXiv 1902.08153).  The price λ rises or falls until the file has the wanted size.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from coordflow_mini.config import CodecConfig
from coordflow_mini.fit import DivergenceError, FitResult, OnStep, Progress, Sampler, cosine
from coordflow_mini.model import CoordFlow
from coordflow_mini.optimizer import make_optimizer
from coordflow_mini.quantize import QuantizedTensor, nearest_index, quantize, step
from coordflow_mini.video import Video

__all__ = ["FineTuned", "Quantizer", "finetune", "quantize_model", "rate_bits"]

FileSize = Callable[[list[QuantizedTensor]], int]

_REPORT = 50  # steps between two measurements of the rate, after each of which the price moves


def quantize_model(model: CoordFlow, step_indices: list[list[int]]) -> list[QuantizedTensor]:
    """The integers of every tensor of every layer: all layers of the first parameter, then the next.

    step_indices: per parameter, per layer; see `quantize.step`.
    """
    return [
        QuantizedTensor(quantize(tensor, step(index)), index)
        for parameter, indices in zip(model.parameters(), step_indices, strict=True)
        for tensor, index in zip(parameter, indices, strict=True)
    ]


def rate_bits(weights: Tensor, log2_step: Tensor) -> Tensor:
    """About how many bits a tensor's integers cost, differentiable in weights and step, [layers].

    The entropy of a Gaussian of the tensor's own variance, rounded to the step (with the variance
    1/12 of the rounding itself, so that it stays above zero for tensors that are nearly constant).
    weights: [layers, in, out].  log2_step: [layers].
    """
    scaled = weights.flatten(1) * torch.exp2(-log2_step)[:, None]
    variance = scaled.var(dim=1, unbiased=False) + 1 / 12
    return 0.5 * scaled.shape[1] * torch.log2(2 * math.pi * math.e * variance)


class Quantizer(torch.nn.Module):
    """A model's weights, rounded at learned steps on the way forward."""

    def __init__(self, model: CoordFlow, first_step: float):
        super().__init__()
        self.model = model
        self.names = [name for name, _ in model.named_parameters()]
        scales = (parameter.detach().flatten(1).square().mean(1).sqrt() for parameter in model.parameters())
        self.log2_steps = torch.nn.ParameterList(torch.log2(first_step * scale + 1e-4) for scale in scales)

    def rounded(self) -> dict[str, Tensor]:
        """The weights that the file will hold, by name, with straight-through gradients."""
        return {
            name: _round_straight_through(parameter, log2_step)
            for (name, parameter), log2_step in zip(self.model.named_parameters(), self.log2_steps, strict=True)
        }

    def bits(self) -> Tensor:
        """Differentiable estimate of the bits of all integers."""
        pairs = zip(self.model.parameters(), self.log2_steps, strict=True)
        return torch.stack([rate_bits(weights, log2_step).sum() for weights, log2_step in pairs]).sum()

    @torch.no_grad()
    def spend(self, bits: float) -> None:
        """Make all steps finer (or, for negative bits, coarser) by what should cost that many bits."""
        share = bits / self.model.parameter_count
        for log2_step in self.log2_steps:
            log2_step -= share

    def step_indices(self) -> list[list[int]]:
        """The nearest storable steps."""
        return [[nearest_index(2.0**value) for value in steps.tolist()] for steps in self.log2_steps]

    def quantized(self) -> list[QuantizedTensor]:
        """The integers as they would be stored now."""
        return quantize_model(self.model, self.step_indices())

    def forward(self, *arguments: Tensor) -> Tensor:
        """The model with rounded weights."""
        return torch.func.functional_call(self.model, self.rounded(), arguments)


def _round_straight_through(weights: Tensor, log2_step: Tensor) -> Tensor:
    """Weights rounded to the nearest storable step of their layer; gradient as if not rounded."""
    log2_step = log2_step + (torch.round(log2_step * 8) / 8 - log2_step).detach()
    size = torch.exp2(log2_step)[:, None, None]
    scaled = weights / size
    return (scaled + (torch.round(scaled) - scaled).detach()) * size


@dataclass(frozen=True)
class FineTuned:
    """Quantized weights that were trained to be so, and how they got there."""

    tensors: list[QuantizedTensor]  # see `quantize_model`
    history: tuple[Progress, ...]
    interrupted: bool = False


class _Tuning:
    """The state of fine-tuning: weights, steps, their optimizers and the price of a bit."""

    def __init__(self, fitted: FitResult, sampler: Sampler, config: CodecConfig, on_step: OnStep | None):
        self.sampler, self.config, self.on_step = sampler, config, on_step
        self.quantizer = Quantizer(fitted.model, config.first_step)
        self.weights = make_optimizer(fitted.config.optimizer, fitted.model.parameters(), config.learning_rate)
        self.steps = torch.optim.Adam(self.quantizer.log2_steps.parameters(), config.step_learning_rate)
        self.price = 0.0
        self.done = 0
        self.history: list[Progress] = []
        self.began = time.perf_counter()

    def align(self, file_size: FileSize, target_bytes: float) -> None:
        """Choose first steps of quantization with which the file would have the wanted size now."""
        for _ in range(4):
            self.quantizer.spend(8 * (target_bytes - file_size(self.quantizer.quantized())))

    def advance(self, rates: list[float], file_size: FileSize, target_bytes: float) -> None:
        """One training step per learning rate (as a part of the full one), steering towards the target."""
        for number, rate in enumerate(rates):
            # float32 last, because that is what a decoder computes in
            dtype = torch.float32 if number > 0.7 * len(rates) else self.sampler.dtype
            error = self._descend(rate, dtype)
            self.done += 1
            if self.done % _REPORT == 0 or number == len(rates) - 1:
                self._steer(error, file_size(self.quantizer.quantized()), target_bytes, self.done - number - 1 + len(rates))

    def _descend(self, rate: float, dtype: torch.dtype) -> float:
        for optimizer, full in ((self.weights, self.config.learning_rate), (self.steps, self.config.step_learning_rate)):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = full * rate
        terms = self.sampler.terms(self.quantizer, self.sampler.batch(), dtype)
        (terms.total + self.price * self.quantizer.bits()).backward()
        self.weights.step()
        self.steps.step()
        return float(terms.squared)

    def _steer(self, error: float, size: int, target_bytes: float, steps: int) -> None:
        """Raise the price while the file is too large, lower it while there is room."""
        if not math.isfinite(error) or error > 1:
            raise DivergenceError(
                f"fine-tuning diverged (squared error {error:.3g}); use a fine-tuning learning rate "
                f"below {self.config.learning_rate:g}"
            )
        if not self.price:  # distortion falls about as rate^-1.5: the slope of that law at the target
            self.price = 1.5 * error / (8 * target_bytes)
        self.price *= min(4.0, max(0.25, (size / target_bytes) ** self.config.steering))
        weights = sum(parameter.numel() for parameter in self.quantizer.model.parameters())
        psnr_db = -10 * math.log10(max(error, 1e-10))
        seconds = time.perf_counter() - self.began
        progress = Progress("fine-tune", self.done, steps, psnr_db, seconds, 8 * size / weights)
        self.history.append(progress)
        if self.on_step:
            self.on_step(progress)


def finetune(
    fitted: FitResult,
    video: Video,
    config: CodecConfig,
    target_bytes: int,
    file_size: FileSize,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> FineTuned:
    """Continue a fit with quantized weights until their file has at most `target_bytes`.

    file_size: bytes of the whole file with these tensors; it is what the price of a bit obeys, so
    no estimate of ours decides.  The fit's model is trained in place.  Ctrl-C keeps what was
    reached.  Raises `DivergenceError`.  Taught in chapter 08.
    """
    sampler = Sampler(video, fitted.config, torch.device(device))
    tuning = _Tuning(fitted, sampler, config, on_step)
    aim = config.aim * target_bytes
    interrupted = False
    tuning.align(file_size, aim)
    try:
        tuning.advance([cosine(step / config.steps) for step in range(config.steps)], file_size, aim)
        for _ in range(config.rounds):
            size = file_size(tuning.quantizer.quantized())
            if config.floor * target_bytes <= size <= target_bytes:
                break
            tuning.quantizer.spend(8 * (aim - size))
            tuning.advance([0.1] * _REPORT, file_size, aim)
    except KeyboardInterrupt:
        interrupted = True
    return FineTuned(tuning.quantizer.quantized(), tuple(tuning.history), interrupted)
