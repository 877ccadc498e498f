"""Clips in memory and on disk: `Video`, and how it is read from and written to files.

The only module (with `baselines`) that knows PyAV, so the only one that knows codecs and containers.

How YUV becomes RGB: as ffmpeg does by default, by the matrix that the stream is tagged with; untagged
streams and raw YUV count as BT.601, limited range.  That is how the field's RGB scores are made, and it
matters: YUV (120, 90, 180) is RGB (203, 92, 44) by BT.601 and (214, 101, 40) by BT.709.
"""

import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache, partial
from itertools import chain, islice, pairwise
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Colorspace, Interpolation

from coordflow_mini.config import Selection
from coordflow_mini.ops.files import destination, replacing
from coordflow_mini.video.raw import Frames, RawFormat, VideoError, YuvFrames, format_of
from coordflow_mini.video.truncation import bytes_missing

__all__ = [
    "MATRICES",
    "Frames",
    "RawFormat",
    "Video",
    "VideoError",
    "YuvFrames",
    "area_resize",
    "check_output",
    "check_range",
    "read",
    "write",
]

Picture = Callable[[], "Frames | av.VideoFrame"]  # one frame of a source, made only when it is wanted

MATRICES = ("rgb", "bt601", "bt709")  # what `Video.matrix` can be
_BT709, _BT601, _BT2020 = 1, 6, (9, 10)  # matrix coefficients of ITU-T H.273; all others are read as BT.601
_COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_TEXT_CODECS = {"ansi", "bintext", "idf", "xbin"}  # ffmpeg would show a text file as a film of a terminal
_FRAME = re.compile(r"frame_\d+\.png")
# What may be in a file, by ffmpeg's names.  Not among them: playlists and scripts, which name other files and
# addresses (concat, hls, dash, sdp, image2, ...), and sound or text alone.
_FORMATS = (
    "mov,matroska,avi,gif,yuv4mpegpipe,mpegts,mpeg,ivf,flv,asf,ogg,nut,dv,mxf,gxf,rm,wtv,swf,apng,webp,"
    "h264,hevc,vvc,m4v,mpegvideo,obu,av1,vc1,mjpeg,"  # streams without a container
    "png_pipe,gif_pipe,jpeg_pipe,webp_pipe,tiff_pipe,bmp_pipe,ppm_pipe,pgm_pipe,exr_pipe"  # one picture
)
_MOST_PIXELS = 2**28  # of a frame: four times what a .cfv file holds; a PNG of a megabyte could claim 10**9
_OPENING = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "none",  # of what a file might have opened besides
    "max_pixels": str(_MOST_PIXELS),
}
# Damage that a decoder notices is an error: it would go on with gray or repeated blocks.
_DECODING = {"err_detect": "crccheck+explode", "max_pixels": str(_MOST_PIXELS)}
_SLOWEST, _FASTEST = 0.001, 100_000  # frames per second: what a .cfv file holds
_COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC: the picture that comes with a song
# Bicubic with swscale's ACCURATE_RND and FULL_CHR_H_INP, which PyAV names from 18 on
_PRECISE = int(Interpolation.BICUBIC) | 0x40000 | 0x4000


