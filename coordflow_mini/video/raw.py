"""Headerless YUV files: the layout of their frames, and `YuvFrames`, which converts them to RGB on demand.

A UVG sequence takes 1.9 GB as planes and 3.7 GB as RGB.  The file is therefore memory-mapped, and a frame
is converted each time it is indexed.

With subsampled chroma, colors match the default of ffmpeg's swscale on x86 to the bit: chroma samples are
repeated, each sample's contribution is truncated to whole gray levels in 13-bit arithmetic, and the
contributions are added.  The result is up to 2 levels darker than the formula; published scores are
computed this way.  4:4:4 uses exact arithmetic and rounding in both programs, except that swscale overflows
above 512 levels, which no camera produces; here such colors are clipped to 255.
"""

import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np

Frames = np.ndarray[Any, np.dtype[np.uint8]]  # [time, height, width, 3], or one frame [height, width, 3]
Masks = np.ndarray[Any, np.dtype[np.bool_]]  # [layers, time, height, width], or without the layers

_SUBSAMPLING = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1)}  # chroma: columns, rows
_LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and blue
_RAW = re.compile(  # bounded: Fraction("1e300000000") would be evaluated
    r"(?P<width>[0-9]{1,6})[xX](?P<height>[0-9]{1,6})"
    r"(:(?P<pix_fmt>[a-z0-9]{1,20})(:(?P<fps>[0-9]{1,9}(\.[0-9]{1,9})?)(/(?P<over>[0-9]{1,9}))?)?)?"
)
_EXPECTED = "expected WIDTHxHEIGHT:LAYOUT:FPS with yuv420p, yuv422p or yuv444p (8 bit, or 10le or 12le)"


class VideoError(ValueError):
    """A clip cannot be read or written; the message is one line with a cure."""


