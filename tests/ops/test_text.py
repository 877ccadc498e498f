"""Names and figures from outside in pages, drawings, tables and terminals: shown, and nothing else."""

import ast
import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from coordflow_mini import cli
from coordflow_mini.course.teacher.classbook import Classbook, to_csv
from coordflow_mini.course.teacher.submissions import Student, Submission
from coordflow_mini.measure import spreadsheet
from coordflow_mini.measure.curves import Comparison
from coordflow_mini.measure.results import Experiment, RatePoint
from coordflow_mini.ops.console import Console, table
from coordflow_mini.ops.text import printable
from coordflow_mini.show import figure as figures
from coordflow_mini.show import plots
from coordflow_mini.show.report import report_html, summarize, write_report
from coordflow_mini.sweeps import sweep

EVIL = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)><a href='javascript:alert(1)'>",
    "' onmouseover='alert(1)",
    "</title></style></main><svg onload=alert(1)>",
    "<!-- -->]]><![CDATA[ &lt;script&gt; &#60;b&#62; &amp;",
    "javascript:alert(1) data:text/html,x",
    "$\\frac{1}{0}$ $x^{ \\undefined $",
    "#D55E00 font-family: evil; font: 12px x",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b]0;owned\x07\x00\x08\x9b31m",
    "[bold red]x[/bold red] [/] [link=http://evil]x[/link]",
    "\u202egnp.exe \u2066x\u2069 \u200b\ufeff",
    "\ud800 half \udcff",
    "../../../etc/passwd",
    "CON\r\nnext line\u2028and next",
]
evil = pytest.mark.parametrize("name", EVIL, ids=range(len(EVIL)))


