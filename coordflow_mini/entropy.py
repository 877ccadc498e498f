"""Integers <-> bytes: exact integer probability tables and a range coder.

A histogram of a tensor's integers looks like a bell: many small ones, few large ones.  Each tensor selects
one bell out of a fixed family, and the range coder spends -log2(probability) bits on every integer:

    w(k) = 2^-(x^β) + 2^-(t + x/r),    x = |k - center| / scale

The core ranges from Laplace (β = 1) over Gauss (β = 2) to nearly a box (weights close to their uniform
initialization); the thin tail is for the few weights that grew far from the rest.  `BELLS` lists
(β, t, r).  Where it pays, each layer or row has its own scale: the rows of a first matrix belong to
frequencies.

Tables are computed with integers and reach the coder as integers (`_coding_model`), so every machine
decodes the same integers.  They are never stored: a tensor's side information is about twelve bits in
the same stream.  Taught in chapter 08.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from math import log2, prod
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from coordflow_mini.ops.interrupts import undisturbed

with undisturbed():  # the first call imports more of NumPy, where Ctrl-C would be a Rust panic
    constriction.stream.queue.RangeDecoder(np.zeros(1, np.uint32))

Integers = NDArray[np.int32]

BELLS = ((1, 3, 4), (1, 8, 4), (2, 3, 1), (2, 12, 1), (2, 8, 1), (3, 8, 1), (4, 8, 1), (6, 8, 1))
SCALES = 128  # scale index j means 2^(j / 8 - 4): from 1/16 to 3756
LARGEST = 2**20  # magnitude of coded integers
MOST_PER_BYTE = 1024  # an integer costs at least log2(128 / 127) bits, so a byte holds at most 708

_PRECISION = 24  # bits of every probability in constriction
_TOTAL = 1 << _PRECISION
_FRACTION = 10  # fixed-point bits of x and of the exponents
_FAINTEST = 18  # integers less likely than 2^-18 of the peak use the escape symbol
_WIDEST = 4096  # integers that a table lists on each side of the center, at most
_ESCAPE = 1 << 10  # share of the escape symbol: 2^-14
_PEAK = _TOTAL - (_TOTAL >> 7)  # no integer is likelier than 127/128
_LENGTHS = 22  # possible bit lengths of an escaped integer
_SMALLEST_PART = 8  # fewer integers do not pay for their own scale
_FLUSH = 8192  # integers that may fit into the coder's last words: 64 bits at 1/100 bit each

# round(2^(i / 8) * 2^32) for i = 0..8.  Constants, because pow may differ between machines.
_OCTAVE = np.array(
    [4294967296, 4683695048, 5107605667, 5569883475, 6074001000, 6623745059, 7223245206, 7877004752,
     8589934592],
    dtype=np.int64,
)  # fmt: skip


@dataclass(frozen=True)
class SymbolModel:
    """The bell of a tensor's integers: index into `BELLS`, center, and scale indices.

    scales: one for the whole tensor, or one for each part along its first axis, first two axes, ...
    """

    bell: int
    center: int
    scales: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CodedTensor:
    """Integers and the model that they were coded with."""

    integers: Integers
    model: SymbolModel


# Each tensor is preceded by its model, coded with these (bell, scale) around zero.
_CENTER = (0, 24)
_FIRST_SCALE = (0, 40)  # difference to the previous tensor
_NEXT_SCALE = (0, 24)  # difference to the previous part
_TYPICAL_SCALE = 60  # stands for the tensor before the first


# --- probability tables ---------------------------------------------------------------------------


def _halvings(exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """2^-exponent in units of 2^-32; integer arithmetic, linear between eighths of an octave."""
    exponent = np.minimum(exponent, 40 << _FRACTION)
    whole = -(-exponent >> _FRACTION)
    eighth, rest = np.divmod((whole << _FRACTION) - exponent, 1 << (_FRACTION - 3))
    rise = _OCTAVE[np.minimum(eighth + 1, 8)] - _OCTAVE[eighth]
    mantissa: NDArray[np.int64] = _OCTAVE[eighth] + (rise * rest >> (_FRACTION - 3))
    return mantissa >> whole


def _half_bell(bell: int, scale: int) -> NDArray[np.int64]:
    """Weights w(0), w(1), ..., w(radius), in units of 2^-32, [radius + 1]."""
    power, tail, stretch = BELLS[bell]
    unit = (int(_OCTAVE[scale % 8]) << (scale // 8)) >> 20  # the scale, in units of 2^-16
    x = (np.arange(_WIDEST + 1, dtype=np.int64) << (16 + _FRACTION)) // unit
    near = np.minimum(x, 32 << _FRACTION)  # 2^-32 is negligible, and powers of more would overflow
    core = near
    for _ in range(power - 1):
        core = np.minimum(core * near >> _FRACTION, 32 << _FRACTION)
    weight = _halvings(core) + _halvings((tail << _FRACTION) + x // stretch)
    radius = max(1, int(np.count_nonzero(weight >> (32 - _FAINTEST))) - 1)
    return weight[: radius + 1]


@cache  # at most 21 MiB
def frequencies(bell: int, scale: int) -> NDArray[np.int64]:
    """Frequencies of the escape symbol and of center - radius .. center + radius, [2 radius + 2].

    They are at least 1 and sum to 2^24; the radius follows from bell and scale.

    >>> frequencies(bell=3, scale=32)[:8].tolist()
    [1024, 31, 61, 241, 15626, 492818, 3939658, 7879322]
    """
    half = _half_bell(bell, scale)
    weight = np.concatenate([half[:0:-1], half])
    table = np.empty(len(weight) + 1, dtype=np.int64)
    table[1:] = 1 + weight * (_TOTAL - _ESCAPE - len(weight)) // weight.sum()
    peak = int(table[len(half)] + _TOTAL - _ESCAPE - table[1:].sum())
    table[len(half)] = min(peak, _PEAK)
    table[0] = _TOTAL - table[1:].sum()
    table.flags.writeable = False
    return table


@lru_cache(maxsize=512)
def _coding_model(bell: int, scale: int) -> Any:
    """A table as a model of `constriction`, with exactly these frequencies.

    constriction gives each of n symbols 1 plus its share of 2^24 - n, by float "probabilities".
    Ours are the integers frequency - 1 and sum to 2^24 - n, so every share is an exact integer.
    """
    shares = (frequencies(bell, scale) - 1).astype(np.float64)
    return constriction.stream.model.Categorical(shares, perfect=False)


# --- costs, and the cheapest model ----------------------------------------------------------------


@cache
def _listed_bits(bell: int, scale: int) -> NDArray[np.float64]:
    """Bits of integers at distances 0, 1, ..., radius, and of the escape symbol, [radius + 2]."""
    table = frequencies(bell, scale)
    bits: NDArray[np.float64] = _PRECISION - np.log2(np.append(table[len(table) // 2 :], table[0]))
    return bits


def _costs(distance: NDArray[np.int64], bell: int, scale: int) -> NDArray[np.float64]:
    """Bits of integers at these distances from the center."""
    listed = _listed_bits(bell, scale)
    radius = len(listed) - 2
    if distance.max(initial=0) <= radius:
        return listed[distance]
    length = np.frexp(np.maximum(distance - radius + 1, 2))[1] - 1
    bits = listed[np.minimum(distance, radius + 1)]
    return np.where(distance <= radius, bits, bits + log2(_LENGTHS) + length + 1)


def ideal_bits(integers: Integers, model: SymbolModel) -> float:
    """-log2 of the integers' probability under a model [bits], without side information."""
    parts = np.abs(integers.reshape(len(model.scales), -1).astype(np.int64) - model.center)
    costs = (_costs(part, model.bell, scale).sum() for part, scale in zip(parts, model.scales, strict=True))
    return float(sum(costs))


