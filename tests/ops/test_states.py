"""States as bytes: what comes back is what was given; other bytes are a ValueError."""

import io
import json
import math
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from coordflow_mini.ops import states

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = [getattr(torch, name) for name in states._DTYPES]


def made(structure: object, numbers: bytes = b"") -> bytes:
    """What a forger would write."""
    text = structure if isinstance(structure, bytes) else json.dumps(structure).encode()
    return len(text).to_bytes(4, "little") + text + numbers


def same(one: object, other: object) -> bool:
    """Equal in every bit, type and key."""
    if isinstance(one, torch.Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and states.to_bytes(one) == states.to_bytes(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 2), (2, 0, 5), (2, 3, 4, 1)], ids=str)
def test_every_tensor_comes_back_bit_for_bit(shape):
    generator = torch.Generator().manual_seed(1)
    state = {}
    for kind in KINDS:
        size = math.prod(shape) * kind.itemsize
        raw = torch.randint(0, 256, (max(size, 1),), generator=generator, dtype=torch.uint8)[:size]
        state[str(kind)] = (
            (raw > 127)[: math.prod(shape)].reshape(shape)
            if kind is torch.bool
            else (raw.view(kind).reshape(shape) if size else torch.empty(shape, dtype=kind))
        )  # NaNs with payloads among them
    assert same(states.from_bytes(states.to_bytes(state)), state)


def test_views_and_transposes_come_back_by_value():
    square = torch.arange(12.0).reshape(3, 4)
    for tensor in (square.T, square[:, 1:3], square[1], square.expand(2, 3, 4), square.requires_grad_()):
        assert torch.equal(states.from_bytes(states.to_bytes(tensor)), tensor)


def test_structures_come_back_type_by_type():
    state = {
        "numbers": [0, -1, 2**70, 0.1, -0.0, 1e-320, math.inf, -math.inf, math.nan, True, None],
        "text": ["", "Zoë 李", "\ud800", "\x00", '{"tensor": 1}'],
        "keys": {0: 1, "0": 2, -3: {}, "tensor": ["float32", [1]], "dict": [], "tuple": ()},
        "nested": (1, [2, (3, {"x": [torch.ones(2), (torch.zeros(1),)]})]),
        "betas": (0.9, 0.99),
    }
    assert same(states.from_bytes(states.to_bytes(state)), state)


def test_an_optimizer_comes_back():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=0.1, fused=True)
    parameter.grad = torch.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    assert same(states.from_bytes(states.to_bytes(state)), state)


