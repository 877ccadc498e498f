"""`write`: frames as .mp4, .y4m, .npy or PNGs; exports of clips with their truth, alpha maps and masks.

Every output is all or nothing, see `ops.files.replacing`.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation
from PIL import Image

from coordflow_mini.ops.files import destination, replacing
from coordflow_mini.video.clip import Video
from coordflow_mini.video.raw import Frames, Masks, VideoError
from coordflow_mini.video.read import reason

if TYPE_CHECKING:
    import torch

    from coordflow_mini.video.scenes import Scene

PARTS = r"frames|masks|layers|motion\.json"  # pattern of what `write_clip` and `write_scene` write
LAYERS = r"layer_\d+"  # pattern of the folders of alpha maps and masks
LAYER_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # as in the widgets


_FRAME = re.compile(r"frame_\d+\.png")
# Bicubic with swscale's ACCURATE_RND and FULL_CHR_H_INP, which PyAV names from version 18 on
_PRECISE = int(Interpolation.BICUBIC) | 0x40000 | 0x4000


def write(path: str | Path, frames: Iterable[Frames], fps: Fraction | int = 25) -> None:
    """Writes frames, uint8 RGB [height, width, 3] or gray [height, width], as the iterable yields them.

    The suffix sets the format: .mp4 (H.264, visually lossless, for watching; 4:2:0, or 4:4:4 if a side is
    odd), .y4m (uncompressed 4:4:4, BT.601), .npy (exact), none: a folder of frame_00000.png (exact; gray
    stays gray).  The file or folder appears once it is complete; a failure leaves what was there before.
    A folder is replaced only if it holds nothing but frames.
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
        raise VideoError(f"{path} cannot be written: {reason(error)}") from error


def check_output(path: str | Path) -> Path:
    """The absolute path that `write` will write, links followed, checked before the work begins.

    Raises VideoError if the suffix is unknown, the folder does not exist, or something else is there.
    """
    kind = Path(path).suffix.lower()
    if kind not in _WRITERS:
        raise VideoError(f"cannot write {kind} files; use .mp4, .y4m, .npy or a folder")
    try:
        target = destination(Path(path))
        folder = next(parent for parent in target.parents if parent.exists())
        if kind and target.is_dir():
            raise VideoError(f"{path} is a folder; give the name of a file in it")
        if kind and not target.parent.is_dir():
            raise VideoError(f"{path} cannot be written: there is no folder {target.parent}")
        if not kind and target.is_file():
            raise VideoError(f"{path} is a file; give a new folder, or a name ending in .mp4, .y4m or .npy")
        if not kind and target.is_dir() and not all(_FRAME.fullmatch(name) for name in os.listdir(target)):
            raise VideoError(f"{path} holds other things than frames; give a new folder")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise VideoError(f"{path} cannot be written: {folder} is no folder that you may write to")
    except OSError as error:
        raise VideoError(f"{path} cannot be written: {reason(error)}") from error
    return target


def _checked(frames: Iterable[Frames]) -> Iterator[Frames]:
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
    return frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2)


def _write_npy(path: Path, frames: Iterable[Frames], fps: Fraction) -> None:
    """Writes NumPy's format 1.0; the header comes last, once the number of frames is known."""
    count, shape = 0, (0, 0)
    with open(path, "wb") as file:  # replacing: by `write`
        file.write(bytes(128))
        for frame in frames:
            count, shape = count + 1, frame.shape[:2]
            file.write(np.ascontiguousarray(_rgb(frame)).data)
        record = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape, 3)}
        file.seek(0)
        file.write(b"\x93NUMPY\x01\x00v\x00" + f"{record}".ljust(117).encode() + b"\n")  # v: 118 bytes


