"""The demo page by its laws: self-contained, escaped, in step, honest about who is best, written whole."""

import base64
import hashlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.show.demo_page import demo_page_html, verdict
from tests.web import Page, clip, point, rendering, run

HOSTILE = "<script>alert('1')</script>\"'& $x^{"


def screens(shown: Page) -> list[dict[str, str]]:
    return [one for one in shown.all("div") if one.get("class") == "screen"]


def player(shown: Page) -> dict[str, str]:
    return next(one for one in shown.all("section") if one.get("id") == "player")


def page(*references: RatePoint, layers: int = 2) -> Page:
    video, decoded = clip(), clip(noise=9)
    layered = rendering(video, layers) if layers else None
    return Page(demo_page_html(run(video, decoded, *references), video, decoded, layered))


def sheet(screen: dict[str, str]) -> Image.Image:
    data = re.search(r"base64,([^']+)'", screen["style"])
    return Image.open(io.BytesIO(base64.b64decode(data[1])))


# --- self-contained -----------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_its_policy_admits_its_one_script():
    shown = page(point(30.0))
    shown.check_loads_nothing()
    digest = base64.b64encode(hashlib.sha256(shown.script.encode()).digest()).decode()
    assert len(shown.all("script")) == 1 and f"script-src 'sha256-{digest}'" in shown.policy


def test_the_page_of_the_demo_stays_below_six_megabytes():
    video, decoded = clip(96, 108, 192, noise=15), clip(96, 108, 192)
    text = demo_page_html(run(video, decoded), video, decoded, rendering(video))
    assert 1_000_000 < len(text.encode()) < 6_000_000


def test_what_comes_from_outside_is_escaped():
    """The same elements and attributes, whatever the names are; and every name is still read as it is."""

    def named(name: str) -> Page:
        video, decoded = clip(name=name), clip(noise=9)
        rival = point(30.0, codec=name, clip=name, settings=name)
        cited = point(31.0, codec="cited", measured=False, source=name)
        result = run(video, decoded, rival, cited, hardware=name, versions={name: name})
        result = replace(result, point=replace(result.point, settings=name))
        return Page(demo_page_html(result, video, decoded))

    hostile, harmless = named(HOSTILE), named("harmless")
    assert hostile.skeleton == harmless.skeleton
    assert hostile.text.count(HOSTILE) == harmless.text.count("harmless") >= 8  # title, heading, table, ...


# --- pictures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_there_is_a_screen_for_everything_and_each_says_what_it_is(layers):
    found = screens(page(layers=layers))
    assert len(found) == len({one["aria-label"] for one in found}) == 3 + 2 * layers
    assert all(one["role"] == "img" and "clip:test: " in one["aria-label"] for one in found)


def test_one_slider_has_as_many_steps_as_frames():
    shown = page()
    sliders = [one for one in shown.all("input") if one["type"] == "range"]
    assert [(one["min"], one["max"], one["step"]) for one in sliders] == [("0", "5", "1")]
    assert len(player(shown)["data-psnr"].split(",")) == 6


@pytest.mark.parametrize("shape", [(6, 18, 32), (1, 18, 32), (7, 33, 5), (3, 1, 1)])
def test_each_picture_lies_where_the_script_looks(shape):
    """The CSS of the player, computed by hand: room left over x percent = the picture's corner."""
    video, decoded = clip(*shape), clip(*shape, noise=9)
    shown = Page(demo_page_html(run(video, decoded), video, decoded))
    found = player(shown)
    corner = [float(value) for value in re.findall(r"--[xy]:([\d.e-]+)%", found["style"])]
    for screen, truth in zip(screens(shown), (video, decoded), strict=False):
        picture = np.asarray(sheet(screen)).astype(int)
        room = picture.shape[1] - video.width, picture.shape[0] - video.height
        for index in range(video.time):
            row, column = divmod(index, int(found["data-columns"]))
            x = round((column * float(found["data-across"]) + corner[0]) / 100 * room[0])
            y = round((row * float(found["data-down"]) + corner[1]) / 100 * room[1])
            seen = picture[y : y + video.height, x : x + video.width]
            assert np.abs(seen - truth.frames[index]).mean() < 6  # the next frame is 20 away
            np.testing.assert_allclose(picture[y - 1, x : x + video.width], seen[0], atol=40)  # its border


def test_controls_can_be_used_by_keyboard_and_have_names():
    shown = page(point(30.0))
    for tag in ("button", "input", "output", "svg"):
        assert shown.all(tag)
        assert all(one.get("aria-label") or one.get("for") for one in shown.all(tag))
    assert shown.all("button")[0]["type"] == "button"
    assert shown.all("html")[0]["lang"] == "en" and len(shown.all("h1")) == 1
    assert "ArrowLeft" in shown.script and "prefers-color-scheme: dark" in shown.style


# --- honesty ------------------------------------------------------------------------------------------


def rows(shown: str) -> dict[str, str]:
    found = re.findall(r'<tr[^>]*><th scope="row">(.*?) <small>.*?</th>(.*?)</tr>', shown, re.DOTALL)
    return {name: re.sub(r"<(?!span).*?>", "|", cells) for name, cells in found}


def html_of(*references: RatePoint) -> str:
    video, decoded = clip(), clip(noise=9)
    return demo_page_html(run(video, decoded, *references), video, decoded)


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
    assert "No other codec was measured at this rate." in text
    assert table["VVC medium"].count("–") == 2 + 0 * len(table)  # neither MS-SSIM nor bytes are known


def test_the_verdict_names_losses_like_wins():
    video, decoded = clip(), clip(noise=9)
    ours = psnr_db(video.frames, decoded.frames)
    result = run(video, decoded, point(ours - 0.5, "x264"), point(ours + 0.25), point(ours - 1, "av1"))
    spoken = verdict(result).replace("\N{NO-BREAK SPACE}", " ")
    assert spoken.endswith(
        "ahead of av1 medium (+1.00 dB) and x264 medium (+0.50 dB) and behind x265 medium (−0.25 dB)."
    )


def test_the_protocol_is_told():
    video, decoded = replace(clip(), matrix="bt601"), clip(noise=9)
    text = demo_page_html(run(video, decoded, point(30.0)), video, decoded)
    for words in ("averaged over frames", "BT.601", "whole file", "without a container (raw stream)", "0:6:1",
                  "32 × 18", "layers=2, seed=0", "2 cores", "coordflow_mini 0.1.0"):  # fmt: skip
        assert words in text