@dataclass(frozen=True, eq=False, repr=False)
class Video:
    """A clip: uint8 RGB frames [time, height, width, 3] and where they come from.

    frames: a C-contiguous array, or `YuvFrames`, which makes a frame when it is asked for: go through them
    one by one, and 600 frames of 1080p need no memory to speak of.
    fps: exact, frames per second.  name: for titles and tables.
    selection: which part of the source this is, fully resolved; by default "all of these frames".
    matrix: how YUV became RGB, one of `MATRICES`; "rgb" for sources that were RGB already.
    Raises ValueError if the frames are anything else than uint8 [time, height, width, 3].

    >>> Video(np.zeros((24, 64, 96, 3), np.uint8), name="black")
    Video('black', 24 frames of 96x64, 25 fps, rgb)
    """

    frames: Frames | YuvFrames
    fps: Fraction = Fraction(25)
    name: str = "video"
    selection: Selection = field(default_factory=Selection)
    matrix: str = "rgb"

    def __post_init__(self) -> None:
        frames = self.frames
        known = isinstance(frames, (np.ndarray, YuvFrames))
        kind, shape = getattr(frames, "dtype", type(frames).__name__), tuple(getattr(frames, "shape", ()))
        if not known or kind != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise ValueError(
                f"frames must be uint8 [time, height, width, 3], got {kind} {shape}; "
                f"convert with Video.from_float(frames)"
            )
        if not all(shape):
            raise ValueError(f"frames must hold at least one frame of one pixel, got {shape}")
        if self.matrix not in MATRICES or self.fps <= 0:
            raise ValueError(
                f"matrix must be one of {MATRICES} and fps positive, got {self.matrix!r} and {self.fps}"
            )
        if isinstance(frames, np.ndarray):
            object.__setattr__(self, "frames", np.ascontiguousarray(frames))
        object.__setattr__(self, "fps", Fraction(self.fps))
        if self.selection.stop is None or self.selection.width is None:
            object.__setattr__(self, "selection", Selection(0, self.time, 1, self.width, self.height))

    def __repr__(self) -> str:
        rate = f"{float(self.fps):.5g} fps"
        return (
            f"Video({self.name!r}, {self.time} frames of {self.width}x{self.height}, {rate}, {self.matrix})"
        )

    @property
    def time(self) -> int:
        """Number of frames."""
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        """Rows of a frame [pixels]."""
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        """Columns of a frame [pixels]."""
        return int(self.frames.shape[2])

    @property
    def pixels(self) -> int:
        """Pixels of all frames together: the denominator of bpp."""
        return self.time * self.height * self.width

    @classmethod
    def from_float(cls, frames: Any, fps: Fraction | int = 25, name: str = "video") -> "Video":
        """The clip of float colors in [0, 1] (an array or a CPU tensor), rounded to 8 bits.

        >>> Video.from_float(np.full((1, 1, 1, 3), 0.5)).frames.ravel()
        array([128, 128, 128], dtype=uint8)
        """
        values = np.asarray(frames)
        if values.ndim != 4 or values.dtype.kind not in "fiub":
            raise ValueError(
                f"float colors must be [time, height, width, 3], got {values.dtype} {values.shape}"
            )
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"float colors must lie in [0, 1], got {low:.4g} to {high:.4g}; clip, or divide by 255"
            )
        result = np.empty(values.shape, np.uint8)
        for frame, target in zip(values, result, strict=True):  # one at a time: no second float clip
            target[...] = np.floor(frame * 255 + 0.5)
        return cls(result, Fraction(fps), name)

    def select(self, selection: Selection) -> "Video":
        """Some of these frames, resized by `area_resize`; its own `selection` still speaks of the source.

        A step divides fps, so that the clip lasts as long as before.
        Raises VideoError if the selection leaves the clip.
        """
        part = _selected(self.frames, self.matrix, selection, self.name)
        mine, inner = self.selection, part.selection
        outer = replace(
            inner,
            start=mine.start + inner.start * mine.step,
            stop=min(mine.stop or 0, mine.start + (inner.stop or 0) * mine.step),
            step=mine.step * inner.step,
        )
        return replace(self, frames=part.frames, fps=self.fps / inner.step, selection=outer)


# --- reading ------------------------------------------------------------------------------------------


def read(path: str | Path, selection: Selection | None = None, raw: RawFormat | None = None) -> Video:
    """The selected frames of a file or folder, as RGB, resized by `area_resize`.

    path: what PyAV decodes of the usual kinds (mp4, webm, mkv, mov, avi, gif, y4m, ...), a folder of PNGs in
    natural order (frame_2 before frame_10), a .npy of uint8 [time, height, width, 3], or raw .yuv.
    raw: says that the file is raw and how it is laid out; for .yuv it may be in the name instead.
    Raw YUV of 8 bits at its own size is not read but mapped (`YuvFrames`).  Else decoding goes frame by
    frame and stops after the last wanted one: memory holds the result and little else.  Rotation tags are
    applied; what is transparent is laid on black; a step divides fps.  Of a variable frame rate, frames
    are taken as they come, and fps is their mean.
    What a file is shows in its bytes, not in its name, and no other file or address is opened for it.
    Raises VideoError with a one-line reason, also where a decoder finds damage or the end is missing.
    """
    path, selection = Path(path), selection or Selection()
    try:
        fps, part = _read(path, selection, raw)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(f"{path} does not exist; give a video file or a folder of PNGs") from None
    except (av.FFmpegError, OSError, MemoryError) as error:
        raise VideoError(f"{path} cannot be read as video: {_reason(error)}") from error
    return Video(part.frames, fps / selection.step, path.stem, part.selection, part.matrix)


