"""The report by its laws: self-contained, escaped, honest about wins and losses, whatever is missing."""

import csv
import json
import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from coordflow_mini.cli import app
from coordflow_mini.measure.anchors import ANCHORS, FRAMES, PIXELS
from coordflow_mini.measure.curves import OURS
from coordflow_mini.measure.results import Experiment, FailedJob, RatePoint
from coordflow_mini.show import figure
from coordflow_mini.show.report import _figure, report_html, summarize, verdict, write_report
from tests.web import Page

HOSTILE = "<script>alert('1')</script>\"'& $x^{"


def curve(codec=OURS, clip="a", *, factor=1.0, pixels=100_000, **more) -> list[RatePoint]:
    """Four points; equal to all others of the same clip but for the rate."""
    more = {"ms_ssim": 0.9, "encode_seconds": 2.0, "decode_seconds": 0.5, "settings": "preset=medium"} | more
    if codec == OURS:
        more["settings"] = more["settings"].replace("preset=medium", "layers=2 width=8, seed=0")
    points = []
    for rate, psnr in ((0.1, 30.0), (0.2, 33.0), (0.4, 36.0), (0.8, 39.0)):
        size = round(rate * factor * pixels / 8)
        points.append(RatePoint(codec, clip, size, 8 * size / pixels, psnr, **more))
    return points


def told(*points: RatePoint, **more) -> str:
    """The page without its figures, which take long."""
    return report_html(summarize(Experiment(points, **more)), {}, "runs")


def said_of(*points: RatePoint) -> str:
    return verdict(summarize(Experiment(points))).replace("\N{NO-BREAK SPACE}", " ")


# --- files --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report on two clips, one with a hostile name, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "new"
    points = [*curve(), *curve("x264", factor=2), *curve(clip=HOSTILE), *curve("x264", HOSTILE, factor=1.9)]
    experiment = Experiment(tuple(points), hardware=(HOSTILE,), versions={"torch": "2"})
    assert write_report(folder, experiment) == folder / "report.html"
    return folder, experiment


def test_everything_is_written_and_nothing_is_left_over(written):
    folder, _ = written
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "points.csv", "average.csv", "bd_rate.csv", "figures"}
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert len(figures) == 2 * 2 * 3 and {"2_a_psnr.svg", "0_average_ms_ssim.png"} <= figures
    assert not [name for name in figures if not re.fullmatch(r"[\w.-]+", name)]
    for path in (folder / "figures").glob("*.svg"):
        root = ElementTree.fromstring(path.read_bytes())
        assert root.get("aria-label") and "var(--" not in path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_loads_nothing(written):
    shown = Page((written[0] / "report.html").read_text(encoding="utf-8"))
    assert len(shown.all("svg")) == 2 * 3 and not shown.all("script") and not shown.all("img")
    shown.check_loads_nothing()
    assert "script-src" not in shown.policy


def test_no_two_elements_share_an_id_and_every_reference_is_met(written):
    shown = Page((written[0] / "report.html").read_text(encoding="utf-8"))
    ids = [one["id"] for _, one in shown.tags if "id" in one]
    assert len(ids) == len(set(ids))
    wanted = {one["aria-labelledby"] for _, one in shown.tags if "aria-labelledby" in one}
    wanted |= {one["xlink:href"][1:] for _, one in shown.tags if "xlink:href" in one}
    wanted |= {id_ for _, one in shown.tags for id_ in re.findall(r"url\(#(.*?)\)", str(one.values()))}
    assert wanted <= set(ids)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_the_tables_hold_all_points_and_their_means(written):
    folder, experiment = written
    rows = table(folder / "points.csv")
    assert [float(row["bpp"]) for row in rows] == [point.bpp for point in experiment.points]
    means = table(folder / "average.csv")
    assert {row["clip"] for row in means} == {"average"} and len(means) == 8


def test_what_comes_from_outside_is_escaped():
    def named(name: str) -> Page:
        points = [*curve(clip=name, settings=name), *curve(name, name, settings=name)]
        points += [*curve(clip="z"), *curve("x264", "z")]
        jobs = {"failed": (FailedJob(name, name),), "pending": (name,)}
        experiment = Experiment(tuple(points), hardware=(name,), versions={name: name}, **jobs)
        return Page(report_html(summarize(experiment), {}, name))

    hostile, harmless = named(HOSTILE), named("harmless")
    assert hostile.skeleton == harmless.skeleton
    assert hostile.text.count("<script>") == harmless.text.count("harmless") >= 10


