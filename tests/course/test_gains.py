"""What chapter 07 builds by hand, against the library."""

import numpy as np
import pytest
import torch

from coordflow_mini import applications, similarity
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.course.lesson import canonical, gains
from coordflow_mini.loss import squared_error
from coordflow_mini.model import Blend, CoordFlow
from coordflow_mini.video import scenes


def test_the_masked_error_is_the_weighted_one():
    rgb, color = torch.rand(2, 20, 3)
    hole = torch.rand(20) > 0.6
    blend = Blend(rgb[None, None], torch.ones(1, 1, 20))
    expected = squared_error(blend, color[None], (~hole).float()[None])
    torch.testing.assert_close(gains.masked_error(rgb, color, hole), expected)


def test_the_still_camera_is_the_stabilizing_one():
    model = CoordFlow(ModelConfig(layers=2, width=8, depth=1), torch.Generator().manual_seed(1))
    times = frame_times(5)
    with torch.no_grad():
        found = gains.still_camera(model.transforms(times)[1])
    torch.testing.assert_close(found, applications.stabilizing(model, 1, times))


def test_finer_points_are_those_of_a_larger_scale():
    torch.testing.assert_close(gains.finer_points(6, 8, 3), pixel_grid(6, 8, scale=3))


def test_times_between_are_the_odd_ones_of_twice_as_many_frames():
    torch.testing.assert_close(gains.times_between(13), frame_times(25)[1::2])


def test_the_median_leaves_out_the_holes():
    frames = torch.tensor([0.1, 0.2, 0.9]).view(3, 1, 1, 1).expand(3, 1, 2, 3)
    holes = torch.zeros(3, 1, 2, dtype=torch.bool)
    assert gains.temporal_median(frames, holes)[0, :, 0].tolist() == pytest.approx([0.2, 0.2])
    holes[:2, 0, 0], holes[:, 0, 1] = True, True
    assert gains.temporal_median(frames, holes)[0, :, 0].tolist() == pytest.approx([0.9, 0.5])


def test_only_the_hole_counts_in_its_psnr():
    truth = np.zeros((1, 2, 2, 3), np.uint8)
    shown, holes = truth.copy(), np.zeros((1, 2, 2), bool)
    shown[0, 0], holes[0, 0, 0] = 255, True
    assert gains.hole_db(shown, truth, holes) == pytest.approx(0)
    assert gains.hole_db(truth, truth, holes) == pytest.approx(100)


def test_a_perfectly_held_camera_does_not_drift():
    motion = scenes.cutout(frames=7).motion[0]
    assert gains.drift(gains.still_camera(motion), motion, 64, 96) == pytest.approx(0, abs=1e-9)
    elsewhere = torch.tensor([0.1, 0.3, 0.2, -0.1], dtype=torch.float64).expand_as(motion)
    again = gains.still_camera(similarity.compose(elsewhere, motion))
    assert gains.drift(again, motion, 64, 96) == pytest.approx(0, abs=1e-9)
    assert gains.drift(similarity.identity(7), motion, 64, 96) > 1


def test_a_turn_is_a_similarity_and_the_others_are_none():
    points = pixel_grid(32, 48)
    for kind in gains.BENDS:
        places = gains.project(gains.bend(kind, 0.3), points)
        best = similarity.apply(canonical.nearest(points, places), points)
        apart = (best - places).norm(dim=-1).mean()
        assert (apart < 1e-5) if kind == "turn" else (apart > 0.03)
    with pytest.raises(ValueError, match="turn, shear, perspective"):
        gains.bend("fold", 1)


def test_a_bent_clip_moves():
    clip = gains.bent(torch.stack([gains.bend("shear", amount) for amount in (-0.3, 0.0, 0.3)]))
    assert clip.frames.shape == (3, 32, 48, 3)
    assert (clip.frames[0] != clip.frames[2]).mean() > 0.5
    assert clip.frames.min(axis=-1).min() > 0, "no black corner: the pattern is larger than the frames"
