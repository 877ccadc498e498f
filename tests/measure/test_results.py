"""Records survive JSON; anything that is not a record is answered with one line."""

import json
from dataclasses import replace

import pytest

from coordflow_mini.measure.results import RatePoint, RunResult, data_file, published

POINT = RatePoint("coordflow", "clip:bunny", 18_640, 0.0749, 29.3, 0.97, 150.0, 1.5, "2 layers, width 64")
PUBLISHED = RatePoint("HiNeRV", "Beauty", 0, 0.013, 33.87, measured=False, source="arXiv:2306.09818")
RUN = RunResult(
    clip="clip:bunny",
    shape=(96, 108, 192),
    point=POINT,
    bits_per_weight=5.0,
    parameters=25_000,
    unquantized_psnr_db=29.5,
    hardware="2 cores",
    versions={"torch": "2.13.0"},
    references=(PUBLISHED, replace(POINT, codec="x265")),
)


def through_json(data):
    return json.loads(json.dumps(data, allow_nan=False))


@pytest.mark.parametrize("record", [POINT, PUBLISHED, RUN, replace(RUN, references=(), versions={})])
def test_round_trip(record):
    values = through_json(record.to_json())
    assert record == (RunResult.from_json(values) if "point" in values else RatePoint(**values))


def test_optional_fields_may_be_left_out():
    assert RatePoint("x", "y", 1, 0.1, 30).measured


def test_ms_ssim_that_could_not_be_measured_is_none():
    assert replace(POINT, ms_ssim=float("nan")).ms_ssim is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bytes": -1}, "bytes must be a number from 0"),
        ({"bytes": True}, "bytes must be a number"),
        ({"bpp": 0}, "bpp must be a number from 1e-12"),
        ({"psnr_db": float("inf")}, "psnr_db must be a number from .*, got inf"),
        ({"psnr_db": float("nan")}, "psnr_db must be a number from .*, got nan"),
        ({"psnr_db": "30"}, "psnr_db must be a number"),
        ({"ms_ssim": 2}, "ms_ssim must be"),
        ({"encode_seconds": -1}, "encode_seconds"),
        ({"codec": 5}, "codec must be a string"),
        ({"measured": False}, "needs its source"),
        ({"psnr": 30}, "unexpected keyword argument 'psnr'"),
    ],
)
def test_bad_points(change, said):
    with pytest.raises((TypeError, ValueError), match=said) as error:
        RatePoint(**POINT.to_json() | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": 5}, "not iterable"),
        ({"point": None}, "mapping"),
        ({"point": {}}, "missing 5 required"),
        ({"references": [3]}, "mapping"),
        ({"versions": 3}, "not iterable"),
    ],
)
def test_bad_runs(change, said):
    with pytest.raises((TypeError, ValueError), match=said) as error:
        RunResult.from_json(RUN.to_json() | change)
    assert "\n" not in str(error.value)


def test_the_published_table_is_whole():
    sequences = "Beauty Bosphorus HoneyBee Jockey ReadySetGo ShakeNDry YachtRide average".split()
    points = [point for sequence in sequences for point in published(sequence)]
    assert len(points) == 633
    assert not any(point.measured or not point.source for point in points)
    curves = {}
    for point in points:
        curves.setdefault((point.codec, point.clip), []).append((point.bpp, point.psnr_db))
    for curve in curves.values():
        assert sorted(psnr for _, psnr in curve) == [psnr for _, psnr in sorted(curve)], "curves rise"
    with pytest.raises(ValueError, match="sequence must be one of Beauty, .* got 'Bunny'"):
        published("Bunny")


def test_files_that_ship_are_found_and_others_named():
    assert data_file("anchors/README.md").is_file()
    with pytest.raises(FileNotFoundError, match="no file 'anchors/nothing.csv' ships"):
        data_file("anchors/nothing.csv")
