"""The simple alternatives of chapter 07."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from coordflow_mini.course.author import film
from coordflow_mini.course.lesson import alternatives, gains
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video


@pytest.fixture(scope="module")
def video() -> Video:
    return scenes.pan(16, 24, frames=3).video


def test_what_changes_is_marked_in_both_frames():
    frames = np.zeros((4, 2, 2, 3), np.uint8)
    frames[2, 0, 0] = 50
    assert alternatives.changed(frames, 20)[:, 0, 0].tolist() == [False, True, True, True]
    assert not alternatives.changed(frames, 60).any()


def test_a_flat_picture_is_filled_flat():
    pytest.importorskip("skimage")
    frames, holes = np.full((2, 9, 12, 3), 77, np.uint8), np.zeros((2, 9, 12), bool)
    holes[:, 3:6, 4:8] = True
    broken = np.where(holes[..., None], 0, frames).astype(np.uint8)
    assert np.abs(alternatives.biharmonic(broken, holes).astype(int) - 77).max() <= 1


def test_enlarged_frames_have_twice_the_sides(video):
    for lanczos in (False, True):
        assert alternatives.enlarged(video.frames, lanczos=lanczos).shape == (3, 32, 48, 3)
    flat = np.full((1, 4, 4, 3), 9, np.uint8)
    assert (alternatives.enlarged(flat, 3) == 9).all()


def test_means_do_not_wrap():
    frames = np.array([200, 100, 250], np.uint8)[:, None, None, None].repeat(3, axis=-1)
    assert alternatives.averaged(frames)[:, 0, 0, 0].tolist() == [150, 175]
    assert alternatives.temporal_mean(frames)[:, 0, 0, 0].tolist() == [150, 183, 175]


def test_a_shift_is_found():
    pytest.importorskip("skimage")
    large = scenes.pan(48, 64, frames=1).video.frames[0]
    frames = np.stack([large[8:40, 8 + right : 40 + right] for right in (0, 2, 5)])
    shifts = 16 * alternatives.phase_correlation(frames)[:, 2]
    assert shifts.tolist() == pytest.approx([2, 0, -3], abs=0.3)


def test_noise_has_its_strength_and_its_seed():
    gray = Video(np.full((4, 32, 32, 3), 128, np.uint8), Fraction(24), "gray")
    rough = alternatives.noisy(gray, sigma=10)
    assert rough.frames.std() == pytest.approx(10, abs=0.5)
    assert np.array_equal(rough.frames, alternatives.noisy(gray, sigma=10).frames)


def test_non_local_means_takes_noise_away(video):
    pytest.importorskip("skimage")
    rough = alternatives.noisy(video)
    clean = alternatives.non_local_means(rough.frames)
    assert psnr_db(video.frames, clean) > psnr_db(video.frames, rough.frames) + 1


def test_a_box_crosses_the_picture():
    holes = film.crossing(5, 54, 96)
    assert (holes.sum((1, 2)) == holes[0].sum()).all() and holes[0].any()
    assert not (holes[0] & holes[-1]).any()
    median = gains.temporal_median(torch.zeros(5, 54, 96, 3), torch.from_numpy(holes))
    assert not median.any(), "every place is seen at some time"
