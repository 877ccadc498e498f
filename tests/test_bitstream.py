"""The `.cfv` container: round trips, golden bytes, and every damage answered by one BitstreamError."""

import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from math import prod

import numpy as np
import pytest

from campaigns.damage import flips, resealed, truncations
from coordflow_mini import bitstream
from coordflow_mini.bitstream import (
    HEADER_FIELDS,
    MODEL_FIELDS,
    BitstreamError,
    Field,
    Header,
    QuantizedTensor,
)
from coordflow_mini.config import ModelConfig, Selection
from coordflow_mini.entropy import LARGEST
from coordflow_mini.quantize import FIRST_INDEX, LAST_INDEX

SMALL = ModelConfig(layers=2, width=4, depth=1, space_frequencies=3, time_frequencies=1, flow_width=2)
MOST_MEMORY = 80 * 2**20  # what reading a small hostile file may allocate


def header(**changes: object) -> Header:
    given = {
        "time": 24,
        "height": 64,
        "width": 96,
        "fps": Fraction(30000, 1001),
        "matrix": "bt709",
        "selection": Selection(10, 57, 2, 96, 64),
        "model": SMALL,
        "gamma": 0.1,
        "seed": 7,
        "version": "0.1.0",
        "source_frames": 132,
    }
    return Header(**(given | changes))  # type: ignore[arg-type]


def shapes_of(header: Header) -> list[tuple[int, ...]]:
    """Shapes that depend on the header as a model's do."""
    model = header.model
    first = (model.layers, 2 * model.space_frequencies, model.width)
    deep = [(model.layers, model.width, model.width)] * (model.depth - 1)
    return [first, *deep, (model.layers, model.width, 4), (model.layers, 1, 4)]


def tensors_for(header: Header, seed: int = 0) -> list[QuantizedTensor]:
    rng = np.random.default_rng(seed)
    shapes = shapes_of(header)
    return [
        QuantizedTensor(np.rint(rng.normal(0, 5, s)).astype(np.int32), -40 + i) for i, s in enumerate(shapes)
    ]


