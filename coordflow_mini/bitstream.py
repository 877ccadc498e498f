"""The `.cfv` container: a compact header, then sections, each with its own checksum.

    file     =  magic  version  header  section ...
    header   =  length  fields (`HEADER_FIELDS`, `MODEL_FIELDS`, version name)  crc32
    section  =  kind  length  payload  crc32
    segment  =  section of kind 1: first frame, frames, range-coded steps and weights

Numbers are varints (little-endian base 128), checksums 4 bytes little-endian.  A section's checksum covers
its kind and length too, the header's all that stands before it.  Segments follow each other in time and
cover all frames; each can be found and read alone (`segments`, `segment_tensors`).  Kinds from 128 on are
optional: a reader skips those that it does not know, and refuses other unknown ones.

No checksum is trusted: every field is bounded before it is used, and every damage becomes one
`BitstreamError`.  PyTorch is not imported.  Taught in chapter 08.

What a file of N bytes may cost, whatever is in it, besides Python, PyTorch and the N bytes:

    header, index, segments     64 N + 16 MiB; 1 s per MB
    weights of one segment      1 GiB; 5 s (at most 708 weights a byte, and `MOST_WEIGHTS`)
    sizes, info                 the same memory; 70 s per MB, for every segment is read
    decode_frames               1 GiB, however long the video
    decode_renderings           3 GiB: a frame has up to `MOST_LAYER_PIXELS` pixels of layers, 7 bytes each
    decode, upscale,            as decode_frames, and all frames that are made, 3 bytes a pixel, once
      interpolate
    stabilize                   1 GiB, and 4 bytes a pixel, 7 with --crop; without --layer, segment before it
    segment                     as decode_renderings, and 1 byte for every pixel of every layer; tinted,
                                3 more a pixel
    evaluate                    as decode_renderings, and the source's frames; of `clip:cutout` its layers
                                and masks, too

What is there all at once, of what the file decides, has up to `MOST_HELD` bytes, or the command refuses; of
the truth of `clip:cutout`, only the frames are counted.

Seconds are those of one core of a server.  A frame takes its pixels times the weights, at most `MOST_WORK`:
some 20 s per 10^12, an hour and a half for the largest model at 3840x2160.  It is computed in pieces, and
Ctrl-C ends it between two of them.  `python -m campaigns.damage --worst` measures this, and a test has the
system enforce it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, prod
from typing import Any
from zlib import crc32

import numpy as np

from coordflow_mini import config, entropy
from coordflow_mini.quantize import FIRST_INDEX, LAST_INDEX, QuantizedTensor

__all__ = [
    "BitstreamError",
    "Field",
    "Header",
    "QuantizedTensor",
    "Section",
    "Sizes",
    "check_frame",
    "check_work",
    "header_bytes",
    "index",
    "read",
    "read_header",
    "section_bytes",
    "segment_bytes",
    "segment_tensors",
    "segments",
    "sizes",
    "write",
]

MAGIC = b"\x89CFV"  # the first byte is no text, so a transfer that damages non-text shows at once
VERSION = 1

MOST_FRAMES = 2**20
LONGEST_SIDE = 2**14
MOST_PIXELS = 2**36  # time * height * width: nine minutes of 1920x1080 at 60 fps
MOST_FRAME_PIXELS = 2**26  # height * width: 8192x8192; 7680x4320 has half as many
MOST_LAYER_PIXELS = 2**27  # layers * height * width: 16 layers of 3840x2160, 4 of 7680x4320
MOST_HELD = 2**33  # bytes of frames in memory at once: 345 of 3840x2160, 1,380 of 1920x1080
SLOWEST, FASTEST = Fraction(1, 1000), Fraction(100_000)  # frames per second
MOST_WEIGHTS = 2**25  # of a segment: 600 frames of 1080p at 0.12 bpp take 27.6 million
MOST_WORK = 2**48  # weights * height * width: `MOST_WEIGHTS` at 3840x2160
MOST_TENSORS = 2**12
LONGEST_NAME = 32  # characters of the library's version
LONGEST_HEADER = 512  # bytes

SEGMENT = 1
OPTIONAL = 128


class BitstreamError(ValueError):
    """These bytes are no `.cfv` file that this version can read; the message says why, in one line."""


# --- what a header holds --------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """How one header field is stored, and what it may be.

    Bounds that are int: an int >= 0.  Bounds that are float: a decimal number >= 0, stored with all its
    digits, so that 0.1 stays 0.1.  Choices: one of these strings, stored as its place in the tuple;
    append new ones, never reorder.
    """

    name: str
    low: int | float = 0
    high: int | float = 0
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> None:
        """Raises BitstreamError if the value is not allowed."""
        if self.choices:
            if value not in self.choices:
                raise BitstreamError(
                    f"{self.name} must be one of {', '.join(self.choices)}, got {value!r:.40}"
                )
            return
        whole = isinstance(self.low, int)
        kind = int if whole else (int, float)
        if not isinstance(value, kind) or isinstance(value, bool) or not self.low <= value <= self.high:
            word = "an integer" if whole else "a number"
            raise BitstreamError(f"{self.name} must be {word} in {self.low}..{self.high}, got {value!r:.40}")

    def to_bytes(self, value: Any) -> bytes:
        """The value as it is stored."""
        if self.choices:
            return _varint(self.choices.index(value))
        if isinstance(self.low, int):
            return _varint(value)
        decimal = Decimal(repr(float(value))).normalize()
        exponent = int(decimal.as_tuple().exponent)
        zigzag = 2 * exponent if exponent >= 0 else -2 * exponent - 1
        return _varint(int(decimal.scaleb(-exponent))) + _varint(zigzag)

    def take(self, cursor: "_Cursor") -> Any:
        """The next value, checked."""
        value: Any = cursor.varint()
        if self.choices:
            if value >= len(self.choices):
                raise BitstreamError(f"{self.name} {value} is unknown: upgrade coordflow-mini")
            return self.choices[value]
        if isinstance(self.low, float):
            zigzag = min(cursor.varint(), 1000)  # beyond any float, and short enough to be parsed
            value = float(f"{value}e{zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2}")
        self.check(value)
        return value


HEADER_FIELDS = (
    Field("time", 1, MOST_FRAMES),
    Field("height", 1, LONGEST_SIDE),
    Field("width", 1, LONGEST_SIDE),
    Field("fps_numerator", 1, 10**9),
    Field("fps_denominator", 1, 10**9),
    Field("matrix", choices=("bt601", "bt709", "rgb")),
    Field("first_frame", 0, 2**40),
    Field("frame_step", 1, 2**32),
    Field("frames_after", 0, 2**32 - 1),  # source frames between the last coded one and the selection's stop
    Field("source_frames", 0, 2**62),  # 0: unknown
    Field("gamma", 0.0, 1e6),
    Field("seed", 0, 2**64 - 1),
)

# The fields of `config.ModelConfig` in the order of the file: append, never reorder; a test compares.
MODEL_FIELDS = (
    Field("motion", choices=config.MOTIONS),
    *(
        Field(name, *config.MODEL_LIMITS[name])
        for name in (
            *("layers", "width", "depth", "space_frequencies", "lowest_frequency", "highest_frequency"),
            *("time_frequencies", "flow_width", "flow_frequencies"),
        )
    ),
)


@dataclass(frozen=True)
class Header:
    """What a file says about itself, all but the weights.

    time, height, width: shape of the coded video.  fps: frames per second.  matrix: how YUV became RGB.
    selection: the part of the source that was coded, resolved.  model: all that the weights' shapes
    follow from.  gamma, seed: how it was fitted.  version: the library that wrote it.  source_frames:
    length of the source, if known.  Raises BitstreamError if a field is out of its bounds.
    """

    time: int
    height: int
    width: int
    fps: Fraction
    matrix: str
    selection: config.Selection
    model: config.ModelConfig
    gamma: float = 0.1
    seed: int = 0
    version: str = ""
    source_frames: int | None = None

    def __post_init__(self) -> None:
        found = (_frame_count(self.selection), self.selection.height, self.selection.width)
        if found != (self.time, self.height, self.width):
            raise BitstreamError(
                f"selection must be resolved to (time, height, width) = "
                f"{(self.time, self.height, self.width)}, got {found} from {self.selection}"
            )
        for field, value in zip(HEADER_FIELDS + MODEL_FIELDS, _values(self), strict=True):
            field.check(value)
        if self.time * self.height * self.width > MOST_PIXELS:
            raise BitstreamError(f"time x height x width must be at most {MOST_PIXELS}, got {found}")
        check_frame(self.height, self.width, self.model.layers)
        if not SLOWEST <= self.fps <= FASTEST:
            raise BitstreamError(f"fps must be in {SLOWEST}..{FASTEST}, got {self.fps}")
        if not (len(self.version) <= LONGEST_NAME and self.version.isascii() and self.version.isprintable()):
            raise BitstreamError(
                f"version must be up to {LONGEST_NAME} ASCII letters, got {self.version!r:.60}"
            )


def check_frame(height: int, width: int, layers: int) -> None:
    """Raises BitstreamError if a frame has more pixels than can be shown in bounded memory."""
    most = min(MOST_FRAME_PIXELS, MOST_LAYER_PIXELS // layers)
    if height * width > most:
        raise BitstreamError(
            f"a frame of {layers} layers may have {most:,} pixels, got {width}x{height} = {width * height:,}"
        )


def check_work(height: int, width: int, weights: int) -> None:
    """Raises BitstreamError if a frame takes so many multiplications that nobody would see it."""
    if weights * height * width > MOST_WORK:
        raise BitstreamError(
            f"weights x height x width must be at most {MOST_WORK}, got {weights} x {height} x {width}"
        )


def _frame_count(selection: config.Selection) -> int:
    """How many frames a resolved selection has; 0: it is not resolved."""
    return 0 if selection.stop is None else -((selection.start - selection.stop) // selection.step)


def _values(header: Header) -> list[Any]:
    """The values of `HEADER_FIELDS` and `MODEL_FIELDS`, in their order."""
    selection = header.selection
    last = selection.start + (header.time - 1) * selection.step
    return [
        *(header.time, header.height, header.width, header.fps.numerator, header.fps.denominator),
        *(header.matrix, selection.start, selection.step, (selection.stop or 0) - last - 1),
        *(header.source_frames or 0, header.gamma, header.seed),
        *(getattr(header.model, field.name) for field in MODEL_FIELDS),
    ]


def _header(cursor: "_Cursor") -> Header:
    """The header whose fields are next.  Raises BitstreamError or ValueError if there is none such."""
    value = {field.name: field.take(cursor) for field in HEADER_FIELDS}
    model = {field.name: field.take(cursor) for field in MODEL_FIELDS}
    name = cursor.take(cursor.varint()).decode("ascii")
    first, step = value["first_frame"], value["frame_step"]
    stop = first + (value["time"] - 1) * step + 1 + value["frames_after"]
    return Header(
        time=value["time"],
        height=value["height"],
        width=value["width"],
        fps=Fraction(value["fps_numerator"], value["fps_denominator"]),
        matrix=value["matrix"],
        selection=config.Selection(first, stop, step, value["width"], value["height"]),
        model=config.ModelConfig(**model),
        gamma=value["gamma"],
        seed=value["seed"],
        version=name,
        source_frames=value["source_frames"] or None,
    )


# --- writing --------------------------------------------------------------------------------------


def write(header: Header, tensors: Sequence[QuantizedTensor]) -> bytes:
    """The whole file: header and one segment with all frames.

    tensors: in the order of the shapes that `read` will be given.
    """
    return header_bytes(header) + segment_bytes(0, header.time, tensors)


def header_bytes(header: Header) -> bytes:
    """How every file starts, up to the first section."""
    fields = zip(HEADER_FIELDS + MODEL_FIELDS, _values(header), strict=True)
    payload = b"".join(field.to_bytes(value) for field, value in fields)
    payload += _varint(len(header.version)) + header.version.encode("ascii")
    return _sealed(MAGIC + bytes([VERSION]) + _varint(len(payload)) + payload)


def segment_bytes(first: int, frames: int, tensors: Sequence[QuantizedTensor]) -> bytes:
    """The section that codes frames first .. first + frames - 1; steps go in as one more tensor."""
    steps = np.array([tensor.step_index for tensor in tensors], dtype=np.int32)
    if not ((steps >= FIRST_INDEX) & (steps <= LAST_INDEX)).all():
        raise ValueError(f"step indices must be {FIRST_INDEX}..{LAST_INDEX}, got {steps.tolist()}")
    coded = entropy.encode([steps, *(tensor.integers for tensor in tensors)])
    return section_bytes(SEGMENT, _varint(first) + _varint(frames) + coded)


def section_bytes(kind: int, payload: bytes) -> bytes:
    """One section; a kind from 128 on is skipped by readers that do not know it."""
    return _sealed(_varint(kind) + _varint(len(payload)) + payload)


def _sealed(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "little")


def _varint(value: int) -> bytes:
    """value >= 0 in groups of 7 bits, lowest first; the top bit of a byte says that more follow."""
    if value < 128:
        return bytes([value])
    return bytes([value & 127 | 128]) + _varint(value >> 7)


# --- reading --------------------------------------------------------------------------------------


class _Cursor:
    """Reads a part of the data from front to back and refuses to read beyond its end."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data, self.position, self.end = data, position, end

    def skip(self, count: int) -> None:
        if count > self.end - self.position:
            raise BitstreamError(
                f"truncated: {count} bytes expected at byte {self.position}, {self.end - self.position} left"
            )
        self.position += count

    def take(self, count: int) -> bytes:
        self.skip(count)
        return self.data[self.position - count : self.position]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise BitstreamError(f"damaged: a number before byte {self.position} has more than 10 bytes")

    def check_seal(self, start: int, what: str) -> None:
        """Raises BitstreamError if the next 4 bytes are no checksum of all since `start`."""
        found = crc32(self.data[start : self.position])
        if int.from_bytes(self.take(_SEAL), "little") != found:
            raise BitstreamError(f"damaged: the checksum of the {what} does not match")


