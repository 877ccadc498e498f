"""`coordflow segment` and its like: the library's own results, on any clip or encoded file, or one line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordflow_mini import applications, bitstream, cli, decoder
from coordflow_mini.config import FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.ops.console import Console
from coordflow_mini.ops.run import fit
from coordflow_mini.sampling import default_model
from coordflow_mini.video import read, write
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load
from tests.cli.commands import SmallBatch, bad, good, pictures

COMMANDS = ["segment", "inpaint", "upscale", "interpolate", "stabilize", "denoise"]
CLIP = ["--frames", "0:6", "--size", "24x16"]
BRIEF = ["--steps", "20", "--width", "8", "--threads", "1"]


@pytest.fixture(scope="module")
def scene() -> Video:
    return load("clip:cutout", Selection.parse("0:6", "24x16"))


@pytest.fixture(scope="module")
def coded(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("coded") / "scene.cfv"
    good("encode", "clip:cutout", path, *CLIP, *BRIEF, "--quiet")
    return path


@pytest.fixture(scope="module")
def config() -> FitConfig:
    """What `BRIEF` means."""
    return Recipe(fit=SmallBatch()).with_steps(20).fit


def shape(scene: Video, layers: int = 2, width: int = 8) -> ModelConfig:
    return replace(default_model(scene), layers=layers, width=width)


@pytest.fixture(scope="module")
def found(scene, config) -> np.ndarray:
    """Masks of what `BRIEF` fits."""
    return applications.segment(fit(scene, shape(scene), config).model, scene)


@pytest.fixture(scope="module")
def masks(tmp_path_factory) -> Path:
    """The same, as the command writes them."""
    out = tmp_path_factory.mktemp("segment") / "masks"
    good("segment", "clip:cutout", out, *CLIP, *BRIEF, "--quiet")
    return out


# --- what is written is what the library makes --------------------------------------------------------


def test_segment_writes_a_mask_of_each_layer(masks, found):
    assert sorted(path.name for path in masks.iterdir()) == ["layer_0", "layer_1"]
    for layer in range(2):
        np.testing.assert_array_equal(pictures(masks / f"layer_{layer}"), found[layer] * 255)
    with Image.open(masks / "layer_0" / "frame_00000.png") as picture:
        assert picture.mode == "L"


def test_segment_says_how_much_each_layer_has(tmp_path, found):
    shares = found.mean(axis=(1, 2, 3))
    text = good("segment", "clip:cutout", tmp_path / "masks", *CLIP, *BRIEF).stdout
    assert f"layer 0 {shares[0]:.1%}, layer 1 {shares[1]:.1%}" in text and "6 frames of 24x16" in text
    again = good("segment", "clip:cutout", tmp_path / "masks", *CLIP, *BRIEF, "--json", "--layers", 1)
    figures = json.loads(again.stdout)
    assert figures["shares"] == [1] and figures["interrupted"] is False and figures["fits"][0]["steps"] == 20
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["layer_0"], "replaces what it wrote"


def test_segment_tints_the_frames(tmp_path, scene, found):
    good("segment", "clip:cutout", tmp_path / "tinted.npy", *CLIP, *BRIEF)
    written = np.load(tmp_path / "tinted.npy")
    np.testing.assert_array_equal(written, np.stack(list(write.tinted(scene.frames, found))))


def test_a_tint_is_half_the_color_of_the_layer_on_top():
    from coordflow_mini.course.lesson.overlay import COLORS
    from coordflow_mini.show.figure import PALETTE

    assert tuple(PALETTE[color] for color in COLORS) == write.LAYER_COLORS
    tops = np.arange(8).reshape(1, 2, 4)  # eight layers, a pixel each; after six the colors come again
    frames = np.full((1, 2, 4, 3), 100, np.uint8)
    (tinted,) = write.tinted(frames, np.arange(8)[:, None, None, None] == tops)
    np.testing.assert_array_equal(tinted[0, 0], [(100 + 0xD5) // 2, (100 + 0x5E) // 2, 50])
    np.testing.assert_array_equal(tinted[1, 2:], tinted[0, :2])


def test_a_file_is_asked_without_training(coded, tmp_path):
    model = decoder.read_model(coded.read_bytes())[1]
    like = decoder.decode(coded.read_bytes())
    found = applications.segment(model, like)
    result = good("segment", coded, tmp_path / "masks")
    assert "fit" not in result.output, "nothing was"
    np.testing.assert_array_equal(pictures(tmp_path / "masks" / "layer_1"), found[1] * 255)
    good("segment", coded, tmp_path / "tinted.npy")
    expected = np.stack(list(write.tinted(like.frames, found)))
    np.testing.assert_array_equal(np.load(tmp_path / "tinted.npy"), expected)
    good("stabilize", coded, tmp_path / "still.npy", "--layer", 1)
    np.testing.assert_array_equal(
        np.load(tmp_path / "still.npy"), applications.stabilize(model, 1, like).video.frames
    )


def test_upscale_and_interpolate_of_a_file_are_what_decode_shows(coded, tmp_path):
    for words, same in ((["upscale"], ["--scale", 2]), (["interpolate"], ["--fps-scale", 2])):
        good(*words, coded, tmp_path / "ours.npy")
        good("decode", coded, tmp_path / "decoded.npy", *same)
        np.testing.assert_array_equal(np.load(tmp_path / "ours.npy"), np.load(tmp_path / "decoded.npy"))


def test_upscale_and_interpolate_of_a_clip(scene, config, tmp_path):
    model = fit(scene, shape(scene), config).model
    out = good("upscale", "clip:cutout", tmp_path / "a.npy", "--scale", 1.5, *CLIP, *BRIEF).stdout
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), applications.upscale(model, 1.5, scene).frames)
    assert "6 frames of 36x24, 24 fps" in out and "24x16 before" in out
    out = good("interpolate", "clip:cutout", tmp_path / "a.mp4", "--factor", 3, *CLIP, *BRIEF).stdout
    assert "16 frames of 24x16, 72 fps" in out and "6 at 24 fps before" in out
    assert read.load(tmp_path / "a.mp4").time == 16


def test_stabilize_holds_the_background(scene, config, tmp_path):
    model = fit(scene, shape(scene), config).model
    layer = applications.background(applications.segment(model, scene))
    steady = applications.stabilize(model, layer, scene)
    text = good("stabilize", "clip:cutout", tmp_path / "still.npy", *CLIP, *BRIEF).stdout
    np.testing.assert_array_equal(np.load(tmp_path / "still.npy"), steady.video.frames)
    assert f"layer {layer} stands still" in text and f"the camera saw {steady.seen.mean():.1%}" in text
    cropped = good("stabilize", "clip:cutout", tmp_path / "still.npy", *CLIP, *BRIEF, "--crop", "--json")
    figures = json.loads(cropped.stdout)
    rows, columns = steady.crop
    np.testing.assert_array_equal(np.load(tmp_path / "still.npy"), steady.video.frames[:, rows, columns])
    assert (figures["height"], figures["width"]) == (rows.stop - rows.start, columns.stop - columns.start)


@pytest.mark.parametrize(
    ("words", "bytes_per_pixel"),
    [
        (["segment", "masks"], 2),
        (["segment", "tinted.npy"], 2 + 3),
        (["upscale", "a.npy"], 3 * 2**2),
        (["interpolate", "a.npy"], 3 * 2),
        (["stabilize", "a.npy"], 3 + 1),
        (["stabilize", "a.npy", "--crop"], 3 + 1 + 3),
    ],
)
def test_what_a_file_makes_a_command_hold_is_bounded(words, bytes_per_pixel, coded, tmp_path, monkeypatch):
    """As many bytes as all that is there at once are enough, and one less is refused."""
    monkeypatch.chdir(tmp_path)
    held = bytes_per_pixel * 6 * 16 * 24
    monkeypatch.setattr(bitstream, "MOST_HELD", held - 1)
    assert f"would take {held:,} bytes" in bad(words[0], coded, *words[1:])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(bitstream, "MOST_HELD", held)
    good(words[0], coded, *words[1:])


def test_where_nothing_is_seen_always_the_whole_picture_is_written(coded, tmp_path, monkeypatch):
    monkeypatch.setattr(applications.Stabilized, "crop", (slice(0, 0), slice(0, 0)))
    text = good("stabilize", coded, tmp_path / "still.npy", "--crop").stdout
    assert "nothing cropped" in text and np.load(tmp_path / "still.npy").shape == (6, 16, 24, 3)


def test_denoise_shows_what_a_small_network_remembers(scene, config, tmp_path):
    figures = json.loads(good("denoise", "clip:cutout", tmp_path / "a.npy", *CLIP, *BRIEF, "--json").stdout)
    written = np.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(written, applications.denoise(scene, shape(scene), config).frames)
    assert figures["input_psnr_db"] == pytest.approx(psnr_db(scene.frames, written))
    default = good("denoise", "clip:cutout", tmp_path / "a.npy", *CLIP, "--steps", 1)
    assert "2 layers of width 32" in default.stderr


def test_inpaint_fills_what_is_white(masks, scene, config, found, tmp_path):
    words = ["inpaint", "clip:cutout", tmp_path / "a.npy", *CLIP, *BRIEF]
    hole = found[0]
    text = good(*words, "--mask", masks / "layer_0").stdout
    expected = applications.inpaint(scene, hole, shape(scene, layers=1), config)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected.frames)
    assert f"{hole.mean():.1%} of the picture filled" in text


def test_one_picture_is_the_mask_of_all_frames(scene, config, tmp_path):
    hole = np.zeros((16, 24), np.uint8)
    hole[4:8, 6:12] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    words = ["inpaint", "clip:cutout", tmp_path / "a.npy", *CLIP, *BRIEF, "--mask", tmp_path / "hole.png"]
    good(*words, "--grow", 1, "--layers", 2)
    holes = np.zeros((6, 16, 24), bool)
    holes[:, 3:9, 5:13] = True
    expected = applications.inpaint(scene, holes, shape(scene), config)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected.frames)


def test_to_remove_a_layer_is_to_fill_its_mask(masks, tmp_path):
    common = [*CLIP, *BRIEF, "--quiet"]
    good("inpaint", "clip:cutout", tmp_path / "a.npy", "--remove", 0, "--grow", 2, *common)
    good("inpaint", "clip:cutout", tmp_path / "b.npy", "--mask", masks / "layer_0", "--grow", 2, *common)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_what_cannot_be_removed_is_said(tmp_path, monkeypatch):
    whole = np.stack([np.ones((6, 16, 24), bool), np.zeros((6, 16, 24), bool)])
    monkeypatch.setattr(applications, "segment", lambda *_, **__: whole)
    words = ["inpaint", "clip:cutout", tmp_path / "a.npy", *CLIP, *BRIEF, "--quiet", "--remove"]
    assert "layer 0 took the whole picture" in bad(*words, 0)
    assert "layer 1 came out empty" in bad(*words, 1)
    assert not list(tmp_path.iterdir())


def test_minutes_are_shared_by_the_fits(tmp_path):
    words = ["inpaint", "clip:cutout", tmp_path / "a.npy", *CLIP, *BRIEF[2:], "--minutes", 0.02, "--json"]
    figures = json.loads(good(*words, "--remove", 0).stdout)
    assert len(figures["fits"]) == 2 and figures["seconds"] < 60


def test_unusual_clips(odd_clips, tmp_path):
    """One frame, one row, portrait: every command writes something of their shape."""
    for name, odd in odd_clips.items():
        np.save(tmp_path / "in.npy", odd.frames)
        mask = np.zeros((*odd.frames.shape[:3], 3), np.uint8)
        mask[:, 0, 0] = 255
        np.save(tmp_path / "mask.npy", mask)
        for command in COMMANDS:
            more = ["--mask", tmp_path / "mask.npy"] if command == "inpaint" else []
            good(command, tmp_path / "in.npy", tmp_path / "out.npy", "--steps", 2, *BRIEF[2:], *more)
            out = np.load(tmp_path / "out.npy")
            scale = 2 if command == "upscale" else 1
            assert out.shape[1:] == (scale * odd.height, scale * odd.width, 3), (name, command)


# --- Ctrl-C -------------------------------------------------------------------------------------------


class Impatient(Console):
    """Somebody who presses Ctrl-C at the first sign of progress of every fit."""

    @contextmanager
    def training(self) -> Iterator:
        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        yield interrupt


def test_an_interrupted_fit_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.options, "Console", Impatient)
    result = good(
        "inpaint", "clip:cutout", tmp_path / "a.npy", *CLIP, *BRIEF[2:], "--steps", 70, "--remove", 0
    )
    assert result.stderr.count("stopped at step 50 of 70") == 2
    assert "interrupted" in result.stdout
    assert np.load(tmp_path / "a.npy").shape == (6, 16, 24, 3)
