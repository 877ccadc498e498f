"""Figures by their laws: labelled axes, alt text, honest markers, pictures that survive the journey."""

import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from coordflow_mini.course.lesson import figures
from coordflow_mini.course.lesson.watching import training_curve
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.render import Rendering
from coordflow_mini.show import figure, plots
from coordflow_mini.video.clip import Video

TIME, HEIGHT, WIDTH = 5, 12, 20


def clip(shift: int = 0, name: str = "clip:test") -> Video:
    frame, row, column = np.ogrid[0:TIME, 0:HEIGHT, 0:WIDTH]
    gray = 10 * frame + 4 * row + 3 * column + shift
    return Video(np.repeat(gray[..., None], 3, axis=-1).astype(np.uint8), Fraction(25), name)


def rendering(layers: int = 2) -> Rendering:
    rgb = torch.from_numpy(clip().frames)
    alpha = torch.softmax(torch.arange(layers).float(), 0).view(-1, 1, 1, 1).expand(-1, TIME, HEIGHT, WIDTH)
    return Rendering(rgb=rgb, layer_rgb=torch.stack([rgb] * layers), alpha=alpha)


def point(codec: str, bpp: float, psnr_db: float, *, settings: str = "", measured: bool = True) -> RatePoint:
    source = "" if measured else "a paper"
    return RatePoint(codec, "clip", 100, bpp, psnr_db, settings=settings, measured=measured, source=source)


POINTS = [
    point("CoordFlow", 0.075, 29.12, settings="2 layers"),
    point("x264", 0.0748, 29.10, settings="preset=medium crf=30"),
    point("x265", 0.0749, 29.13, settings="preset=veryslow tune=psnr crf=31, raw stream"),
    point("HiNeRV", 0.05, 30.0, measured=False),
    point("HiNeRV", 0.15, 33.0, measured=False),
]
MOTION = np.stack([np.linspace([0, 0, 0, 0], [0.1, 0.2 * k, 0.3, -0.1], TIME) for k in (1, -1)])
HISTORY = [
    SimpleNamespace(stage="start 1 of 2", step=50, psnr_db=20.0),
    *[SimpleNamespace(stage="fit", step=step, psnr_db=20 + step / 100) for step in (50, 100, 150)],
]

FIGURES = {
    "frames_strip": lambda: figures.frames_strip(clip(), 3),
    "panels_figure": lambda: plots.panels_figure(plots.panels(clip(), clip(5), rendering()), fps=25),
    "layers_figure": lambda: figures.layers_figure(rendering(), 1),
    "rate_quality": lambda: plots.rate_quality(POINTS),
    "motion_figure": lambda: figures.motion_figure(torch.from_numpy(MOTION), MOTION, pixels_per_unit=48),
    "training_curve": lambda: training_curve(HISTORY),
}
CHARTS = [name for name in FIGURES if name.startswith(("rate", "motion", "training"))]
everything = pytest.mark.parametrize("name", FIGURES)


@everything
def test_every_figure_says_in_words_what_it_shows(name):
    drawn = FIGURES[name]()
    words = figure.alt_text(drawn)
    assert len(words) > 20 and words.endswith(".")
    assert words[:-1] in repr(drawn)
    shown = drawn._repr_html_()
    assert f'alt="{words}"' in shown
    data = base64.b64decode(shown.split("base64,")[1].split('"')[0])
    assert Image.open(io.BytesIO(data)).text["Description"] == words


@pytest.mark.parametrize("name", ["frames_strip", "rate_quality"])
def test_a_figure_leaves_no_trace_and_repeats_itself(name):
    before = dict(matplotlib.rcParams)
    assert figure.to_png(FIGURES[name]()) == figure.to_png(FIGURES[name]())
    assert figure.to_svg(FIGURES[name]()) == figure.to_svg(FIGURES[name]())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_has_labelled_axes_with_units(name):
    axes = FIGURES[name]().axes
    assert all("[" in one.get_ylabel() for one in axes)
    assert {one.get_xlabel() for one in axes} - {""}
    assert all(one.get_xlabel() for one in axes[-2:])  # the lowest row, where the axis is shared


