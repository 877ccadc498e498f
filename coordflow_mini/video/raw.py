"""Raw YUV files: how their frames lie in them, and `YuvFrames`, their RGB without a copy of it.

A UVG sequence has 1.9 GB as planes and 3.7 GB as RGB.  So the file is mapped into memory, not read: the
system fetches the pages that are looked at, and a frame becomes RGB when it is asked for.

Colors are those of ffmpeg (swscale) with its defaults on a PC, to the bit where chroma is subsampled:
samples of chroma are repeated, each sample's share of a color is cut to whole gray levels by 13-bit
arithmetic, and the shares are added.  That is up to 2 levels darker than the formula, and the field's
scores are made that way.  Planes of one size (4:4:4) go through exact arithmetic and rounding, there and
here; but colors above 512 levels, which no camera makes, overflow there and are cut to 255 here.
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

__all__ = ["Frames", "RawFormat", "VideoError", "YuvFrames", "color_tables", "format_of"]

Frames = np.ndarray[Any, np.dtype[np.uint8]]  # [time, height, width, 3], or one frame [height, width, 3]

_SUBSAMPLING = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1)}  # chroma: columns, rows
_LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and blue
_RAW = re.compile(  # bounded, since Fraction("1e300000000") would be computed
    r"(?P<width>[0-9]{1,6})[xX](?P<height>[0-9]{1,6})"
    r"(:(?P<pix_fmt>[a-z0-9]{1,20})(:(?P<fps>[0-9]{1,9}(\.[0-9]{1,9})?)(/(?P<over>[0-9]{1,9}))?)?)?"
)
_EXPECTED = "expected WIDTHxHEIGHT:LAYOUT:FPS with yuv420p, yuv422p or yuv444p (8 bit, or 10le or 12le)"


class VideoError(ValueError):
    """A clip cannot be read or written; the message is one line: what came, what was expected."""


@dataclass(frozen=True)
class RawFormat:
    """What a headerless .yuv file does not say: size and layout of its frames, and how they become RGB.

    matrix: "bt601", as ffmpeg takes untagged video to be, or "bt709"; limited range either way.
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
        """The format that the command line's `--raw WxH:yuv420p:FPS` means; layout and rate are optional.

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
        """The format that a UVG-style file name states, or None.

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
        """Columns and rows of luma that share one sample of chroma."""
        return _SUBSAMPLING[self.pix_fmt[:7]]

    @property
    def plane_shapes(self) -> list[tuple[int, int]]:
        """(rows, bytes per row) of the Y, U and V plane."""
        columns, rows = self.subsampling
        sample = 2 if self.pix_fmt[7:] else 1
        chroma = (-(-self.height // rows), -(-self.width // columns) * sample)
        return [(self.height, self.width * sample), chroma, chroma]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in the file."""
        return sum(rows * row_bytes for rows, row_bytes in self.plane_shapes)

    @property
    def pixelwise(self) -> bool:
        """Whether each pixel's color follows from one sample of each plane, as `YuvFrames` needs it.

        Not with more than 8 bits, and not for subsampled frames of odd height, whose chroma ffmpeg
        interpolates.
        """
        return self.pix_fmt in _SUBSAMPLING and (self.height % 2 == 0 or self.pix_fmt == "yuv444p")

    def mapped(self, path: str | Path) -> Frames:
        """The file as uint8 [frames, bytes of a frame], read where it is looked at, and only then.

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
    """How a path is read as raw YUV: as given, else as a .yuv file's name says; None if it is not raw.

    matrix: takes the place of the format's own.
    Raises VideoError if a .yuv file does not say its size, or a matrix is given for what is not raw.
    """
    if raw is None and Path(path).suffix.lower() == ".yuv":
        raw = RawFormat.from_name(path)
        if raw is None:
            raise VideoError(f"{path} has no header and no size in its name; pass --raw: {_EXPECTED}")
    if matrix is None:
        return raw
    if raw is None:
        raise VideoError(f"{path} is not raw YUV, whose matrix {matrix} could be; leave out --matrix")
    return replace(raw, matrix=matrix)


def color_tables(raw: RawFormat) -> np.ndarray[Any, np.dtype[np.int32]]:
    """What a sample adds to a color: int32 [5, 256] in 1/65536 gray levels.

    Rows: Y to every color, V to red, U to green, V to green, U to blue.  The sum, shifted down by 16 bits
    and cut to 0 to 255, is the color.
    """
    red, blue = _LUMA_WEIGHTS[raw.matrix]
    green = 1 - red - blue
    from_v, from_u = 2 * (1 - red), 2 * (1 - blue)
    chroma = np.array([from_v, -from_u * blue / green, -from_v * red / green, from_u]) * 65536 * 255 / 224
    gains = np.array([65536 * 255 // 219, *np.round(chroma)], np.int64)[:, None]
    levels = np.arange(256) - np.array([16, 128, 128, 128, 128])[:, None]
    if raw.subsampling == (1, 1):
        shares = levels * gains
        shares[0] += 1 << 15
    else:
        shares = (levels * 8 * ((gains + 4) >> 3)) >> 16 << 16
    return shares.astype(np.int32)


@dataclass(frozen=True, eq=False, repr=False)
class YuvFrames:
    """RGB frames of a raw 8-bit YUV file, like uint8 [time, height, width, 3], made one at a time.

    An index gives a frame [height, width, 3], a list of them an array, a slice another `YuvFrames`, which
    costs nothing.  For all frames at once, as RGB in memory, call `np.asarray`.
    span: which frames of the file.  Raises VideoError if the file or its layout does not allow it.
    """

    path: Path
    raw: RawFormat
    span: range

    @classmethod
    def open(cls, path: str | Path, raw: RawFormat) -> "YuvFrames":
        """All frames of a file."""
        if not raw.pixelwise:
            raise VideoError(f"{raw.pix_fmt} of height {raw.height} is not read by pixels; use video.read")
        return cls(Path(path).absolute(), raw, range(len(raw.mapped(path))))

    def __repr__(self) -> str:
        return f"YuvFrames({self.path.name!r}, {self.span}, {self.shape})"

    def __reduce__(self) -> tuple[Any, ...]:
        return YuvFrames, (self.path, self.raw, self.span)  # not the bytes: a worker maps the file itself

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """time, height, width, 3."""
        return len(self.span), self.raw.height, self.raw.width, 3

    @property
    def size(self) -> int:
        """Number of all values: bytes that the frames would take as RGB."""
        return 3 * len(self.span) * self.raw.height * self.raw.width

    @cached_property
    def file(self) -> Frames:
        """The bytes of the whole file, [frames of the file, bytes of a frame]."""
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
        if not hasattr(key, "__index__"):
            raise TypeError(f"frames are chosen by a number, a slice or a list of numbers, got {key!r}")
        return self._rgb(self.planes(operator.index(key)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("RGB of raw YUV is made when it is asked for; it cannot be had without a copy")
        result = np.empty(self.shape, np.uint8)
        for frame, target in zip(self, result, strict=True):
            target[...] = frame
        return result if dtype is None else result.astype(dtype, copy=False)

    def source(self, index: int) -> Frames:
        """The bytes of a frame as they are in the file, uint8 [bytes of a frame]."""
        return self.file[self.span[index]]

    def planes(self, index: int) -> list[Frames]:
        """Y, U and V of a frame as they are in the file, each uint8 [rows, columns]."""
        data, planes = self.source(index), []
        for rows, columns in self.raw.plane_shapes:
            planes.append(data[: rows * columns].reshape(rows, columns))
            data = data[rows * columns :]
        return planes

    def _rgb(self, planes: list[Frames]) -> Frames:
        """The planes of a frame as RGB [height, width, 3]."""
        (y, u, v), (columns, rows) = planes, self.raw.subsampling
        to_all, red, green_u, green_v, blue = self.tables
        luma, (height, width) = to_all[y], y.shape
        result = np.empty((height, width, 3), np.uint8)
        for color, share in enumerate((red[v], green_u[u] + green_v[v], blue[u])):
            total = share.repeat(rows, 0).repeat(columns, 1)[:height, :width] + luma
            total >>= 16
            result[..., color] = np.clip(total, 0, 255, out=total)
        return result
