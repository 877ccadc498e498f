"""Published curves appear beside the same frames only, near the same rates, and say what they are."""

from dataclasses import replace

import pytest

from coordflow_mini.measure.anchors import ANCHORS, FRAMES, PIXELS, REACH, beside, sequence, whole_set
from coordflow_mini.measure.results import RatePoint, published


def measured(name: str, *, frames: int = 600, size: int = 1_000_000) -> RatePoint:
    return RatePoint("CoordFlow", f"uvg:{name}", size, 8 * size / (frames * PIXELS), 34.0)


def test_every_anchor_is_published_somewhere():
    known = {point.codec for name in (*FRAMES, "average") for point in published(name)}
    assert {anchor.name for anchor in ANCHORS} <= known
    assert all(anchor.kind and anchor.rate for anchor in ANCHORS)


def test_all_sequences_of_the_table_are_known():
    for name in FRAMES:
        assert published(name)


def test_only_whole_sequences_have_published_curves():
    assert sequence([measured("Beauty"), measured("Beauty", size=77)]) == "Beauty"
    assert sequence([measured("ShakeNDry", frames=300)]) == "ShakeNDry"
    assert sequence([measured("ShakeNDry")]) is None
    assert sequence([measured("Beauty", frames=599)]) is None
    assert sequence([measured("Beauty"), measured("Beauty", frames=60)]) is None
    assert sequence([replace(measured("Beauty"), clip="clip:Beauty")]) is None
    assert sequence([replace(measured("Beauty"), clip="Beauty")]) is None
    assert sequence([measured("Boat")]) is None
    assert sequence([]) is None


def test_the_average_needs_all_seven_and_no_more():
    assert whole_set(FRAMES)
    assert not whole_set([*FRAMES, None])
    assert not whole_set(list(FRAMES)[1:])


@pytest.mark.parametrize("name", ["Beauty", "ShakeNDry", "average"])
def test_they_are_the_published_points_near_ours(name):
    low, high = (replace(measured("Beauty"), bpp=bpp) for bpp in (0.05, 0.15))
    shown = beside(name, [low, high])
    assert shown and set(shown) <= set(published(name))
    assert all(0.05 / REACH <= point.bpp <= 0.15 * REACH and not point.measured for point in shown)
    assert {point.codec for point in shown} <= {anchor.name for anchor in ANCHORS}