@pytest.mark.parametrize("name", ["frames_strip", "panels_figure"])
def test_every_picture_says_which_frame_it_is(name):
    captions = [one.get_xlabel() for one in FIGURES[name]().axes]
    assert any(" s" in caption and caption.startswith("frame") for caption in captions)


def test_drawing_needs_no_pyplot_no_torch_and_no_codec():
    code = (
        "import sys; from coordflow_mini.show import plots;"
        "print([name for name in ('matplotlib.pyplot', 'torch', 'av') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- panels -------------------------------------------------------------------------------------------


def test_error_does_not_wrap_around():
    black, white = np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)
    assert plots.error_picture(black, black).max() == 0
    assert plots.error_picture(black, white).min() == 255
    assert plots.error_picture(white, black).min() == 255
    assert (plots.error_picture(black, black + 7, gain=5) == 35).all()


def test_panels_show_every_frame_of_everything():
    shown = plots.panels(clip(), clip(5), rendering(2))
    assert [panel.title for panel in shown] == [
        "original",
        "decoded",
        "error × 5",
        "layer 0, color",
        "layer 0, alpha",
        "layer 1, color",
        "layer 1, alpha",
    ]
    np.testing.assert_array_equal(shown[1].picture(3), clip(5).frames[3])
    assert (shown[2].picture(3) == 25).all()
    expected = torch.softmax(torch.arange(2).float(), 0)[1] * 255
    np.testing.assert_allclose(shown[6].picture(0), expected, atol=1)
    assert {panel.picture(0).dtype for panel in shown} == {np.dtype(np.uint8)}


def test_panels_refuse_what_does_not_fit_together():
    short = Video(clip().frames[:2])
    with pytest.raises(ValueError, match="one length.*'decoded': 2"):
        plots.panels(clip(), short)
    narrow = Video(np.ascontiguousarray(clip().frames[:, :, :4]))
    with pytest.raises(ValueError, match="one shape"):
        plots.panels(clip(), narrow)
    with pytest.raises(ValueError, match="at least 1"):
        figures.frames_strip(clip(), 0)


@pytest.mark.parametrize(("time", "count"), [(1, 4), (5, 5), (5, 2), (96, 6), (3, 9)])
def test_a_strip_holds_the_first_and_the_last_frame(time, count):
    strip = figures.frames_strip(Video(np.zeros((time, 4, 6, 3), np.uint8)), count)
    captions = [one.get_xlabel() for one in strip.axes]
    assert len(captions) == min(time, count)
    assert captions[0].startswith("frame 0") and captions[-1].startswith(f"frame {time - 1}")


# --- charts -------------------------------------------------------------------------------------------


def labels_of(drawn: figure.Picture) -> dict[str, matplotlib.text.Text]:
    return {text.get_text(): text for text in drawn.axes[0].texts if text.get_text()}


def test_measured_points_are_filled_and_published_ones_hollow():
    drawn = plots.rate_quality(POINTS)
    faces = {len(line.get_xdata()): line.get_markerfacecolor() for line in drawn.axes[0].lines}
    assert faces[2] == "none"  # the published curve is the one with two points
    assert faces[1] in figure.PALETTE.values()
    assert "HiNeRV (published)" in labels_of(drawn)


def test_presets_of_one_codec_share_its_color_and_differ_in_their_dots():
    presets = [point("x265", 0.1, 30.0 + i, settings=f"preset={p}") for i, p in enumerate(("slow", "fast"))]
    lines = plots.rate_quality(presets).axes[0].lines
    assert len({line.get_color() for line in lines}) == 1
    assert len({str((line.get_linestyle(), line._unscaled_dash_pattern)) for line in lines}) == 2


def test_ms_ssim_is_drawn_where_it_is_known():
    known = [replace(point("x265", rate, 30.0), ms_ssim=0.9 + rate / 10) for rate in (0.1, 0.2)]
    drawn = plots.rate_quality([*known, point("x264", 0.1, 31.0)], quality="ms_ssim")
    (line,) = drawn.axes[0].lines
    assert list(line.get_ydata()) == [p.ms_ssim for p in known]
    assert "MS-SSIM" in drawn.axes[0].get_ylabel() and "0.9100 at 0.1 bpp" in figure.alt_text(drawn)
    with pytest.raises(ValueError, match="RatePoint with ms_ssim"):
        plots.rate_quality(POINTS, quality="ms_ssim")


