"""What chapter 00 does with its first file: how small it is, and one layer of it switched off."""

from torch import Tensor

from coordflow_mini.video.clip import Video

__all__ = ["GRAY", "compression_factor", "switch_off"]

GRAY = 128  # what is seen where a layer is switched off, as in `widgets.overlay`


def compression_factor(size: int, video: Video) -> float:
    """How many times larger than `size` bytes the clip is as plain RGB: one byte per channel and pixel."""
    return video.frames.size / size


def switch_off(layer_rgb: Tensor, alpha: Tensor, off: int) -> Tensor:
    """One frame without one of its layers, float [height, width, 3]: middle gray takes its share.

    layer_rgb: [layers, height, width, 3] in 0 to 255.  alpha: [layers, height, width], sums to 1.
    """
    shown = layer_rgb.float().clone()
    shown[off] = GRAY
    return (alpha[..., None] * shown).sum(dim=0)
