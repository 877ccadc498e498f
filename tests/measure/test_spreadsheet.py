"""Tables: points come back as they went, numbers are numbers, nothing runs as a formula."""

import csv
import io
from dataclasses import replace

from coordflow_mini.measure.curves import Comparison
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.measure.spreadsheet import table

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


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_point_is_a_row_with_all_its_digits():
    measured, published = read(table(RatePoint, [POINT, PUBLISHED]))
    assert {name: measured[name] for name in ("bytes", "bpp", "psnr_db", "ms_ssim", "measured")} == {
        "bytes": "18650", "bpp": "0.30000000000000004", "psnr_db": "28.9", "ms_ssim": "0.97",
        "measured": "true",
    }  # fmt: skip
    assert published["ms_ssim"] == "" and published["source"] == "arXiv:2306.09818"
    assert list(measured) == list(POINT.to_json())


def test_a_cell_is_a_number_or_a_harmless_text():
    rows = read(table(RatePoint, (replace(POINT, clip=text) for text in ODD)))
    assert all(row["clip"][0] not in "=+-@\t\r" for row in rows)
    assert {float(row["bpp"]) for row in rows} == {POINT.bpp}
    (negative,) = read(table(RatePoint, [replace(POINT, psnr_db=-3.25)]))
    assert negative["psnr_db"] == "-3.25" and negative["measured"] == "true"


def test_lines_end_as_rfc_4180_says():
    text = table(RatePoint, [POINT])
    assert text.count("\r\n") == 2 == text.count("\n")


def test_differences_have_their_reason_and_unknown_ones_are_empty():
    found = [
        Comparison("=a", "CoordFlow", "x264 medium", -12.5, 0.5),
        Comparison("b", "CoordFlow", "x265", None, None, "no range, none"),
    ]
    rows = read(table(Comparison, found))
    assert list(rows[0].values()) == ["'=a", "CoordFlow", "x264 medium", "-12.5", "0.5", ""]
    assert list(rows[1].values()) == ["b", "CoordFlow", "x265", "", "", "no range, none"]
