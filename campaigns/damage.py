"""Damaged and hostile `.cfv` files, and a judge: `python -m campaigns.damage --cases 20000 --seed 1`.

Every case follows from its seed and number alone, and half of them get valid checksums, as an attacker
would make them. Workers are processes limited to `WORKER_BYTES`: a case that kills one is a finding, and
the campaign goes on with the next. Findings are kept in runs/campaigns/damage.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np

from coordflow_mini import bitstream, entropy
from coordflow_mini.bitstream import BitstreamError
from coordflow_mini.config import Recipe
from coordflow_mini.quantize import FIRST_INDEX, LAST_INDEX

KEPT = Path("runs/campaigns/damage")
WORKER_BYTES = 3 * 2**30  # more than the address space that a worker has before its first case
LONGEST_SECONDS = 10.0  # of processor, for a file of a few kilobytes; most take milliseconds


class FindingError(AssertionError):
    """A file that gave neither a video nor a BitstreamError."""


# --- a file in parts, read without any of the library's care --------------------------------------------


def varint(value: int) -> bytes:
    """A number in as many bytes as it takes, even more than a reader allows."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def varint_at(data: bytes, position: int) -> tuple[int, int]:
    """A number, and the position after it."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:
            break
    return value, position


def sealed(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "little")


def resealed(data: bytes) -> bytes:
    """The data with every checksum repaired that can still be located, as an attacker would."""
    fixed = bytearray(data)

    def seal(start: int, stop: int) -> int:
        if stop + 4 <= len(fixed):
            fixed[stop : stop + 4] = crc32(fixed[start:stop]).to_bytes(4, "little")
        return stop + 4

    length, position = varint_at(fixed, 5)
    position = seal(0, position + length)
    while position < len(fixed):
        _, inside = varint_at(fixed, position)
        length, inside = varint_at(fixed, inside)
        position = seal(position, inside + length)
    return bytes(fixed)


@dataclass(frozen=True)
class Parts:
    """The parts of a file; `to_bytes` joins them with valid checksums, whatever they have become.

    fields: the numbers of the header, in their order.  name: the library's version.
    sections: kind and payload of each.
    """

    start: bytes
    fields: tuple[int, ...]
    name: bytes
    sections: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        """The parts of a sound file."""
        length, position = varint_at(data, 5)
        end, fields = position + length, []
        for _ in range(FIELDS):
            value, position = varint_at(data, position)
            fields.append(value)
        _, position = varint_at(data, position)
        name, sections, position = data[position:end], [], end + 4
        while position < len(data):
            kind, position = varint_at(data, position)
            length, position = varint_at(data, position)
            sections.append((kind, data[position : position + length]))
            position += length + 4
        return cls(data[:5], tuple(fields), name, tuple(sections))

    def with_payload(self, place: int, payload: bytes) -> "Parts":
        """The same with another payload in one section."""
        sections = list(self.sections)
        sections[place] = (sections[place][0], payload)
        return replace(self, sections=tuple(sections))

    def to_bytes(self) -> bytes:
        header = b"".join(map(varint, self.fields)) + varint(len(self.name)) + self.name
        sections = (sealed(varint(kind) + varint(len(payload)) + payload) for kind, payload in self.sections)
        return sealed(self.start + varint(len(header)) + header) + b"".join(sections)


def _stored(field: bitstream.Field) -> int:
    """The count of numbers that a header field is stored in: decimals have an exponent."""
    return 2 if not field.choices and isinstance(field.low, float) else 1


FIELDS = sum(map(_stored, bitstream.HEADER_FIELDS + bitstream.MODEL_FIELDS))


# --- files of the real encoder ----------------------------------------------------------------------------


CORPUS = Path(__file__).parent / "corpus"


@lru_cache(maxsize=1)
def originals() -> tuple[bytes, ...]:
    """Four files of the real encoder: 1 to 3 layers, still and moving, one segment and three, a note."""
    return tuple(file.read_bytes() for file in sorted(CORPUS.glob("*.cfv")))


def encode_originals() -> None:
    """Encode the originals again: a minute."""
    from coordflow_mini import encoder
    from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
    from coordflow_mini.video import scenes

    tiny = ModelConfig(width=4, depth=1, space_frequencies=2, time_frequencies=1, flow_width=2)
    models = (
        replace(tiny, layers=1, motion="none"),
        replace(tiny, layers=3),
        replace(tiny, layers=2, depth=2),
        replace(tiny, layers=1, space_frequencies=1, time_frequencies=0),
    )
    files = [
        encoder.compress(
            scenes.cutout(6, 8, 6).video,
            Recipe(
                model=model,
                fit=FitConfig(steps=20, batch=64, warm_up=2, grow=2, static=2),
                codec=CodecConfig(steps=3, choose_width=False, bits_per_weight=16.0 if small else 12.0),
                segment_frames=segment_frames,
            ),
        ).data
        for model, segment_frames, small in zip(models, (None, None, 2, 3), (0, 0, 0, 1), strict=True)
    ]
    files[0] += bitstream.section_bytes(200, b"a note")
    CORPUS.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        (CORPUS / f"original_{number}.cfv").write_bytes(data)


# --- mutations --------------------------------------------------------------------------------------------

Mutation = Callable[[bytes, Random], bytes]
LIES = (
    0,
    1,
    2,
    127,
    128,
    255,
    2**14,
    2**20,
    2**31 - 1,
    2**31,
    2**32,
    10**9,
    2**40,
    2**63,
    2**64 - 1,
    2**69,
    2**70,
)
NUMBERS = (  # within what the coder takes
    *(-entropy.LARGEST, 1 - entropy.LARGEST, -1, 0, 1, entropy.LARGEST - 1, entropy.LARGEST),
    *(FIRST_INDEX - 1, FIRST_INDEX, LAST_INDEX, LAST_INDEX + 1),
)


def _range(data: bytes, rng: Random, most: int = 1 << 30) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.randrange(1 + min(most, len(data))))


def cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data))]


def flip(data: bytes, rng: Random) -> bytes:
    """One to four bytes changed: a bit, to 0, to 255, or to anything."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(changed))
        old = changed[place]
        changed[place] = rng.choice((old ^ 1 << rng.randrange(8), 0, 255, rng.randrange(256)))
    return bytes(changed)