def _reason(error: Exception) -> str:
    """What the system says, without number and path."""
    if isinstance(error, av.ArgumentError):
        return "it is of no known kind"
    return str(getattr(error, "strerror", None) or error or "not enough memory").splitlines()[0]


def _read(path: Path, selection: Selection, raw: RawFormat | None) -> tuple[Fraction, "_Part"]:
    """Frame rate and the selected frames of a source, by its kind."""
    if path.is_dir():
        return Fraction(25), _png_part(path, selection)
    _check_ordinary(path)
    if layout := format_of(path, raw):
        return layout.fps, _raw_part(path, layout, selection)
    if path.suffix.lower() == ".npy":
        return Fraction(25), _npy_part(path, selection)
    return _stream_part(path, selection)


def _check_ordinary(path: Path) -> None:
    """Refuses devices and pipes, which may keep a reader waiting forever, or have no end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise VideoError(f"{path} is no ordinary file; give a video file or a folder of PNGs")


class _Source:
    """A file as PyAV reads it, under a name that says nothing.

    ffmpeg gives names a meaning: clip_%03d.png would be many files, concat:a|b two, http://... an address.
    """

    name = "input"

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.read, self.tell, self.seekable = file, file.read, file.tell, file.seekable

    def seek(self, place: int, whence: int) -> int:
        """The new place; -1 where there is none, since PyAV prints what is raised here."""
        try:
            return self.file.seek(place, whence)
        except (OSError, ValueError):
            return -1


@contextmanager
def _opened(path: Path, kind: str | None = None) -> Iterator[InputContainer]:
    """What PyAV finds in a file."""
    _check_ordinary(path)
    with (
        open(path, "rb") as file,
        av.open(_Source(file), format=kind, options=_OPENING, metadata_errors="replace") as container,
    ):
        yield container


def _stream_part(path: Path, selection: Selection) -> tuple[Fraction, "_Part"]:
    """Anything that PyAV decodes: its first video stream."""
    with _opened(path) as container:
        streams = [stream for stream in container.streams.video if not int(stream.disposition) & _COVER]
        if not streams or getattr(streams[0].codec_context, "name", None) in _TEXT_CODECS:
            raise VideoError(f"{path} is not a video: there is no video stream in it")
        if streams[0].codec_context is None:
            raise VideoError(f"{path} is coded in a way that PyAV does not know; convert it to H.264")
        if container.format.name.startswith("mov") and streams[0].frames:  # MP4 knows it beforehand
            check_range(selection, streams[0].frames, path.name)
        missing = bytes_missing(path) if selection.stop is None else 0
        if missing:
            raise VideoError(
                f"{path} is cut off: at least {missing:,} bytes are missing at its end; get it again, "
                f"or select the --frames that are there"
            )
        rate, times = _rate(streams[0], path), list[float | None]()
        part = _collect(_stream_pictures(container, streams[0], path, times), selection, path.name)
        return _mean_rate(rate, times), part


def _rate(stream: Any, path: Path) -> Fraction:
    """Frames per second, the mean where they vary; not with more digits than a .cfv file holds."""
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    if not _SLOWEST <= rate <= _FASTEST:
        raise VideoError(
            f"{path} claims {float(rate):.3g} frames per second, expected {_SLOWEST:g} to {_FASTEST:,}; "
            f"its header is wrong"
        )
    return rate.limit_denominator(100_000)


def _mean_rate(rate: Fraction, times: list[float | None]) -> Fraction:
    """The rate that a file gives, unless its frames come at other times [seconds]: then that of those.

    Of files with a variable rate, ffmpeg gives that of the first few frames.  Times may be rounded, and a few
    frames may be missing: the file is believed if all times are right to a frame and a half, or nine of ten
    steps from one to the next are.
    """
    known = [time for time in times if time is not None]
    if len(known) < len(times) or len(known) < 2 or known != sorted(known):
        return rate
    steps, span = len(known) - 1, known[-1] - known[0]
    odd = sum(abs((after - before) * rate - 1) > 0.5 for before, after in pairwise(known))
    believed = abs(span * rate - steps) <= 1.5 or odd <= steps // 10 or (odd == 1 and steps > 2)
    if believed or not _SLOWEST * span <= steps <= _FASTEST * span:
        return rate
    return Fraction(steps / span).limit_denominator(1000)


def _stream_pictures(
    container: InputContainer, stream: Any, path: Path, times: list[float | None]
) -> Iterator[Picture]:
    """Its frames; their times are added to `times`.  Raises VideoError at the first that is damaged."""
    stream.codec_context.thread_count = 1  # several threads lose what is wrong with the last frames
    stream.codec_context.options = dict(_DECODING)
    try:
        for frame in _decoded(container, stream):
            times.append(frame.time)
            yield partial(_itself, frame)
    except av.FFmpegError as error:
        raise VideoError(
            f"{path} is damaged after frame {len(times) - 1}: {_reason(error)}; get it again, or let "
            f"`ffmpeg -i IN -c:v ffv1 OUT.mkv` decide what its frames are"
            if times
            else f"{path} cannot be read as video: {_reason(error)}"
        ) from error


def _decoded(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The frames of a stream.  Raises av.FFmpegError at the first that is damaged.

    What was cut out of a longer file may begin with packets that refer to what is before the cut.  Like all
    players we leave them out, as long as no frame from the first key packet on is missing for it.
    """
    key, begun, unreadable, due = None, False, None, set[int]()
    for packet in container.demux(stream):
        key = key or (packet if packet.is_keyframe else None)
        if key and key.pts is not None and (packet.pts or 0) >= key.pts:
            due.add(packet.pts)
        try:
            frames = _whole_frames(packet)
        except av.InvalidDataError as error:
            if begun or packet.is_keyframe or not packet.size:
                raise
            unreadable = error
            continue
        begun = begun or bool(frames)
        due.difference_update(frame.pts for frame in frames)
        yield from frames
    if unreadable and (due or not begun):
        raise unreadable