def _side_bits(model: SymbolModel) -> float:
    """Bits of the center and of the parts' scales; all else costs the same for every model."""
    steps = np.abs(np.diff(np.array(model.scales, dtype=np.int64)))
    return float(_costs(np.array([abs(model.center)]), *_CENTER).sum() + _costs(steps, *_NEXT_SCALE).sum())


def _best_scale(distance: NDArray[np.int64], count: NDArray[np.int64], bell: int) -> int:
    """The cheapest scale of a whole tensor, searched coarse to fine around its mean distance."""
    best = round(8 * log2(float(count @ distance) / float(count.sum()) + 0.1)) + 36
    for step in (8, 2, 1):
        nearby = [min(max(best + step * i, 0), SCALES - 1) for i in range(-3, 4)]
        best = min(nearby, key=lambda scale: float(count @ _costs(distance, bell, scale)))
    return best


def _one_scale(integers: Integers) -> tuple[float, SymbolModel]:
    """The bits, side information included, and the cheapest model with a single scale."""
    values, count = np.unique(integers, return_counts=True)
    candidates = []
    for center in sorted({0, round(float(np.median(integers))), round(float(np.mean(integers)))}):
        distance = np.abs(values.astype(np.int64) - center)
        for bell in range(len(BELLS)):
            model = SymbolModel(bell, center, (_best_scale(distance, count, bell),))
            bits = float(count @ _costs(distance, bell, model.scales[0])) + _side_bits(model)
            candidates.append((bits, model))
    return min(candidates, key=lambda candidate: candidate[0])


