"""`load`: named clips, video files, folders of PNGs, .npy and raw .yuv as RGB frames.

YUV becomes RGB as in ffmpeg: by the matrix that the stream is tagged with; untagged streams and raw YUV
count as BT.601, limited range.  Published RGB scores are computed this way, and it matters: YUV
(120, 90, 180) is RGB (203, 92, 44) in BT.601 and (214, 101, 40) in BT.709.
"""

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Colorspace, Interpolation

from coordflow_mini.config import Selection
from coordflow_mini.video import catalog, scenes
from coordflow_mini.video.clip import Video, area_resize, check_memory, check_range, select_frames
from coordflow_mini.video.raw import Frames, RawFormat, VideoError, YuvFrames, format_of
from coordflow_mini.video.truncation import bytes_missing

_BT709, _BT601, _BT2020 = 1, 6, (9, 10)  # matrix coefficients in ITU-T H.273; all others are read as BT.601
_COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_TEXT_CODECS = {"ansi", "bintext", "idf", "xbin"}  # ffmpeg renders text files as video of a terminal
# Accepted formats, by ffmpeg's names.  Excluded are playlists and scripts, which name other files and
# addresses (concat, hls, dash, sdp, image2, ...), and formats of sound or text alone.
_FORMATS = (
    "mov,matroska,avi,gif,yuv4mpegpipe,mpegts,mpeg,ivf,flv,asf,ogg,nut,dv,mxf,gxf,rm,wtv,swf,apng,webp,"
    "h264,hevc,vvc,m4v,mpegvideo,obu,av1,vc1,mjpeg,"  # elementary streams
    "png_pipe,gif_pipe,jpeg_pipe,webp_pipe,tiff_pipe,bmp_pipe,ppm_pipe,pgm_pipe,exr_pipe"  # single pictures
)
_MOST_PIXELS = 2**28  # per frame: four times what a .cfv file holds; a 1 MB PNG could claim 10**9
_OPENING = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "none",  # the file may open nothing else
    "max_pixels": str(_MOST_PIXELS),
}
# Treat detected damage as an error: by default ffmpeg continues with gray or repeated blocks.
_DECODING = {"err_detect": "crccheck+explode", "max_pixels": str(_MOST_PIXELS)}
_SLOWEST, _FASTEST = 0.001, 100_000  # frames per second: the range of a .cfv header
_COVER = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art


def load(name: str | Path, selection: Selection | None = None, raw: RawFormat | None = None) -> Video:
    """The selected frames of a clip, as RGB, resized by `area_resize`.

    name: a clip of `catalog`, or a path: a video file (mp4, webm, mkv, mov, avi, gif, y4m, ...), a folder
    of PNGs in natural order (frame_2 before frame_10), a .npy of uint8 [time, height, width, 3], or a raw
    .yuv.  Generated clips are drawn at the selection's size instead of being resized.
    raw: layout of a raw file; a .yuv file's name may state it instead.

    Frames are decoded one by one up to the last selected; memory holds little but the result.  Raw 8-bit
    YUV at its own size is mapped (`YuvFrames`).  A step divides fps.  For variable frame rates, frames are
    taken in order, and fps is their mean.  Rotation tags are applied; transparency is laid on black.
    The file's bytes determine its type, not its name; it can open no other file or address.
    Raises VideoError, in one line, also if a decoder finds damage or the file is cut off.
    """
    known, selection = str(name), selection or Selection()
    source, path = catalog.named(known), catalog.path_of(known)
    if path is not None:
        return replace(_read(path, selection, raw), name=source.name if source else known)
    if known.startswith("clip:"):
        return scenes.scene(known, selection).video
    return _read(Path(name), selection, raw)


def reason(error: Exception) -> str:
    """The system's message, without number and path."""
    if isinstance(error, av.ArgumentError):
        return "it is of no known kind"
    return str(getattr(error, "strerror", None) or error or "not enough memory").splitlines()[0]


def _read(path: Path, selection: Selection, raw: RawFormat | None) -> Video:
    try:
        if path.is_dir():
            return _read_folder(path, selection)
        _check_regular(path)
        if layout := format_of(path, raw):
            return _read_raw(path, layout, selection)
        if path.suffix.lower() == ".npy":
            return _read_npy(path, selection)
        return _read_stream(path, selection)
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(f"{path} does not exist; give a video file or a folder of PNGs") from None
    except (av.FFmpegError, OSError, MemoryError) as error:
        raise VideoError(f"{path} cannot be read as video: {reason(error)}") from error