def test_a_failed_figure_leaves_the_old_page(written, monkeypatch):
    folder, experiment = written
    before = (folder / "report.html").read_bytes()

    def fails(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(figure, "to_png", fails)
    with pytest.raises(OSError, match="disk full"):
        write_report(folder, experiment)
    assert (folder / "report.html").read_bytes() == before
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


# --- honesty ------------------------------------------------------------------------------------------


def test_wins_and_losses_are_named_alike():
    said = said_of(*curve(), *curve("x264", factor=2), *curve("x265", factor=0.5))
    assert said == (
        "On a, CoordFlow needs 50.0 % fewer bits than x264 medium and 100.0 % more bits than x265 medium "
        "at equal PSNR (BD-rate)."
    )


def test_the_average_speaks_for_all_clips():
    points = [point for clip in "ab" for point in (*curve(clip=clip), *curve("x264", clip, factor=2))]
    assert said_of(*points).startswith("On average over 2 clips, CoordFlow needs 50.0 % fewer bits than x264")
    shown = Page(told(*points)).text
    assert shown.index("Average over all clips") < shown.index("Remarks" if "Remarks" in shown else "points")


def test_clips_and_curves_that_are_missing_are_named():
    points = [*curve(), *curve("x264"), *curve("x264", "b"), *curve("x265")]
    said = said_of(*points)
    assert said == "CoordFlow is not in the average over 2 clips: nothing measured on b."
    assert "x265 medium: nothing measured on b." in Page(told(*points)).text


def test_what_cannot_be_computed_is_a_dash_with_its_reason():
    flat = [replace(point, psnr_db=30.0) for point in curve()]
    shown = Page(told(*flat, *curve("x264"), *curve("x265"))).text
    reason = "CoordFlow does not rise: 30.00 dB at 0.1 bpp, 30.00 dB at 0.2 bpp"
    assert f"On a, no BD-rate against x264 medium and x265 medium: {reason}." in shown
    assert f"a, x264 medium: {reason}" in shown


def test_failed_and_pending_jobs_stand_before_all_figures():
    jobs = {"failed": (FailedJob("a at 0.1 bpp", "no memory"),), "pending": ("b at 0.2 bpp", "b at 0.4 bpp")}
    shown = Page(told(*curve(), *curve("x264"), **jobs)).text
    found = [
        shown.index(text) for text in ("1 job failed", "no memory", "2 jobs still to run", "Rate at equal")
    ]
    assert found == sorted(found)
    assert "Incomplete" not in told(*curve())


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "Nothing has been measured yet."),
        (curve()[:1], "On a, CoordFlow and another codec have not both been measured yet."),
        (curve("x264"), "On a, CoordFlow and another codec have not both been measured yet."),
        ([*curve()[:1], *curve("x264")], "CoordFlow has one point"),
        ([*curve(ms_ssim=None), *curve("x264", ms_ssim=None)], "MS-SSIM was not measured."),
        ([*curve(), *curve("x264", encode_seconds=0.0)], "needs 0.0 % more bits than x264 medium"),
    ],
)
def test_little_data_gives_a_good_page(points, said):
    shown = Page(told(*points, pending=("more",)))
    assert said in shown.text and "still to run" in shown.text
    assert not re.search(r"\b(nan|None|inf)\b", shown.text)


# --- published curves ---------------------------------------------------------------------------------


def uvg(*names: str, cut: int = 0) -> list[RatePoint]:
    return [
        point
        for name in names
        for point in curve(clip=f"uvg:{name}", pixels=(FRAMES[name] - cut) * PIXELS, ms_ssim=None)
    ]


def test_published_curves_have_their_source_and_kind_of_rate():
    shown = Page(told(*uvg(*FRAMES))).text
    for anchor in ANCHORS:
        assert anchor.name in shown and anchor.kind in shown and anchor.rate in shown
    assert "arXiv:2306.09818" in shown and "not measured here" in shown
    clips = summarize(Experiment(tuple(uvg(*FRAMES)))).clips
    assert all(point.codec != "NVP" for point in clips[0].published)
    assert {one.clip for one in clips if one.published} == {
        "average",
        *(f"uvg:{name}" for name in FRAMES),
    }


@pytest.mark.parametrize(
    "points", [curve(), uvg("Beauty", cut=1), curve(clip="Beauty"), curve(clip="uvg:Boat")]
)
def test_other_frames_have_no_published_curves_beside_them(points):
    assert not any(one.published for one in summarize(Experiment(tuple(points))).clips)
    assert "Published, not measured here" not in told(*points)


def test_a_part_of_uvg_has_no_published_average():
    average, *clips = summarize(Experiment(tuple(uvg("Beauty", "Jockey")))).clips
    assert not average.published and all(clip.published for clip in clips)


def test_a_published_codec_looks_the_same_in_every_figure():
    def look(*points: RatePoint) -> dict[str, str]:
        drawn = _figure(summarize(Experiment(points)).clips[0], "psnr_db").axes[0]
        assert {line.get_markerfacecolor() for line in drawn.lines if line.get_linestyle() == "--"} == {
            "none"
        }
        return {line.get_color() + str(line.get_marker()) for line in drawn.lines}

    assert look(*uvg("Beauty")) < look(*uvg(*FRAMES)) or look(*uvg("Beauty")) < look(*uvg("ShakeNDry"))


# --- the command --------------------------------------------------------------------------------------


@pytest.fixture
def swept(monkeypatch):
    """A sweep that has measured two curves."""
    experiment = Experiment((*curve(ms_ssim=None), *curve("x264", factor=2, ms_ssim=None)), pending=("b",))
    module = types.ModuleType("coordflow_mini.sweeps.sweep")
    module.collect = lambda folder: experiment
    monkeypatch.setitem(sys.modules, "coordflow_mini.sweeps.sweep", module)
    monkeypatch.setattr("coordflow_mini.sweeps.sweep", module, raising=False)


def test_the_command_says_what_it_found_and_where(swept, tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "8 points, 0 failed, 1 still to run" in done.output and "50.0\N{NO-BREAK SPACE}%" in done.output
    assert f"open {tmp_path / 'report.html'}" in done.output.replace("\n", "")


def test_the_command_speaks_json(swept, tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--json", "--quiet"])
    found = json.loads(done.stdout)
    assert found["pending"] == ["b"] and found["bd_rate"][0]["bd_rate_percent"] == pytest.approx(-50)
    assert found["report"] == str(tmp_path / "report.html")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path / "none")])
    assert done.exit_code == 2 and "coordflow sweep INPUT" in done.output and "Traceback" not in done.output
