"""What is written as folders: clips with their truth, alpha maps and masks of layers.  All or nothing."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from coordflow_mini.ops.files import replacing
from coordflow_mini.video.clip import Frames, Video, write
from coordflow_mini.video.read import Scene

if TYPE_CHECKING:
    from coordflow_mini.model import Rendering

__all__ = [
    "LAYERS",
    "LAYER_COLORS",
    "PARTS",
    "motion_record",
    "tinted",
    "write_alpha",
    "write_clip",
    "write_masks",
    "write_scene",
]

PARTS = r"frames|masks|layers|motion\.json"  # what an export consists of, as a pattern
LAYERS = r"layer_\d+"  # what alpha maps and masks lie in
LAYER_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # as the widgets have them


def write_clip(folder: Path, video: Video) -> None:
    """folder/frames/frame_00000.png: the exact frames."""
    with replacing(folder) as temporary:
        write(temporary / "frames", video.frames)


def write_scene(folder: Path, scene: Scene) -> None:
    """A generated clip with its truth: frames, layers/layer_I, motion.json, and masks if there are any.

    masks: 255 where the foreground is, else 0.  motion.json: see `motion_record`.
    """
    with replacing(folder) as temporary:
        write(temporary / "frames", scene.video.frames)
        for layer, frames in enumerate(scene.layers):
            write(temporary / "layers" / f"layer_{layer}", frames)
        if scene.masks.any():
            write(temporary / "masks", (mask.astype(np.uint8) * np.uint8(255) for mask in scene.masks))
        text = json.dumps(motion_record(scene), indent=1)
        (temporary / "motion.json").write_text(text + "\n", encoding="utf-8")


def motion_record(scene: Scene) -> dict[str, Any]:
    """The true motion as JSON values, [layers][frames][4], with the words one needs to use it."""
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


def write_alpha(folder: Path, renderings: "Iterable[Rendering]", layers: Sequence[int]) -> None:
    """Alpha of the given layers as folder/layer_I/frame_00000.png, 8-bit gray; 255 is opaque.

    renderings: of one frame each, as a decoder yields them.
    """
    with replacing(folder) as temporary:
        for layer in layers:
            (temporary / f"layer_{layer}").mkdir(parents=True)
        for number, rendering in enumerate(renderings):
            for layer in layers:
                picture = (rendering.alpha[layer, 0] * 255).round().byte().numpy()
                Image.fromarray(picture).save(temporary / f"layer_{layer}" / f"frame_{number:05d}.png")


def write_masks(folder: Path, masks: "np.ndarray[Any, np.dtype[np.bool_]]") -> None:
    """Which layer is on top, as folder/layer_I/frame_00000.png, 8-bit gray: 255 where it is, else 0.

    masks: bool [layers, time, height, width], see `applications.masks`.
    """
    with replacing(folder) as temporary:
        for layer, frames in enumerate(masks):
            write(temporary / f"layer_{layer}", (frame.astype(np.uint8) * np.uint8(255) for frame in frames))


def tinted(frames: Iterable[Frames], masks: "np.ndarray[Any, np.dtype[np.bool_]]") -> Iterator[Frames]:
    """The frames in gray, half covered by the color of the layer that is on top: `LAYER_COLORS` in turn.

    frames: uint8 [time, height, width, 3].  masks: bool [layers, time, height, width].
    """
    colors = [LAYER_COLORS[layer % len(LAYER_COLORS)] for layer in range(len(masks))]
    rgb = np.array([[int(color[start : start + 2], 16) for start in (1, 3, 5)] for color in colors])
    for frame, mask in zip(frames, masks.swapaxes(0, 1), strict=True):
        gray = frame @ np.array([0.299, 0.587, 0.114])
        yield ((gray[..., None] + rgb[mask.argmax(axis=0)]) / 2).round().astype(np.uint8)
