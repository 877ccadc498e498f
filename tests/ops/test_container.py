"""States as bytes: what comes back is what was given; other bytes are a ValueError."""

import json
import math
import pickle
import random

import pytest
import safetensors.torch
import torch

from coordflow_mini.ops.checkpoint import from_bytes, to_bytes

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8]
STATE = {"a": torch.ones(3, 4), "b": [1, 2.5, None, ["x"]], "c": {"0": torch.zeros(2), "d": {}}}


def same(one: object, other: object) -> bool:
    """Equal in every bit, type and key."""
    if isinstance(one, torch.Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return (
            alike
            and one.reshape(-1).view(torch.uint8).tolist() == other.reshape(-1).view(torch.uint8).tolist()
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 2), (2, 0, 5), (2, 3, 4, 1)], ids=str)
def test_every_tensor_comes_back_bit_for_bit(shape):
    """NaNs with payloads among them."""
    generator, state = torch.Generator().manual_seed(1), {}
    for kind in KINDS:
        size = math.prod(shape) * kind.itemsize
        raw = torch.randint(0, 256, (max(size, 1),), generator=generator, dtype=torch.uint8)[:size]
        state[str(kind)] = raw.view(kind).reshape(shape) if size else torch.empty(shape, dtype=kind)
    assert same(from_bytes(to_bytes(state)), state)


def test_views_and_transposes_come_back_by_value():
    square = torch.arange(12.0).reshape(3, 4)
    for tensor in (square.T, square[:, 1:3], square[1], square.expand(2, 3, 4), square.requires_grad_()):
        assert torch.equal(from_bytes(to_bytes({"x": tensor}))["x"], tensor)


def test_everything_else_comes_back_type_by_type():
    state = {
        "numbers": [0, -1, 2**70, 0.1, -0.0, 1e-320, math.inf, -math.inf, math.nan, True, None],
        "text": ["", "Zoë 李", "\ud800", "\x00", '{"tensor": 1}'],
        "empty": {"dict": {}, "list": []},
        "nested": [1, [2, [3, {"x": ["y"]}]]],
    }
    assert same(from_bytes(to_bytes({**state, **STATE})), {**state, **STATE})


@pytest.mark.parametrize(
    "value", [object(), b"bytes", {1, 2}, [torch.ones(2)]], ids=lambda v: type(v).__name__
)
def test_what_cannot_come_back_is_not_written(value):
    with pytest.raises(TypeError):
        to_bytes({"x": value})


def forged(text: str, **tensors: torch.Tensor) -> bytes:
    return safetensors.torch.save({name.replace("_", "/"): t for name, t in tensors.items()}, {"state": text})


HOSTILE = {
    "nothing": b"",
    "three bytes": b"\x00\x00\x00",
    "4 GB of header": b"\xff" * 8,
    "a pickle": pickle.dumps({"x": 1}),
    "no metadata": safetensors.torch.save({"x": torch.ones(2)}),
    "no JSON": forged("{"),
    "deep lists": forged("[" * 100_000),
    "a list": forged("[1]", a=torch.ones(1)),
    "a number of a million digits": forged("9" * 1_000_000),
    "too much JSON": forged(json.dumps({"x": "y" * (1 << 22)})),
    "a tensor in no place": forged("{}", a_b=torch.ones(1)),
    "a tensor in a number": forged('{"a": 1}', a_b=torch.ones(1)),
    "more than its tensors": to_bytes(STATE) + b"x",
    "less than its tensors": to_bytes(STATE)[:-1],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_are_a_value_error_in_a_few_words(case):
    with pytest.raises(ValueError, match=r"^[^\n]{1,300}$"):
        from_bytes(HOSTILE[case])


def test_random_damage_is_a_value_error_or_a_state():
    """1,000 cases, seeded: bytes changed, taken out, put in."""
    good, chance = to_bytes(STATE), random.Random(7)
    for case in range(1000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        try:
            from_bytes(bytes(data))
        except ValueError as error:
            assert "\n" not in str(error), case