def splice(data: bytes, rng: Random) -> bytes:
    """A piece of one of the originals, perhaps this one, in place of a piece."""
    other = rng.choice(originals())
    (start, stop), (begin, end) = _range(data, rng), _range(other, rng)
    return data[:start] + other[begin:end] + data[stop:]


def append(data: bytes, rng: Random) -> bytes:
    return data + rng.choice((rng.randbytes(rng.randrange(1, 40)), bytes(rng.randrange(1, 9)), data))


def delete(data: bytes, rng: Random) -> bytes:
    start, stop = _range(data, rng, 16)
    return data[:start] + data[max(stop, start + 1) :]


def duplicate(data: bytes, rng: Random) -> bytes:
    start, stop = _range(data, rng)
    return data[:stop] + data[start:stop] + data[stop:]


def lie(data: bytes, rng: Random) -> bytes:
    """One to three numbers of the header replaced by ones that may trip up a reader."""
    parts = Parts.of(data)
    fields = list(parts.fields)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(fields))
        near = max(0, fields[place] + rng.choice((-2, -1, 1, 2)))
        fields[place] = rng.choice((near, rng.choice(LIES), rng.getrandbits(rng.randrange(1, 40))))
    return replace(parts, fields=tuple(fields)).to_bytes()


def rearrange(data: bytes, rng: Random) -> bytes:
    """Sections shuffled, dropped, repeated, or with those of another file."""
    parts = Parts.of(data)
    sections = list(parts.sections)
    what = rng.randrange(5)
    if what == 0:
        rng.shuffle(sections)
    elif what == 1:
        sections.insert(rng.randrange(len(sections) + 1), rng.choice(sections))
    elif what == 2:
        del sections[rng.randrange(len(sections))]
    elif what == 3:
        sections = list(Parts.of(rng.choice(originals())).sections)
    else:
        kind = rng.choice((0, 1, 2, 127, 128, 200, 2**31, 2**69))
        sections.insert(rng.randrange(len(sections) + 1), (kind, rng.randbytes(rng.randrange(12))))
    return replace(parts, sections=tuple(sections)).to_bytes()


