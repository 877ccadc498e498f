"""Chapter 00: the size of a compressed file, and a frame with one layer switched off."""

from torch import Tensor

from coordflow_mini.video.clip import Video

GRAY = 128  # shown in place of a layer that is switched off, as in `overlay.overlay`


def compression_factor(size: int, video: Video) -> float:
    """Ratio of the clip's size as plain RGB, one byte per channel and pixel, to `size` [bytes]."""
    return video.frames.size / size


def switch_off(layer_rgb: Tensor, alpha: Tensor, off: int) -> Tensor:
    """One frame with layer `off` replaced by middle gray, float [height, width, 3].

    layer_rgb: [layers, height, width, 3], 0 to 255.  alpha: [layers, height, width], sums to 1.
    """
    shown = layer_rgb.float().clone()
    shown[off] = GRAY
    return (alpha[..., None] * shown).sum(dim=0)
