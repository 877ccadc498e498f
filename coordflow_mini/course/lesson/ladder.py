"""What chapter 08 does to weights on their way to bits: count, round, tune, code; where bytes go."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from math import ceil, log2

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordflow_mini import bitstream, decoder
from coordflow_mini import entropy as entropy_coder
from coordflow_mini.bitstream import Header
from coordflow_mini.config import CodecConfig, FitConfig, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.encoder import header_of
from coordflow_mini.finetune import finetune, quantize_model
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import make_optimizer
from coordflow_mini.quantize import FIRST_INDEX, LAST_INDEX, QuantizedTensor, quantize, step
from coordflow_mini.train import FitResult, Sampler, cosine, default_model, fit
from coordflow_mini.video import read as clips
from coordflow_mini.video.clip import Video

__all__ = [
    "PARTS",
    "STEP_BITS",
    "TABLE_BITS",
    "coded_bits",
    "decode_interval",
    "encode_interval",
    "entropy",
    "grid_index",
    "grid_step",
    "in_bits",
    "measure",
    "narrow",
    "parts",
    "priced",
    "quantize_all",
    "round_through",
    "tensors_of",
    "tuned",
    "with_weights",
]

STEP_BITS = 32  # of a quantization step that is stored as a float
TABLE_BITS = 16  # of one line of a naive table: an integer, and how often it occurs


# --- entropy, and what it leaves out --------------------------------------------------------------


def entropy(integers: NDArray[np.integer]) -> float:
    """Bits for each integer if each costs -log2 of how often it occurs.

    >>> entropy(np.array([0, 1, 1, 0])), entropy(np.array([3, 0, 0, 0]))
    (1.0, 0.8112781244591328)
    """
    _, counts = np.unique(integers, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def coded_bits(tensors: Sequence[NDArray[np.integer]]) -> float:
    """Bits of a naive file: integers at their entropy, and for each tensor its step and its table."""
    return sum(
        tensor.size * entropy(tensor) + STEP_BITS + TABLE_BITS * len(np.unique(tensor)) for tensor in tensors
    )


# --- rounding -------------------------------------------------------------------------------------


def grid_index(at_least: float) -> int:
    """Index of the smallest step of the library's grid that is not below `at_least`."""
    return min(max(ceil(8 * log2(at_least) - 1e-9), FIRST_INDEX), LAST_INDEX) if at_least > 0 else FIRST_INDEX


def grid_step(at_least: float) -> float:
    """The smallest step of the library's grid, 2^(i/8), that is not below `at_least`.

    >>> grid_step(0.25), round(grid_step(0.26), 4)
    (0.25, 0.2726)
    """
    return step(grid_index(at_least))


def quantize_all(tensors: Sequence[Tensor], bits: int) -> list[tuple[NDArray[np.int32], float]]:
    """Each tensor as integers of so many bits, and its step: the finest at which the largest one fits."""
    steps = [step(_index(tensor, bits)) for tensor in tensors]
    return [(quantize(tensor, size), size) for tensor, size in zip(tensors, steps, strict=True)]


def tensors_of(model: CoordFlow) -> list[Tensor]:
    """Every tensor of every layer in the order of the file: all layers of the first parameter, ..."""
    return [tensor.detach() for parameter in model.parameters() for tensor in parameter]


def with_weights(model: CoordFlow, tensors: Sequence[Tensor]) -> CoordFlow:
    """A copy of a model with other weights, in the order of `tensors_of`."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for own, other in zip(tensors_of(changed), tensors, strict=True):
            own.copy_(other)
    return changed


def in_bits(model: CoordFlow, bits: int) -> list[QuantizedTensor]:
    """The model's integers of so many bits, as `bitstream.write` takes them; `quantize_all` for a file."""
    return quantize_model(model, _indices(model, bits))


def _indices(model: CoordFlow, bits: int) -> list[list[int]]:
    """Index of every tensor's step, per parameter and layer."""
    return [[_index(tensor, bits) for tensor in parameter] for parameter in model.parameters()]


def _index(tensor: Tensor, bits: int) -> int:
    """Index of the finest step of the grid at which a tensor's largest integer has so many bits."""
    return grid_index(float(tensor.detach().abs().max()) / (2 ** (bits - 1) - 1))


class _Rounded(torch.nn.Module):
    """A model whose weights are rounded on the way forward, at steps that stay as they are."""

    def __init__(self, model: CoordFlow, indices: list[list[int]]):
        super().__init__()
        self.model = model
        self.sizes = [torch.tensor([step(i) for i in row])[:, None, None] for row in indices]

    def forward(self, *arguments: Tensor) -> Tensor:
        pairs = zip(self.model.named_parameters(), self.sizes, strict=True)
        rounded = {name: round_through(weights / size) * size for (name, weights), size in pairs}
        return torch.func.functional_call(self.model, rounded, arguments)


def round_through(values: Tensor) -> Tensor:
    """Rounded values whose gradient is that of the values themselves."""
    return values + (values.round() - values).detach()


