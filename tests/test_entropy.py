"""Integers to bytes and back: exactness, cost, refusals."""

import zlib

import constriction
import numpy as np
import pytest

from coordflow_mini import entropy
from coordflow_mini.entropy import BELLS, LARGEST, SCALES, SymbolModel

ALL_TABLES = [(bell, scale) for bell in range(len(BELLS)) for scale in range(SCALES)]


def draw(kind: str, count: int, spread: float, seed: int = 0) -> np.ndarray:
    """int32 [count] from a named distribution of roughly this standard deviation."""
    rng = np.random.default_rng(seed)
    values = {
        "gauss": lambda: rng.normal(0, spread, count),
        "laplace": lambda: rng.laplace(0, spread / 2**0.5, count),
        "box": lambda: rng.uniform(-1.73 * spread, 1.73 * spread, count),
        "heavy": lambda: rng.standard_t(1.2, count) * spread / 3,
    }[kind]()
    return np.rint(values).clip(-LARGEST, LARGEST).astype(np.int32)


def empirical_bits(integers: np.ndarray) -> float:
    """Size under the best table that could be made for just these integers, the table for free."""
    _, count = np.unique(integers, return_counts=True)
    return float(-(count * np.log2(count / count.sum())).sum())


def same(tensors: list[np.ndarray]) -> bool:
    data = entropy.encode(tensors)
    decoded = entropy.decode(data, [tensor.shape for tensor in tensors])
    return all(d.dtype == np.int32 and (d == t).all() for d, t in zip(decoded, tensors, strict=True))


# --- tables ---------------------------------------------------------------------------------------