_SEAL = 4  # bytes of a checksum


@dataclass(frozen=True)
class Section:
    """Where a section lies in a file: data[at:end], with its payload in data[start:stop].

    first, frames: which frames a segment codes; its payload starts after these.  0 for other kinds.
    """

    at: int
    kind: int
    start: int
    stop: int
    first: int = 0
    frames: int = 0

    @property
    def end(self) -> int:
        """Where the next section begins."""
        return self.stop + _SEAL


def read_header(data: bytes) -> Header:
    """The header; the sections after it are not looked at.

    Raises BitstreamError if the data does not start with a header that this version can read.
    """
    return _open(data)[0]


def _open(data: bytes) -> tuple[Header, int]:
    """The header, and where the sections begin."""
    if not data.startswith(MAGIC):
        if data and MAGIC.startswith(data):
            raise BitstreamError(f"truncated: the file ends after {len(data)} bytes")
        raise BitstreamError(
            f"not a .cfv file: starts with {data[:8]!r}" if data else "not a .cfv file: it is empty"
        )
    cursor = _Cursor(data, len(MAGIC), len(data))
    (version,) = cursor.take(1)
    if version > VERSION:
        raise BitstreamError(
            f"written by format version {version}; this reader knows up to {VERSION}: upgrade coordflow-mini"
        )
    length = cursor.varint()
    if version == 0 or length > LONGEST_HEADER:
        raise BitstreamError(f"damaged: format version {version}, header of {length} bytes")
    start = cursor.position
    cursor.take(length)
    cursor.check_seal(0, "header")
    try:
        header = _header(_Cursor(data, start, start + length))
    except BitstreamError:
        raise
    except ValueError as error:
        raise BitstreamError(f"damaged header: {error}") from None
    if header_bytes(header) != data[: cursor.position]:  # leftovers, or a number written the long way
        raise BitstreamError("damaged: the header is not what these fields would be written as")
    return header, cursor.position