def _scale_per_part(parts: Integers, model: SymbolModel) -> SymbolModel:
    """The same bell with the best scale for each part: the cheapest path through them (Viterbi).

    parts: [parts, integers].
    """
    distance = np.abs(parts.astype(np.int64) - model.center)
    values, inverse = np.unique(distance, return_inverse=True)
    inverse = inverse.reshape(parts.shape)
    scales = np.arange(max(0, model.scales[0] - 16), min(SCALES, model.scales[0] + 17))
    bits = np.stack(
        [_costs(values, model.bell, int(s))[inverse].sum(axis=1) for s in scales]
    )  # [scales, parts]
    step = _costs(np.abs(scales[:, None] - scales), *_NEXT_SCALE)  # [scales, scales]
    total, before = bits[:, 0], []
    for part in range(1, len(parts)):
        reach = total[:, None] + step
        before.append(reach.argmin(axis=0))
        total = reach.min(axis=0) + bits[:, part]
    path = [int(total.argmin())]
    for choice in reversed(before):
        path.append(int(choice[path[-1]]))
    return replace(model, scales=tuple(int(scales[i]) for i in reversed(path)))


def _part_counts(shape: Sequence[int]) -> list[int]:
    """Allowed numbers of parts with a scale each: one, the layers, the rows.

    >>> _part_counts((2, 55, 64)), _part_counts((2, 4)), _part_counts((1, 64))
    ([1, 2, 110], [1], [1])
    """
    counts = {1: None}
    for axes in range(1, len(shape)):
        if prod(shape[axes:]) >= _SMALLEST_PART:
            counts[prod(shape[:axes])] = None
    return list(counts)


def best_model(integers: Integers) -> SymbolModel:
    """The model that codes these integers in the fewest bits, its own parameters included.

    >>> best_model(np.array([5, 5, 6, 4, 5, 5, 7, 5], dtype=np.int32)).center
    5
    """
    bits, whole = _one_scale(integers)
    best = whole
    for count, bell in product(_part_counts(integers.shape)[1:], range(len(BELLS))):
        model = _scale_per_part(integers.reshape(count, -1), replace(whole, bell=bell))
        model_bits = ideal_bits(integers, model) + _side_bits(model)
        if model_bits < bits:
            bits, best = model_bits, model
    return best


# --- bytes ----------------------------------------------------------------------------------------


def encode(tensors: Sequence[Integers]) -> bytes:
    """Bytes of the tensors' integers: one range coder for all, each tensor with its cheapest model.

    tensors: int32, any shape, at least one integer each, magnitudes up to `LARGEST`, as
    `quantize.quantize` makes them; decoders refuse others.

    >>> data = encode([np.array([[0, 1, -1], [2, 0, 0]], dtype=np.int32)])
    >>> decode(data, [(2, 3)])[0].tolist()
    [[0, 1, -1], [2, 0, 0]]
    """
    return _encode([CodedTensor(integers, best_model(integers)) for integers in tensors])


def _encode(tensors: Sequence[CodedTensor]) -> bytes:
    coder = constriction.stream.queue.RangeEncoder()
    before = _TYPICAL_SCALE
    for tensor in tensors:
        model = tensor.model
        _put_model(coder, model, _part_counts(tensor.integers.shape), before)
        parts = tensor.integers.reshape(len(model.scales), -1).astype(np.int64) - model.center
        for part, scale in zip(parts, model.scales, strict=True):
            _put(coder, part, model.bell, scale)
        before = model.scales[0]
    return bytes(coder.get_compressed().astype("<u4").tobytes())


def decode(data: bytes, shapes: Sequence[Sequence[int]]) -> list[Integers]:
    """The encoded tensors, int32 of these shapes; `decode_coded` without the models."""
    return [tensor.integers for tensor in decode_coded(data, shapes)]


def decode_coded(data: bytes, shapes: Sequence[Sequence[int]]) -> list[CodedTensor]:
    """The encoded tensors, int32 of these shapes, each with its model.

    Accepts exactly the bytes that the encoder writes for these integers and models.  Time and memory
    grow with the shapes, which are refused if the data is too short for so many integers.
    Raises ValueError if the bytes do not encode such tensors.
    """
    count = sum(prod(shape) for shape in shapes)
    if any(size < 1 for shape in shapes for size in shape):
        raise ValueError(f"every tensor needs at least one integer, got shapes {list(shapes)}")
    if len(data) % 4:
        raise ValueError(f"coded integers come in words of 4 bytes, got {len(data)} bytes")
    if count > MOST_PER_BYTE * len(data) + _FLUSH:
        raise ValueError(f"{len(data)} bytes cannot hold {count} integers")
    coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
    try:
        tensors = list(_decode(coder, shapes))
    except AssertionError:  # constriction raises it where the code belongs to no symbol
        raise ValueError("the coded integers are damaged") from None
    # A range decoder reads zeros beyond the end and does not notice every extra byte.
    if _encode(tensors) != data:
        raise ValueError("the coded integers are cut short or followed by something else")
    return tensors