def equal(left: Sequence[QuantizedTensor], right: Sequence[QuantizedTensor]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(a.step_index == b.step_index and np.array_equal(a.integers, b.integers) for a, b in pairs)


def accepted(data: bytes) -> bool:
    """Whether the data is read; anything but good tensors or a one-line BitstreamError fails the test."""
    try:
        found, tensors = bitstream.read(data, shapes_of)
    except BitstreamError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 400
        return False
    assert [tensor.integers.shape for tensor in tensors] == shapes_of(found)
    assert all(np.abs(tensor.integers).max() <= LARGEST for tensor in tensors)
    assert found.time * found.height * found.width <= bitstream.MOST_PIXELS
    return True


@pytest.fixture(scope="module")
def good() -> bytes:
    return bitstream.write(header(), tensors_for(header()))


# --- what is written is read ----------------------------------------------------------------------


def test_round_trip(good):
    found, tensors = bitstream.read(good, shapes_of)
    assert found == header() == bitstream.read_header(good)
    assert equal(tensors, tensors_for(header()))


def test_the_header_is_small(good):
    usual = header(
        time=96, width=192, height=108, model=ModelConfig(), selection=Selection(0, 96, 1, 192, 108)
    )
    assert len(bitstream.header_bytes(usual)) <= 48


def test_every_model_field_is_stored():
    assert sorted(field.name for field in MODEL_FIELDS) == sorted(field.name for field in fields(ModelConfig))


@pytest.mark.parametrize(
    "value", [0.1, 0, 0.0, 1 / 3, 1e-9, 999999.9999999999, 5e-324, 1e6, 24.0, np.float32(0.3)]
)
def test_numbers_keep_all_their_digits(value):
    stored = header(gamma=float(value))
    assert bitstream.read_header(bitstream.header_bytes(stored)) == stored


@pytest.mark.parametrize("field", MODEL_FIELDS, ids=lambda field: field.name)
def test_extremes_of_every_model_field(field):
    for value in field.choices or (field.low, field.high):
        others = {"lowest_frequency": min(value, 1.0)} if field.name == "highest_frequency" else {}
        others |= {"highest_frequency": value} if field.name == "lowest_frequency" else {}
        stored = header(model=replace(SMALL, **(others | {field.name: value})))
        assert bitstream.read_header(bitstream.header_bytes(stored)) == stored


@pytest.mark.parametrize(
    "changes",
    [
        {"time": 1, "height": 1, "width": 1, "selection": Selection(0, 1, 1, 1, 1)},
        {"time": 2**20, "height": 1, "width": 1, "selection": Selection(0, 2**20, 1, 1, 1)},
        {"time": 1024, "height": 2**12, "width": 2**14, "selection": Selection(0, 1024, 1, 2**14, 2**12)},
        {"time": 1, "selection": Selection(2**40, 2**40 + 1, 1, 96, 64)},
        {"time": 1, "selection": Selection(0, 2**32, 2**32, 96, 64)},
        {"fps": Fraction(1, 1000)},
        {"fps": Fraction(100_000)},
        {"fps": Fraction(10**9, 10**9 - 1)},
        {"seed": 2**64 - 1},
        {"version": ""},
        {"version": "9" * 32},
        {"source_frames": None},
        {"source_frames": 2**62},
        {"matrix": "bt601"},
        {"matrix": "rgb"},
    ],
)
def test_extremes_of_every_header_field(changes):
    stored = header(**changes)
    assert bitstream.read_header(bitstream.header_bytes(stored)) == stored


def test_sizes_add_up(good):
    sizes = bitstream.sizes(good, shapes_of)
    assert sizes.total == len(good)
    assert sizes.magic == 5 and sizes.checksums == 8 and sizes.header < 48
    big = header(model=replace(SMALL, width=64, depth=3))
    data = bitstream.write(big, tensors_for(big))
    assert bitstream.sizes(data, shapes_of).total == len(data)
    assert bitstream.sizes(data, shapes_of).weights > 0.98 * len(data)


def test_reading_does_not_import_torch():
    code = "import sys, coordflow_mini.bitstream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- sections -------------------------------------------------------------------------------------


def test_segments_are_read_one_by_one():
    first, second = tensors_for(header(), 1), tensors_for(header(), 2)
    start = bitstream.header_bytes(header())
    data = start + bitstream.segment_bytes(0, 10, first) + bitstream.segment_bytes(10, 14, second)
    assert [(section.first, section.frames) for section in bitstream.index(data)] == [(0, 10), (10, 14)]
    assert equal(bitstream.read(data, shapes_of, segment=0)[1], first)
    assert equal(bitstream.read(data, shapes_of, segment=1)[1], second)
    assert bitstream.sizes(data, shapes_of).total == len(data)
    with pytest.raises(BitstreamError, match="2 segments"):
        bitstream.read(data, shapes_of)
    with pytest.raises(ValueError, match="segment must be 0 to 1, got 2"):
        bitstream.read(data, shapes_of, segment=2)


@pytest.mark.parametrize(
    "ranges",
    [[], [(0, 23)], [(1, 24)], [(0, 12), (11, 13)], [(0, 12), (13, 11)], [(0, 25)], [(0, 0), (0, 24)]],
)
def test_frames_must_be_coded_once_each(ranges):
    parts = [bitstream.segment_bytes(first, frames, tensors_for(header())) for first, frames in ranges]
    with pytest.raises(BitstreamError, match=r"segment starts|are coded"):
        bitstream.index(bitstream.header_bytes(header()) + b"".join(parts))


def test_unknown_optional_sections_are_skipped(good):
    start = len(bitstream.header_bytes(header()))
    note = bitstream.section_bytes(200, b"a note") + bitstream.section_bytes(bitstream.OPTIONAL, b"")
    data = good[:start] + note + good[start:] + note
    assert equal(bitstream.read(data, shapes_of)[1], tensors_for(header()))
    assert bitstream.sizes(data, shapes_of).total == len(data)
    damaged = bytearray(data)
    damaged[start + 4] ^= 1
    with pytest.raises(BitstreamError, match="checksum of the section"):
        bitstream.read(bytes(damaged), shapes_of)


@pytest.mark.parametrize("kind", [0, 2, 127])
def test_unknown_mandatory_sections_are_refused(good, kind):
    with pytest.raises(BitstreamError, match=f"kind {kind} is unknown: upgrade"):
        bitstream.read(good + bitstream.section_bytes(kind, b"new"), shapes_of)


# --- refusals with their reasons ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\x89C", "truncated"),
        (b"RIFF\x00\x00\x00\x00AVI ", r"starts with b'RIFF"),
        (b"\x89PNG\r\n\x1a\n", "not a .cfv file"),
        (b"CFV\x01", "not a .cfv file"),
        (b"\x89CFV\x02", "written by format version 2; this reader knows up to 1: upgrade coordflow-mini"),
        (b"\x89CFV\x00\x03abc", "format version 0"),
        (b"\x89CFV\x01\xff\xff\xff\xff\x7f", "header of"),
        (b"\x89CFV\x01" + b"\xff" * 20, "more than 10 bytes"),
        (b"\x89CFV\x01\x05abc", "truncated"),
    ],
)
def test_what_is_no_file_is_named(data, reason):
    with pytest.raises(BitstreamError, match=reason):
        bitstream.read_header(data)