def overlap(data: bytes, rng: Random) -> bytes:
    """A segment that claims to code other frames."""
    parts = Parts.of(data)
    place = rng.randrange(len(parts.sections))
    payload = parts.sections[place][1]
    first, start = varint_at(payload, 0)
    frames, start = varint_at(payload, start)
    first, frames = (
        rng.choice((value, value + 1, max(0, value - 1), rng.choice(LIES))) for value in (first, frames)
    )
    return parts.with_payload(place, varint(first) + varint(frames) + payload[start:]).to_bytes()


def recode(data: bytes, rng: Random) -> bytes:
    """A segment's coded words changed, so that the range decoder finds other weights, or none."""
    parts = Parts.of(data)
    place = rng.randrange(len(parts.sections))
    payload = parts.sections[place][1]
    start = 2 + 4 * rng.randrange(max(1, len(payload) // 4))
    word = rng.choice((rng.randbytes(4), bytes(4), b"\xff" * 4, rng.randbytes(4 * rng.randrange(40)), b""))
    return parts.with_payload(place, payload[:start] + word + payload[start + 4 :]).to_bytes()


def lie_in_weights(data: bytes, rng: Random) -> bytes:
    """One to three extreme integers in a segment, often steps, coded as the encoder would code them."""
    parts = Parts.of(data)
    shapes = shapes_of(bitstream.read_header(data))
    place = rng.choice([place for place, (kind, _) in enumerate(parts.sections) if kind == bitstream.SEGMENT])
    payload = parts.sections[place][1]
    start = varint_at(payload, varint_at(payload, 0)[1])[1]
    tensors = entropy.decode_coded(payload[start:], [(len(shapes),), *shapes])
    for _ in range(rng.choice((1, 1, 2, 3))):
        integers = tensors[0 if rng.random() < 0.5 else rng.randrange(len(tensors))].integers.reshape(-1)
        integers[rng.randrange(len(integers))] = rng.choice(NUMBERS)
    return parts.with_payload(place, payload[:start] + entropy._encode(tensors)).to_bytes()


def version(data: bytes, rng: Random) -> bytes:
    return data[:4] + bytes([rng.choice((0, 2, 3, 127, 255))]) + data[5:]


MUTATIONS: tuple[Mutation, ...] = (
    *(cut, flip, flip, splice, append, delete, duplicate),
    *(lie, lie, lie, rearrange, overlap, recode, recode, lie_in_weights, version),
)


@dataclass(frozen=True)
class Case:
    """A damaged file; its name tells how to make it again."""

    name: str
    data: bytes


def case(seed: int, number: int) -> Case:
    """One case of many: one to three mutations of one of the originals, resealed or not."""
    rng = Random(f"{seed}/{number}")
    data, names = rng.choice(originals()), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutate = rng.choice(MUTATIONS)
        try:
            data = mutate(data, rng) or data[:1]
        except (IndexError, ValueError):  # too little is left to mutate it that way
            continue
        names.append(mutate.__name__)
    if seal := rng.random() < 0.5:
        data = resealed(data)
    return Case(f"seed {seed} case {number}: {', '.join(names)}{', resealed' * seal}", data[:MOST_BYTES])


MOST_BYTES = 1 << 14


def truncations(data: bytes) -> Iterator[bytes]:
    return (data[:size] for size in range(len(data)))


def flips(data: bytes) -> Iterator[bytes]:
    """Every single bit of the data flipped, and every byte set to 0 and 255."""
    for place, old in enumerate(data):
        for new in sorted({*(old ^ 1 << bit for bit in range(8)), 0, 255} - {old}):
            yield data[:place] + bytes([new]) + data[place + 1 :]


# --- the judge --------------------------------------------------------------------------------------------

PIXELS_JUDGED = 1 << 12  # of a frame; larger ones are rendered at a smaller scale
WORK_JUDGED = 1 << 29  # multiply-adds of a frame; more are not rendered at all


def judge(data: bytes) -> bool:
    """True for a video, False for one BitstreamError.  Raises FindingError for anything else."""
    from coordflow_mini import decoder
    from coordflow_mini.measure import evaluate

    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = _answer(bitstream.read_header, data)
        found = _answer(bitstream.index, data)
        good = [
            _answer(partial(bitstream.sizes, shapes_of=decoder.tensor_shapes), data),
            _answer(evaluate.describe, data),
            _answer(partial(_first_and_last, header=header), data),
        ]
    if len({answer is None for answer in good}) != 1:
        raise FindingError(f"some read it and some do not: {[type(answer).__name__ for answer in good]}")
    if good[0] is not None and (header is None or found is None):
        raise FindingError("weights are read where the header or the index is refused")
    if (seconds := time.process_time() - began) > LONGEST_SECONDS:
        raise FindingError(f"took {seconds:.1f} s")
    return good[0] is not None


def _answer(read: Callable[[bytes], object], data: bytes) -> object:
    """The result of reading the data; None if it is refused in one line."""
    try:
        return read(data)
    except BitstreamError as error:
        text = str(error)
        if not text or "\n" in text or len(text) > 400:
            raise FindingError(f"the reason is not one line: {text!r:.500}") from error
        return None
    except FindingError:
        raise
    except Exception as error:
        raise FindingError(f"{type(error).__name__}: {error}"[:400]) from error


def _first_and_last(data: bytes, header: bitstream.Header) -> list[tuple[int, ...]]:
    """Render and check the first and the last frame of every segment; their shapes."""
    from coordflow_mini import coords, decoder
    from coordflow_mini.measure.evaluate import weight_count

    bitstream.index(data)
    height, width = header.height, header.width
    scale = min(1.0, (PIXELS_JUDGED / (height * width)) ** 0.5, 256 / max(height, width))
    rows, columns = coords.scaled_size(height, width, scale)
    segments = bitstream.segments(data)
    places = sorted({frame for s in segments for frame in (s.first, s.first + s.frames - 1)})
    for number in range(len(segments)):
        decoder.read_model(data, number)
    if rows * columns * weight_count(data) // len(segments) > WORK_JUDGED:
        return []
    pictures = list(decoder.decode_frames(data, places, scale=scale))
    (rendering,) = decoder.decode_renderings(data, places[:1], scale=scale)
    alpha = rendering.alpha.numpy()
    if not np.allclose(alpha.sum(axis=0), 1, atol=1e-4):
        raise FindingError("alpha does not sum to 1")
    if any(picture.shape != (rows, columns, 3) or picture.dtype != np.uint8 for picture in pictures):
        raise FindingError(f"frames have other shapes than {(rows, columns, 3)}")
    return [picture.shape for picture in pictures]


# --- files that cost as much as a file can ------------------------------------------------------------------


def shapes_of(header: bitstream.Header) -> list[tuple[int, ...]]:
    """`decoder.tensor_shapes`, which imports PyTorch, counted once more; a test compares."""
    c = header.model
    flow = [(1 + 2 * c.flow_frequencies, c.flow_width), (1, c.flow_width), (c.flow_width, 4), (1, 4)]
    sizes = [2 * c.space_frequencies, *[c.width] * c.depth, 4]
    color = [(1 + 2 * c.time_frequencies, c.width), *pairwise(sizes)]
    color += [(1, size) for size in sizes[1:]]
    return [shape for shape in (flow if c.motion == "similarity" else []) + color for _ in range(c.layers)]


def crafted(
    time: int, height: int, width: int, model: dict[str, int | str], segment_frames: int | None = None
) -> bytes:
    """A valid file of all-zero weights: as many weights per byte as possible."""
    from coordflow_mini.config import ModelConfig, Selection

    given: dict[str, Any] = {
        "layers": 1,
        "width": 1,
        "depth": 1,
        "space_frequencies": 1,
        "time_frequencies": 0,
    }
    given |= {"flow_width": 1, "motion": "none"}
    header = bitstream.Header(
        *(time, height, width, Fraction(25), "rgb"),
        Selection(0, time, 1, width, height),
        ModelConfig(**(given | model)),
    )
    shapes = shapes_of(header)
    zeros = entropy.SymbolModel(0, 0, (0,))
    tensors = [entropy.CodedTensor(np.zeros(shape, np.int32), zeros) for shape in [(len(shapes),), *shapes]]
    coded = entropy._encode(tensors)
    parts = [
        bitstream.section_bytes(bitstream.SEGMENT, varint(first) + varint(min(length, time - first)) + coded)
        for length in [segment_frames or time]
        for first in range(0, time, length)
    ]
    return bitstream.header_bytes(header) + b"".join(parts)


def hostile() -> dict[str, Callable[[], bytes]]:
    """Makers of the files that cost most for their bytes, by what they have most of."""
    weights: dict[str, int | str] = {
        "width": 3900,
        "depth": 3,
        "space_frequencies": 256,
    }  # 32.4 million in 48 kB
    matrix: dict[str, int | str] = {"width": 4096, "depth": 2, "space_frequencies": 256}
    moving: dict[str, int | str] = {"layers": 2, "motion": "similarity"}
    return {
        "weights": lambda: crafted(1, 8, 8, weights),
        "weights in one matrix": lambda: crafted(1, 8, 8, matrix),
        "weights of two segments": lambda: crafted(2, 8, 8, weights, 1),
        "activations": lambda: crafted(1, 64, 64, {"layers": 16, "width": 4096, "space_frequencies": 250}),
        "pixels of a frame": lambda: crafted(1, 2**13, 2**13, {"layers": 2}),
        "pixels of a moving frame": lambda: crafted(1, 2**13, 2**13, moving),
        "pixels of four bands": lambda: crafted(1, 2**11, 2**12, moving),
        "pixels of small frames": lambda: crafted(400, 2**7, 2**7, {}),
        "pixels of layers": lambda: crafted(2, 2880, 2880, {"layers": 16}),
        "pixels": lambda: crafted(2**10, 2**13, 2**13, {}),
        "frames": lambda: crafted(2**20, 1, 1, {}),
        "segments": lambda: crafted(10**5, 1, 1, {}, 1),
    }


@dataclass(frozen=True)
class Worst:
    """A costly file, how it is read, and its bounds: megabytes, and seconds of one processor."""

    file: str
    reading: str
    megabytes: float
    seconds: float


WORST = (  # what `bitstream` states, for these files; see `READINGS`
    Worst("segments", "index", 64 * 1.8 + 16, 4),
    Worst("weights", "sizes", 1024, 10),
    Worst("weights in one matrix", "frames", 1024, 10),
    Worst("weights of two segments", "frames", 1024, 15),
    Worst("activations", "frames", 1024, 20),
    Worst("frames", "frames", 256, 5),
    Worst("pixels", "frames", 1024, 30),
    Worst("pixels of a frame", "frames", 1024, 30),
    Worst("pixels of layers", "renderings", 3072, 40),
    Worst("pixels of small frames", "upscale", 75 + 48, 10),  # 3 bytes for each of the larger pixels
    Worst("pixels of four bands", "stabilize", 4 * 8 + 340, 10),
    Worst("pixels of a moving frame", "stabilize", 4 * 64 + 1024, 60),
)
READINGS = {
    "index": "bitstream.index(data); bitstream.segments(data)",
    "sizes": "evaluate.describe(data)",
    "frames": "[frame.shape for frame in decoder.decode_frames(data, ends)]",
    "renderings": "[frame.rgb.shape for frame in decoder.decode_renderings(data, ends)]",
    "upscale": "command('upscale', '--scale', '2')",
    "stabilize": "command('stabilize', '--layer', '0')",
}
_MEASURE = """
import resource, sys, time
import torch
from campaigns import damage
from coordflow_mini import bitstream, cli, decoder
from coordflow_mini.measure import evaluate

def read(path):
    def command(word, *more):
        try:
            cli.app([word, path, path + ".npy", *more, "--threads", "1", "--quiet"])
        except SystemExit as end:
            assert not end.code, end
    data = open(path, "rb").read()
    ends = sorted({{0, bitstream.read_header(data).time - 1}})
    {code}

torch.set_num_threads(1)
read({small!r})  # so that all is loaded
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + {megabytes} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
read({path!r})
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, time.process_time() - began)
"""


def measured(worst: Worst, folder: Path) -> tuple[float, float]:
    """Megabytes and seconds that a fresh process took, limited to the bound in address space.

    Raises FindingError if that was not enough.
    """
    file = folder / f"{worst.file}.cfv"
    file.write_bytes(hostile()[worst.file]())
    small = folder / "small.cfv"
    small.write_bytes(crafted(1, 8, 8, {"motion": "similarity"}))
    code = _MEASURE.format(
        path=str(file), small=str(small), megabytes=int(worst.megabytes), code=READINGS[worst.reading]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FindingError(f"{worst}: {done.stderr[-400:]}")
    megabytes, seconds = map(float, done.stdout.split()[-2:])
    return megabytes, seconds


def measure_worst() -> int:
    """Print a row for each of the worst files; 1 if one exceeds its bounds."""
    over = 0
    with TemporaryDirectory() as folder:
        for worst in WORST:
            megabytes, seconds = measured(worst, Path(folder))
            over |= megabytes > worst.megabytes or seconds > worst.seconds
            size = (Path(folder) / f"{worst.file}.cfv").stat().st_size
            used = f"{megabytes:5.0f} of {worst.megabytes:5.0f} MB  {seconds:5.1f} of {worst.seconds:3.0f} s"
            print(f"{worst.file:24} {worst.reading:11} {size:9,} bytes  {used}", flush=True)
    return int(over)


# --- as many as asked ---------------------------------------------------------------------------------------

CHUNK = 1000  # cases that a worker judges before it makes room for the next


def work(seed: int, numbers: range) -> None:
    """Judge cases in a worker: print the number of each, then the outcome."""
    import resource

    import torch

    torch.set_num_threads(1)
    judge(originals()[0])  # so that all is loaded
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + WORKER_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in numbers:
        print(f"at {number}", flush=True)
        try:
            print("video" if judge(case(seed, number).data) else "refused")
        except FindingError as error:
            print("finding", " ".join(str(error).split()), flush=True)


@dataclass
class Tally:
    """Counts of outcomes."""

    videos: int = 0
    refused: int = 0
    findings: int = 0


def run_chunk(seed: int, numbers: range, tally: Tally) -> None:
    """Run a worker for these cases; if it dies, another one for the rest."""
    while numbers:
        command = [sys.executable, "-m", "campaigns.damage", "--seed", str(seed)]
        command += ["--work", str(numbers.start), str(numbers.stop)]
        worker = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        at = numbers.start
        for line in worker.stdout.splitlines():
            word, _, rest = line.partition(" ")
            at = int(rest) if word == "at" else at
            tally.videos += word == "video"
            tally.refused += word == "refused"
            if word == "finding":
                keep(seed, at, rest, tally)
        if worker.returncode == 0:
            return
        keep(seed, at, f"the worker died with {worker.returncode}: {worker.stdout[-300:]}", tally)
        numbers = range(at + 1, numbers.stop)


def keep(seed: int, number: int, reason: str, tally: Tally) -> None:
    """Keep the file and print why."""
    tally.findings += 1
    KEPT.mkdir(parents=True, exist_ok=True)
    found = case(seed, number)
    file = KEPT / f"seed_{seed}_case_{number}.cfv"
    file.write_bytes(found.data)
    print(f"{found.name}: {reason}; kept as {file}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--cases", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options.add_argument("--encode", action="store_true", help="only make the originals anew")
    options.add_argument("--work", type=int, nargs=2, metavar=("FROM", "TO"), help=argparse.SUPPRESS)
    options.add_argument("--worst", action="store_true", help="only measure what the worst files cost")
    given = options.parse_args()
    if given.encode:
        encode_originals()
    elif given.worst:
        sys.exit(measure_worst())
    elif given.work:
        work(given.seed, range(*given.work))
    else:
        sys.exit(campaign(given.cases, given.seed, given.jobs))


def campaign(cases: int, seed: int, jobs: int) -> int:
    """Judge all cases and print progress; 1 if there is a finding."""
    tally, began, done = Tally(), time.perf_counter(), 0
    chunks = [range(first, min(first + CHUNK, cases)) for first in range(0, cases, CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(lambda numbers: run_chunk(seed, numbers, tally), chunks):
            done = min(done + CHUNK, cases)
            print(f"{done:,}/{cases:,}  {time.perf_counter() - began:.0f} s  {tally}", flush=True)
    print(f"seed {seed}: {cases:,} cases, {tally.videos:,} videos, {tally.refused:,} refused, ", end="")
    print(f"{tally.findings:,} findings")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    main()
