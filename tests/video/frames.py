"""Small clips that the tests of video files share."""

import numpy as np


def smooth_clip(time: int, height: int, width: int) -> np.ndarray:
    """Slow gradients that move: what lossy codecs and 4:2:0 keep well."""
    frame, row, column = np.ogrid[0:time, 0:height, 0:width]
    waves = [
        np.sin(0.02 * (channel + 2) * (row + column * (channel - 1)) + 0.2 * frame) for channel in range(3)
    ]
    return np.stack([60 * wave + 127 for wave in waves], -1).astype(np.uint8)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def largest_difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())
