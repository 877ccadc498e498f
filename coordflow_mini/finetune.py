"""Fine-tuning for few bits: the fit goes on with quantized weights and a price on every bit.

Each tensor of each layer has its own quantization step, learned together with the weights.  The
forward pass sees rounded weights; the backward pass pretends that rounding did nothing (the
straight-through estimator, Bengio et al., arXiv 1308.3432; learned steps: Esser et al., LSQ,
arXiv 1902.08153).  How the bits are shared out is learned; how many there are is held: after every
few training steps all quantization steps move together to where the file has the wanted size.  At the
end the quantization steps stand still, so that the weights can settle on them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from coordflow_mini.config import CodecConfig
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import make_optimizer, restore
from coordflow_mini.ops import distributed
from coordflow_mini.ops.checkpoint import Checkpoint, State, figure
from coordflow_mini.ops.guard import DivergenceError, Guard, is_finite
from coordflow_mini.quantize import LAST_INDEX, QuantizedTensor, nearest_index, quantize, step
from coordflow_mini.train import (
    FitResult,
    History,
    OnStep,
    Progress,
    Resumable,
    Sampler,
    cosine,
    worth_compiling,
)
from coordflow_mini.video.clip import Video

__all__ = ["FineTuned", "Quantizer", "finetune", "quantize_model", "rate_bits"]

FileSize = Callable[[list[QuantizedTensor]], int]

_GENTLE = 7  # bits per weight at the start: rounding that the fit hardly notices
_FINEST, _COARSEST = -12.0, LAST_INDEX / 8  # log2 of a step; at the finest, integers hold weights up to 256
_GRAPHS = 2  # to compile: training in bfloat16, then in float32
_ARRIVED = 0.25  # part of all steps after which the rate is the target's
_SETTLED = 0.7  # part after which quantization steps stand still: to move them undoes what was learned
_AGAIN, _BRIEFLY = 0.1, 0.1  # learning rate of a further round, and part of it in which steps move
_HOLD = 5  # steps between two corrections of the rate
_REPORT = 100  # steps between two measurements of the real file, and two entries of the history
_ALMOST = 0.9  # weights that change in further rounds may cost a little more
_MOST = 0.5  # mean squared error of what has run away: twice that of a gray picture at its worst


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

    def __init__(self, model: CoordFlow):
        super().__init__()
        self.model = model
        scales = (parameter.detach().flatten(1).square().mean(1).sqrt() for parameter in model.parameters())
        self.log2_steps = torch.nn.ParameterList(torch.log2(scale / 8 + 1e-4) for scale in scales)

    def rounded(self) -> dict[str, Tensor]:
        """The weights that the file will hold, by name, with straight-through gradients."""
        return {
            name: _round_straight_through(parameter, log2_step)
            for (name, parameter), log2_step in zip(
                self.model.named_parameters(), self.log2_steps, strict=True
            )
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
            log2_step.sub_(share).clamp_(_FINEST, _COARSEST)

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


class _Tuning(Resumable):
    """The state of fine-tuning: weights, steps, their optimizers and the size of the file."""

    def __init__(
        self,
        fitted: FitResult,
        sampler: Sampler,
        config: CodecConfig,
        aim: float,
        file_size: FileSize,
        on_step: OnStep | None,
    ):
        self.sampler, self.config, self.aim, self.file_size, self.on_step = (
            sampler,
            config,
            aim,
            file_size,
            on_step,
        )
        self.quantizer = Quantizer(fitted.model)
        self.weights = make_optimizer(
            fitted.config.optimizer, fitted.model.parameters(), config.learning_rate
        )
        self.steps = torch.optim.Adam(self.quantizer.log2_steps.parameters(), config.step_learning_rate)
        self.done, self.total = 0, 0
        self.error = 10 ** (-fitted.history[-1].psnr_db / 10) if fitted.history else 0.01
        self.most = max(_MOST, 2 * self.error)  # a fit may end worse
        self.surcharge = 1.0  # bits of the real file per estimated bit
        self.history = History()
        self.began = time.perf_counter()
        self.guard = Guard()
        for _ in range(3):
            self._calibrate()
            self._hold_rate()

    def advance(self, first: int, rates: list[float], settled_from: float = _SETTLED) -> None:
        """One training step per learning rate (each a share of the full one), but for those already made.

        first: steps that were made before these.  settled_from: part of them after which the quantization
        steps stand still.
        """
        self.total = first + len(rates)
        self._remember()
        while self.done < self.total:
            settled = self.done - first > settled_from * len(rates)
            # float32 last, because that is what a decoder computes in
            dtype = torch.float32 if settled else self.sampler.dtype
            self._descend(rates[self.done - first], dtype, settled)
            self.done += 1
            if self.done % _HOLD == 0 and not settled:
                self._hold_rate()
            ends = self.done % _REPORT == 0 or self.done == self.total
            fault = "" if self.error <= self.most else f"the squared error rose to {self.error:.2g}"
            if self.guard.due() or ends:
                fault = distributed.first(fault or self._fault(ends))
            if fault:
                self._go_back(fault)
            elif ends:
                self._report()

    def _own_numbers(self) -> State:
        return {
            "done": self.done,
            "seconds": time.perf_counter() - self.began,
            "error": self.error,
            "size": self.size,
            "surcharge": self.surcharge,
            "quantizer": self.quantizer.state_dict(),
            "weights": self.weights.state_dict(),
            "steps": self.steps.state_dict(),
        }

    def _set_own(self, state: State) -> int:
        most = self.config.steps + self.config.rounds * _REPORT
        self.done = int(figure(state, "done", most=most))
        self.began = min(self.began, time.perf_counter() - figure(state, "seconds"))
        self.error, self.surcharge = figure(state, "error"), figure(state, "surcharge", least=1e-6)
        self.size = int(figure(state, "size", least=1))
        self.quantizer.load_state_dict(state["quantizer"])
        restore(self.weights, state["weights"])
        restore(self.steps, state["steps"])
        return self.done

    def _descend(self, rate: float, dtype: torch.dtype, settled: bool) -> None:
        for optimizer, full in (
            (self.weights, self.config.learning_rate),
            (self.steps, self.config.step_learning_rate),
        ):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = full * rate * self.guard.share
        terms = self.sampler.terms(self.quantizer, self.sampler.places(), dtype)
        # what the last bit is worth, if distortion falls as rate ** -config.price
        price = self.config.price * self.error / self._wanted_bits()
        (terms.total + price * self.quantizer.bits()).backward()
        squared = distributed.average(self.quantizer.parameters(), terms.squared)
        self.weights.step()
        if not settled:
            self.steps.step()
        self.error += 0.02 * (float(squared) - self.error)

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Compare the estimate of the rate with the real file."""
        self.size = self.file_size(self.quantizer.quantized())
        self.surcharge = 8 * self.size / float(self.quantizer.bits())

    def _wanted_bits(self) -> float:
        """The rate to hold now [bits]: from gentle down to the target."""
        part = min(1.0, self.done / (_ARRIVED * self.config.steps)) if self.config.steps else 1.0
        gentle = max(8 * self.aim, _GENTLE * self.quantizer.model.parameter_count)
        return 8 * self.aim * part + gentle * (1 - part)

    def settle(self, least: float, most: float) -> None:
        """Meet the target by the steps alone, without training."""
        for _ in range(8):
            self.size = self.file_size(self.quantizer.quantized())
            if least <= self.size <= most:
                return
            self.quantizer.spend(8 * (self.aim - self.size))

    def arrived(self, least: float, most: float) -> bool:
        """Whether the size lies between these, or no training can lead there."""
        return least <= self.size <= most or self._out_of_reach(least, most)

    def _out_of_reach(self, least: float, most: float) -> bool:
        """Whether a file of zeros is too large, or one at the finest steps too small."""
        coarsest, finest = (
            [[nearest_index(2.0**log2)] * len(steps) for steps in self.quantizer.log2_steps]
            for log2 in (_COARSEST, _FINEST)
        )
        zeros = [
            QuantizedTensor(np.zeros_like(tensor.integers), tensor.step_index)
            for tensor in quantize_model(self.quantizer.model, coarsest)
        ]
        try:
            largest = self.file_size(quantize_model(self.quantizer.model, finest))
        except ValueError:  # steps as fine as that are none of these weights
            return self.file_size(zeros) > most
        return self.file_size(zeros) > most or largest < _ALMOST * least

    @torch.no_grad()
    def _hold_rate(self) -> None:
        """Shift all steps alike, so that the file has the wanted size whatever they learned."""
        self.quantizer.spend(self._wanted_bits() - self.surcharge * float(self.quantizer.bits()))

    def _fault(self, ends: bool) -> str:
        """What is wrong; empty if nothing is.  ends: whether all is to become a file now."""
        if not is_finite(self._numbers()):
            return "not all weights and steps are finite"
        if ends:
            try:
                self.quantizer.quantized()
            except ValueError:
                return "weights have grown too large for their steps"
        return ""

    def _go_back(self, fault: str) -> None:
        """To the last good state.  Raises DivergenceError, in that state."""
        rate, where = self.config.learning_rate, f"step {self.done:,} of {self.total:,}"
        cure = f"use a fine-tuning learning rate below {rate:g}, for example {rate / 10:g}"
        try:
            self._return(self.guard.back("fine-tuning", where, fault, rate, cure))
        except DivergenceError:
            self._return(self.guard.good)
            raise

    def _report(self) -> None:
        distributed.same_weights(self.quantizer.parameters())
        self._calibrate()
        self.history.append(self._progress())
        self._remember()
        if self.keep:
            self.keep(self.state())
        if self.on_step:
            self.on_step(self.history[-1])

    def _progress(self) -> Progress:
        psnr_db = -10 * math.log10(max(self.error, 1e-10))
        bits_per_weight = 8 * self.size / self.quantizer.model.parameter_count
        seconds = time.perf_counter() - self.began
        return Progress("fine-tune", self.done, self.total, psnr_db, seconds, bits_per_weight)

    def stopped(self, least: float, most: float) -> None:
        """After a Ctrl-C at any moment: what there is, or the last good state, within these sizes."""
        if not self.error <= self.most or self._fault(ends=True):
            self._return(self.guard.good)
        self.settle(least, most)
        if not self.history or self.history[-1].step < self.done:
            self.history.append(self._progress())