def index(data: bytes) -> tuple[Section, ...]:
    """All sections of known or optional kinds, in file order; checksums and coverage are checked.

    Raises BitstreamError if they do not code every frame once, or a mandatory kind is unknown.
    """
    return _sections(data, _check)


def segments(data: bytes) -> tuple[Section, ...]:
    """The segments, in the order of time; coverage is checked, but no checksum of a sound section.

    Their payloads are not touched, so this is cheap for a file of any size, and what is damaged in one of
    them keeps nobody from the others.  Raises BitstreamError as `index` does.
    """
    found = _sections(data, lambda data, section: None)
    return tuple(section for section in found if section.kind == SEGMENT)


def _sections(data: bytes, check: Callable[[bytes, Section], None]) -> tuple[Section, ...]:
    """All sections, each checked as it is met; that they code every frame once is always checked."""
    header, position = _open(data)
    sections, next_frame = [], 0
    while position < len(data):
        section = _section(data, position)
        check(data, section)
        if OPTIONAL > section.kind != SEGMENT:
            _check(data, section)
            raise BitstreamError(f"section kind {section.kind} is unknown: upgrade coordflow-mini")
        if section.kind == SEGMENT:
            if section.first != next_frame or not 0 < section.frames <= header.time - next_frame:
                _check(data, section)  # damage is called so
                raise BitstreamError(f"damaged: a segment starts at frame {section.first}, not {next_frame}")
            next_frame += section.frames
        sections.append(section)
        position = section.end
    if next_frame != header.time:
        raise BitstreamError(f"truncated: {next_frame} of {header.time} frames are coded")
    return tuple(sections)