def _whole_frames(packet: Any) -> list[Any]:
    """The frames that come with a packet.  Raises av.FFmpegError if one of them is damaged."""
    frames = [] if packet.is_corrupt else packet.decode()
    if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
        raise av.InvalidDataError(0, "part of it is missing or wrong")
    return list(frames)


def _at(frames: Frames | YuvFrames, index: int) -> Frames:
    return frames[index]


def _itself(frame: "Frames | av.VideoFrame") -> "Frames | av.VideoFrame":
    return frame


def _png_part(folder: Path, selection: Selection) -> "_Part":
    """The PNGs of a folder in natural order, each decoded when it is asked for."""
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".png" and file.name[0] != "."]
    if not files:
        raise VideoError(f"{folder} holds no PNG; expected frames such as frame_00000.png")
    pictures = (partial(_decoded_png, file) for file in sorted(files, key=_natural))
    return _collect(pictures, selection, folder.name, len(files))


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame_2 before frame_10."""
    parts = re.split(r"([0-9]+)", file.name)  # text, digits, text, digits, ...
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def _decoded_png(file: Path) -> av.VideoFrame:
    try:
        with _opened(file, "png_pipe") as container:
            stream = container.streams.video[0]
            stream.codec_context.options = dict(_DECODING)
            return next(container.decode(stream))
    except (av.FFmpegError, OSError, IndexError, StopIteration) as error:
        raise VideoError(f"{file} is not a readable PNG") from error


def _npy_part(path: Path, selection: Selection) -> "_Part":
    """The frames of a NumPy file, read from disk one by one."""
    try:
        clip = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError, TypeError, SyntaxError, TokenError) as error:
        raise VideoError(f"{path} is not a NumPy file of numbers, or not all of it is there") from error
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or not all(clip.shape):
        raise VideoError(f"{path} must hold uint8 [time, height, width, 3], got {clip.dtype} {clip.shape}")
    return _collect((partial(np.array, frame) for frame in clip), selection, path.name, len(clip))


def _raw_part(path: Path, raw: RawFormat, selection: Selection) -> "_Part":
    """The selected frames of a raw YUV file; those that are not wanted are not read."""
    if raw.pixelwise:
        return _selected(YuvFrames.open(path, raw), raw.matrix, selection, path.name)
    frames = raw.mapped(path)
    return _collect((partial(_raw_frame, frame, raw) for frame in frames), selection, path.name, len(frames))


def _raw_frame(data: Frames, raw: RawFormat) -> av.VideoFrame:
    """One frame of planar YUV; PyAV's rows are padded, the file's are not."""
    frame = av.VideoFrame(raw.width, raw.height, raw.pix_fmt)
    frame.colorspace = _BT709 if raw.matrix == "bt709" else _BT601
    start = 0
    for plane, (rows, row_bytes) in zip(frame.planes, raw.plane_shapes, strict=True):
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        target[:rows, :row_bytes] = data[start : start + rows * row_bytes].reshape(rows, row_bytes)
        start += rows * row_bytes
    return frame


@dataclass(frozen=True)
class _Part:
    """The selected frames of a source, the matrix they were converted by, the selection resolved."""

    frames: Frames | YuvFrames
    matrix: str
    selection: Selection


def _selected(frames: Frames | YuvFrames, matrix: str, selection: Selection, name: str) -> _Part:
    """Some of the frames that are there; of `YuvFrames` no color is made as long as the size stays."""
    height, width = frames.shape[1:3]
    same_size = (selection.height or height, selection.width or width) == (height, width)
    if not isinstance(frames, YuvFrames) or not same_size:
        pictures = (partial(_at, frames, index) for index in range(len(frames)))
        return replace(_collect(pictures, selection, name, len(frames)), matrix=matrix)
    check_range(selection, len(frames), name)
    stop = len(frames) if selection.stop is None else selection.stop
    place = replace(selection, stop=stop, width=width, height=height)
    return _Part(frames[place.start : place.stop : place.step], matrix, place)


def _collect(
    pictures: Iterator[Picture], selection: Selection, name: str, length: int | None = None
) -> _Part:
    """The selected frames, converted and resized one by one; length: how many there are, if known."""
    if length is not None:
        check_range(selection, length, name)
    kept: list[Frames] = []
    shape, matrix, count = None, "rgb", 0
    end = None if selection.stop is None else min(selection.stop, sys.maxsize)
    for count, picture in enumerate(islice(pictures, end), start=1):
        index = count - 1 - selection.start
        if index < 0 or index % selection.step:
            continue
        frame, matrix = _to_rgb(picture(), name)
        if frame.shape != (shape := shape or frame.shape):
            raise VideoError(
                f"frame {count - 1} of {name} is {frame.shape[1]}x{frame.shape[0]}, those before it are "
                f"{shape[1]}x{shape[0]}; all must have one size"
            )
        kept.append(area_resize(frame, selection.height or shape[0], selection.width or shape[1]))
        more = 0 if length is None else len(range(length)[index + selection.start : end : selection.step]) - 1
        _check_memory(len(kept) + more, kept[0].nbytes, name)
    check_range(selection, count, name)
    frames = _stacked(kept)
    stop = count if selection.stop is None else selection.stop
    place = replace(selection, stop=stop, width=frames.shape[2], height=frames.shape[1])
    return _Part(frames, matrix, place)


def check_range(selection: Selection, count: int, name: str) -> None:
    """Raises VideoError if the source ended after `count` frames and more were asked for."""
    if count == 0:
        raise VideoError(f"{name} holds no frames")
    if selection.start >= count or (selection.stop or 0) > count:
        asked = f"{selection.start}:{'' if selection.stop is None else selection.stop}"
        raise VideoError(f"frames {asked} of {name} do not exist: it has {count} frames")


def _check_memory(frames: int, size: int, name: str) -> None:
    """Raises VideoError if so many frames of this size [bytes] are more than the machine has memory for."""
    if frames * size > _memory():
        raise VideoError(
            f"{name} needs {frames * size / 1e9:,.0f} GB of memory or more as RGB, this machine has "
            f"{_memory() / 1e9:,.0f} GB; select fewer --frames or a smaller --size"
        )


@cache
def _memory() -> int:
    """Memory of the machine [bytes]; no bound where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def _stacked(frames: list[Frames]) -> Frames:
    """The frames as one array; the list is emptied on the way, so memory never holds them twice."""
    result = np.empty((len(frames), *frames[0].shape), np.uint8)
    for index in range(len(frames)):
        result[index] = frames[index]
        frames[index] = result[:0]
    return result


