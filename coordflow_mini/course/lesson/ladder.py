"""Chapter 08: weights on their way to bits: entropy, rounding, fine-tuning, range coding, file layout."""

import copy
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import ceil, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordflow_mini import bitstream, decoder
from coordflow_mini import entropy as entropy_coder
from coordflow_mini.bitstream import Header
from coordflow_mini.config import CodecConfig
from coordflow_mini.finetune import quantize_model
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import cosine, make_optimizer
from coordflow_mini.ops.run import finetune
from coordflow_mini.quantize import FIRST_INDEX, LAST_INDEX, QuantizedTensor, quantize, step
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import FitResult
from coordflow_mini.video.clip import Video

STEP_BITS = 32  # a quantization step stored as a float
TABLE_BITS = 16  # one row of a naive table: an integer and its count


# --- entropy and its side information --------------------------------------------------------------


def entropy(integers: NDArray[np.integer]) -> float:
    """Mean bits per integer if each costs -log2 of its relative frequency.

    >>> entropy(np.array([0, 1, 1, 0])), entropy(np.array([3, 0, 0, 0]))
    (1.0, 0.8112781244591328)
    """
    _, counts = np.unique(integers, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def coded_bits(tensors: Sequence[NDArray[np.integer]]) -> float:
    """Bits of a naive file: integers at their entropy, plus a step and a table per tensor."""
    return sum(
        tensor.size * entropy(tensor) + STEP_BITS + TABLE_BITS * len(np.unique(tensor)) for tensor in tensors
    )


# --- rounding -------------------------------------------------------------------------------------


def grid_index(at_least: float) -> int:
    """Index of the smallest step of the library's grid that is at least `at_least`."""
    return min(max(ceil(8 * log2(at_least) - 1e-9), FIRST_INDEX), LAST_INDEX) if at_least > 0 else FIRST_INDEX


def grid_step(at_least: float) -> float:
    """The smallest step of the library's grid, 2^(i/8), that is at least `at_least`.

    >>> grid_step(0.25), round(grid_step(0.26), 4)
    (0.25, 0.2726)
    """
    return step(grid_index(at_least))


def quantize_all(tensors: Sequence[Tensor], bits: int) -> list[tuple[NDArray[np.int32], float]]:
    """(integers, step) of each tensor, with the finest step at which its largest integer fits into `bits`."""
    steps = [step(_index(tensor, bits)) for tensor in tensors]
    return [(quantize(tensor, size), size) for tensor, size in zip(tensors, steps, strict=True)]


def tensors_of(model: CoordFlow) -> list[Tensor]:
    """All tensors in the order of the file: the first parameter of all layers, then the second, ..."""
    return [tensor.detach() for parameter in model.parameters() for tensor in parameter]


def with_weights(model: CoordFlow, tensors: Sequence[Tensor]) -> CoordFlow:
    """A copy of a model with other weights, given in the order of `tensors_of`."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for own, other in zip(tensors_of(changed), tensors, strict=True):
            own.copy_(other)
    return changed


def in_bits(model: CoordFlow, bits: int) -> list[QuantizedTensor]:
    """The weights as integers of `bits` bits, for `bitstream.write`."""
    return quantize_model(model, _indices(model, bits))


def _indices(model: CoordFlow, bits: int) -> list[list[int]]:
    """Step indices by parameter and layer."""
    return [[_index(tensor, bits) for tensor in parameter] for parameter in model.parameters()]


def _index(tensor: Tensor, bits: int) -> int:
    """Index of the finest step at which the tensor's largest integer fits into `bits`."""
    return grid_index(float(tensor.detach().abs().max()) / (2 ** (bits - 1) - 1))


class _Rounded(torch.nn.Module):
    """A model whose weights are rounded in the forward pass, with fixed steps."""

    def __init__(self, model: CoordFlow, indices: list[list[int]]):
        super().__init__()
        self.model = model
        self.sizes = [torch.tensor([step(i) for i in row])[:, None, None] for row in indices]

    def forward(self, *arguments: Tensor) -> Tensor:
        pairs = zip(self.model.named_parameters(), self.sizes, strict=True)
        rounded = {name: round_through(weights / size) * size for (name, weights), size in pairs}
        return torch.func.functional_call(self.model, rounded, arguments)


def round_through(values: Tensor) -> Tensor:
    """Rounded values with the gradient of the identity (straight-through estimator)."""
    return values + (values.round() - values).detach()


def tuned(fitted: FitResult, video: Video, bits: int, steps: int) -> list[QuantizedTensor]:
    """The weights as integers of `bits` bits after quantization-aware training.

    Steps are fixed and rate has no weight in the loss, unlike in the library's fine-tuning.  Leaves the
    fitted model unchanged.
    """
    model, config = copy.deepcopy(fitted.model).cpu(), fitted.config
    indices = _indices(model, bits)
    rounded = _Rounded(model, indices)
    sampler = Sampler(video, config, torch.device("cpu"))
    exact = round(0.7 * steps)  # the last steps run in float32, as decoders do
    rate = CodecConfig().learning_rate
    optimizer = make_optimizer(config.optimizer, model.parameters(), rate)
    for number in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine(number / steps)
        optimizer.zero_grad(set_to_none=True)
        dtype = sampler.dtype if number < exact else torch.float32
        sampler.aim(number)
        sampler.terms(rounded, dtype).total.backward()
        optimizer.step()
    return quantize_model(model, indices)


def priced(
    fitted: FitResult,
    video: Video,
    header: Header,
    bits: float,
    steps: int,
    device: torch.device | str = "cpu",
) -> bytes:
    """A file of at most `bits` per weight, by the library's rate-aware fine-tuning.

    Leaves the fitted model unchanged.
    """

    def file_size(tensors: list[QuantizedTensor]) -> int:
        return len(bitstream.write(header, tensors))

    target = round(bits * fitted.model.parameter_count / 8)
    tuning = finetune(
        copy.deepcopy(fitted), video, CodecConfig(steps=steps), target, file_size, device=device
    )
    return bitstream.write(header, tuning.tensors)


# --- a range coder with integers of any size ---------------------------------------------------------------


def narrow(low: int, width: int, symbol: int, frequencies: Sequence[int]) -> tuple[int, int]:
    """The part of the interval [low, low + width) that belongs to a symbol, as (low, width).

    >>> narrow(0, 1000, 1, [3, 9, 3, 1])
    (186, 558)
    """
    unit = width // sum(frequencies)
    return low + unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


def encode_interval(symbols: Sequence[int], frequencies: Sequence[int]) -> tuple[int, int]:
    """The message as one integer, and its number of binary digits.

    >>> encode_interval([1, 1, 0, 2], [3, 9, 3, 1])
    (22, 6)
    """
    digits = len(symbols) * ceil(log2(sum(frequencies)))
    low, width = 0, 1 << digits
    for symbol in symbols:
        low, width = narrow(low, width, symbol, frequencies)
    spare = width.bit_length()  # trailing digits that can be omitted
    while -(-low >> spare) << spare >= low + width:
        spare -= 1
    return -(-low >> spare), digits - spare


def decode_interval(number: int, digits: int, count: int, frequencies: Sequence[int]) -> list[int]:
    """The `count` symbols that `encode_interval` turned into a number of `digits` digits.

    >>> decode_interval(22, 6, 4, [3, 9, 3, 1])
    [1, 1, 0, 2]
    """
    full = count * ceil(log2(sum(frequencies)))
    place, low, width = number << (full - digits), 0, 1 << full
    symbols = []
    for _ in range(count):
        unit = width // sum(frequencies)
        ends = accumulate(frequencies)
        symbol = next(i for i, end in enumerate(ends) if place < low + unit * end)
        low, width = narrow(low, width, symbol, frequencies)
        symbols.append(symbol)
    return symbols


# --- the layout of a file ----------------------------------------------------------------------

PARTS = (
    "magic, version",
    "header",
    "checksum",
    "kind, length, frames",
    "steps",
    "flow networks",
    "color networks",
    "checksum at the end",
)
_LAST_WORD = 4  # bytes that flush the range coder


def parts(data: bytes) -> dict[str, tuple[int, int]]:
    """Byte ranges of the parts of a one-segment file, name -> (start, stop), in file order.

    The ends of the steps and of the flow networks are exact to a few bytes only, since a range coder's
    symbols share bytes.
    """
    header, tensors = bitstream.read(data, decoder.tensor_shapes)
    (segment,) = (section for section in bitstream.index(data) if section.kind == bitstream.SEGMENT)
    coded, stop = segment.start, segment.stop
    start = len(bitstream.header_bytes(header))
    flows = header.model.layers * sum(
        name.startswith("flow") for name, _ in decoder.build_model(header, tensors).named_parameters()
    )
    steps = np.array([tensor.step_index for tensor in tensors], dtype=np.int32)
    flow = [tensor.integers for tensor in tensors[:flows]]
    after_steps = coded + len(entropy_coder.encode([steps])) - _LAST_WORD
    after_flow = coded + len(entropy_coder.encode([steps, *flow])) - _LAST_WORD
    cuts = [0, len(bitstream.MAGIC) + 1, start - 4, start, coded, after_steps, after_flow, stop, len(data)]
    return dict(zip(PARTS, pairwise(cuts), strict=True))