def tuned(fitted: FitResult, video: Video, bits: int, steps: int) -> list[QuantizedTensor]:
    """The model's integers of so many bits, after it was trained on with its weights rounded to them.

    The steps stay what they are, and no bit has a price: what fine-tuning is before it is told of the rate.
    The fitted model stays as it was.
    """
    model, config = copy.deepcopy(fitted.model).cpu(), fitted.config
    indices = _indices(model, bits)
    rounded = _Rounded(model, indices)
    sampler = Sampler(video, config, torch.device("cpu"))
    exact = round(0.7 * steps)  # from here on in float32, which is what a decoder computes in
    rate = CodecConfig().learning_rate
    optimizer = make_optimizer(config.optimizer, model.parameters(), rate)
    for number in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine(number / steps)
        optimizer.zero_grad(set_to_none=True)
        dtype = sampler.dtype if number < exact else torch.float32
        sampler.terms(rounded, sampler.places(), dtype).total.backward()
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
    """A file of at most so many bits for each weight, by the library's fine-tuning, which pays for bits.

    The fitted model stays as it was.
    """

    def file_size(tensors: list[QuantizedTensor]) -> int:
        return len(bitstream.write(header, tensors))

    target = round(bits * fitted.model.parameter_count / 8)
    tuning = finetune(
        copy.deepcopy(fitted), video, CodecConfig(steps=steps), target, file_size, device=device
    )
    return bitstream.write(header, tuning.tensors)


# --- a range coder of whole numbers ---------------------------------------------------------------


def narrow(low: int, width: int, symbol: int, frequencies: Sequence[int]) -> tuple[int, int]:
    """The part of the interval low .. low + width that belongs to a symbol, as (low, width).

    >>> narrow(0, 1000, 1, [3, 9, 3, 1])
    (186, 558)
    """
    unit = width // sum(frequencies)
    return low + unit * sum(frequencies[:symbol]), unit * frequencies[symbol]


def encode_interval(symbols: Sequence[int], frequencies: Sequence[int]) -> tuple[int, int]:
    """The message as one whole number, and how many binary digits it has.

    >>> encode_interval([1, 1, 0, 2], [3, 9, 3, 1])
    (22, 6)
    """
    digits = len(symbols) * ceil(log2(sum(frequencies)))
    low, width = 0, 1 << digits
    for symbol in symbols:
        low, width = narrow(low, width, symbol, frequencies)
    spare = width.bit_length()  # trailing digits that may be left out
    while -(-low >> spare) << spare >= low + width:
        spare -= 1
    return -(-low >> spare), digits - spare


def decode_interval(number: int, digits: int, count: int, frequencies: Sequence[int]) -> list[int]:
    """The symbols that `encode_interval` made a number of so many digits of.

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


# --- where a file's bytes go ----------------------------------------------------------------------

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
_LAST_WORD = 4  # bytes that end a range coder's message


def parts(data: bytes) -> dict[str, tuple[int, int]]:
    """Where each part of a file with one segment lies, name -> (start, stop), in the order of the file.

    Where the steps end and where the flow networks do is known to a few bytes: a range coder has no seams.
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


# --- the table of chapter 08 ----------------------------------------------------------------------

BUNNY, WIDTH = Selection(0, 96, 1, 192, 108), 68


def measure(steps: int = 3000, tuning: int = 1200) -> Iterator[dict[str, str | float]]:
    """Chapter 08: one fit of bunny on every rung of the ladder; about four minutes on 2 threads.

    rung: "float32", "fp16", "rounded" (plain integers), "tuned" (trained on at the same steps), "priced" (the
    library's fine-tuning).  bits: what was asked for.  bytes, bits_per_weight: of the file.
    """
    video = clips.load("clip:bunny", BUNNY)
    fit_config = FitConfig(steps=steps)
    model_config = replace(default_model(video), width=WIDTH)
    header = header_of(video, model_config, fit_config)
    fitted = fit(video, model_config, fit_config)
    model, plain = fitted.model, len(bitstream.header_bytes(header))
    weights = model.parameter_count

    def row(rung: str, bits: float, size: int, decoded: CoordFlow) -> dict[str, str | float]:
        shown = decoded.render(frame_times(video.time), video.height, video.width).rgb
        quality = round(psnr_db(video.frames, shown), 2)
        rate = round(8 * size / weights, 3)
        return {"rung": rung, "bits": bits, "bytes": size, "bits_per_weight": rate, "psnr_db": quality}

    yield row("float32", 32, plain + 4 * weights, model)
    halved = with_weights(model, [tensor.half().float() for tensor in tensors_of(model)])
    yield row("fp16", 16, plain + 2 * weights, halved)
    for bits in (8, 7, 6, 5, 4):
        data = bitstream.write(header, in_bits(model, bits))
        yield row("rounded", bits, len(data), decoder.read_model(data)[1])
    for bits in (6, 5):
        data = bitstream.write(header, tuned(fitted, video, bits, tuning))
        yield row("tuned", bits, len(data), decoder.read_model(data)[1])
    for wanted in (5.4, 5.0, 4.5, 4.0):
        data = priced(fitted, video, header, wanted, tuning)
        yield row("priced", wanted, len(data), decoder.read_model(data)[1])
