"""Chapter 09's counts and means agree with the library's, and obey their laws."""

import math

import numpy as np
import pytest

from coordflow_mini.course.lesson import rates
from coordflow_mini.measure import metrics, results

PUBLISHED = results.published()


def curve(codec: str) -> tuple[np.ndarray, np.ndarray]:
    points = sorted((point.bpp, point.psnr_db) for point in PUBLISHED if point.codec == codec)
    return tuple(map(np.array, zip(*points, strict=True)))


def test_the_rate_of_a_file_is_that_of_the_library():
    frames, height, width = 7, 10, 18
    assert rates.file_bpp(999, frames * height * width * 3 // 2, height, width) == pytest.approx(
        metrics.bits_per_pixel(999, frames * height * width)
    )


def test_the_first_mean_is_the_librarys_and_never_the_smaller_one():
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (4, 8, 9, 3)).astype(np.uint8)
    decoded = (frames // np.array([2, 3, 5, 9])[:, None, None, None]).astype(np.uint8)
    errors = ((frames.astype(float) - decoded) ** 2).mean((1, 2, 3))
    mean_of_psnrs, psnr_of_mean = rates.two_psnrs(errors)
    assert mean_of_psnrs == pytest.approx(metrics.psnr_db(frames, decoded))
    assert mean_of_psnrs > psnr_of_mean
    assert rates.two_psnrs([20.0, 20.0]) == pytest.approx([rates.two_psnrs([20.0])[0]] * 2)


@pytest.mark.parametrize("codec", ["VTM 17.0 RA", "HiNeRV", "C3 adaptive", "FFNeRV", "NeRV (digitised)"])
def test_straight_lines_give_the_bd_rate_of_smooth_curves_within_a_percent(codec):
    anchor = curve("x265 medium no-B")
    assert rates.bd_rate(*anchor, *curve(codec)) == pytest.approx(
        metrics.bd_rate(*anchor, *curve(codec)), abs=1
    )


def test_there_and_back_is_no_difference():
    one, other = curve("HiNeRV"), curve("C3 adaptive")
    there, back = rates.bd_rate(*one, *other), rates.bd_rate(*other, *one)
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1)
    assert rates.bd_rate(*one, *one) == pytest.approx(0)


def test_curves_that_share_no_quality_have_none():
    bpp, psnr_db = curve("HiNeRV")
    assert math.isnan(rates.bd_rate(bpp, psnr_db, bpp, psnr_db + 20))
