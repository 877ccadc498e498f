"""Chapter 09: bits per pixel of a file, two means of PSNR, and the BD-rate of two curves."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float] | NDArray[np.float64]

SAMPLES = 1000  # points in the common range of quality, in `bd_rate`


def file_bpp(coded_bytes: int, raw_bytes: int, height: int, width: int) -> float:
    """Bits per pixel of a coded file; the number of frames follows from the size of its raw 4:2:0 source.

    >>> file_bpp(9_000, 10 * 3 * 54 * 96 // 2, 54, 96)
    1.3888888888888888
    """
    frames = raw_bytes / (1.5 * height * width)
    return 8 * coded_bytes / (frames * height * width)


def two_psnrs(errors: Numbers) -> tuple[float, float]:
    """(mean PSNR of the frames, PSNR of their mean error) [dB], from the squared error of each frame.

    >>> [round(value, 2) for value in two_psnrs([10.0, 1000.0])]
    [28.13, 21.1]
    """
    decibels = 10 * np.log10(255**2 / np.asarray(errors, float))
    return float(decibels.mean()), float(10 * math.log10(255**2 / np.mean(errors)))


def bd_rate(anchor_rates: Numbers, anchor_db: Numbers, rates: Numbers, db: Numbers) -> float:
    """Mean difference in rate at equal quality [percent]; NaN if the curves share no quality.

    Interpolates log(rate) over PSNR linearly; `measure.metrics.bd_rate` fits smooth curves.
    All arguments ascend.

    >>> round(bd_rate([0.1, 0.2], [30, 33], [0.05, 0.1], [30, 33]), 6)
    -50.0
    """
    low, high = max(anchor_db[0], db[0]), min(anchor_db[-1], db[-1])
    if low >= high:
        return math.nan
    places = np.linspace(low, high, SAMPLES)
    apart = np.interp(places, db, np.log(rates)) - np.interp(places, anchor_db, np.log(anchor_rates))
    steps = (apart[1:] + apart[:-1]) / 2 * np.diff(places)  # the trapezoids under the difference
    return float(100 * math.expm1(steps.sum() / (high - low)))


FLAWS = ("pixels", "container", "two kinds of PSNR", "extrapolated", "fair")
"""Possible verdicts on a comparison in the last exercise."""
