"""The record and its laws: sizes, selections, and exact area resizing."""

from fractions import Fraction

import numpy as np
import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video.clip import Video, area_resize
from coordflow_mini.video.raw import VideoError
from tests.video.frames import noise


def test_video_knows_its_size_and_by_default_is_its_own_source() -> None:
    clip = Video(noise(3, 4, 6, 3)[:, ::-1], Fraction(30000, 1001), "x")
    assert (clip.time, clip.height, clip.width, clip.pixels) == (3, 4, 6, 72)
    assert clip.frames.flags.c_contiguous
    assert clip.selection == Selection(0, 3, 1, 6, 4)
    assert repr(clip) == "Video('x', 3 frames of 6x4, 29.97 fps, rgb)"


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((2, 3, 4, 3)),
        np.zeros((2, 3, 4, 4), np.uint8),
        [[[[1, 2, 3]]]],
        None,
    ],
)
def test_video_refuses_other_arrays_and_says_what_to_do(frames: object) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \[time, height, width, 3\], got .* become so by"):
        Video(frames)  # type: ignore[arg-type]


def test_video_refuses_no_frames_unknown_matrix_and_no_rate() -> None:
    for arguments in [
        (noise(0, 2, 2, 3),),
        (noise(1, 2, 2, 3), 0),
        (noise(1, 2, 2, 3), 25, "x", Selection(), "yuv"),
    ]:
        with pytest.raises(ValueError, match="must"):
            Video(*arguments)


def test_select_of_a_selection_speaks_of_the_source() -> None:
    clip = Video(noise(20, 4, 6, 3), Fraction(24))
    once = clip.select(Selection(2, 18, 2)).select(Selection(1, 6, 3, 3, 2))
    assert once.selection == Selection(4, 14, 6, 3, 2) and once.fps == 4
    assert np.array_equal(once.frames, clip.select(once.selection).frames)
    with pytest.raises(VideoError, match="frames 0:21 of video do not exist: it has 20 frames"):
        clip.select(Selection(0, 21))


def test_area_resize_is_the_mean_over_each_area() -> None:
    frame = noise(6, 9, 3)
    blocks = frame.reshape(3, 2, 3, 3, 3).mean((1, 3))
    assert np.abs(area_resize(frame, 3, 3) - blocks).max() <= 0.5
    for height, width in [(4, 5), (5, 2), (13, 20), (1, 1)]:  # repeat each pixel so that blocks come out even
        fine = frame.repeat(height, 0).repeat(width, 1).reshape(height, 6, width, 9, 3)
        assert np.abs(area_resize(frame, height, width) - fine.mean((1, 3))).max() <= 0.5


def test_area_resize_keeps_flat_colors_of_any_size() -> None:
    flat = np.full((1, 5000, 1), 255, np.uint8)
    assert (area_resize(flat, 3, 777) == 255).all()
    assert (area_resize(np.full((2200, 4000, 1), 254, np.uint8), 7, 3) == 254).all()  # beyond int32
