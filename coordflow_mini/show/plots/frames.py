"""Pictures of clips: panels that move together, errors, contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
from matplotlib.axes import Axes

from coordflow_mini.show.figure import FAINT, Picture, Pixels, styled, to_pixels

if TYPE_CHECKING:  # drawing needs neither PyTorch nor FFmpeg
    from coordflow_mini.render import Rendering
    from coordflow_mini.video.clip import Video


@dataclass(frozen=True)
class Panel:
    """A moving picture with its title.

    picture(index): uint8 [height, width, 3], or gray [height, width].
    Frames are made on demand, because seven panels of a long clip would not fit into memory.
    """

    title: str
    time: int
    picture: Callable[[int], Pixels]


def _panel(title: str, pictures: Any) -> Panel:
    return Panel(title, len(pictures), lambda index: to_pixels(pictures[index]))


def panels(
    original: Video,
    decoded: Video | None = None,
    rendering: Rendering | None = None,
) -> tuple[Panel, ...]:
    """Panels of a coded clip: original, decoded, error, then color and alpha of each layer.

    Raises ValueError if the parts differ in size or number of frames.
    """
    found = [_panel("original", original.frames)]
    if decoded is not None:
        a, b = original.frames, decoded.frames
        error_picture(a[0], b[0])  # reports a wrong size now, not at some later frame
        found += [_panel("decoded", b)]
        found += [Panel("error × 5", len(a), lambda i: error_picture(a[i], b[i]))]
    if rendering is not None:
        for layer, (rgb, alpha) in enumerate(zip(rendering.layer_rgb, rendering.alpha, strict=True)):
            found += [_panel(f"layer {layer}, color", rgb), _panel(f"layer {layer}, alpha", alpha)]
    lengths = {panel.title: panel.time for panel in found}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"panels must be of one length, got {lengths} frames; select the same frames")
    return tuple(found)


def error_picture(original: Pixels, decoded: Pixels, *, gain: float = 5) -> Pixels:
    """Mean |difference| over R, G and B times `gain`, gray [height, width].

    Black means equal; white means a difference of 255 / gain gray levels or more.
    """
    if original.shape != decoded.shape:
        raise ValueError(
            f"pictures to compare must have one shape, got {original.shape} and {decoded.shape}; "
            f"resize one with video.select(...)"
        )
    difference = np.abs(original.astype(np.int16) - decoded).mean(axis=-1)  # int16: uint8 would wrap
    return np.asarray(np.minimum(difference * gain, 255), np.uint8)


# --- figures ------------------------------------------------------------------------------------------


@styled
def panels_figure(
    shown: Sequence[Panel],
    *,
    count: int = 4,
    fps: SupportsFloat | None = None,
    name: str = "the clip",
    captions: Sequence[str] | None = None,
) -> Picture:
    """A contact sheet: one row per panel, `count` evenly spaced frames, first and last included.

    captions: one per frame of the clip, in place of frame number and time.
    """
    time = shown[0].time
    if count < 1:
        raise ValueError(f"count must be at least 1 frame, got {count}")
    frames = sorted({round(index) for index in np.linspace(0, time - 1, min(count, time))})
    figure, axes = grid(len(shown), len(frames), shown[0].picture(0))
    for row, panel in zip(axes, shown, strict=True):
        for place, frame in zip(row, frames, strict=True):
            caption = captions[frame] if captions else _when(frame, fps)
            title = panel.title if frame == frames[0] else ""
            put_picture(place, panel.picture(frame), caption if panel is shown[-1] else "", title)
    titles = ", ".join(panel.title for panel in shown)
    rows = f"; one row each for {titles}" if len(shown) > 1 else ""
    span = "; ".join(captions[i] for i in frames) if captions else f"{_span(frames)} of {name}"
    figure.set_label(f"{span}{rows}.")
    return figure


def put_picture(axes: Axes, picture: Pixels, caption: str, title: str = "") -> None:
    """Draw one picture into axes, with a title above and a caption below."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[], xlabel=caption)
    axes.set_title(title)
    axes.grid(False)
    axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)  # gives a white alpha map an edge


def grid(rows: int, columns: int, picture: Pixels, across: float = 9.0) -> tuple[Picture, Any]:
    """A figure of up to `across` inches for rows x columns pictures of one size, and its empty axes."""
    height, width = picture.shape[:2]
    cell = min(across / columns, 3.6, 4.2 * width / height)  # [inches]
    size = cell * columns, rows * (cell * height / width + 0.3) + 0.2
    figure = Picture(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _when(frame: int, fps: SupportsFloat | None) -> str:
    return f"frame {frame}" + (f", {frame / float(fps):.2f} s" if fps else "")


def _span(frames: Sequence[int]) -> str:
    return f"Frames {frames[0]} to {frames[-1]} ({len(frames)} shown)" if len(frames) > 1 else "Frame 0"