def _check_regular(path: Path) -> None:
    """Refuses devices and pipes, which may block or never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise VideoError(f"{path} is no ordinary file; give a video file or a folder of PNGs")


# --- files without a codec ----------------------------------------------------------------------------


def _read_npy(path: Path, selection: Selection) -> Video:
    try:
        clip = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OverflowError, TypeError, SyntaxError, TokenError) as error:
        raise VideoError(f"{path} is not a NumPy file of numbers, or is cut off") from error
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or not all(clip.shape):
        raise VideoError(f"{path} must hold uint8 [time, height, width, 3], got {clip.dtype} {clip.shape}")
    frames, chosen = select_frames(clip, selection, path.name)
    return Video(frames, Fraction(25) / chosen.step, path.stem, chosen)


def _read_raw(path: Path, raw: RawFormat, selection: Selection) -> Video:
    """The selected frames of a raw YUV file: mapped where possible, else converted by PyAV."""
    if raw.pixelwise:
        frames, chosen = select_frames(YuvFrames.open(path, raw), selection, path.name)
        return Video(frames, raw.fps / chosen.step, path.stem, chosen, raw.matrix)
    data = raw.mapped(path)
    check_range(selection, len(data), path.name)
    wanted = data[selection.start : selection.stop : selection.step]
    kept, matrix = _rgb_frames((raw_picture(frame, raw) for frame in wanted), path, selection, len(wanted))
    return _video(kept, matrix, raw.fps, path, selection, len(data))


def raw_picture(data: Frames, raw: RawFormat) -> av.VideoFrame:
    """A frame of a raw file, uint8 [frame_bytes], for PyAV, which pads rows."""
    frame = av.VideoFrame(raw.width, raw.height, raw.pix_fmt)
    frame.colorspace = _BT709 if raw.matrix == "bt709" else _BT601
    start = 0
    for plane, (rows, row_bytes) in zip(frame.planes, raw.plane_shapes, strict=True):
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        target[:rows, :row_bytes] = data[start : start + rows * row_bytes].reshape(rows, row_bytes)
        start += rows * row_bytes
    return frame


# --- pictures and streams -----------------------------------------------------------------------------


class _Source:
    """A file handed to PyAV without its name, which ffmpeg would interpret.

    clip_%03d.png would be many files, concat:a|b two, http://... an address.
    """

    name = "input"

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.read, self.tell, self.seekable = file, file.read, file.tell, file.seekable

    def seek(self, offset: int, whence: int) -> int:
        """The new position, or -1: PyAV prints exceptions that are raised here."""
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


@contextmanager
def _opened(path: Path, kind: str | None = None) -> Iterator[InputContainer]:
    _check_regular(path)
    with (
        open(path, "rb") as file,
        av.open(_Source(file), format=kind, options=_OPENING, metadata_errors="replace") as container,
    ):
        yield container


def _read_folder(folder: Path, selection: Selection) -> Video:
    files = [file for file in folder.iterdir() if file.suffix.lower() == ".png" and file.name[0] != "."]
    if not files:
        raise VideoError(f"{folder} holds no PNG; expected frames such as frame_00000.png")
    check_range(selection, len(files), folder.name)
    wanted = sorted(files, key=_natural)[selection.start : selection.stop : selection.step]
    kept, matrix = _rgb_frames(map(_decoded_png, wanted), folder, selection, len(wanted))
    return _video(kept, matrix, Fraction(25), folder, selection, len(files))


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key that puts frame_2 before frame_10."""
    parts = re.split(r"([0-9]+)", file.name)  # text, digits, text, digits, ...
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _decoded_png(file: Path) -> av.VideoFrame:
    try:
        with _opened(file, "png_pipe") as container:
            stream = container.streams.video[0]
            stream.codec_context.options = dict(_DECODING)
            return next(container.decode(stream))
    except (av.FFmpegError, OSError, IndexError, StopIteration) as error:
        raise VideoError(f"{file} is not a readable PNG") from error


def _read_stream(path: Path, selection: Selection) -> Video:
    with _opened(path) as container:
        streams = [stream for stream in container.streams.video if not int(stream.disposition) & _COVER]
        if not streams or getattr(streams[0].codec_context, "name", None) in _TEXT_CODECS:
            raise VideoError(f"{path} is not a video: there is no video stream in it")
        if streams[0].codec_context is None:
            raise VideoError(f"{path} uses a codec that PyAV does not know; convert it to H.264")
        if container.format.name.startswith("mov") and streams[0].frames:  # MP4 states the count up front
            check_range(selection, streams[0].frames, path.name)
        missing = bytes_missing(path) if selection.stop is None else 0
        if missing:
            raise VideoError(
                f"{path} is cut off: at least {missing:,} bytes are missing at its end; get it again, "
                f"or select the --frames that are there"
            )
        rate, times = _rate(streams[0], path), list[float | None]()
        stop = None if selection.stop is None else min(selection.stop, sys.maxsize)
        decoded = _decoded(container, streams[0], path, times)
        wanted = islice(decoded, min(selection.start, sys.maxsize), stop, min(selection.step, sys.maxsize))
        kept, matrix = _rgb_frames(wanted, path, selection)
        return _video(kept, matrix, _mean_rate(rate, times), path, selection, len(times))


