"""The benchmark of random access: it measures what it says, on a tiny clip."""

import pytest

from benchmarks import segments
from coordflow_mini.encoder import segmented
from coordflow_mini.video import scenes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_share_is_that_of_the_wanted_frames():
    video = scenes.cutout(48, 64, 8).video
    (access,) = segments.accesses(video, [4], range(4, 6), steps=2, rounds=1)
    assert (access.segments, access.segment_frames) == (2, 4)
    assert 0 < access.some_seconds < access.all_seconds and 0 < access.share < 1
    assert f"{100 * access.share:.2f} %" in str(access)


def test_the_wanted_frames_are_ten_of_one_segment():
    for longest in (10, 60, 120):
        parts = [part for part in segmented([range(600)], longest) if set(part) & set(segments.WANTED)]
        assert len(segments.WANTED) == 10 and len(parts) == 1