def _section(data: bytes, position: int) -> Section:
    """The section at this position; its checksum is not looked at."""
    cursor = _Cursor(data, position, len(data))
    kind, length = cursor.varint(), cursor.varint()
    start, stop = cursor.position, cursor.position + length
    cursor.skip(length + _SEAL)
    if kind != SEGMENT:
        return Section(position, kind, start, stop)
    inner = _Cursor(data, start, stop)
    first, frames = inner.varint(), inner.varint()
    return Section(position, kind, inner.position, stop, first, frames)


def _check(data: bytes, section: Section) -> None:
    """Raises BitstreamError if the section is not what was written."""
    _Cursor(data, section.stop, len(data)).check_seal(section.at, f"section at byte {section.at}")


def read(
    data: bytes, shapes_of: Callable[[Header], Sequence[tuple[int, ...]]], segment: int | None = None
) -> tuple[Header, list[QuantizedTensor]]:
    """The header and the tensors of a segment, in the order of `shapes_of(header)`.

    shapes_of: shapes of a model's tensors; they are not stored, since the header implies them.
    segment: which one; a file with a single segment needs no number.
    Raises BitstreamError if the data is damaged, cut, hostile, or of a newer version.
    """
    header = read_header(data)
    chosen = _chosen([section for section in index(data) if section.kind == SEGMENT], segment)
    return header, segment_tensors(data[chosen.at : chosen.end], header, shapes_of)