def _to_rgb(picture: "Frames | av.VideoFrame", name: str) -> tuple[Frames, str]:
    """A frame as RGB [height, width, 3], upright, and the matrix that was used."""
    if isinstance(picture, np.ndarray):
        return picture, "rgb"
    kind = picture.format
    has_alpha = kind.has_palette or any(component.is_alpha for component in kind.components)
    no_matrix = kind.is_rgb or kind.has_palette or len(kind.components) < 3  # RGB, palette, gray
    if not no_matrix and picture.colorspace in _BT2020:
        raise VideoError(
            f"{name} is BT.2020 video (mostly HDR), which is not supported; convert it to BT.709"
        )
    matrix = "rgb" if no_matrix else "bt709" if picture.colorspace == _BT709 else "bt601"
    pixels = picture.reformat(
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=_COLORSPACES.get(matrix),
        interpolation=Interpolation.BICUBIC,  # ffmpeg's default; also decides how chroma is enlarged
    ).to_ndarray()
    if has_alpha:
        pixels = ((pixels[..., :3].astype(np.uint16) * pixels[..., 3:] + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(pixels, round(picture.rotation / 90))), matrix


# --- size ---------------------------------------------------------------------------------------------


def area_resize(frame: Frames, height: int, width: int) -> Frames:
    """The frame [height, width, channels] at another size: the exact mean over each new pixel's area.

    Old pixels that a new one covers in part count in part.  In integers, so the same everywhere.

    >>> area_resize(np.array([[[0], [90], [30]]], np.uint8), 1, 2).ravel()
    array([30, 50], dtype=uint8)
    """
    if frame.shape[:2] == (height, width):
        return frame
    whole = frame.shape[0] * frame.shape[1]
    wide = frame.astype(np.int32 if 511 * whole < 2**31 else np.int64)
    sums = _covered_sums(_covered_sums(wide, height, 0), width, 1)
    return np.asarray((2 * sums + whole) // (2 * whole), np.uint8)


def _covered_sums(values: Any, size: int, axis: int) -> Any:
    """For each of `size` new cells along an axis: old values times covered length [1/size old pixels]."""
    length = values.shape[axis]
    start = np.arange(size, dtype=np.int64) * length  # cell i covers start[i] to start[i] + length
    first = start // size
    total: Any = 0
    for tap in range(-(-length // size) + 1):
        old = first + tap
        covered = np.minimum((old + 1) * size, start + length) - np.maximum(old * size, start)
        weight = np.maximum(covered, 0).astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1 - axis))
        total += values.take(np.minimum(old, length - 1), axis) * weight
    return total


# --- writing ------------------------------------------------------------------------------------------


def write(path: str | Path, frames: Iterable[Frames], fps: Fraction | int = 25) -> None:
    """Writes frames (uint8 RGB [height, width, 3] or gray [height, width]) as they come.

    The suffix decides: .mp4 (H.264, visually lossless, for watching: 4:2:0, or 4:4:4 if a side is odd),
    .y4m (uncompressed 4:4:4, BT.601), .npy (exact), none: a folder of frame_00000.png (exact; gray
    stays gray).  All or nothing: the file or folder appears when it is complete, and a failure leaves
    what was there before.  A folder is replaced only if it holds frames and nothing else.
    Raises VideoError with a one-line reason.
    """
    target, kind = check_output(path), Path(path).suffix.lower()
    checked = _checked(frames)
    try:
        first = next(checked)
        with replacing(target) as temporary:
            _WRITERS[kind](temporary, chain([first], checked), Fraction(fps))
    except StopIteration:
        raise VideoError(f"nothing to write to {path}: there are no frames") from None
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be written: {_reason(error)}") from error


def check_output(path: str | Path) -> Path:
    """The absolute path, links followed, if `write` can be expected to write it: errors before the work.

    Raises VideoError if the suffix is unknown, the place does not exist or is not ours to replace.
    """
    kind = Path(path).suffix.lower()
    if kind not in _WRITERS:
        raise VideoError(f"cannot write {kind} files; use .mp4, .y4m, .npy or a folder")
    try:
        target = destination(Path(path))
        _check_free(target, kind, path)
    except OSError as error:
        raise VideoError(f"{path} cannot be written: {_reason(error)}") from error
    return target


def _check_free(target: Path, kind: str, path: str | Path) -> None:
    """Refuses a place that does not exist or is not ours to replace."""
    if kind:
        if target.is_dir():
            raise VideoError(f"{path} is a folder; give the name of a file in it")
        if not target.parent.is_dir():
            raise VideoError(f"{path} cannot be written: there is no folder {target.parent}")
    elif target.is_file():
        raise VideoError(f"{path} is a file; give a new folder, or a name ending in .mp4, .y4m or .npy")
    elif target.is_dir() and any(not _FRAME.fullmatch(entry.name) for entry in target.iterdir()):
        raise VideoError(f"{path} holds other things than frames; give a new folder")
    folder = next(parent for parent in target.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise VideoError(f"{path} cannot be written: {folder} is no folder that you may write to")


def _checked(frames: Iterable[Frames]) -> Iterator[Frames]:
    """The same frames, once each is known to be what the writers expect."""
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        good = frame.dtype == np.uint8 and frame.ndim in (2, 3) and frame.shape[2:] in ((), (3,))
        if not good or frame.shape != shape:
            raise VideoError(
                f"frames must be uint8 [height, width, 3] or [height, width], all of one size, "
                f"got {frame.dtype} {frame.shape}"
            )
        yield frame


def _rgb(frame: Frames) -> Frames:
    """RGB [height, width, 3] of RGB or gray."""
    return frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2)


def _write_npy(path: Path, frames: Iterable[Frames], fps: Fraction) -> None:
    """NumPy's format 1.0; the header is written last, when the number of frames is known."""
    count, shape = 0, (0, 0)
    with open(path, "wb") as file:
        file.write(bytes(128))
        for frame in frames:
            count, shape = count + 1, frame.shape[:2]
            file.write(np.ascontiguousarray(_rgb(frame)).data)
        record = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape, 3)}
        file.seek(0)
        file.write(b"\x93NUMPY\x01\x00v\x00" + f"{record}".ljust(117).encode() + b"\n")  # v: 118 bytes