class Skeleton(HTMLParser):
    """Elements with the names of their attributes, in order, and values that could load or run something."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        names = sorted(name for name, _ in attributes)
        self.found.append((tag, *names))
        for name, value in attributes:
            assert not name.startswith("on"), (tag, name)
            assert name not in ("href", "src", "action") or str(value).startswith(("#", "data:image/")), value

    def handle_comment(self, data):
        self.found.append(("comment",))

    def unknown_decl(self, data):
        self.found.append(("declaration",))


def points(name: str) -> tuple[RatePoint, ...]:
    codecs = ("CoordFlow", f"x{name}")
    return tuple(
        RatePoint(codec, name, 100 * n, 0.1 * n, 30.0 + n, settings=f"preset={name} {name}")
        for codec in codecs
        for n in (1, 2, 3, 4, 5)
    )


def told(name: str):
    return summarize(Experiment(points(name), (), (name,), (name,), {name: name}))


@pytest.mark.promise("No code from data", "Names of clips, codecs and files add no element to a page.")
@evil
def test_a_page_has_no_element_more_for_any_name(name):
    html = report_html(told(name), {}, name)
    tame = report_html(told("tame"), {}, "tame")
    assert Skeleton(html).found == Skeleton(tame).found
    assert printable(html) == html and "default-src 'none'" in html
    html.encode("utf-8")


@pytest.mark.promise("No code from data", "Names add no element to a drawing.")
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_drawing_has_no_element_more_for_any_name():
    """Also as a file of its own, which has to be XML; and the PNG can be written at all."""
    drawn, tame = (
        plots.rate_quality([points(name)[-1] for name in names], title=names[0])
        for names in (EVIL, [f"tame{index}" for index in range(len(EVIL))])
    )
    assert Skeleton(figures.to_svg(drawn)).found == Skeleton(figures.to_svg(tame)).found
    tags = [
        [element.tag for element in ElementTree.fromstring(figures.to_svg_file(one)).iter()]
        for one in (drawn, tame)
    ]
    assert tags[0] == tags[1]
    assert figures.to_png(drawn).startswith(b"\x89PNG")


def test_a_name_of_a_million_letters_does_not_fill_a_drawing():
    long = replace(points("x")[0], settings="preset=" + "y" * 60_000)
    assert len(figures.to_svg_file(plots.rate_quality([long], title="x" * 10**6))) < 200_000


def test_files_of_a_report_stay_in_its_folder(tmp_path):
    folder, names = tmp_path / "in" / "here", []

    def progress(drawings):
        names.extend(name for name, *_ in drawings)
        return drawings[:1]

    everything = [point for name in EVIL for point in points(name)]
    write_report(folder, Experiment(tuple(everything)), progress=progress)
    assert sorted(path.name for path in folder.iterdir()) == [
        "average.csv", "bd_rate.csv", "figures", "points.csv", "report.html",
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["here"]
    assert len(set(names)) == len(names) >= len(EVIL)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name), name


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\n=1+1",
    " =1",
    "'=1",
    "''\t-1",
    '"=1',
    "\x00=1",
    "\ufeff=1",
    "\t=1",
]
FORMULAS += [
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "\u3000 ＝1",
    "a;=1+1",
    "a;=1;b",
    "a\n=1",
    "a\r+1",
    "a\t@x",
    "a; '-1",
    "\tx",
    "\rx",
]


@pytest.mark.promise("No code from data", "Names add no formula to a spreadsheet.")
@pytest.mark.parametrize("name", [*FORMULAS, *EVIL])
def test_a_spreadsheet_has_no_formula_of_any_name(name):
    """Whatever parts its cells: commas, semicolons, tabs; and whether it understands quotes there or not."""
    book = Classbook([Student(name, [Submission(name, name, {}, {}, {})])])
    difference = Comparison(name, name, name, -12.5, -0.5, name)
    for text in (
        spreadsheet.table(RatePoint, points(name)),
        spreadsheet.table(Comparison, [difference]),
        to_csv(book),
    ):
        text = text.replace("\x00", "")  # which some programs drop, and Python 3.10 does not read
        for comma, quoting in product(",;\t", (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)):
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=comma, quoting=quoting)
            for cell in (cell for row in rows for cell in row if not is_number(cell)):
                assert not re.match(r"[\s\"\x00-\x1f\ufeff]*[=+\-@＝＋－＠]", cell), (comma, cell)
        if name in FORMULAS:  # and the same for quotes that are understood to the end
            assert not any(
                cell.startswith(("\t", "\r"))
                for row in csv.reader(io.StringIO(text, newline=""))
                for cell in row
            )


def is_number(cell: str) -> bool:
    """Whether a cell is one of our numbers; they may be negative."""
    return re.fullmatch(r"-?[0-9.e-]+", cell) is not None


def test_numbers_stay_numbers():
    (row,) = csv.DictReader(
        io.StringIO(spreadsheet.table(Comparison, [Comparison("-1", "b", "c", -12.5, None)]))
    )
    assert list(row.values()) == ["'-1", "b", "c", "-12.5", "", ""]
    assert ",-12.5," in spreadsheet.table(Comparison, [Comparison("a", "b", "c", -12.5, 1.0)])


@pytest.mark.promise("No code from data", "Names send no control sequence to a terminal.")
@evil
def test_a_terminal_shows_it_and_no_more(name, capsys):
    Console().say(f"{name}: read")
    print(table([["clip", "figure"], [name, name]]))  # noqa: T201
    shown = capsys.readouterr()
    for text in (shown.err, shown.out):
        assert printable(text) == text and "\r" not in text
        text.encode("utf-8")
    assert shown.out.count("\n") == 2


def test_no_command_writes_a_name_to_stdout_by_itself():
    """`output.say` makes text printable, `print_json` escapes it, `_printable` is for an encoding."""
    for path in sorted((Path(cli.__file__).parent).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.echo", "print", "click.echo"):
                told = ast.unparse(node)
                fixed = all(isinstance(word, ast.Constant) for word in node.args)
                assert fixed or path.name == "output.py" or "printable(" in told or "json.dumps(" in told, (
                    path.name,
                    told,
                )


def test_a_path_in_stdout_moves_no_cursor(tmp_path, monkeypatch):
    """As on a terminal: elsewhere colors are taken away on the way, and nothing would be seen here."""
    monkeypatch.chdir(tmp_path)
    words = ["export", "clip:cutout", "mal\x1b[31m\x1b[2Jx", "--frames", "0:1"]
    result = CliRunner().invoke(cli.app, words, color=True)
    assert (
        result.exit_code == 0 and "mal?[31m?[2Jx: 1 frames" in result.output and "\x1b" not in result.output
    )


FIGURES = [
    0,
    -1,
    1e308,
    -1e308,
    5e-324,
    10**400,
    -(10**400),
    math.nan,
    math.inf,
    True,
    None,
    "1",
    [],
    {},
    10**15,
]


@pytest.mark.parametrize("field", ["bytes", "bpp", "psnr_db", "ms_ssim", "encode_seconds", "decode_seconds"])
def test_a_figure_is_refused_or_can_be_drawn(field, tmp_path):
    """In the file of a job that somebody else has run; no case ends in anything but a page."""
    for number, value in enumerate(FIGURES):
        good = points("clip")[0].to_json()
        _job(tmp_path, f"job{number}", json.dumps({**good, field: value}))
    result = CliRunner().invoke(cli.app, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").exists()
    experiment = sweep.collect(tmp_path)
    assert len(experiment.points) + len(experiment.failed) == len(FIGURES) and len(experiment.failed) > 6
    assert all(len(job.reason) < 2001 and "\n" not in job.reason for job in experiment.failed)


def _job(folder: Path, name: str, result: str, **files: str) -> None:
    place = folder / "jobs" / name
    place.mkdir(parents=True)
    (place / "job.json").write_text(json.dumps({"title": "clip", "codec": "CoordFlow"}))
    (place / "result.json").write_text(result)
    for file, text in files.items():
        (place / f"{file}.json").write_text(text)


RESULTS = {
    "deep in a field": '{"codec": "CoordFlow", "clip": ' + "[" * 900 + "]" * 900 + "}",
    "deep in a run": '{"point": {"codec": ' + "[" * 900 + "]" * 900 + "}}",
    "a list, deep": "[" * 900 + "]" * 900,
    "many digits": '{"bpp": ' + "9" * 5000 + "}",
    "twice": '{"codec": "a", "codec": "CoordFlow"}',
    "with a mark": '\ufeff{"codec": "CoordFlow"}',
    "a long name": json.dumps({**points("x")[0].to_json(), "clip": "x" * 900_000}),
    "NULs": "\x00" * 100,
}


@pytest.mark.parametrize("case", RESULTS)
def test_a_hostile_result_is_a_failed_job_in_one_line(case, tmp_path):
    _job(tmp_path, "a", RESULTS[case])
    _job(
        tmp_path,
        "b",
        json.dumps(points("clip")[0].to_json()),
        machine='{"hardware": [[]], "versions": {"a": []}}',
    )
    experiment = sweep.collect(tmp_path)
    (failed,) = experiment.failed
    assert "\n" not in failed.reason and len(failed.reason) < 2001 and len(experiment.points) == 1