def segment_tensors(
    section: bytes, header: Header, shapes_of: Callable[[Header], Sequence[tuple[int, ...]]]
) -> list[QuantizedTensor]:
    """The tensors that `segment_bytes` made a section of; nothing else of the file is needed.

    section: data[at:end] of one of the `segments`.
    Raises BitstreamError if it is damaged, or no section of a segment.
    """
    found = _section(section, 0)
    where = f"segment of frames {found.first} to {found.first + found.frames - 1}"
    _Cursor(section, found.stop, len(section)).check_seal(0, where)
    if found.kind != SEGMENT or found.end != len(section):
        raise BitstreamError(f"not a segment: a section of kind {found.kind}, {found.end} bytes long")
    steps, *weights = _coded(section, found, _checked_shapes(header, shapes_of))
    indices = steps.integers.tolist()
    return [QuantizedTensor(w.integers, i) for w, i in zip(weights, indices, strict=True)]


def _chosen(segments: Sequence[Section], segment: int | None) -> Section:
    """The segment of that number; without a number, the only one."""
    if segment is None and len(segments) > 1:
        raise BitstreamError(
            f"the file has {len(segments)} segments, each with weights of its own, where a file of one is "
            f"expected; name one of them, segment=0 for example, or encode without --segment-frames"
        )
    if not 0 <= (segment or 0) < len(segments):
        raise ValueError(f"segment must be 0 to {len(segments) - 1}, got {segment}")
    return segments[segment or 0]