def forged(lies: dict[Field, object]) -> bytes:
    """Header bytes with some fields replaced by values that no `Header` would take, checksum right."""
    values = dict(zip(HEADER_FIELDS + MODEL_FIELDS, bitstream._values(header()), strict=True)) | lies
    payload = b"".join(field.to_bytes(value) for field, value in values.items()) + b"\x00"
    return bitstream._sealed(bitstream.MAGIC + b"\x01" + bitstream._varint(len(payload)) + payload)


def lies_about(field: Field) -> list[object]:
    if isinstance(field.low, float):
        return [field.high * 1.001, 1e300, field.low / 2] if field.low else [field.high * 1.001, 1e300]
    return [value for value in (field.low - 1, field.high + 1, 10**9 * field.high, 2**69) if value >= 0]


BOUNDED = [field for field in HEADER_FIELDS + MODEL_FIELDS if not field.choices]


@pytest.mark.parametrize("field", BOUNDED, ids=lambda field: field.name)
def test_headers_that_lie_are_refused(field):
    assert bitstream.read_header(forged({})) == header(version="")
    for lie in lies_about(field):
        with pytest.raises(BitstreamError, match=f"{field.name}|more than 10 bytes"):
            bitstream.read_header(forged({field: lie}))


@pytest.mark.parametrize(
    "lies",
    [
        {"time": 2**20, "height": 2**14, "width": 2**14},  # each allowed, not together
        {"frames_after": 2},  # more than the step allows
        {"fps_numerator": 10**9, "fps_denominator": 1},
        {"fps_numerator": 50, "fps_denominator": 2},  # not in lowest terms: nobody writes this
        {"lowest_frequency": 30.0, "highest_frequency": 20.0},  # refused by ModelConfig
    ],
)
def test_headers_that_contradict_themselves_are_refused(lies):
    by_name = {field.name: field for field in MODEL_FIELDS + HEADER_FIELDS}
    with pytest.raises(BitstreamError):
        bitstream.read_header(forged({by_name[name]: lie for name, lie in lies.items()}))


@pytest.mark.parametrize("extra", [b"\x00", b"\x80\x00", b"anything"])
def test_leftovers_in_a_header_are_refused(extra):
    payload = bitstream.header_bytes(header())[6:-4] + extra
    data = bitstream._sealed(bitstream.MAGIC + b"\x01" + bitstream._varint(len(payload)) + payload)
    with pytest.raises(BitstreamError, match="not what these fields"):
        bitstream.read_header(data)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"time": 25}, "selection must be resolved"),
        ({"selection": Selection()}, "selection must be resolved"),
        ({"selection": Selection(10, 57, 2, 64, 96)}, "selection must be resolved"),
        ({"matrix": "bt2020"}, "matrix must be one of bt601, bt709, rgb, got 'bt2020'"),
        ({"gamma": float("nan")}, "gamma must be a number"),
        ({"gamma": -0.5}, "gamma must be a number"),
        ({"seed": -1}, "seed must be an integer"),
        ({"seed": 0.5}, "seed must be an integer"),
        ({"seed": True}, "seed must be an integer"),
        ({"version": "1.0\n"}, "version must be"),
        ({"version": "1.0é"}, "version must be"),
        ({"version": "1" * 33}, "version must be"),
        ({"fps": Fraction(1, 1001)}, "fps must be"),
    ],
)
def test_impossible_headers_cannot_be_made(changes, word):
    with pytest.raises(BitstreamError, match=word):
        header(**changes)