def _decode(coder: Any, shapes: Sequence[Sequence[int]]) -> Iterator[CodedTensor]:
    before = _TYPICAL_SCALE
    for shape in shapes:
        model = _take_model(coder, _part_counts(shape), before)
        size = prod(shape) // len(model.scales)
        parts = [_take(coder, size, model.bell, scale) for scale in model.scales]
        integers = np.concatenate(parts).reshape(tuple(shape)) + model.center
        if np.abs(integers).max() > LARGEST:
            raise ValueError(f"an integer is beyond +-{LARGEST}")
        yield CodedTensor(integers.astype(np.int32), model)
        before = model.scales[0]


def _uniform(size: int) -> Any:
    return constriction.stream.model.Uniform(size)


def _put_model(coder: Any, model: SymbolModel, counts: Sequence[int], before: int) -> None:
    """Encode a tensor's model.  counts: see `_part_counts`.  before: first scale of the previous tensor."""
    coder.encode(model.bell, _uniform(len(BELLS)))
    if len(counts) > 1:
        coder.encode(counts.index(len(model.scales)), _uniform(len(counts)))
    scales = np.array(model.scales, dtype=np.int64)
    _put(coder, np.array([model.center]), *_CENTER)
    _put(coder, scales[:1] - before, *_FIRST_SCALE)
    if len(scales) > 1:
        _put(coder, np.diff(scales), *_NEXT_SCALE)


def _take_model(coder: Any, counts: Sequence[int], before: int) -> SymbolModel:
    """Decode a model.  Raises ValueError if a scale does not exist."""
    bell = int(coder.decode(_uniform(len(BELLS))))
    count = counts[coder.decode(_uniform(len(counts)))] if len(counts) > 1 else 1
    center = int(_take(coder, 1, *_CENTER)[0])
    steps = [_take(coder, 1, *_FIRST_SCALE)]
    if count > 1:
        steps.append(_take(coder, count - 1, *_NEXT_SCALE))
    scales = before + np.cumsum(np.concatenate(steps))
    if scales.min() < 0 or scales.max() >= SCALES:
        raise ValueError(f"a scale index is outside 0..{SCALES - 1}")
    return SymbolModel(bell, center, tuple(scales.tolist()))


def _put(coder: Any, offsets: NDArray[np.int64], bell: int, scale: int) -> None:
    """Encode offsets from the center, [n].

    Those that the table does not list follow as Exp-Golomb codes: length, bits below the leading one, sign.
    """
    radius = len(frequencies(bell, scale)) // 2 - 1
    inside = np.abs(offsets) <= radius
    symbols = np.where(inside, offsets + radius + 1, 0)
    coder.encode(symbols.astype(np.int32), _coding_model(bell, scale))
    far = offsets[~inside]
    if far.size:
        excess = np.abs(far) - radius + 1  # at least 2, so that at least one bit follows the leading one
        length = (np.frexp(excess)[1] - 1).astype(np.int32)
        rest = (excess - (1 << length.astype(np.int64))).astype(np.int32)
        coder.encode(length - 1, _uniform(_LENGTHS))
        coder.encode(rest, constriction.stream.model.Uniform(), 1 << length)
        coder.encode((far < 0).astype(np.int32), _uniform(2))


def _take(coder: Any, count: int, bell: int, scale: int) -> NDArray[np.int64]:
    """Decode offsets from the center, [count]."""
    radius = len(frequencies(bell, scale)) // 2 - 1
    symbols = coder.decode(_coding_model(bell, scale), count)
    offsets: NDArray[np.int64] = symbols.astype(np.int64) - (radius + 1)
    escaped = symbols == 0
    if escaped.any():
        length = coder.decode(_uniform(_LENGTHS), int(escaped.sum())) + 1
        rest = coder.decode(constriction.stream.model.Uniform(), 1 << length)
        sign = 1 - 2 * coder.decode(_uniform(2), len(length))
        offsets[escaped] = sign * ((1 << length.astype(np.int64)) + rest + radius - 1)
    return offsets
