"""Frame positions at other rates."""

from fractions import Fraction

import numpy as np
import pytest

from coordflow_mini.video.clip import timeline


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 1.5, 2, 2.4, 10])
@pytest.mark.parametrize("frames", [range(1), range(24), range(3, 20, 4)])
def test_a_timeline_stays_within_its_frames_and_keeps_its_pace(frames, factor):
    line = timeline(frames, Fraction(24), factor)
    assert line.positions[0] == frames[0] and line.positions[-1] <= frames[-1]
    assert frames[-1] - line.positions[-1] < frames.step / factor, "it goes on to the last frame"
    pace = np.diff(line.positions) * float(line.fps)
    np.testing.assert_allclose(pace, 24, err_msg="a second of the clip lasts a second")


def test_at_their_own_rate_frames_stay_themselves():
    line = timeline(range(2, 9, 3), Fraction(30_000, 1001))
    assert line.positions == (2, 5, 8) and line.fps == Fraction(10_000, 1001)


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), 1e-9])
def test_no_other_factor_makes_sense(factor):
    with pytest.raises(ValueError, match="factor must be positive"):
        timeline(range(3), Fraction(25), factor)
