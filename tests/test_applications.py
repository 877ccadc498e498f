"""Layers taken apart and asked elsewhere, against what the model itself renders."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from coordflow_mini import applications
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.model import CoordFlow, Rendering
from coordflow_mini.video import Video


@pytest.fixture(scope="module")
def model(one_thread) -> CoordFlow:
    model = CoordFlow(ModelConfig(layers=3, width=8, depth=1), torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    torch.nn.init.normal_(model.color.time_weight)  # so that it moves
    return model


@pytest.fixture(scope="module")
def like() -> Video:
    return Video(np.zeros((5, 6, 8, 3), np.uint8), Fraction(30), "black")


@pytest.fixture(scope="module")
def rendering(model, like) -> Rendering:
    return model.render(frame_times(like.time), like.height, like.width)


def test_every_pixel_belongs_to_the_layer_with_the_largest_alpha(rendering):
    masks = applications.masks(rendering)
    assert masks.dtype == bool and masks.shape == (3, 5, 6, 8)
    assert (masks.sum(axis=0) == 1).all()
    alpha = rendering.alpha.numpy()
    assert (alpha.max(axis=0) == (alpha * masks).sum(axis=0)).all()


def test_of_equal_alphas_the_first_layer_wins(rendering):
    even = Rendering(rendering.rgb, rendering.layer_rgb, torch.full_like(rendering.alpha, 1 / 3))
    assert applications.masks(even)[0].all()


@pytest.mark.parametrize("layer", range(3))
def test_a_layer_video_shows_that_layer(model, like, rendering, layer):
    video = applications.layer_video(model, layer, like)
    np.testing.assert_array_equal(video.frames, rendering.layer_rgb[layer])
    assert video.fps == like.fps and f"layer {layer}" in video.name


def test_there_is_no_other_layer(model, like):
    for layer in (-1, 3):
        with pytest.raises(ValueError, match="layer must be 0 to 2"):
            applications.layer_video(model, layer, like)


def test_at_its_own_scale_nothing_changes(model, like, rendering):
    np.testing.assert_array_equal(applications.upscaled(model, 1, like).frames, rendering.rgb)


def test_an_odd_scale_keeps_the_old_pixels(model, like, rendering):
    """At three times the size, the middle of each block of 3x3 lies where the old pixel was."""
    large = applications.upscaled(model, 3, like).frames
    assert large.shape == (5, 18, 24, 3)
    np.testing.assert_allclose(large[:, 1::3, 1::3].astype(int), rendering.rgb, atol=1)


def test_twice_the_frames_contain_the_old_ones(model, like, rendering):
    slow = applications.interpolated(model, 2, like)
    assert slow.frames.shape == (9, 6, 8, 3) and slow.fps == 60
    np.testing.assert_allclose(slow.frames[::2].astype(int), rendering.rgb, atol=1)
    assert (slow.frames[1::2] != slow.frames[:-1:2]).any(), "the frames between are no copies"


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 1.5, 2, 2.4, 10])
@pytest.mark.parametrize("frames", [range(1), range(24), range(3, 20, 4)])
def test_a_timeline_stays_within_its_frames_and_keeps_its_pace(frames, factor):
    line = applications.timeline(frames, Fraction(24), factor)
    assert line.positions[0] == frames[0] and line.positions[-1] <= frames[-1]
    assert frames[-1] - line.positions[-1] < frames.step / factor, "it goes on to the last frame"
    pace = np.diff(line.positions) * float(line.fps)
    np.testing.assert_allclose(pace, 24, err_msg="a second of the clip lasts a second")


def test_at_their_own_rate_frames_stay_themselves():
    line = applications.timeline(range(2, 9, 3), Fraction(30_000, 1001))
    assert line.positions == (2, 5, 8) and line.fps == Fraction(10_000, 1001)


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), 1e-9])
def test_no_other_factor_makes_sense(factor):
    with pytest.raises(ValueError, match="factor must be positive"):
        applications.timeline(range(3), Fraction(25), factor)
