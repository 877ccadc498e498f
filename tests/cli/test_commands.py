"""Commands, there and back: what they print and write."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coordflow_mini import bitstream, decoder, encoder
from coordflow_mini.cli import encode, options
from coordflow_mini.config import Selection
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.ops.console import Console
from coordflow_mini.ops.guard import DivergenceError
from coordflow_mini.train import Progress
from coordflow_mini.video import catalog, read, scenes
from coordflow_mini.video.clip import Video
from tests.cli.commands import bad, good, pictures, run

BRIEF = ["--steps", "20", "--width", "4", "--depth", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def coded(source) -> Path:
    """Its frames 1 to 3 at 12x8."""
    path = source.parent / "scene.cfv"
    good("encode", source, path, "--frames", "1:4", "--size", "12x8", *BRIEF)
    return path


# --- there and back -----------------------------------------------------------------------------------


def test_encode_tells_what_it_did(source, tmp_path):
    out = tmp_path / "small.cfv"
    result = good("encode", source, out, "--bpp", "20", "--layers", "1", *BRIEF[:2], "--json")
    figures = json.loads(result.stdout)
    assert figures["bytes"] == out.stat().st_size <= figures["target_bytes"] == 20 * 5 * 16 * 12 // 8
    assert figures["bpp"] == pytest.approx(8 * figures["bytes"] / (5 * 16 * 12))
    assert figures["layers"] == 1 and figures["interrupted"] is False
    decoded, original = decoder.decode(out.read_bytes()).frames, np.load(source)
    assert figures["psnr_db"] == pytest.approx(psnr_db(original, decoded), abs=0.01)
    assert "fine-tune" in result.stderr and "5 frames of 16x12" in result.stderr


def test_encode_says_the_same_in_words(source, tmp_path):
    text = good("encode", source, tmp_path / "a.cfv", *BRIEF).stdout
    size = (tmp_path / "a.cfv").stat().st_size
    assert f"{size:,} bytes" in text and "dB" in text and "bits" in text


def test_the_same_seed_gives_the_same_bytes(source, coded, tmp_path):
    same, other = tmp_path / "same.cfv", tmp_path / "other.cfv"
    arguments = ["--frames", "1:4", "--size", "12x8", *BRIEF, "--quiet"]
    assert good("encode", source, same, *arguments).output == "", "--quiet says nothing"
    good("encode", source, other, *arguments, "--seed", 1)
    assert same.read_bytes() == coded.read_bytes() != other.read_bytes()


def test_every_option_reaches_the_file(source, tmp_path):
    out = tmp_path / "x.cfv"
    good("encode", source, out, *BRIEF, "--layers", 3, "--gamma", 0.25, "--seed", 7, "--motion", "none")
    header = bitstream.read_header(out.read_bytes())
    model = header.model
    assert (model.layers, model.width, model.depth, model.motion) == (3, 4, 1, "none")
    assert (header.gamma, header.seed) == (0.25, 7)


def test_minutes_are_kept_roughly(source, tmp_path):
    began = time.perf_counter()
    out = good("encode", source, tmp_path / "x.cfv", *BRIEF[2:], "--minutes", "0.03")
    steps = int(re.search(r"([\d,]+) steps", out.stderr)[1].replace(",", ""))
    assert steps >= 1 and time.perf_counter() - began < 30


@pytest.mark.parametrize("suffix", [".npy", ".y4m", ".mp4", ""])
def test_decode_writes_every_kind(coded, tmp_path, suffix):
    out = tmp_path / f"decoded{suffix}"
    good("decode", coded, out)
    written, decoded = read.load(out), decoder.decode(coded.read_bytes())
    assert written.frames.shape == (3, 8, 12, 3)
    if suffix in (".npy", ""):
        np.testing.assert_array_equal(written.frames, decoded.frames)
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "nothing else is left"


def test_decode_shows_one_layer(coded, tmp_path):
    good("decode", coded, tmp_path / "one.npy", "--layer", 1)
    expected = np.stack(list(decoder.decode_frames(coded.read_bytes(), layer=1)))
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), expected)


def test_decode_scales_in_space_and_time(coded, tmp_path):
    out = tmp_path / "large.npy"
    good("decode", coded, out, "--scale", 2, "--fps-scale", 2, "--frames", "1:")
    expected = decoder.decode_frames(coded.read_bytes(), [1, 1.5, 2], scale=2.0)
    np.testing.assert_array_equal(np.load(out), np.stack(list(expected)))
    good("decode", coded, tmp_path / "large.mp4", "--fps-scale", 2)
    assert read.load(tmp_path / "large.mp4").fps == 50


def test_alpha_maps_of_all_layers_make_one_whole(coded, tmp_path):
    good("decode", coded, tmp_path / "alpha", "--alpha")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert files == [f"alpha/layer_{i}/frame_{n:05d}.png" for i in range(2) for n in range(3)]
    pictures = [Image.open(tmp_path / file) for file in files]
    assert {(picture.mode, picture.size) for picture in pictures} == {("L", (12, 8))}
    total = np.stack([np.asarray(picture, int) for picture in pictures]).reshape(2, 3, 8, 12).sum(axis=0)
    assert (abs(total - 255) <= 1).all()
    good("decode", coded, tmp_path / "alpha", "--alpha", "--layer", 1)  # replaces what it wrote itself
    assert [path.name for path in (tmp_path / "alpha").iterdir()] == ["layer_1"]


def test_fast_says_what_it_costs(coded, tmp_path):
    assert re.search(
        r"--fast: b?float\d+, \d+\.\d dB", good("decode", coded, tmp_path / "x.npy", "--fast").stdout
    )


# --- looking ------------------------------------------------------------------------------------------


def test_info_accounts_for_every_byte(coded):
    figures = json.loads(good("info", coded, "--json").stdout)
    assert sum(figures["sections"].values()) == figures["bytes"] == coded.stat().st_size
    assert (figures["frames"], figures["height"], figures["width"]) == (3, 8, 12)
    assert figures["selection"] == {"start": 1, "stop": 4, "step": 1, "width": 12, "height": 8}
    assert figures["bits_per_weight"] == pytest.approx(8 * figures["bytes"] / figures["params"])
    text = good("info", coded).stdout
    assert "3 frames of 12x8" in text and "2 layers" in text and f"{figures['params']:,}" in text


def test_evaluate_finds_the_frames_by_itself(source, coded):
    figures = json.loads(good("evaluate", source, coded, "--json").stdout)
    original = read.load(source, Selection.parse("1:4", "12x8"))
    decoded = decoder.decode(coded.read_bytes())
    assert figures["psnr_db"] == pytest.approx(psnr_db(original.frames, decoded.frames))
    assert figures["bytes"] == coded.stat().st_size and figures["decode_seconds"] > 0
    assert figures["ms_ssim"] is None and figures["mask_iou"] is None, "too small, and no truth"
    assert f"{figures['psnr_db']:.4f}" in good("evaluate", source, coded).stdout


def test_evaluate_knows_the_truth_about_cutout(tmp_path, one_thread):
    out = tmp_path / "x.cfv"
    good("encode", "clip:cutout:2", out, "--frames", "0:2", "--size", "24x16", *BRIEF)
    figures = json.loads(good("evaluate", "clip:cutout:2", out, "--json").stdout)
    assert 0 <= figures["mask_iou"] <= 1 and figures["ms_ssim"] is not None


def test_evaluate_refuses_another_matrix(coded, monkeypatch, tmp_path):
    header = bitstream.read_header(coded.read_bytes())
    tagged = Video(np.zeros((3, 8, 12, 3), np.uint8), matrix="bt709")
    monkeypatch.setattr("coordflow_mini.measure.evaluate.load", lambda *_: tagged)
    assert header.matrix == "rgb"
    good("evaluate", coded.with_suffix(".npy"), coded)  # RGB is compared with anything
    monkeypatch.setattr(bitstream, "read_header", lambda _: replace(header, matrix="bt601"))
    assert "tagged bt709" in bad("evaluate", coded.with_suffix(".npy"), coded)


def test_raw_yuv_is_read_by_the_matrix_that_is_asked_for(tmp_path, one_thread):
    """encode --matrix is in the file, from where evaluate has it; baseline and export see the same colors."""
    path, out = tmp_path / "A_16x12_50fps_420_8bit_YUV.yuv", tmp_path / "x.cfv"
    path.write_bytes(bytes([120] * 192 + [90] * 48 + [180] * 48) * 3)
    good("encode", path, out, "--matrix", "bt709", *BRIEF)
    assert bitstream.read_header(out.read_bytes()).matrix == "bt709"
    assert json.loads(good("evaluate", path, out, "--json").stdout)["frames"] == 3
    good("export", path, tmp_path / "seven", "--matrix", "bt709")
    good("export", path, tmp_path / "six")
    for name, color in (("seven", (214, 101, 40)), ("six", (203, 92, 44))):
        seen = pictures(tmp_path / name / "frames").astype(int)
        assert np.abs(seen - np.array(color)).max() <= 1
    words = ["baseline", path, "--codec", "x264", "--bpp", "8", "--json"]
    settings = [
        json.loads(good(*words, "--matrix", matrix).stdout)["settings"] for matrix in ("bt601", "bt709")
    ]
    assert "source planes" in settings[0] and "source planes" not in settings[1]


def test_clips_are_listed_with_their_license():
    text = good("clips").stdout
    assert all(info.name in text and info.license in text for info in catalog.builtin())
    listed = json.loads(good("clips", "--json").stdout)
    assert [clip["name"] for clip in listed] == [
        info.name for info in (*catalog.builtin(), *catalog.downloadable())
    ]


def test_baseline_keeps_the_rate():
    words = ["baseline", "clip:cutout", "--codec", "x264", "--frames", "0:3", "--bpp", "2", "--json"]
    point = json.loads(good(*words).stdout)
    assert point["codec"] == "x264" and 1.5 < point["bpp"] <= 2 and point["psnr_db"] > 20
    text = good(*words[:-1], "--preset", "veryslow", "--tune", "psnr").stdout
    assert "preset=veryslow tune=psnr" in text


# --- export -------------------------------------------------------------------------------------------


def test_export_of_a_scene_has_its_truth(tmp_path):
    out = tmp_path / "scene"
    good("export", "clip:cutout", out, "--size", "24x16", "--frames", "2:8:3")
    scene = scenes.scene("clip:cutout", Selection.parse("2:8:3", "24x16"))
    np.testing.assert_array_equal(pictures(out / "frames"), scene.video.frames)
    np.testing.assert_array_equal(pictures(out / "masks"), scene.masks * 255)
    for layer in range(2):
        np.testing.assert_array_equal(pictures(out / "layers" / f"layer_{layer}"), scene.layers[layer])
    motion = json.loads((out / "motion.json").read_text())
    np.testing.assert_array_equal(motion["motion"], scene.motion)
    assert motion["columns"] == ["log_scale", "angle", "dx", "dy"]
    assert (motion["source_frames"], motion["frame_width"], motion["frame_height"]) == ([2, 5], 24, 16)
    good("export", "clip:pan", out, "--frames", "0:1")  # replaces what it wrote itself
    assert {path.name for path in out.iterdir()} == {"frames", "layers", "motion.json"}


def test_export_of_a_file_has_its_frames(source, tmp_path):
    good("export", source, tmp_path / "frames only")
    assert [path.name for path in (tmp_path / "frames only").iterdir()] == ["frames"]
    np.testing.assert_array_equal(pictures(tmp_path / "frames only" / "frames"), np.load(source))


def test_the_process_ends_with_the_same_code():
    words = [sys.executable, "-m", "coordflow_mini", "info", "no.cfv"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "error: no.cfv does not exist\n"


def test_the_source_is_never_overwritten(source, tmp_path):
    frames = tmp_path / "in.npy"
    frames.write_bytes(source.read_bytes())
    os.link(frames, tmp_path / "same.cfv")
    before = frames.read_bytes()
    assert "is the input" in bad("encode", frames, tmp_path / "same.cfv", *BRIEF)
    coded = tmp_path / "in.mp4"  # a .cfv file by another name
    good("encode", source, tmp_path / "x.cfv", *BRIEF)
    (tmp_path / "x.cfv").rename(coded)
    assert "is the input" in bad("decode", coded, coded)
    assert frames.read_bytes() == before


def test_what_was_there_survives_a_failure(source, coded, tmp_path, monkeypatch):
    out = tmp_path / "old.cfv"
    out.write_bytes(b"old")
    assert "too few" in bad("encode", source, out, "--bpp", "0.01")

    def diverge(*_: object, **__: object) -> None:
        raise DivergenceError("training diverged;\nuse a smaller learning rate")

    monkeypatch.setattr(encoder, "compress", diverge)
    assert "training diverged; use" in run("encode", source, out, *BRIEF).stderr.splitlines()[-1]
    monkeypatch.setattr(decoder, "decode_frames", diverge)
    (tmp_path / "old.npy").write_bytes(b"old")
    assert "diverged" in bad("decode", coded, tmp_path / "old.npy")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "old.cfv": b"old",
        "old.npy": b"old",
    }


def test_errors_of_our_own_are_not_hidden(source, tmp_path, monkeypatch):
    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(read, "load", bug)
    result = run("encode", source, tmp_path / "x.cfv")
    assert result.exit_code == 1 and isinstance(result.exception, RuntimeError)


def test_debug_shows_where(tmp_path):
    result = run("info", tmp_path / "no.cfv", "--debug")
    assert result.exit_code == 2 and "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error:")


def _gpu_full(
    where: str = "GPU 0 has a total capacity of 14.75 GiB of which 11.06 MiB is free. Including non-PyTorch "
    "memory, this process has 14.73 GiB memory in use.",
) -> Exception:
    return torch.cuda.OutOfMemoryError(f"CUDA out of memory. Tried to allocate 2.50 GiB. {where}")


def test_scarce_memory_and_a_full_disk_are_no_tracebacks(source, tmp_path, monkeypatch):
    for error, words in (
        (MemoryError("cannot allocate 9 GiB"), "not enough memory"),
        (OSError(28, "No space left on device", "x.cfv"), "x.cfv: No space left on device"),
        (_gpu_full(), "memory is full: 2.50 GiB were asked for, 11.06 MiB are free"),
        (_gpu_full(), "choose a smaller --width"),
        (_gpu_full("it is all gone"), "not enough memory"),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(read, "load", fail)
        assert words in bad("encode", source, tmp_path / "x.cfv")


def test_an_interrupt_before_training_writes_nothing(source, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(read, "load", interrupt)
    result = run("encode", source, tmp_path / "x.cfv")
    assert result.exit_code == 130 and "no half-written file" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.promise("Interruption", "Ctrl-C during `encode` keeps what was learned.")
def test_an_interrupt_while_training_keeps_what_was_learned(source, tmp_path, monkeypatch):
    """The signal arrives at the first report of the fit, and the file holds what the fit has reached."""

    class Impatient(Console):
        @contextmanager
        def training(self):
            with super().training() as show:

                def on_step(progress: Progress) -> None:
                    show(progress)
                    if progress.stage == "fit":
                        signal.raise_signal(signal.SIGINT)

                yield on_step

    monkeypatch.setattr(options, "Console", Impatient)
    monkeypatch.setattr(encode, "Console", Impatient)
    out = tmp_path / "x.cfv"
    result = good("encode", source, out, *BRIEF[2:], "--steps", "50000")
    assert "of 50,000; fine-tuning" in result.stderr
    assert "interrupted: the file is complete" in result.stdout
    assert decoder.decode(out.read_bytes()).frames.shape == (5, 12, 16, 3)


@pytest.mark.promise("Interruption", "Ctrl-C during an encode in segments leads to --resume.")
def test_an_interrupt_in_segments_leads_to_resume(source, tmp_path, monkeypatch):
    """A file needs all segments, so none is written; --resume ends with that of an undisturbed encode."""
    words = ["encode", source, "--segment-frames", "3", *BRIEF]
    whole, out = tmp_path / "whole.cfv", tmp_path / "x.cfv"
    good(*words[:2], whole, *words[2:])

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "finetune", stop)
        result = run(*words[:2], out, *words[2:])
    assert result.exit_code == 130 and "--resume" in result.stderr and not out.exists()
    good(*words[:2], out, *words[2:], "--resume")
    assert out.read_bytes() == whole.read_bytes()