def test_a_codec_can_keep_its_color_where_others_are_missing():
    names = ["VTM", "HiNeRV"]
    alone = plots.rate_quality([point("HiNeRV", 0.1, 30.0)], codecs=names)
    both = plots.rate_quality([point(name, 0.1, 30.0) for name in names], codecs=names)
    assert alone.axes[0].lines[0].get_color() == both.axes[0].lines[1].get_color()


def test_labels_stand_beside_the_plot_and_never_on_each_other():
    crowd = [point(f"codec {i}", 0.1, 30 + 0.001 * i) for i in range(8)]
    for drawn in (plots.rate_quality(crowd), plots.rate_quality([*crowd, point("far", 0.5, 40.0)])):
        figure.to_png(drawn)
        renderer = drawn._get_renderer()
        boxes = sorted(
            (text.get_window_extent(renderer) for text in labels_of(drawn).values()), key=lambda b: b.y0
        )
        assert len(boxes) == len(drawn.axes[0].lines)
        assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
        assert all(drawn.axes[0].bbox.x1 < box.x0 and box.x1 < drawn.bbox.x1 for box in boxes)


def test_no_points_and_no_history_are_refused():
    with pytest.raises(ValueError, match="at least one RatePoint"):
        plots.rate_quality([])
    with pytest.raises(ValueError, match="at least one step"):
        training_curve([])


def test_motion_is_drawn_in_readable_units_with_the_truth_dashed():
    drawn = figures.motion_figure(MOTION, MOTION, pixels_per_unit=10)
    scale, angle, right, _ = drawn.axes
    assert scale.lines[0].get_ydata()[-1] == pytest.approx(np.exp(0.1))
    assert angle.lines[0].get_ydata()[-1] == pytest.approx(np.degrees(0.2))
    assert right.lines[0].get_ydata()[-1] == pytest.approx(3.0)
    assert sorted(line.get_linestyle() for line in scale.lines) == ["-", "-", "--", "--"]


def test_each_stage_of_a_history_is_a_line():
    assert len(training_curve(HISTORY).axes[0].lines) == 2


# --- bytes --------------------------------------------------------------------------------------------


def test_a_data_uri_holds_the_very_bytes():
    for data, kind in [
        (figure.to_jpeg(clip().frames[0]), "jpeg"),
        (figure.to_png(FIGURES["frames_strip"]()), "png"),
    ]:
        head, _, body = figure.to_data_uri(data).partition(",")
        assert head == f"data:image/{kind};base64"
        assert base64.b64decode(body) == data


def test_a_jpeg_keeps_colors_that_change_from_pixel_to_pixel():
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 200
    back = np.asarray(Image.open(io.BytesIO(figure.to_jpeg(stripes))))
    assert np.abs(back.astype(int) - stripes).mean() < 4  # 20 with chroma subsampling


def test_an_svg_takes_colors_and_font_from_its_page():
    drawn = plots.rate_quality([point("<b>&$x^$", 0.1, 30.0), *POINTS])
    text = figure.to_svg(drawn)
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-label") == figure.alt_text(drawn)
    assert "currentColor" in text and "var(--vermillion" in text and figure.INK.lower() not in text.lower()
    assert "DejaVu" not in text and "<style" not in text
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<b>&$x^$" in words and "x264 medium" in words


def test_an_svg_file_stands_alone_and_pictures_of_one_page_share_no_id():
    figures = [plots.rate_quality([point("x265", 0.1, psnr)]) for psnr in (30.0, 31.0)]
    ids = [re.findall(r' id="([^"]*)"', figure.to_svg(drawn)) for drawn in figures]
    assert ids[0] and not set(ids[0]) & set(ids[1])
    alone = figure.to_svg_file(figures[0])
    assert ElementTree.fromstring(alone.encode()).get("aria-label") == figure.alt_text(figures[0])
    assert "var(--" not in alone and "currentColor" not in alone and alone.startswith("<?xml")


def test_places_without_a_picture_stay_empty():
    picture = np.zeros((4, 6, 3), np.uint8)
    drawn = figures.pictures(dict.fromkeys("abcde", picture), alt="Five black pictures.", columns=3)
    assert [place.axison for place in drawn.axes] == [True] * 5 + [False]