def finetune(
    fitted: FitResult,
    video: Video,
    config: CodecConfig,
    target_bytes: int,
    file_size: FileSize,
    *,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> FineTuned:
    """Continue a fit with quantized weights until their file has at most `target_bytes`.

    file_size: bytes of the whole file with these tensors; it is what the rate is held by, so
    no estimate of ours decides.  The fit's model is trained in place.  Ctrl-C keeps what was
    reached; numbers that run away lead back to the last report, as in `fit`.
    checkpoint: go on from what it holds, and keep in it what is reached.
    Raises `DivergenceError`, `CheckpointError`.  Taught in chapter 08.
    """
    if not is_finite(fitted.model.state_dict()):
        raise ValueError("the model to be fine-tuned has weights that are not finite; fit it again")
    compiling = worth_compiling(fitted.config, fitted.model.parameter_count, config.steps, _GRAPHS)
    use = fitted.model.config if compiling else None
    sampler = Sampler(video, fitted.config, torch.device(device), compiling=use)
    tuning = _Tuning(fitted, sampler, config, config.aim * target_bytes, file_size, on_step)
    if checkpoint:
        of = {**asdict(config), "target_bytes": target_bytes}
        if state := checkpoint.restored("fine-tune", of):
            with checkpoint.taken_up("fine-tune"):
                tuning.restore(state)
        if distributed.rank() == 0:
            tuning.keep = partial(checkpoint.reached, "fine-tune", of)
    least, interrupted = config.floor * target_bytes, False
    try:
        tuning.advance(0, [cosine(step / config.steps) for step in range(config.steps)])
        for again in range(config.rounds):
            first = config.steps + again * _REPORT
            if tuning.done <= first and tuning.arrived(least, target_bytes):
                break
            tuning.advance(first, [_AGAIN * cosine(step / _REPORT) for step in range(_REPORT)], _BRIEFLY)
    except KeyboardInterrupt:
        if distributed.world_size() > 1:
            raise  # others do not know of it
        interrupted = True
        tuning.stopped(least, target_bytes)
    finally:
        if checkpoint and distributed.rank() == 0:
            checkpoint.end()
    return FineTuned(tuning.quantizer.quantized(), tuple(tuning.history), interrupted)
