"""What a training has reached, as bytes and back: JSON for the structure, raw numbers for the tensors.

A checkpoint may come from somebody else.  PyTorch's own files are pickles, and its restricted loader
(`weights_only=True`) let a file run code before PyTorch 2.6 (CVE-2025-32434) and overwrite memory before 2.10
(CVE-2026-24747); this library runs with 2.4.  So there is no pickle here, and nothing that a file could call:

    4 bytes        length of the structure, little-endian
    structure      JSON; {"tensor": [dtype, shape]} stands for a tensor, {"dict": pairs} for a dict, whose
                   keys JSON would make strings, {"tuple": items} for a tuple
    numbers        of all tensors, in the order of the structure, as they lie in memory

Whatever the bytes say, reading them takes at most `MOST_STRUCTURE` x 128 + twice their own length of memory:
every tensor has to be there in full before there is room for it.  Lists in lists come closest, 97 to 110.
"""

import json
import math
from typing import Any

__all__ = ["MOST_STRUCTURE", "copied", "from_bytes", "to_bytes"]

MOST_STRUCTURE = 1 << 22  # bytes of JSON; what grows with a training is a tensor
_MOST_AXES, _MOST_NUMBERS, _DEEPEST = 16, 1 << 40, 50
_DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()


def copied(value: Any, device: Any = None) -> Any:
    """The same state with tensors of its own: training goes on, what is remembered stays.

    device: where they are to be; each stays where it is if not given.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().to(device or value.device, copy=True)
    if isinstance(value, dict):
        return {name: copied(inner, device) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copied(inner, device) for inner in value)
    return value


def to_bytes(state: Any) -> bytes:
    """The bytes of dicts (with keys that are strings or integers), lists, tuples, tensors, numbers, strings.

    Raises TypeError for anything else, ValueError if there is more than `from_bytes` reads.
    """
    numbers: list[bytes] = []
    structure = json.dumps(_flat(state, numbers), separators=(",", ":")).encode("ascii")
    if len(structure) > MOST_STRUCTURE:
        raise ValueError(
            f"a state has {len(structure):,} bytes beside its tensors, at most {MOST_STRUCTURE:,}"
        )
    return b"".join([len(structure).to_bytes(4, "little"), structure, *numbers])


def _flat(value: Any, numbers: list[bytes]) -> Any:
    """A value as JSON values; the numbers of tensors go to the list."""
    import torch

    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in _DTYPES or value.layout is not torch.strided:
            raise TypeError(
                f"a state holds dense tensors of {', '.join(_DTYPES)}, got {dtype}, {value.layout}"
            )
        numbers.append(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        return {"tensor": [dtype, list(value.shape)]}
    if isinstance(value, dict):
        if odd := [name for name in value if type(name) not in (str, int)]:
            raise TypeError(f"the keys of a state are strings and integers, got {odd[0]!r:.60}")
        return {"dict": [[name, _flat(inner, numbers)] for name, inner in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_flat(inner, numbers) for inner in value]}
    if isinstance(value, list):
        return [_flat(inner, numbers) for inner in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a state holds tensors, numbers and strings, got {value!r:.60}")


def from_bytes(data: bytes | memoryview) -> Any:
    """What `to_bytes` was given, bit for bit; tensors lie on the CPU and are contiguous.

    Raises ValueError, in a few words, for any other bytes.
    """
    length = int.from_bytes(data[:4], "little")
    if not 0 < length <= min(len(data) - 4, MOST_STRUCTURE):
        raise ValueError("it has no structure")
    try:
        structure = json.loads(bytes(data[4 : 4 + length]))
        reader = _Reader(memoryview(data)[4 + length :])
        value = reader.value(structure)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if reader.rest:
        raise ValueError("it is longer than its tensors")
    return value


def _announced(said: Any) -> tuple[str, list[int]]:
    """Type and shape of a tensor, as the structure gives them."""
    dtype, shape = said if isinstance(said, list) and len(said) == 2 else ("", None)
    good = dtype in _DTYPES and isinstance(shape, list) and len(shape) <= _MOST_AXES
    if not good or not all(type(side) is int and 0 <= side <= _MOST_NUMBERS for side in shape or ()):
        raise ValueError(f"it has a tensor {said!r:.40}")
    return dtype, list(shape or ())


class _Reader:
    """Takes a structure apart, and the numbers that belong to it."""

    def __init__(self, rest: memoryview):
        self.rest = rest  # numbers of tensors that have not been met

    def value(self, flat: Any, depth: int = 0) -> Any:
        """A value from its JSON values, that many levels down."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        if isinstance(flat, list):
            return [self.value(inner, depth + 1) for inner in flat]
        if not isinstance(flat, dict):
            return flat
        kind, inner = next(iter(flat.items())) if len(flat) == 1 else ("", None)
        if kind == "tensor":
            return self._tensor(inner)
        if kind == "dict" and isinstance(inner, list):
            return dict(self._pair(pair, depth + 1) for pair in inner)
        if kind == "tuple" and isinstance(inner, list):
            return tuple(self.value(item, depth + 1) for item in inner)
        raise ValueError(f"its structure has {flat!r:.40}")

    def _pair(self, pair: Any, depth: int) -> tuple[str | int, Any]:
        if isinstance(pair, list) and len(pair) == 2 and type(pair[0]) in (str, int):
            return pair[0], self.value(pair[1], depth)
        raise ValueError(f"its structure has the pair {pair!r:.40}")

    def _tensor(self, said: Any) -> Any:
        import torch

        dtype, shape = _announced(said)
        if math.prod(max(side, 1) for side in shape) > _MOST_NUMBERS:  # also where one side is 0
            raise ValueError(f"it has a tensor of shape {shape!r:.40}")
        kind, count = getattr(torch, dtype), math.prod(shape)
        size = count * kind.itemsize
        if size > len(self.rest):
            raise ValueError(f"a tensor of {size:,} bytes has {len(self.rest):,}")
        taken, self.rest = self.rest[:size], self.rest[size:]
        if not count:
            return torch.empty(shape, dtype=kind)
        if kind is torch.bool:  # a byte that is neither 0 nor 1 is no bool to anybody
            return torch.frombuffer(bytearray(taken), dtype=torch.uint8).ne(0).reshape(shape)
        return torch.frombuffer(bytearray(taken), dtype=kind).reshape(shape)