def _checked_shapes(
    header: Header, shapes_of: Callable[[Header], Sequence[tuple[int, ...]]]
) -> list[tuple[int, ...]]:
    """The shapes of all tensors.  Raises BitstreamError if they are too many or too large to allocate."""
    try:
        shapes = [tuple(shape) for shape in shapes_of(header)]
    except ValueError as error:
        raise BitstreamError(f"the header describes no possible model: {error}") from None
    weights = sum(prod(shape) for shape in shapes)
    if not 0 < len(shapes) <= MOST_TENSORS or weights > MOST_WEIGHTS:
        raise BitstreamError(
            f"a file holds up to {MOST_TENSORS} tensors and {MOST_WEIGHTS} weights; "
            f"this header asks for {len(shapes)} and {weights}"
        )
    check_work(header.height, header.width, weights)
    return shapes


def _coded(data: bytes, segment: Section, shapes: Sequence[tuple[int, ...]]) -> list[entropy.CodedTensor]:
    """Steps and weights of a segment, decoded; the steps are those of the grid."""
    try:
        coded = entropy.decode_coded(data[segment.start : segment.stop], [(len(shapes),), *shapes])
    except ValueError as error:
        raise BitstreamError(f"damaged weights: {error}") from None
    indices = coded[0].integers
    if indices.min() < FIRST_INDEX or indices.max() > LAST_INDEX:
        raise BitstreamError(f"damaged: a step index is outside {FIRST_INDEX}..{LAST_INDEX}")
    return coded


@dataclass(frozen=True)
class Sizes:
    """Where a file's bytes go; `total` is the size of the file.

    side: quantization steps, symbol models and the range coder's last words.  framing: kinds, lengths and
    frame ranges of sections, and optional sections.
    """

    magic: int
    header: int
    framing: int
    side: int
    weights: int
    checksums: int

    @property
    def total(self) -> int:
        """Size of the file [bytes]."""
        return self.magic + self.header + self.framing + self.side + self.weights + self.checksums


def sizes(data: bytes, shapes_of: Callable[[Header], Sequence[tuple[int, ...]]]) -> Sizes:
    """Bytes of each part of a file; weights are their ideal bits, rounded up.

    Raises BitstreamError as `read` does.
    """
    header, start = _open(data)
    sections = index(data)
    shapes = _checked_shapes(header, shapes_of)
    weights = side = 0
    for section in sections:
        if section.kind == SEGMENT:
            coded = _coded(data, section, shapes)[1:]
            bits = sum(entropy.ideal_bits(tensor.integers, tensor.model) for tensor in coded)
            weights += ceil(bits / 8)
            side += section.stop - section.start - ceil(bits / 8)
    magic, checksums = len(MAGIC) + 1, 4 + 4 * len(sections)
    return Sizes(
        magic=magic,
        header=start - magic - 4,
        framing=len(data) - start - 4 * len(sections) - weights - side,
        side=side,
        weights=weights,
        checksums=checksums,
    )
