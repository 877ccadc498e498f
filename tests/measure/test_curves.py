"""Curves by their laws: who belongs together, what the mean is, how far two lie apart."""

from dataclasses import replace

import pytest

from coordflow_mini.measure.curves import AVERAGE, OURS, average, by_clip, compare, curve_name, curves
from coordflow_mini.measure.results import RatePoint

RATES, PIXELS = (0.1, 0.2, 0.4, 0.8), 96 * 64 * 24


def curve(
    codec: str = OURS, clip: str = "a", *, rates=RATES, quality=(30, 33, 36, 39), **more
) -> list[RatePoint]:
    return [
        RatePoint(codec, clip, round(rate * PIXELS / 8), rate, psnr, **more)
        for rate, psnr in zip(rates, quality, strict=True)
    ]


def at_rates(points: list[RatePoint], factor: float, **changes) -> list[RatePoint]:
    return [replace(point, bpp=factor * point.bpp, **changes) for point in points]


# --- names and groups ---------------------------------------------------------------------------------


def test_settings_that_make_another_picture_make_another_curve():
    names = {
        curve_name(curve("x265", settings=f"preset=medium crf=30 {more}")[0])
        for more in ("yuv420p, PyAV 15", "yuv444p, PyAV 15", "yuv420p, PyAV 15, accurate RGB")
    }
    assert names == {"x265 medium", "x265 medium 4:4:4", "x265 medium accurate RGB"}


def test_points_find_their_curve_in_any_order():
    points = [*curve(), *curve("x264"), *curve("x264", measured=False, source="a paper")]
    found = curves(points[::-1])
    assert set(found) == {OURS, "x264", "x264 (published)"}
    assert found[OURS] == curve()


def test_clips_hold_what_was_measured_on_them():
    points = [*curve(clip="b"), *curve(clip="a"), *curve(clip="c", measured=False, source="a paper")]
    assert list(by_clip(points).items()) == [("a", curve(clip="a")), ("b", curve(clip="b"))]


# --- averages -----------------------------------------------------------------------------------------


def test_the_average_of_equal_clips_is_the_clip():
    one = curve(ms_ssim=0.9, encode_seconds=3.0, settings="layers=2 width=32, seed=0")
    mean = average(replace(point, clip=clip) for clip in "abc" for point in one)
    assert [replace(point, clip="a") for point in mean.points] == one
    assert not mean.left_out and {point.clip for point in mean.points} == {AVERAGE}


def test_the_average_is_that_of_rate_and_of_quality_at_equal_target():
    twins = [*curve(clip="a"), *at_rates(curve(clip="b", quality=(20, 21, 22, 23)), 0.96)]
    found = average(twins).points
    assert [point.bpp for point in found] == pytest.approx([0.98 * rate for rate in RATES])
    assert [point.psnr_db for point in found] == [25, 27, 29, 31]


def test_a_curve_that_a_clip_lacks_is_not_averaged_and_named():
    mean = average([*curve(clip="a"), *curve(clip="b"), *curve("x264", "a")])
    assert {point.codec for point in mean.points} == {OURS}
    assert mean.left_out == {"x264": "nothing measured on b"}


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_failed_job_does_not_shift_the_others(missing):
    """The mean of a clip with itself is the clip, also where another rate is missing on either side."""
    short = [point for rank, point in enumerate(curve(clip="b")) if rank != missing]
    for points in ([*curve(clip="a"), *short], [*short, *curve(clip="c")]):
        mean = average(points)
        assert [(p.bpp, p.psnr_db) for p in mean.points] == [(p.bpp, p.psnr_db) for p in short]
        assert mean.left_out == {OURS: "only 3 of 4 rates were measured on all clips"}


def test_different_rates_missing_on_two_clips_leave_what_both_have():
    mean = average([*curve(clip="a")[1:], *curve(clip="b")[:-1]])
    assert [point.psnr_db for point in mean.points] == [33, 36]


def test_ms_ssim_is_averaged_only_if_all_have_it():
    half = average([*curve(clip="a", ms_ssim=0.9), *curve(clip="b")])
    assert {point.ms_ssim for point in half.points} == {None}


def test_an_averaged_point_keeps_its_name_and_drops_what_differs():
    settings = [f"preset=medium tune=psnr crf={crf} yuv420p, raw stream, PyAV 15" for crf in (20, 30)]
    points = [*curve("x264", "a", settings=settings[0]), *curve("x264", "b", settings=settings[1])]
    (name,) = {curve_name(point) for point in average(points).points}
    assert name == curve_name(points[0])
    assert average(points).points[0].settings == "preset=medium tune=psnr yuv420p, raw stream, PyAV 15"


# --- differences --------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.25])
def test_a_curve_at_a_multiple_of_the_rate_differs_by_it(factor):
    (found,) = compare([*at_rates(curve(), factor), *curve("x264")])
    assert found.bd_rate_percent == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert (found.clip, found.curve, found.against, found.reason) == ("a", OURS, "x264", "")
    assert (found.bd_psnr_db > 1e-9) == (factor < 1) and (found.bd_psnr_db < -1e-9) == (factor > 1)


def test_a_constant_gain_is_the_bd_psnr():
    better = [replace(point, psnr_db=point.psnr_db + 1.5) for point in curve()]
    assert compare([*better, *curve("x264")])[0].bd_psnr_db == pytest.approx(1.5)


def test_all_of_ours_meet_all_of_theirs_and_nothing_published():
    points = [*curve(), *curve(settings="preset=uvg-s"), *curve("x264"), *curve("x265")]
    points += curve("HiNeRV", measured=False, source="a paper")
    found = {(one.curve, one.against) for one in compare(points)}
    assert found == {(mine, other) for mine in (OURS, f"{OURS} uvg-s") for other in ("x264", "x265")}
    assert not compare(curve("x264"))


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (curve()[:1], "has one point"),
        (curve(quality=(30, 33, 36, 31)), "does not rise: 36.00 dB at 0.4 bpp, 31.00 dB at 0.8 bpp"),
        ([*curve(), *curve()], "does not rise"),
    ],
)
def test_what_is_no_curve_has_a_reason_and_no_figure(ours, said):
    (found,) = compare([*ours, *curve("x264")])
    assert found.bd_rate_percent is None and found.bd_psnr_db is None and said in found.reason


def test_curves_without_common_quality_may_still_share_rates_and_the_other_way():
    worse = [replace(point, psnr_db=point.psnr_db - 20) for point in curve()]
    (found,) = compare([*worse, *curve("x264")])
    assert found.bd_rate_percent is None and found.bd_psnr_db == pytest.approx(-20)
    assert "share no range of PSNR" in found.reason
    (found,) = compare([*at_rates(curve(), 100), *curve("x264")])
    assert found.bd_rate_percent == pytest.approx(9900) and found.bd_psnr_db is None
    assert "share no range of rates" in found.reason


def test_few_points_are_told():
    (found,) = compare([*curve()[:3], *curve("x264")])
    assert found.bd_rate_percent == pytest.approx(0) and "3 points; 4 are usual" in found.reason
