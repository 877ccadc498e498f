"""The `.cfv` container: a compact header, then sections, each with its own checksum.

    file     =  magic  version  header  section ...
    header   =  length  fields (`HEADER_FIELDS`, `MODEL_FIELDS`, version name)  crc32
    section  =  kind  length  payload  crc32
    segment  =  section of kind 1: first frame, frames, range-coded steps and weights

Numbers are varints (little-endian base 128), checksums 4 bytes little-endian.  A section's checksum covers
its kind and length as well; the header's covers everything before it.  Segments are in the order of time
and cover all frames; each can be read alone.  Kinds from 128 on are optional: a reader skips those it does
not know and refuses every other unknown kind.

No checksum is trusted: every field is bounded before it is used, and all damage is reported as one
`BitstreamError`.  Reading the header, the sections and the weights of a file of N bytes takes up to
64 N + 16 MiB, and 1 GiB for the weights of one segment; docs/trust.md has the bounds of whole commands.
PyTorch is not imported.  Taught in chapter 08.
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

MAGIC = b"\x89CFV"  # not text, so a transfer that converts text is noticed at once
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
    """Not a `.cfv` file that this version can read; the message gives the reason in one line."""


# --- what a header holds --------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """Storage and bounds of one header field.

    With int bounds, an integer >= 0.  With float bounds, a decimal number >= 0, stored with all its digits,
    so that 0.1 stays 0.1.  With choices, one of these strings, stored as its index: append new ones, never
    reorder.
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
        """The stored form of a value."""
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
    """Everything in a file but the weights.

    time, height, width: shape of the coded video.  fps: frames per second.  matrix: how YUV became RGB.
    selection: the coded part of the source, resolved.  model: determines the shapes of the weights.
    gamma, seed: settings of the fit.  version: of the library that wrote the file.  source_frames: length
    of the source, if known.  Raises BitstreamError if a field is out of bounds.
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
    """Raise BitstreamError if a frame has too many pixels to be rendered in bounded memory."""
    most = min(MOST_FRAME_PIXELS, MOST_LAYER_PIXELS // layers)
    if height * width > most:
        raise BitstreamError(
            f"a frame of {layers} layers may have {most:,} pixels, got {width}x{height} = {width * height:,}"
        )


def check_work(height: int, width: int, weights: int) -> None:
    """Raise BitstreamError if a frame takes more than `MOST_WORK` multiplications."""
    if weights * height * width > MOST_WORK:
        raise BitstreamError(
            f"weights x height x width must be at most {MOST_WORK}, got {weights} x {height} x {width}"
        )


def _frame_count(selection: config.Selection) -> int:
    """Number of frames of a resolved selection, 0 of any other."""
    return 0 if selection.stop is None else -((selection.start - selection.stop) // selection.step)


def _values(header: Header) -> list[Any]:
    """Values of `HEADER_FIELDS` and `MODEL_FIELDS`, in that order."""
    selection = header.selection
    last = selection.start + (header.time - 1) * selection.step
    return [
        *(header.time, header.height, header.width, header.fps.numerator, header.fps.denominator),
        *(header.matrix, selection.start, selection.step, (selection.stop or 0) - last - 1),
        *(header.source_frames or 0, header.gamma, header.seed),
        *(getattr(header.model, field.name) for field in MODEL_FIELDS),
    ]


def _header(cursor: "_Cursor") -> Header:
    """The header whose fields come next.  Raises BitstreamError or ValueError if a value is not allowed."""
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
    """A whole file: the header, and one segment with all frames.

    tensors: in the order of the shapes that `read` gets.
    """
    return header_bytes(header) + segment_bytes(0, header.time, tensors)


def header_bytes(header: Header) -> bytes:
    """The beginning of a file, up to its first section."""
    fields = zip(HEADER_FIELDS + MODEL_FIELDS, _values(header), strict=True)
    payload = b"".join(field.to_bytes(value) for field, value in fields)
    payload += _varint(len(header.version)) + header.version.encode("ascii")
    return _sealed(MAGIC + bytes([VERSION]) + _varint(len(payload)) + payload)


def segment_bytes(first: int, frames: int, tensors: Sequence[QuantizedTensor]) -> bytes:
    """A section that codes frames first .. first + frames - 1; the steps are coded as one more tensor."""
    steps = np.array([tensor.step_index for tensor in tensors], dtype=np.int32)
    if not ((steps >= FIRST_INDEX) & (steps <= LAST_INDEX)).all():
        raise ValueError(f"step indices must be {FIRST_INDEX}..{LAST_INDEX}, got {steps.tolist()}")
    coded = entropy.encode([steps, *(tensor.integers for tensor in tensors)])
    return section_bytes(SEGMENT, _varint(first) + _varint(frames) + coded)


def section_bytes(kind: int, payload: bytes) -> bytes:
    """A section; readers that do not know a kind from 128 on skip it."""
    return _sealed(_varint(kind) + _varint(len(payload)) + payload)


def _sealed(data: bytes) -> bytes:
    return data + crc32(data).to_bytes(4, "little")


def _varint(value: int) -> bytes:
    """value >= 0 in groups of 7 bits, lowest first; the top bit of a byte is set if more follow."""
    if value < 128:
        return bytes([value])
    return bytes([value & 127 | 128]) + _varint(value >> 7)


# --- reading --------------------------------------------------------------------------------------


class _Cursor:
    """Reads part of the data front to back, never beyond its end."""

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
        """Raise BitstreamError unless the next 4 bytes are the checksum of everything since `start`."""
        found = crc32(self.data[start : self.position])
        if int.from_bytes(self.take(_SEAL), "little") != found:
            raise BitstreamError(f"damaged: the checksum of the {what} does not match")


_SEAL = 4  # bytes of a checksum


@dataclass(frozen=True)
class Section:
    """Location of a section in a file: data[at:end], with its payload in data[start:stop].

    first, frames: of a segment, the frames it codes; its payload starts after these numbers.
    """

    at: int
    kind: int
    start: int
    stop: int
    first: int = 0
    frames: int = 0

    @property
    def end(self) -> int:
        """Start of the next section."""
        return self.stop + _SEAL


@dataclass(frozen=True, eq=False)
class File:
    """A parsed file: its header, and the locations of its sections."""

    data: bytes
    header: Header
    sections: tuple[Section, ...]  # of known or optional kinds, in file order

    @property
    def segments(self) -> tuple[Section, ...]:
        """The segments, in the order of time."""
        return tuple(section for section in self.sections if section.kind == SEGMENT)

    def tensors(self, segment: Section, shapes_of: "ShapesOf") -> list[QuantizedTensor]:
        """The tensors of one of the segments.  Raises BitstreamError if it is damaged."""
        return segment_tensors(self.data[segment.at : segment.end], self.header, shapes_of)

    def sizes(self, shapes_of: "ShapesOf") -> "Sizes":
        """Bytes of each part; weights count with their ideal bits, rounded up.  Raises BitstreamError."""
        shapes = _checked_shapes(self.header, shapes_of)
        weights = side = 0
        for segment in self.segments:
            coded = _coded(self.data, segment, shapes)[1:]
            bits = sum(entropy.ideal_bits(tensor.integers, tensor.model) for tensor in coded)
            weights += ceil(bits / 8)
            side += segment.stop - segment.start - ceil(bits / 8)
        magic, start, seals = len(MAGIC) + 1, len(header_bytes(self.header)), _SEAL * len(self.sections)
        return Sizes(
            magic=magic,
            header=start - magic - _SEAL,
            framing=len(self.data) - start - seals - weights - side,
            side=side,
            weights=weights,
            checksums=_SEAL + seals,
        )


ShapesOf = Callable[[Header], Sequence[tuple[int, ...]]]  # shapes of a model's tensors, which no file stores


def parse(data: bytes, *, check: bool = True) -> File:
    """The header and sections of a file.

    check: compare the checksums of segments, too.  Without it their payloads are not read: that is cheap for
    a file of any size, and damage in one segment does not affect the others.  Other sections are always
    compared, or bytes appended to a file could pass for one.
    Raises BitstreamError if segments do not code every frame once, or a mandatory kind is unknown.
    """
    header, position = _open(data)
    sections, next_frame = [], 0
    while position < len(data):
        section = _section(data, position)
        if check or section.kind != SEGMENT:
            _check(data, section)
        if section.kind == SEGMENT:
            if section.first != next_frame or not 0 < section.frames <= header.time - next_frame:
                _check(data, section)  # if it is damaged, say so
                raise BitstreamError(f"damaged: a segment starts at frame {section.first}, not {next_frame}")
            next_frame += section.frames
        elif section.kind < OPTIONAL:
            raise BitstreamError(f"section kind {section.kind} is unknown: upgrade coordflow-mini")
        sections.append(section)
        position = section.end
    if next_frame != header.time:
        raise BitstreamError(f"truncated: {next_frame} of {header.time} frames are coded")
    return File(data, header, tuple(sections))


def read_header(data: bytes) -> Header:
    """The header; the sections after it are not read.

    Raises BitstreamError if the data does not start with a header that this version can read.
    """
    return _open(data)[0]


def index(data: bytes) -> tuple[Section, ...]:
    """All sections in file order, their checksums compared; see `parse`."""
    return parse(data).sections


def segments(data: bytes) -> tuple[Section, ...]:
    """The segments in the order of time, their checksums not compared; see `parse`."""
    return parse(data, check=False).segments


def _open(data: bytes) -> tuple[Header, int]:
    """The header, and the position of the first section."""
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


def _section(data: bytes, position: int) -> Section:
    """The section at a position, its checksum not compared."""
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
    """Raise BitstreamError if the checksum of a section does not match."""
    _Cursor(data, section.stop, len(data)).check_seal(section.at, f"section at byte {section.at}")


def read(
    data: bytes, shapes_of: ShapesOf, segment: int | None = None
) -> tuple[Header, list[QuantizedTensor]]:
    """The header, and the tensors of a segment in the order of `shapes_of(header)`.

    segment: its number; not needed for a file with a single segment.
    Raises BitstreamError if the data is damaged, cut, hostile, or of a newer version.
    """
    file = parse(data)
    return file.header, file.tensors(_chosen(file.segments, segment), shapes_of)


def segment_tensors(section: bytes, header: Header, shapes_of: ShapesOf) -> list[QuantizedTensor]:
    """The tensors in a section that `segment_bytes` made; the rest of the file is not needed.

    section: data[at:end] of one of the `segments`.
    Raises BitstreamError if it is damaged, or not a segment.
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
    """The segment with this number; without a number, the only segment."""
    if segment is None and len(segments) > 1:
        raise BitstreamError(
            f"the file has {len(segments)} segments, each with weights of its own, where a file of one is "
            f"expected; name one of them, segment=0 for example, or encode with --ignore-cuts and without "
            f"--segment-frames"
        )
    if not 0 <= (segment or 0) < len(segments):
        raise ValueError(f"segment must be 0 to {len(segments) - 1}, got {segment}")
    return segments[segment or 0]


def _checked_shapes(header: Header, shapes_of: ShapesOf) -> list[tuple[int, ...]]:
    """Shapes of all tensors.  Raises BitstreamError if they are too many or too large to allocate."""
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
    """Steps and weights of a segment.  Raises BitstreamError if a step is not on the grid."""
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
    """Bytes of each part of a file.

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


def sizes(data: bytes, shapes_of: ShapesOf) -> Sizes:
    """Bytes of each part of a file; see `File.sizes`."""
    return parse(data).sizes(shapes_of)