def test_every_table_is_positive_symmetric_and_complete():
    for bell, scale in ALL_TABLES:
        table = entropy.frequencies(bell, scale)
        body = table[1:]
        assert table.min() >= 1 and table.sum() == 2**24
        assert (body == body[::-1]).all() and body.argmax() == len(body) // 2
        assert (np.diff(body[: len(body) // 2 + 1]) >= 0).all()
        assert table.max() <= 2**24 * 127 / 128, "an almost free symbol lets few bytes hold millions"


def test_tables_never_drift():
    tables = b"".join(entropy.frequencies(*key).astype("<i8").tobytes() for key in ALL_TABLES)
    assert zlib.crc32(tables) == TABLES_CRC


@pytest.mark.parametrize("key", [(0, 0), (0, 60), (3, 40), (4, 56), (7, 80), (1, 127)])
def test_constriction_uses_exactly_these_frequencies(key):
    table = entropy.frequencies(*key)
    unit = (2**64 - 1) >> 24
    left = np.concatenate([[0], np.cumsum(table)])
    for symbol in {0, 1, len(table) // 2, len(table) - 2, len(table) - 1}:
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(symbol, entropy._coding_model(*key))
        words, (lower, width) = coder.pos()
        if words == 0:  # nothing shifted out yet: the interval is still to be seen
            assert (lower, width) == (int(left[symbol]) * unit, int(table[symbol]) * unit)


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gauss", "laplace", "box", "heavy"])
@pytest.mark.parametrize("spread", [0.05, 0.7, 4.0, 90.0, 5000.0])
def test_round_trip(kind, spread):
    assert same([draw(kind, count, spread, seed=count) for count in (1, 2, 7, 64, 1000)])


def test_round_trip_of_random_shapes():
    rng = np.random.default_rng(1)
    for _ in range(30):
        shapes = [tuple(rng.integers(1, 9, rng.integers(1, 5))) for _ in range(rng.integers(1, 6))]
        assert same([draw_shape(rng, shape) for shape in shapes])


def draw_shape(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.rint(rng.normal(0, np.exp(rng.uniform(-1, 6)), shape)).astype(np.int32)


@pytest.mark.parametrize(
    "values", [[LARGEST], [-LARGEST], [LARGEST, -LARGEST], [0] * 5000, [0] * 999 + [LARGEST], [-LARGEST] * 40]
)
def test_round_trip_of_extremes(values):
    assert same([np.array(values, dtype=np.int32)])


def test_no_tensors_are_no_bytes():
    assert entropy.encode([]) == b"" and entropy.decode(b"", []) == []


# --- cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gauss", "laplace", "box"])
@pytest.mark.parametrize("spread", [1.0, 4.0, 16.0])
@pytest.mark.parametrize("count", [512, 4096])
def test_size_is_near_the_empirical_entropy(kind, spread, count):
    integers = draw(kind, count, spread)
    used = len(np.unique(integers))
    learned = 0.72 * (used - 1)  # bits by which a table made for these very integers flatters itself
    allowed = 1.006 if kind != "box" else 1.03  # no bell is a box
    assert 8 * len(entropy.encode([integers])) <= allowed * (empirical_bits(integers) + learned) + 72


def test_size_is_the_ideal_and_little_more():
    tensors = [draw(kind, 300, spread) for kind in ("gauss", "laplace", "heavy") for spread in (1, 6, 20)]
    ideal = sum(entropy.ideal_bits(tensor, entropy.best_model(tensor)) for tensor in tensors)
    extra = 8 * len(entropy.encode(tensors)) - ideal
    assert 0 < extra < 64 + 20 * len(tensors)


def test_the_best_model_is_no_worse_than_others():
    rng = np.random.default_rng(2)
    for kind in ("gauss", "laplace", "box", "heavy"):
        integers = draw(kind, 700, 5.0)
        best = entropy.ideal_bits(integers, entropy.best_model(integers))
        for _ in range(60):
            other = SymbolModel(
                int(rng.integers(len(BELLS))), int(rng.integers(-2, 3)), (int(rng.integers(SCALES)),)
            )
            assert best <= entropy.ideal_bits(integers, other) + 8


def test_rows_of_different_width_get_scales_of_their_own():
    spread = np.repeat([1.0, 16.0, 4.0, 30.0], 8)[:, None]
    rows = np.rint(np.random.default_rng(3).normal(0, 1, (32, 64)) * spread).astype(np.int32)
    assert len(entropy.best_model(rows).scales) == 32
    assert len(entropy.encode([rows])) < 0.9 * len(entropy.encode([rows.reshape(-1)]))
    assert same([rows])


def test_layers_of_different_width_cost_one_scale_each():
    layers = np.stack([draw("gauss", 900, 2.0), draw("gauss", 900, 20.0)]).reshape(2, 30, 30)
    assert len(entropy.best_model(layers).scales) == 2


def test_no_byte_holds_too_many_integers():
    zeros = np.zeros(200_000, dtype=np.int32)
    assert zeros.size / len(entropy.encode([zeros])) < entropy.MOST_PER_BYTE


# --- refusals -------------------------------------------------------------------------------------


def decoded_or_refused(data: bytes, shapes: list[tuple[int, ...]]) -> bool:
    """Whether the bytes decode; anything but a good answer or a one-line ValueError fails the test."""
    try:
        tensors = entropy.decode(data, shapes)
    except ValueError as error:
        assert "\n" not in str(error)
        return False
    assert [tensor.shape for tensor in tensors] == shapes
    assert all(tensor.dtype == np.int32 and np.abs(tensor).max() <= LARGEST for tensor in tensors)
    return True


@pytest.fixture(scope="module")
def coded() -> tuple[bytes, list[tuple[int, ...]]]:
    tensors = [draw("gauss", 96, 3).reshape(4, 24), draw("heavy", 40, 9), draw("laplace", 16, 1)]
    return entropy.encode(tensors), [tensor.shape for tensor in tensors]


def test_every_truncation_is_refused(coded):
    data, shapes = coded
    assert not any(decoded_or_refused(data[:size], shapes) for size in range(len(data)))


def test_everything_appended_is_refused(coded):
    data, shapes = coded
    rng = np.random.default_rng(4)
    assert not any(decoded_or_refused(data + rng.bytes(size % 12 + 1), shapes) for size in range(300))
    assert not decoded_or_refused(data + bytes(4), shapes)


def test_every_flipped_bit_is_refused_or_decodes(coded):
    data, shapes = coded
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        decoded_or_refused(bytes(flipped), shapes)


def test_random_bytes_are_refused_or_decode():
    rng = np.random.default_rng(5)
    for _ in range(1500):
        shapes = [tuple(rng.integers(1, 20, rng.integers(1, 4)).tolist()) for _ in range(rng.integers(1, 4))]
        decoded_or_refused(rng.bytes(4 * int(rng.integers(0, 60))), shapes)


@pytest.mark.parametrize("shape", [(2**31,), (2**20, 2**20), (10**9, 10**9, 10**9), (40_000,)])
def test_more_integers_than_the_bytes_can_hold_are_refused(shape):
    with pytest.raises(ValueError, match="cannot hold"):
        entropy.decode(bytes(16), [shape])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (-4,), (-2, -2)])
def test_shapes_without_integers_are_refused(shape):
    with pytest.raises(ValueError, match="at least one"):
        entropy.decode(bytes(16), [shape])


# --- golden bytes: a change here is a new format version -------------------------------------------

TABLES_CRC = 1974875079
GOLDEN = "1a0088e72365d8af6603ca260bbc033d592f65571bc9e88e7e1dc5b1adec756e8b758b658330874c"


def test_golden_bytes():
    tensors = [
        np.arange(-12, 12, dtype=np.int32).reshape(3, 8),
        np.array([0, 0, 1, -1, 0, 700, 0, 0, 2, -40_000], dtype=np.int32),
        np.full(5, 77, dtype=np.int32),
    ]
    assert entropy.encode(tensors).hex() == GOLDEN
    decoded = entropy.decode(bytes.fromhex(GOLDEN), [tensor.shape for tensor in tensors])
    assert all((d == t).all() for d, t in zip(decoded, tensors, strict=True))
