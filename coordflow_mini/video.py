"""Clips in memory and on disk: `Video`, and how it is read from and written to files.

The only module (with `baselines`) that knows PyAV, so the only one that knows codecs and containers.

How YUV becomes RGB: as ffmpeg does by default, by the matrix that the stream is tagged with; untagged
streams and raw YUV count as BT.601, limited range.  That is how the field's RGB scores are made, and it
matters: YUV (120, 90, 180) is RGB (203, 92, 44) by BT.601 and (214, 101, 40) by BT.709.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation

from coordflow_mini.config import Selection
from coordflow_mini.files import replacing
from coordflow_mini.raw import Frames, RawFormat, VideoError, YuvFrames, format_of

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

    path: whatever PyAV decodes (mp4, webm, mkv, mov, avi, gif, y4m, ...), a folder of PNGs in natural
    order (frame_2 before frame_10), a .npy of uint8 [time, height, width, 3], or raw .yuv.
    raw: says that the file is raw and how it is laid out; for .yuv it may be in the name instead.
    Raw YUV of 8 bits at its own size is not read but mapped (`YuvFrames`).  Else decoding goes frame by
    frame and stops after the last wanted one: memory holds the result and little else.  Rotation tags are
    applied; what is transparent is laid on black; a step divides fps.
    Raises VideoError with a one-line reason.
    """
    path, selection = Path(path), selection or Selection()
    if not path.exists():
        raise VideoError(f"{path} does not exist; give a video file or a folder of PNGs")
    try:
        fps, part = _read(path, selection, raw)
    except (av.FFmpegError, OSError, MemoryError) as error:
        raise VideoError(f"{path} cannot be read as video: {_reason(error)}") from error
    return Video(part.frames, fps / selection.step, path.stem, part.selection, part.matrix)


def _reason(error: Exception) -> str:
    """What the system says, without number and path."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0]


def _read(path: Path, selection: Selection, raw: RawFormat | None) -> tuple[Fraction, "_Part"]:
    """Frame rate and the selected frames of a source, by its kind."""
    if path.is_dir():
        return Fraction(25), _collect(_png_pictures(path), selection, path.name)
    if layout := format_of(path, raw):
        return layout.fps, _raw_part(path, layout, selection)
    if path.suffix.lower() == ".npy":
        return Fraction(25), _collect(_npy_pictures(path), selection, path.name)
    fps, pictures = _stream_pictures(path)
    return fps, _collect(pictures, selection, path.name)


def _stream_pictures(path: Path) -> tuple[Fraction, Iterator[Picture]]:
    """Anything that PyAV decodes: its first video stream."""
    container = av.open(str(path))
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context.name in _TEXT_CODECS:
        container.close()
        raise VideoError(f"{path} is not a video: there is no video stream in it")
    stream.thread_type = "AUTO"

    def pictures() -> Iterator[Picture]:
        with container:
            for frame in container.decode(stream):
                yield partial(_itself, frame)

    return Fraction(stream.average_rate or stream.guessed_rate or 25), pictures()


def _at(frames: Frames | YuvFrames, index: int) -> Frames:
    return frames[index]


def _itself(frame: "Frames | av.VideoFrame") -> "Frames | av.VideoFrame":
    return frame


def _png_pictures(folder: Path) -> Iterator[Picture]:
    """The PNGs of a folder in natural order, each decoded when it is asked for."""
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".png" and file.name[0] != "."]
    if not files:
        raise VideoError(f"{folder} holds no PNG; expected frames such as frame_00000.png")
    return (partial(_decoded_png, file) for file in sorted(files, key=_natural))


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame_2 before frame_10."""
    parts = re.split(r"([0-9]+)", file.name)  # text, digits, text, digits, ...
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def _decoded_png(file: Path) -> av.VideoFrame:
    try:
        with av.open(str(file), format="png_pipe") as container:
            return next(container.decode(video=0))
    except (av.FFmpegError, StopIteration) as error:
        raise VideoError(f"{file} is not a readable PNG") from error


def _npy_pictures(path: Path) -> Iterator[Picture]:
    """The frames of a NumPy file, read from disk one by one."""
    try:
        clip = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise VideoError(f"{path} is not a NumPy file of numbers") from error
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3:
        raise VideoError(f"{path} must hold uint8 [time, height, width, 3], got {clip.dtype} {clip.shape}")
    return (partial(np.array, frame) for frame in clip)


def _raw_part(path: Path, raw: RawFormat, selection: Selection) -> "_Part":
    """The selected frames of a raw YUV file; those that are not wanted are not read."""
    if raw.pixelwise:
        return _selected(YuvFrames.open(path, raw), raw.matrix, selection, path.name)
    pictures = (partial(_raw_frame, frame, raw) for frame in raw.mapped(path))
    return _collect(pictures, selection, path.name)


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
        return replace(_collect(pictures, selection, name), matrix=matrix)
    check_range(selection, len(frames), name)
    stop = len(frames) if selection.stop is None else selection.stop
    place = replace(selection, stop=stop, width=width, height=height)
    return _Part(frames[place.start : place.stop : place.step], matrix, place)


def _collect(pictures: Iterator[Picture], selection: Selection, name: str) -> _Part:
    """The selected frames, converted and resized one after the other."""
    kept: list[Frames] = []
    shape, matrix, count = None, "rgb", 0
    for count, picture in enumerate(islice(pictures, selection.stop), start=1):
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
    target = check_output(path)
    checked = _checked(frames)
    try:
        first = next(checked)
        with replacing(target) as temporary:
            _WRITERS[target.suffix.lower()](temporary, chain([first], checked), Fraction(fps))
    except StopIteration:
        raise VideoError(f"nothing to write to {path}: there are no frames") from None
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be written: {_reason(error)}") from error


def check_output(path: str | Path) -> Path:
    """The absolute path, if `write` can be expected to write it; for errors before the work, not after.

    Raises VideoError if the suffix is unknown, the place does not exist or is not ours to replace.
    """
    target = Path(os.path.abspath(path))
    if target.suffix.lower() not in _WRITERS:
        raise VideoError(f"cannot write {target.suffix} files; use .mp4, .y4m, .npy or a folder")
    if target.suffix:
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
    return target


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