@pytest.mark.parametrize("step_index", [FIRST_INDEX - 1, LAST_INDEX + 1])
def test_steps_beyond_the_grid_are_refused(step_index, monkeypatch):
    tensors = tensors_for(header())
    tensors[1] = replace(tensors[1], step_index=step_index)
    with pytest.raises(ValueError, match="step indices must be"):
        bitstream.write(header(), tensors)
    monkeypatch.setattr(bitstream, "FIRST_INDEX", -1000)
    monkeypatch.setattr(bitstream, "LAST_INDEX", 1000)
    data = bitstream.write(header(), tensors)
    monkeypatch.undo()
    for read in (bitstream.read, bitstream.sizes):
        with pytest.raises(BitstreamError, match="step index"):
            read(data, shapes_of)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(2**13, 2**12 + 1)], "this header asks for 1 and"),
        ([(1,)] * 5000, "5000"),
        ([], "asks for 0"),
        ([(2**10, 2**10)], "cannot hold"),
        ([(0, 4)], "at least one"),
    ],
)
def test_models_too_large_for_the_file_are_refused(good, shapes, reason):
    with pytest.raises(BitstreamError, match=reason):
        bitstream.read(good, lambda _: shapes)


def test_models_that_cannot_be_are_refused(good):
    def refuse(_: Header) -> list[tuple[int, ...]]:
        raise ValueError("no such model")

    with pytest.raises(BitstreamError, match="no such model"):
        bitstream.read(good, refuse)


# --- damage in bulk -------------------------------------------------------------------------------


def test_every_truncation_is_refused(good):
    assert not any(accepted(cut) for cut in truncations(good))
    assert not any(accepted(resealed(cut)) for cut in truncations(good))


def test_every_flip_is_refused(good):
    assert not any(accepted(case) for case in flips(good))


def test_resealing_keeps_a_good_file(good):
    assert resealed(good) == good
    damaged = bytearray(good)
    damaged[10] ^= 1
    damaged[-1] ^= 1
    assert resealed(bytes(damaged))[-4:] == good[-4:]


def test_every_flip_with_its_checksums_made_right_is_bounded(good):
    tracemalloc.start()
    count = sum(accepted(resealed(case)) for case in flips(good))
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    tracemalloc.stop()
    assert count > 0, "a seed is as good as another: some of these files are valid"


@pytest.mark.parametrize("seal", [bytes, resealed])
def test_random_splices_are_bounded(good, seal):
    rng = np.random.default_rng(0)
    other = bitstream.write(header(seed=9), tensors_for(header(), 5))
    for _ in range(400):
        start, stop = sorted(rng.integers(0, len(good), 2))
        begin, end = sorted(rng.integers(0, len(other), 2))
        accepted(seal(good[:start] + other[begin:end] + good[stop:]))


def test_random_bytes_are_bounded():
    rng = np.random.default_rng(1)
    for size in rng.integers(0, 200, 600):
        assert not accepted(rng.bytes(size))
        assert not accepted(resealed(bitstream.MAGIC + b"\x01" + rng.bytes(size)))


def test_random_weights_behind_a_good_header_are_bounded(good):
    rng = np.random.default_rng(2)
    start = bitstream.header_bytes(header())
    for size in rng.integers(0, 60, 400):
        accepted(start + bitstream.section_bytes(bitstream.SEGMENT, b"\x00\x18" + rng.bytes(4 * size)))


@pytest.mark.promise("Encoded files", "Anything appended to a file is refused.")
def test_everything_appended_is_refused(good):
    """Also where only segments are looked for, and where it parses as a section that may be skipped."""
    rng = np.random.default_rng(3)
    tails = [rng.bytes(size % 40 + 1) for size in range(2000)] + [bytes(1), good]
    tails += [b"\x80\x01" + bytes([size - 7]) + rng.bytes(size - 3) for size in range(7, 60)]
    for tail in tails:
        with pytest.raises(BitstreamError):
            bitstream.segments(good + tail)
    assert not any(accepted(good + tail) for tail in tails[-300:])


# --- golden bytes: a change here is a new format version -------------------------------------------

GOLDEN = (
    "894346560123184060b0ea01e907010a0200840101010701010402020501180003200305302e312e307c3bd81a"
    "0122001842c9c8f6019563644c131e8b7458a667e35eb3f8b5e5d027f67e697a0000000080c868c5"
)


def test_golden_bytes():
    model = ModelConfig(
        motion="none",
        layers=1,
        width=4,
        depth=2,
        space_frequencies=2,
        lowest_frequency=0.5,
        highest_frequency=24.0,
        time_frequencies=3,
        flow_width=32,
        flow_frequencies=3,
    )
    given = header(model=model)
    tensors = [
        QuantizedTensor((np.arange(prod(shape), dtype=np.int32) % 7 - 3).reshape(shape), -30 - place)
        for place, shape in enumerate(shapes_of(given))
    ]
    assert bitstream.write(given, tensors).hex() == GOLDEN
    found, decoded = bitstream.read(bytes.fromhex(GOLDEN), shapes_of)
    assert found == given and equal(decoded, tensors)
