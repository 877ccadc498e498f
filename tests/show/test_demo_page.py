"""The report by its laws: self-contained, escaped, in step, honest about who is best, never half-written."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.model import Rendering
from coordflow_mini.show import demo_page as report
from coordflow_mini.show import page as shell
from coordflow_mini.video.clip import Video

HOSTILE = "<script>alert('1')</script>\"'& $x^{"


def clip(
    time: int = 6, height: int = 18, width: int = 32, *, noise: int = 0, name: str = "clip:test"
) -> Video:
    frame, row, column = np.ogrid[0:time, 0:height, 0:width]
    gray = ((20 * frame + row + column) % 256)[..., None] + np.array([0, 20, 40])
    gray = gray + np.random.default_rng(0).integers(-noise, noise + 1, gray.shape)
    return Video(np.clip(gray, 0, 255).astype(np.uint8), Fraction(25), name)


def rendering(video: Video, layers: int = 2) -> Rendering:
    rgb = torch.from_numpy(video.frames)
    alpha = torch.full((layers, *rgb.shape[:3]), 1 / layers)
    return Rendering(rgb=rgb, layer_rgb=torch.stack([rgb] * layers), alpha=alpha)


def point(psnr: float, codec: str = "x265", **changes) -> RatePoint:
    base = RatePoint(codec, "clip", 1000, 0.5, psnr, 0.9, 1.5, 0.1, "preset=medium crf=30, raw stream")
    return replace(base, **changes)


def run(video: Video, decoded: Video, *references: RatePoint, **changes) -> RunResult:
    ours = point(psnr_db(video.frames, decoded.frames), "CoordFlow", settings="layers=2, seed=0")
    versions = {"coordflow_mini": "0.1.0"}
    known = {"hardware": "2 cores", "versions": versions, "references": references}
    return RunResult(video.name, video.frames.shape[:3], ours, 5.0, 1600, 40.0, **(known | changes))


class Page(HTMLParser):
    """Every start tag with its attributes, and the text of every element by its innermost tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append((self.tags[-1][0] if self.tags else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def screens(self) -> list[dict[str, str]]:
        return [one for one in self.all("div") if one.get("class") == "screen"]


def page(*references: RatePoint, layers: int = 2, **changes) -> Page:
    video, decoded = clip(), clip(noise=9)
    return Page(report.report_html(run(video, decoded, *references, **changes), video, decoded,
                                   rendering(video, layers) if layers else None))  # fmt: skip


def sheet(screen: dict[str, str]) -> Image.Image:
    data = re.search(r"base64,([^']+)'", screen["style"])
    return Image.open(io.BytesIO(base64.b64decode(data[1])))


# --- self-contained -----------------------------------------------------------------------------------


def test_nothing_is_loaded_from_anywhere():
    for tag, attributes in page(point(30.0)).tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            if name in {"src", "href", "xlink:href", "action", "srcset", "poster", "data"}:
                assert value.startswith("#"), f"<{tag} {name}={value!r}>"
            assert not re.search(r"url\((?!'data:image/|#)", value or "")
            assert not name.startswith("on")


def test_style_and_script_load_nothing_either():
    for text in (shell.STYLE, report._STYLE, report._SCRIPT):
        assert not re.search(r"https?:|@import|url\(|fetch|XMLHttp|import\s*\(", text)


def test_the_policy_admits_the_one_script_and_no_network():
    shown = page()
    policy = next(meta["content"] for meta in shown.all("meta") if "http-equiv" in meta)
    scripts = [text for tag, text in shown.texts if tag == "script"]
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(shown.all("script")) == 1 and "default-src 'none'" in policy and digest in policy


def test_the_page_of_the_demo_stays_below_six_megabytes():
    video = clip(96, 108, 192, noise=20)
    decoded = clip(96, 108, 192)
    text = report.report_html(run(video, decoded), video, decoded, rendering(video))
    assert 1_000_000 < len(text.encode()) < 6_000_000


def test_what_comes_from_outside_is_escaped():
    """The same elements and attributes, whatever the names are; and every name is still read as it is."""

    def named(name: str) -> Page:
        video, decoded = clip(name=name), clip(noise=9)
        rival = point(30.0, codec=name, clip=name, settings=name)
        cited = point(31.0, codec="cited", measured=False, source=name)
        result = run(video, decoded, rival, cited, hardware=name, versions={name: name})
        result = replace(result, point=replace(result.point, settings=name))
        return Page(report.report_html(result, video, decoded))

    hostile, harmless = named(HOSTILE), named("harmless")
    assert [(tag, list(found)) for tag, found in hostile.tags] == [(t, list(f)) for t, f in harmless.tags]
    spoken = ["".join(data for _, data in shown.texts) for shown in (hostile, harmless)]
    assert spoken[0].count(HOSTILE) == spoken[1].count("harmless") >= 8  # title, heading, table, plot, ...


# --- pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_there_is_a_screen_for_everything_and_each_says_what_it_is(layers):
    screens = page(layers=layers).screens()
    assert len(screens) == 3 + 2 * layers
    assert all(
        screen["role"] == "img" and screen["aria-label"].startswith("clip:test: ") for screen in screens
    )
    assert len({screen["aria-label"] for screen in screens}) == len(screens)


def test_one_slider_has_as_many_steps_as_frames():
    shown = page()
    sliders = [one for one in shown.all("input") if one["type"] == "range"]
    assert [(one["min"], one["max"], one["step"]) for one in sliders] == [("0", "5", "1")]
    player = next(one for one in shown.all("section") if one.get("id") == "player")
    assert player["data-frames"].split(",") == [str(i) for i in range(6)]
    assert len(player["data-psnr"].split(",")) == 6


@pytest.mark.parametrize("shape", [(6, 18, 32), (1, 18, 32), (7, 33, 5), (3, 1, 1)])
def test_each_picture_lies_where_the_script_looks(shape):
    """The CSS of the player, computed by hand: room left over x percent = the picture's corner."""
    video, decoded = clip(*shape), clip(*shape, noise=9)
    shown = Page(report.report_html(run(video, decoded), video, decoded))
    player = next(one for one in shown.all("section") if one.get("id") == "player")
    corner = [float(value) for value in re.findall(r"--[xy]:([\d.e-]+)%", player["style"])]
    for screen, truth in zip(shown.screens(), (video, decoded), strict=False):
        picture = np.asarray(sheet(screen)).astype(int)
        room = picture.shape[1] - video.width, picture.shape[0] - video.height
        for index in range(video.time):
            row, column = divmod(index, int(player["data-columns"]))
            x = round((column * float(player["data-across"]) + corner[0]) / 100 * room[0])
            y = round((row * float(player["data-down"]) + corner[1]) / 100 * room[1])
            seen = picture[y : y + video.height, x : x + video.width]
            assert np.abs(seen - truth.frames[index]).mean() < 6  # the next frame is 20 away
            np.testing.assert_allclose(picture[y - 1, x : x + video.width], seen[0], atol=40)  # its border


def test_a_long_clip_is_thinned_and_a_large_one_shrunk(monkeypatch):
    monkeypatch.setattr(report, "MOST_FRAMES", 3)
    monkeypatch.setattr(report, "SHEET_PIXELS", 3 * 9 * 16)
    shown = page()
    player = next(one for one in shown.all("section") if one.get("id") == "player")
    assert player["data-frames"] == "0,2,4"
    assert "--w:16;--h:9" in player["style"]
    assert "every 2th" not in (words := "".join(text for _, text in shown.texts))
    assert "one frame in 2" in words


def test_pictures_fit_the_budget_by_lower_quality_alone(monkeypatch):
    monkeypatch.setattr(report, "PICTURE_BYTES", 6_000)
    video, decoded = clip(), clip(noise=30)
    frugal = report.report_html(run(video, decoded), video, decoded)
    assert sum(len(one["style"]) for one in Page(frugal).screens()) < 6_000 * 4 / 3 + 500
    assert "JPEG quality 92" not in frugal


def test_controls_can_be_used_by_keyboard_and_have_names():
    shown = page(point(30.0))
    for tag in ("button", "input", "output", "svg"):
        assert shown.all(tag)
        assert all(one.get("aria-label") or one.get("for") for one in shown.all(tag))
    assert shown.all("button")[0]["type"] == "button"
    assert shown.all("html")[0]["lang"] == "en" and len(shown.all("h1")) == 1
    assert "ArrowLeft" in report._SCRIPT and "prefers-color-scheme: dark" in shell.STYLE


# --- honesty ------------------------------------------------------------------------------------------


def rows(shown: str) -> dict[str, str]:
    found = re.findall(r'<tr[^>]*><th scope="row">(.*?) <small>.*?</th>(.*?)</tr>', shown)
    return {name: re.sub(r"<(?!span).*?>", "|", cells) for name, cells in found}


def html_of(*references: RatePoint) -> str:
    video, decoded = clip(), clip(noise=9)
    return report.report_html(run(video, decoded, *references), video, decoded)


def test_the_best_is_marked_whoever_it_is():
    ours = psnr_db(clip().frames, clip(noise=9).frames)
    ahead = rows(html_of(point(ours + 1, ms_ssim=0.8), point(ours - 2, "x264", ms_ssim=0.8)))
    assert "best" in ahead["x265 medium"] and "|−1.00|" in ahead["x265 medium"]
    assert "|+2.00|" in ahead["x264 medium"] and "best" not in ahead["x264 medium"]
    assert ahead["CoordFlow"].count("best") == 2  # one class name, one word: MS-SSIM, not PSNR


def test_more_bytes_or_another_protocol_win_nothing():
    ours = psnr_db(clip().frames, clip(noise=9).frames)
    larger = point(ours + 3, bytes=1500, bpp=0.75, ms_ssim=None)
    cited = point(ours + 5, "VVC", measured=False, source="a paper", bytes=0, ms_ssim=None)
    text = html_of(larger, cited)
    table = rows(text)
    assert "best" not in table["x265 medium"] and "+50 %" in table["x265 medium"]
    assert "best" not in table["VVC medium"] and "published: a paper" in text
    assert "No reference codec was measured at this rate." in text
    assert table["VVC medium"].count("–") == 2 + 0 * len(table)  # neither MS-SSIM nor bytes are known


def test_the_verdict_names_losses_like_wins():
    video, decoded = clip(), clip(noise=9)
    ours = psnr_db(video.frames, decoded.frames)
    result = run(video, decoded, point(ours - 0.5, "x264"), point(ours + 0.25), point(ours - 1, "av1"))
    spoken = report._verdict(result).replace("\N{NO-BREAK SPACE}", " ")
    assert spoken.endswith(
        "ahead of av1 medium (+1.00 dB) and x264 medium (+0.50 dB), and behind x265 medium (−0.25 dB)."
    )


def test_the_protocol_is_told():
    video, decoded = replace(clip(), matrix="bt601"), clip(noise=9)
    text = report.report_html(run(video, decoded, point(30.0)), video, decoded)
    for words in ("mean over frames", "BT.601", "real file", "without a container (raw stream)", "0:6:1",
                  "32 × 18", "layers=2, seed=0", "2 cores", "coordflow_mini 0.1.0"):  # fmt: skip
        assert words in text


def test_figures_of_other_frames_are_refused():
    video, decoded = clip(), clip(noise=9)
    with pytest.raises(ValueError, match="but the decoded frames have"):
        report.report_html(run(video, clip(noise=2)), video, decoded)
    with pytest.raises(ValueError, match="about a clip of"):
        report.report_html(run(clip(3), clip(3)), video, decoded)


# --- writing ------------------------------------------------------------------------------------------


def test_the_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    video, decoded = clip(), clip(noise=9)
    path = report.write_report(tmp_path / "report.html", run(video, decoded), video, decoded)
    good = path.read_text(encoding="utf-8")
    assert good.startswith("<!doctype html>") and list(tmp_path.iterdir()) == [path]

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(report.os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        report.write_report(path, run(video, decoded), video, decoded)
    assert path.read_text(encoding="utf-8") == good and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path):
    video, decoded = clip(), clip(noise=9)
    with pytest.raises(OSError):  # noqa: PT011
        report.write_report(tmp_path / "missing" / "report.html", run(video, decoded), video, decoded)
    assert not list(tmp_path.iterdir())
