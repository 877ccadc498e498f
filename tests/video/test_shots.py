"""Cuts are found on the exact frame; motion, flashes and fades are none."""

from itertools import permutations

import numpy as np
import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video import read, scenes
from coordflow_mini.video.raw import RawFormat, YuvFrames
from coordflow_mini.video.shots import SHORTEST, shots


def lengths(*parts):
    return [len(shot) for shot in shots(np.concatenate(parts))]


@pytest.fixture(scope="module")
def bunny():
    return read.load("clip:bunny", Selection(0, 48, width=96, height=54)).frames


@pytest.fixture(scope="module")
def takes(bunny):
    """Twelve frames of each of five scenes, the last one black."""
    makers = [scenes.cutout(54, 96, 12), scenes.cutout(54, 96, 12, seed=1), scenes.pan(54, 96, 12, seed=2)]
    black = np.zeros((12, 54, 96, 3), np.uint8)
    return [bunny[:12], *(scene.video.frames for scene in makers), black]


@pytest.fixture(scope="module")
def shake(bunny):
    """A camera that jumps by up to a fifth of the picture at every frame."""
    places = np.random.default_rng(0).integers(0, 16, (24, 2))
    return np.stack([bunny[0, y : y + 36, x : x + 64] for y, x in places])


@pytest.mark.parametrize("name", ["clip:cutout", "clip:pan"])
def test_a_generated_clip_is_one_shot(name):
    assert shots(read.load(name).frames) == (range(24),)


def test_camera_shake_is_no_cut(bunny, shake):
    assert lengths(bunny) == [48] and lengths(shake) == [24]


@pytest.mark.parametrize(
    "change",
    [
        lambda frames: frames,
        lambda frames: frames[:, :37, :51],
        lambda frames: frames[:, ::6, ::6],
        lambda frames: frames[..., [1, 1, 1]],
        lambda frames: frames // 2,
        lambda frames: frames.swapaxes(1, 2),
    ],
    ids="plain odd tiny gray dark upright".split(),
)
def test_a_cut_is_found_between_any_two_scenes(change, takes):
    for first, second in permutations(map(change, takes), 2):
        assert lengths(first[:9], second) == [9, 12]


def test_cuts_are_found_in_a_shaking_picture(bunny, shake):
    assert lengths(shake, 255 - shake[:, ::-1], shake[:9]) == [24, 24, 9]


def test_a_flash_or_a_fade_does_not_end_a_shot(takes):
    for frames in takes[:-1]:
        for flash in (1, 2, 3):
            assert lengths(frames[:6], np.full_like(frames[:flash], 255), frames[6:]) == [12 + flash]
        gains = np.linspace(1, 0, 12)[:, None, None, None]
        assert lengths(frames, (frames[-1] * gains).astype(np.uint8)) == [24]


def test_a_dissolve_is_no_cut(takes):
    part = np.linspace(0, 1, 12)[:, None, None, None]
    assert lengths(takes[0], ((1 - part) * takes[0][-1] + part * takes[1][0]).astype(np.uint8), takes[1]) == [
        36
    ]


def test_no_shot_is_shorter_than_the_shortest(takes):
    first, second, third = takes[:3]
    for few in range(1, SHORTEST):
        assert lengths(first[:few], second) == [12 + few] and lengths(second, first[:few]) == [12 + few]
    assert lengths(first[:SHORTEST], second) == [SHORTEST, 12]
    assert lengths(first, second[:2], third) == [12, 14], "two cuts, too near for both"
    assert lengths(first[:1]) == [1]


def test_frames_are_read_from_a_map(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 16 * 16 * 3 // 2), np.uint8)
    pictures.repeat(6, 0).tofile(tmp_path / "x.yuv")
    frames = YuvFrames.open(tmp_path / "x.yuv", RawFormat(16, 16))
    assert shots(frames) == shots(np.asarray(frames)) == (range(6), range(6, 12))