def _rate(stream: Any, path: Path) -> Fraction:
    """Frames per second by the header, rounded to what a .cfv file can store."""
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    if not _SLOWEST <= rate <= _FASTEST:
        raise VideoError(
            f"{path} claims {float(rate):.3g} frames per second, expected {_SLOWEST:g} to {_FASTEST:,}; "
            f"its header is wrong"
        )
    return rate.limit_denominator(100_000)


def _mean_rate(rate: Fraction, times: list[float | None]) -> Fraction:
    """The header's rate, or the mean rate of the frame times [s] if they contradict it.

    For variable rates, ffmpeg reports that of the first few frames.  Times may be rounded and frames may be
    missing, so the header stands if the total is right to 1.5 frames, or nine of ten intervals are.
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


def _decoded(
    container: InputContainer, stream: Any, path: Path, times: list[float | None]
) -> Iterator[av.VideoFrame]:
    """Decodes a stream, appending each frame's time to `times`.  Raises VideoError at the first damage."""
    stream.codec_context.thread_count = 1  # multithreaded decoders do not report damage in the last frames
    stream.codec_context.options = dict(_DECODING)
    try:
        for frame in _from_first_key(container, stream):
            times.append(frame.time)
            yield frame
    except av.FFmpegError as error:
        raise VideoError(
            f"{path} is damaged after frame {len(times) - 1}: {reason(error)}; get it again, or let "
            f"`ffmpeg -i IN -c:v ffv1 OUT.mkv` decide what its frames are"
            if times
            else f"{path} cannot be read as video: {reason(error)}"
        ) from error


def _from_first_key(container: InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
    """The frames of a stream.  Raises av.FFmpegError at the first that is damaged.

    A file cut out of a longer one may begin with packets that depend on frames before the cut.  Like
    players, skip these, provided that every frame from the first key packet on can be decoded.
    """
    key, begun, unreadable, due = None, False, None, set[int]()
    for packet in container.demux(stream):
        key = key or (packet if packet.is_keyframe else None)
        if key and key.pts is not None and (packet.pts or 0) >= key.pts:
            due.add(packet.pts)
        try:
            frames = _intact_frames(packet)
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


def _intact_frames(packet: Any) -> list[av.VideoFrame]:
    """Decodes a packet.  Raises av.InvalidDataError if a frame is damaged."""
    frames = [] if packet.is_corrupt else packet.decode()
    if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
        raise av.InvalidDataError(0, "part of it is missing or wrong")
    return list(frames)


# --- conversion ---------------------------------------------------------------------------------------


def _rgb_frames(
    pictures: Iterable[av.VideoFrame], path: Path, selection: Selection, expected: int = 0
) -> tuple[list[Frames], str]:
    """The selected pictures as RGB frames of the selection's size, and their matrix.

    expected: number of pictures, if known: refuses what exceeds memory at the first one.
    """
    kept: list[Frames] = []
    shape, matrix = None, "rgb"
    for picture in pictures:
        frame, matrix = _to_rgb(picture, path.name)
        if frame.shape != (shape := shape or frame.shape):
            raise VideoError(
                f"frame {selection.start + len(kept) * selection.step} of {path.name} is "
                f"{frame.shape[1]}x{frame.shape[0]}, those before it are {shape[1]}x{shape[0]}; "
                f"all must have one size"
            )
        kept.append(area_resize(frame, selection.height or shape[0], selection.width or shape[1]))
        check_memory(max(len(kept), expected), kept[0].nbytes, path.name)
    return kept, matrix


def _video(
    kept: list[Frames], matrix: str, fps: Fraction, path: Path, selection: Selection, count: int
) -> Video:
    """The frames kept of a source of `count` frames at `fps`, as a Video."""
    check_range(selection, count, path.name)
    frames = _stacked(kept)
    height, width = frames.shape[1:3]
    chosen = replace(selection, stop=selection.stop or count, width=width, height=height)
    return Video(frames, fps / selection.step, path.stem, chosen, matrix)


def _stacked(frames: list[Frames]) -> Frames:
    """The frames as one array; empties the list on the way, so memory never holds them twice."""
    result = np.empty((len(frames), *frames[0].shape), np.uint8)
    for index in range(len(frames)):
        result[index] = frames[index]
        frames[index] = result[:0]
    return result


def _to_rgb(picture: av.VideoFrame, name: str) -> tuple[Frames, str]:
    """A frame as upright RGB [height, width, 3], and the matrix used."""
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
        interpolation=Interpolation.BICUBIC,  # ffmpeg's default; also upsamples chroma
    ).to_ndarray()
    if has_alpha:
        pixels = ((pixels[..., :3].astype(np.uint16) * pixels[..., 3:] + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(pixels, round(picture.rotation / 90))), matrix
