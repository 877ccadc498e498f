"""Measured motion: true to the scene, found again, and refused where there is none."""

import numpy as np
import pytest
import torch

from benchmarks.motion import aligned
from coordflow_mini import similarity
from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.measure.metrics import iou
from coordflow_mini.motion.measure import measure, started
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video


def errors(found, truth, side):
    """Mean errors over frames: scale [percent], rotation [degrees], shift [pixels]."""
    difference = similarity.compose(aligned(found.double(), truth), similarity.inverse(truth))
    return (
        float(100 * torch.expm1(difference[:, 0]).abs().mean()),
        float(difference[:, 1].rad2deg().abs().mean()),
        float(difference[:, 2:].norm(dim=1).mean() * side / 2),
    )


@pytest.fixture(scope="module", params=[0, 7])
def measured(request):
    scene = scenes.cutout(seed=request.param)
    return scene, measure(scene.video)


def test_two_motions_of_a_scene_are_found(measured):
    scene, motion = measured
    assert motion.layers == 2
    for layer in (0, 1):  # the background is the first
        scale, turn, shift = errors(motion.transforms[layer], scene.motion[layer], 96)
        assert (scale < 1, turn < 1, shift < 0.5) == (True, True, True), (scale, turn, shift)


def test_the_middle_frame_is_at_rest(measured):
    _, motion = measured
    assert motion.transforms[:, 12].abs().max() < 1e-6


def test_owners_are_near_the_masks(measured):
    scene, motion = measured
    rows = (np.arange(64) * motion.owner.shape[1]) // 64
    columns = (np.arange(96) * motion.owner.shape[2]) // 96
    owner = motion.owner[:, rows][:, :, columns]
    assert iou(owner == 1, scene.masks) > 0.5


def test_two_motions_explain_a_scene_of_two(measured):
    scene, motion = measured
    assert measure(scene.video, 1).explained + 0.1 < motion.explained <= 1


def test_one_motion_is_one_layer():
    assert measure(scenes.pan(seed=3).video).layers == 1


def test_a_number_of_layers_can_be_asked_for():
    video = scenes.cutout(seed=4).video
    assert [measure(video, layers).layers for layers in (1, 3)] == [1, 3]


def test_the_same_clip_has_the_same_motion():
    video = scenes.cutout(48, 64, 8, seed=5).video
    one, other = measure(video), measure(video)
    assert torch.equal(one.transforms, other.transforms)
    assert np.array_equal(one.owner, other.owner)
    assert np.array_equal(one.sure, other.sure)


def test_a_portrait_is_measured_as_well():
    scene = scenes.cutout(96, 64, 12, seed=6)
    motion = measure(scene.video)
    assert motion.owner.shape[1] > motion.owner.shape[2]
    assert errors(motion.transforms[0], scene.motion[0], 96)[2] < 1


NOISE = np.random.default_rng(0).integers(0, 256, (8, 40, 60, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    "frames",
    [NOISE, np.full_like(NOISE, 90), NOISE[:1], NOISE[:2], NOISE[:, :1, :1]],
    ids=["noise", "gray", "one frame", "two frames", "one pixel"],
)
def test_where_no_motion_is_found_it_is_learned(frames):
    video = Video(frames, 24)
    assert measure(video) is None
    config, motion = started(video, ModelConfig(), FitConfig(flow_start="measured"), None)
    assert (config.flow_start, motion) == ("random", None)


def test_motion_of_another_number_of_layers_is_refused():
    motion = measure(scenes.pan(seed=3).video)
    with pytest.raises(ValueError, match="motion has 1 layers, and the model 2"):
        started(scenes.pan(seed=3).video, ModelConfig(), FitConfig(flow_start="measured"), motion)