@pytest.mark.parametrize(
    "value",
    [object(), {1.5: 2}, {(1,): 2}, {True: 1}, b"bytes", Path("x"), {1, 2}, torch.ones(2).to_sparse(),
     torch.ones(2, device="meta"), torch.ones(2, dtype=torch.complex64)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # of what PyTorch gives up
def test_what_cannot_come_back_is_not_written(value):
    with pytest.raises((TypeError, NotImplementedError)):
        states.to_bytes({"x": value})


class Evil:
    def __reduce__(self):
        return eval, ("open('/tmp/coordflow-was-here', 'w')",)


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", data)
    return buffer.getvalue()


def tensor(dtype: object, shape: object) -> dict[str, object]:
    return {"tensor": [dtype, shape]}


HOSTILE = {
    "nothing": b"",
    "three bytes": b"\x00\x00\x00",
    "no structure": bytes(4),
    "a longer structure than there is": (100).to_bytes(4, "little") + b"{}",
    "4 GB of structure": b"\xff" * 8,
    "no JSON": made(b"{"),
    "not UTF-8": made(b'"\xff"'),
    "a pickle": made(pickle.dumps(Evil())),
    "a bare pickle": pickle.dumps(Evil()),
    "a zip of a pickle": zipped(pickle.dumps(Evil())),
    "a zip bomb": zipped(bytes(20_000_000)),
    "deep lists": made(b"[" * 100_000),
    "deep dicts": made(b'{"dict":[["a",' * 400 + b"1" + b"]]}" * 400),
    "a number of a million digits": made(b"9" * 1_000_000),
    "more than its tensors": made(1, b"x"),
    "a dict of JSON": made({"a": 1}),
    "a dict of two": made({"dict": [], "tensor": []}),
    "pairs that are none": made({"dict": [[1, 2, 3]]}),
    "pairs of a string": made({"dict": ["ab"]}),
    "keys of lists": made({"dict": [[[], 1]]}),
    "keys of floats": made({"dict": [[1.5, 1]]}),
    "a dict of a number": made({"dict": 3}),
    "a tuple of a number": made({"tuple": 3}),
    "a tensor of nothing": made({"tensor": None}),
    "an unknown dtype": made(tensor("complex64", [1]), bytes(8)),
    "a dtype that is a function": made(tensor("load", [1]), bytes(8)),
    "a dtype of lists": made(tensor([], [1]), bytes(8)),
    "a dtype of sparse": made(tensor("sparse_coo", [1]), bytes(8)),
    "a dtype of quantization": made(tensor("qint8", [1]), bytes(8)),
    "a shape of text": made(tensor("float32", "11"), bytes(4)),
    "a negative shape": made(tensor("float32", [-1]), bytes(4)),
    "two negative sides": made(tensor("float32", [-1, -1]), bytes(4)),
    "a shape of floats": made(tensor("float32", [1.0]), bytes(4)),
    "a shape of truth": made(tensor("float32", [True]), bytes(4)),
    "a shape of a hundred sides": made(tensor("float32", [1] * 100), bytes(4)),
    "a shape that overflows": made(tensor("float32", [2**31, 2**33]), bytes(4)),
    "a shape that overflows to nothing": made(tensor("float32", [2**62, 4, 0])),
    "a terabyte": made(tensor("float64", [2**37]), bytes(4)),
    "one byte less": made(tensor("float64", [2]), bytes(15)),
    "many that share their bytes": made([tensor("uint8", [1000])] * 1000, bytes(1000)),
}


@pytest.mark.promise("No code from data", "A damaged or hostile checkpoint is refused with one line.")
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_are_a_value_error_in_a_few_words(case):
    with pytest.raises(ValueError, match=r"^[^\n]{1,300}$"):
        states.from_bytes(HOSTILE[case])
    assert not Path("/tmp/coordflow-was-here").exists()


def test_a_byte_that_is_no_bool_becomes_one():
    found = states.from_bytes(made(tensor("bool", [3]), b"\x00\x02\xff"))
    assert found.view(torch.uint8).tolist() == [0, 1, 1]


def test_random_damage_is_a_value_error_or_a_state():
    """3,000 cases, seeded: bytes changed, taken out, put in."""
    good = states.to_bytes(
        {"a": torch.ones(3, 4), "b": [1, 2.5, None, ("x",)], "c": {0: torch.zeros(2).bool()}}
    )
    chance = random.Random(7)
    for case in range(3000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        try:
            states.to_bytes(states.from_bytes(bytes(data)))
        except ValueError as error:
            assert "\n" not in str(error), case


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_memory_is_bounded_whatever_the_structure(tmp_path):
    """The densest structures of the largest size, in a process that may take 1 GB beyond what it has."""
    dense = ["[]", '{"dict":[]}', '""', '{"tensor":["uint8",[0]]}', "[" * 40 + "]" * 40]
    dense += ['{"tensor":["uint8",[1]]}', '{"tensor":["bool",[]]}']  # each has a byte
    most = []
    for number, text in enumerate(dense):
        count = (states.MOST_STRUCTURE - 1) // (len(text) + 1)
        numbers = bytes(count if number > 4 else 0)
        data = made(b"[" + ",".join([text] * count).encode() + b"]", numbers)
        (tmp_path / f"{number}").write_bytes(data)
        most.append(128 * states.MOST_STRUCTURE + 2 * len(data))
    code = f"""
import resource, torch
from pathlib import Path
from coordflow_mini.ops import states
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) << 10
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30),) * 2)
before = peak()
for path in sorted(Path({str(tmp_path)!r}).iterdir()):
    states.from_bytes(path.read_bytes())
    print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    taken = [int(line) for line in done.stdout.split()]
    assert len(taken) == len(most) and all(got <= limit for got, limit in zip(taken, most, strict=True))
    print([size >> 20 for size in taken])  # noqa: T201  # for LOG.md