def _write_folder(path: Path, frames: Iterable[Frames], fps: Fraction) -> None:
    """One PNG per frame, RGB or gray as given."""
    path.mkdir(parents=True)
    encoder = None
    for index, frame in enumerate(frames):
        layout = "rgb24" if frame.ndim == 3 else "gray"
        if encoder is None:
            encoder = av.CodecContext.create("png", "w")
            encoder.height, encoder.width = frame.shape[:2]
            encoder.pix_fmt, encoder.time_base, encoder.thread_count = layout, Fraction(1, 25), 1
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)
        picture.pts = index
        (packet,) = encoder.encode(picture)
        (path / f"frame_{index:05d}.png").write_bytes(bytes(packet))


def _write_y4m(path: Path, frames: Iterable[Frames], fps: Fraction) -> None:
    _encode(path, frames, fps, muxer="yuv4mpegpipe", codec="rawvideo", layouts=("yuv444p", "yuv444p"))


def _write_mp4(path: Path, frames: Iterable[Frames], fps: Fraction) -> None:
    _encode(path, frames, fps, muxer="mp4", codec="libx264", layouts=("yuv420p", "yuv444p"), crf="10")


def _encode(
    path: Path,
    frames: Iterable[Frames],
    fps: Fraction,
    muxer: str,
    codec: str,
    layouts: tuple[str, str],
    **options: str,
) -> None:
    """Frames through a PyAV encoder, by BT.601 and tagged so; layouts: for even sizes, for odd ones."""
    rate = fps.limit_denominator(100_000)
    with av.open(str(path), "w", format=muxer) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = layouts[stream.height % 2 or stream.width % 2]
                stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1  # BT.601, limited
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(_rgb(frame)), format="rgb24")
            picture = picture.reformat(
                format=stream.pix_fmt, dst_colorspace=Colorspace.ITU601, interpolation=_PRECISE
            )
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


_WRITERS = {".mp4": _write_mp4, ".y4m": _write_y4m, ".npy": _write_npy, "": _write_folder}
