"""Tables: points come back as they went, numbers are numbers, nothing runs as a formula."""

import csv
import io
from dataclasses import replace

import pytest

from coordflow_mini.measure.curves import Comparison
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.measure.spreadsheet import bd_rate_csv, points_csv, read_points

POINT = RatePoint("x265", "clip:bunny", 18_650, 0.1 + 0.2, 28.9, 0.97, 1.5, 1e-5, "preset=medium crf=30")
PUBLISHED = RatePoint("HiNeRV", "uvg:Beauty", 0, 0.013, 33.87, measured=False, source="arXiv:2306.09818")
ODD = [
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "'=1",
    "''@",
    "'quoted",
    "\n=1",
    " \u3000＝1",
    "a;=1+1;'-2\n\n@x",
    "a;\t'\t",
    "\ufeff+1",
    'a,"b"\nc',
    "<&>",
    "é",
]


def test_points_come_back_exactly(tmp_path):
    points = (POINT, PUBLISHED, replace(POINT, psnr_db=-3.25, ms_ssim=None))
    points += tuple(replace(POINT, clip=text, settings=text) for text in ODD)
    path = tmp_path / "points.csv"
    path.write_bytes(points_csv(points).encode())
    assert read_points(path) == points
    path.write_bytes(points_csv([]).encode())
    assert read_points(path) == ()


def test_a_cell_is_a_number_or_a_harmless_text():
    rows = list(csv.DictReader(io.StringIO(points_csv(replace(POINT, clip=text) for text in ODD))))
    assert all(row["clip"][0] not in "=+-@\t\r" for row in rows)
    assert {float(row["bpp"]) for row in rows} == {POINT.bpp}
    (negative,) = csv.DictReader(io.StringIO(points_csv([replace(POINT, psnr_db=-3.25)])))
    assert negative["psnr_db"] == "-3.25" and negative["measured"] == "true"


def test_lines_end_as_rfc_4180_says():
    text = points_csv([POINT])
    assert text.count("\r\n") == 2 == text.count("\n")


def test_differences_have_their_reason_and_unknown_ones_are_empty():
    found = [
        Comparison("=a", "CoordFlow", "x264 medium", -12.5, 0.5),
        Comparison("b", "CoordFlow", "x265", None, None, "no range, none"),
    ]
    rows = list(csv.DictReader(io.StringIO(bd_rate_csv(found))))
    assert list(rows[0].values()) == ["'=a", "CoordFlow", "x264 medium", "-12.5", "0.5", ""]
    assert list(rows[1].values()) == ["b", "CoordFlow", "x265", "", "", "no range, none"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("18650", "many"), "line 2, is no rate point"),
        (("true", "perhaps"), "line 2, is no rate point"),
        (("28.9", "nan"), "psnr_db must be a finite number"),
        (("codec", "kodek"), "must have the columns codec, clip"),
        (('"x265",', ""), "line 2, is no rate point"),
    ],
)
def test_other_tables_are_refused_in_one_line(tmp_path, change, said):
    path = tmp_path / "points.csv"
    path.write_bytes(points_csv([POINT]).replace(*change).encode())
    with pytest.raises(ValueError, match=said) as error:
        read_points(path)
    assert "\n" not in str(error.value)