def _write_folder(path: Path, frames: Iterable[Frames], fps: Fraction) -> None:
    path.mkdir(parents=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(
            path / f"frame_{index:05d}.png", compress_level=1
        )  # replacing: by `write`


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
    """Encodes frames with PyAV, converted by BT.601 and tagged; layouts: for even sizes, for odd sizes."""
    rate = fps.limit_denominator(100_000)
    with av.open(str(path), "w", format=muxer) as container:  # replacing: by `write`
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


# --- exports ------------------------------------------------------------------------------------------


def write_clip(folder: Path, video: Video) -> None:
    """Writes the exact frames as folder/frames/frame_00000.png, ..."""
    with replacing(folder) as temporary:
        write(temporary / "frames", video.frames)


def write_scene(folder: Path, scene: "Scene") -> None:
    """Writes a generated clip with its truth: frames, layers/layer_I, motion.json, and masks if any.

    Masks are 255 on the foreground, else 0.  motion.json explains its own convention.
    """
    with replacing(folder) as temporary:
        write(temporary / "frames", scene.video.frames)
        for layer, frames in enumerate(scene.layers):
            write(temporary / "layers" / f"layer_{layer}", frames)
        if scene.masks.any():
            write(temporary / "masks", (mask.astype(np.uint8) * np.uint8(255) for mask in scene.masks))
        text = json.dumps(_motion_record(scene), indent=1)
        (temporary / "motion.json").write_text(text + "\n", encoding="utf-8")


def _motion_record(scene: "Scene") -> dict[str, Any]:
    """The true motion [layers][frames][4] as JSON values, with its convention in words."""
    video, part = scene.video, scene.video.selection
    return {
        "about": "motion[layer][frame] carries a point (x, y) of the frame to the layer's own plane: "
        "exp(log_scale) * R(angle) * (x, y) + (dx, dy), R(angle) = [[cos, -sin], [sin, cos]].  "
        "Layer 0 is the background.  x points right and y down from the middle of the frame, in units of "
        "half its larger side; angles are in radians.",
        "columns": ["log_scale", "angle", "dx", "dy"],
        "frame_width": video.width,
        "frame_height": video.height,
        "source_frames": list(range(part.start, part.stop or 0, part.step)),
        "motion": scene.motion.tolist(),
    }


def write_alpha(folder: Path, alphas: "Iterable[torch.Tensor]", layers: Sequence[int]) -> None:
    """Writes alpha of the given layers as folder/layer_I/frame_00000.png, 8-bit gray; 255 is opaque.

    alphas: of one frame each, [layers, 1, height, width] in 0..1, as in `render.Rendering`.
    """
    with replacing(folder) as temporary:
        for layer in layers:
            (temporary / f"layer_{layer}").mkdir(parents=True)
        for number, alpha in enumerate(alphas):
            for layer in layers:
                picture = (alpha[layer, 0] * 255).round().byte().numpy()
                Image.fromarray(picture).save(temporary / f"layer_{layer}" / f"frame_{number:05d}.png")


def write_masks(folder: Path, masks: Masks) -> None:
    """Writes masks as folder/layer_I/frame_00000.png, 8-bit gray: 255 where the layer is on top, else 0.

    masks: bool [layers, time, height, width], see `applications.masks`.
    """
    with replacing(folder) as temporary:
        for layer, frames in enumerate(masks):
            write(temporary / f"layer_{layer}", (frame.astype(np.uint8) * np.uint8(255) for frame in frames))


def tinted(frames: Iterable[Frames], masks: Masks) -> Iterator[Frames]:
    """Yields the frames in gray, blended half and half with the color of the layer on top.

    frames: uint8 [time, height, width, 3].  masks: bool [layers, time, height, width].
    """
    colors = [LAYER_COLORS[layer % len(LAYER_COLORS)] for layer in range(len(masks))]
    rgb = np.array([[int(color[start : start + 2], 16) for start in (1, 3, 5)] for color in colors])
    for frame, mask in zip(frames, masks.swapaxes(0, 1), strict=True):
        gray = frame @ np.array([0.299, 0.587, 0.114])
        yield ((gray[..., None] + rgb[mask.argmax(axis=0)]) / 2).round().astype(np.uint8)