@dataclass(frozen=True)
class RawFormat:
    """Frame size, layout, rate and color matrix of a headerless .yuv file.

    matrix: "bt601", ffmpeg's choice for untagged video, or "bt709"; limited range in both cases.
    """

    width: int
    height: int
    pix_fmt: str = "yuv420p"
    fps: Fraction = Fraction(25)
    matrix: str = "bt601"

    def __post_init__(self) -> None:
        layout_ok = self.pix_fmt[:7] in _SUBSAMPLING and self.pix_fmt[7:] in ("", "10le", "12le")
        if min(self.width, self.height) < 1 or self.fps <= 0 or not layout_ok:
            text = f"{self.width}x{self.height}:{self.pix_fmt}:{self.fps}"
            raise VideoError(f"cannot read raw frames as {text}; {_EXPECTED}")
        if self.matrix not in _LUMA_WEIGHTS:
            raise VideoError(f"matrix of raw YUV must be bt601 or bt709, got {self.matrix!r}")

    @classmethod
    def parse(cls, text: str) -> "RawFormat":
        """Parses the command line's `--raw WxH:yuv420p:FPS`; layout and rate are optional.

        >>> RawFormat.parse("1920x1080:yuv420p:120")
        RawFormat(width=1920, height=1080, pix_fmt='yuv420p', fps=Fraction(120, 1), matrix='bt601')
        """
        found = _RAW.fullmatch(text)
        if not found or (found["over"] and not int(found["over"])):
            raise VideoError(f"raw format {text!r:.60} not understood; {_EXPECTED}")
        rate = Fraction(found["fps"] or 25) / int(found["over"] or 1)
        return cls(int(found["width"]), int(found["height"]), found["pix_fmt"] or "yuv420p", rate)

    @classmethod
    def from_name(cls, name: str | Path) -> "RawFormat | None":
        """Parses a UVG-style file name; None if it gives no size, or a bit depth that is not supported.

        >>> RawFormat.from_name("Beauty_1920x1080_120fps_420_8bit_YUV.yuv")
        RawFormat(width=1920, height=1080, pix_fmt='yuv420p', fps=Fraction(120, 1), matrix='bt601')
        """
        text = Path(name).name
        found = re.search(r"_([0-9]{1,6})x([0-9]{1,6})_([0-9]{1,6})fps(?=[_.]|$)", text)
        chroma = re.search(r"_(420|422|444)(?=[_.]|$)", text)
        bits = re.search(r"_([0-9]+)bit(?=[_.]|$)", text)
        depth = {"8": "", "10": "10le", "12": "12le"}.get(bits[1] if bits else "8")
        if not found or depth is None:
            return None
        width, height, fps = found.groups()
        return cls(int(width), int(height), f"yuv{chroma[1] if chroma else 420}p{depth}", Fraction(fps))

    @property
    def subsampling(self) -> tuple[int, int]:
        """Luma (columns, rows) per chroma sample."""
        return _SUBSAMPLING[self.pix_fmt[:7]]

    @property
    def plane_shapes(self) -> list[tuple[int, int]]:
        """(rows, bytes per row) of the Y, U and V planes."""
        columns, rows = self.subsampling
        sample = 2 if self.pix_fmt[7:] else 1
        chroma = (-(-self.height // rows), -(-self.width // columns) * sample)
        return [(self.height, self.width * sample), chroma, chroma]

    @property
    def frame_bytes(self) -> int:
        """Size of one frame in the file."""
        return sum(rows * row_bytes for rows, row_bytes in self.plane_shapes)

    @property
    def pixelwise(self) -> bool:
        """True if one sample of each plane determines a pixel's color, as `YuvFrames` requires.

        False above 8 bits, and for subsampled frames of odd height, where ffmpeg interpolates chroma.
        """
        return self.pix_fmt in _SUBSAMPLING and (self.height % 2 == 0 or self.pix_fmt == "yuv444p")

    def mapped(self, path: str | Path) -> Frames:
        """The memory-mapped file, uint8 [frames, frame_bytes].

        Raises VideoError if it does not hold a whole number of frames, OSError if it cannot be opened.
        """
        size = Path(path).stat().st_size
        if size == 0 or size % self.frame_bytes:
            raise VideoError(
                f"{path} has {size} bytes, not a multiple of the {self.frame_bytes} bytes of one "
                f"{self.width}x{self.height} {self.pix_fmt} frame; check the raw format"
            )
        return np.memmap(path, np.uint8, mode="r").reshape(-1, self.frame_bytes)


def format_of(path: str | Path, raw: RawFormat | None = None, matrix: str | None = None) -> RawFormat | None:
    """The raw format of a path: `raw`, else what a .yuv file's name states; None for other files.

    matrix: overrides the format's own.
    Raises VideoError if a .yuv file's name gives no size, or a matrix is given for a file that is not raw.
    """
    if raw is None and Path(path).suffix.lower() == ".yuv":
        raw = RawFormat.from_name(path)
        if raw is None:
            raise VideoError(f"{path} has no header and no size in its name; pass --raw: {_EXPECTED}")
    if matrix is None:
        return raw
    if raw is None:
        raise VideoError(f"{path} is not raw YUV, so {matrix} does not apply; leave out --matrix")
    return replace(raw, matrix=matrix)


def color_tables(raw: RawFormat) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Contribution of each sample value to a color, int32 [5, 256] in 1/65536 gray levels.

    Rows: Y to every color, V to red, U to green, V to green, U to blue.  A color is the sum, shifted right
    by 16 bits and clipped to 0..255.
    """
    red, blue = _LUMA_WEIGHTS[raw.matrix]
    green = 1 - red - blue
    from_v, from_u = 2 * (1 - red), 2 * (1 - blue)
    chroma = np.array([from_v, -from_u * blue / green, -from_v * red / green, from_u]) * 65536 * 255 / 224
    gains = np.array([65536 * 255 // 219, *np.round(chroma)], np.int64)[:, None]
    levels = np.arange(256) - np.array([16, 128, 128, 128, 128])[:, None]
    if raw.subsampling == (1, 1):
        table = levels * gains
        table[0] += 1 << 15
    else:
        table = (levels * 8 * ((gains + 4) >> 3)) >> 16 << 16
    return table.astype(np.int32)


@dataclass(frozen=True, eq=False, repr=False)
class YuvFrames:
    """RGB frames of a raw 8-bit YUV file: behaves like uint8 [time, height, width, 3], converts on demand.

    An index gives a frame [height, width, 3], a list of indices an array, and a slice another `YuvFrames`
    on the same map.  `np.asarray` converts all frames.
    span: indices into the file's frames.
    """

    path: Path
    raw: RawFormat
    span: range

    @classmethod
    def open(cls, path: str | Path, raw: RawFormat) -> "YuvFrames":
        """Maps all frames of a file.  Raises VideoError if its layout is not `pixelwise`."""
        if not raw.pixelwise:
            raise VideoError(f"cannot map {raw.pix_fmt} of height {raw.height}; read it with `load`")
        return cls(Path(path).absolute(), raw, range(len(raw.mapped(path))))

    def __repr__(self) -> str:
        return f"YuvFrames({self.path.name!r}, {self.span}, {self.shape})"

    def __reduce__(self) -> tuple[Any, ...]:
        return YuvFrames, (self.path, self.raw, self.span)  # a worker maps the file itself

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(time, height, width, 3)."""
        return len(self.span), self.raw.height, self.raw.width, 3

    @property
    def size(self) -> int:
        """Number of values, and bytes if converted to RGB."""
        return 3 * len(self.span) * self.raw.height * self.raw.width

    @cached_property
    def file(self) -> Frames:
        """The whole file, uint8 [frames of the file, frame_bytes]."""
        return self.raw.mapped(self.path)

    @cached_property
    def tables(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """See `color_tables`."""
        return color_tables(self.raw)

    def __len__(self) -> int:
        return len(self.span)

    def __iter__(self) -> Iterator[Frames]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, key: slice) -> "YuvFrames": ...
    @overload
    def __getitem__(self, key: SupportsIndex | Sequence[int]) -> Frames: ...

    def __getitem__(self, key: Any) -> "YuvFrames | Frames":
        if isinstance(key, slice):
            part = YuvFrames(self.path, self.raw, self.span[key])
            part.__dict__.update(file=self.file, tables=self.tables)  # one map for all
            return part
        if isinstance(key, (list, np.ndarray)):
            chosen = [self[index] for index in key]
            return np.stack(chosen) if chosen else np.empty((0, *self.shape[1:]), np.uint8)
        return self._rgb(self.planes(operator.index(key)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("raw YUV cannot become RGB without a copy")
        result = np.empty(self.shape, np.uint8)
        for frame, target in zip(self, result, strict=True):
            target[...] = frame
        return result if dtype is None else result.astype(dtype, copy=False)

    def source(self, index: int) -> Frames:
        """A frame's bytes as stored, uint8 [frame_bytes]."""
        return self.file[self.span[index]]

    def planes(self, index: int) -> list[Frames]:
        """Y, U and V of a frame as stored, each uint8 [rows, columns]."""
        data, planes = self.source(index), []
        for rows, columns in self.raw.plane_shapes:
            planes.append(data[: rows * columns].reshape(rows, columns))
            data = data[rows * columns :]
        return planes

    def _rgb(self, planes: list[Frames]) -> Frames:
        (y, u, v), (columns, rows) = planes, self.raw.subsampling
        to_all, red, green_u, green_v, blue = self.tables
        luma, (height, width) = to_all[y], y.shape
        result = np.empty((height, width, 3), np.uint8)
        for color, chroma in enumerate((red[v], green_u[u] + green_v[v], blue[u])):
            total = chroma.repeat(rows, 0).repeat(columns, 1)[:height, :width] + luma
            total >>= 16
            result[..., color] = np.clip(total, 0, 255, out=total)
        return result
