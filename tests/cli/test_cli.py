"""The command line: what it prints, writes and refuses, and that it refuses before PyTorch is imported."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from coordflow_mini import __version__, bitstream, cli, decoder, encoder
from coordflow_mini.config import FitConfig, Recipe, Selection
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.ops.console import Console
from coordflow_mini.train import DivergenceError, Progress
from coordflow_mini.video import catalog, read, scenes
from coordflow_mini.video.clip import Video

COMMANDS = typer.main.get_command(cli.app).commands
BRIEF = ["--steps", "20", "--width", "4", "--depth", "1", "--threads", "1"]


@dataclass(frozen=True)
class SmallBatch(FitConfig):
    """So that a step takes a millisecond."""

    batch: int = 256


@pytest.fixture(scope="module", autouse=True)
def _small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.options, "FitConfig", SmallBatch)
        yield


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def good(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


def bad(*words: object) -> str:
    """The one line with which a command is refused."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and re.fullmatch(r"error: .+\n", result.stderr), result.output
    return result.stderr


@pytest.fixture(scope="module")
def coded(source) -> Path:
    """Its frames 1 to 3 at 12x8."""
    path = source.parent / "scene.cfv"
    good("encode", source, path, "--frames", "1:4", "--size", "12x8", *BRIEF)
    return path


# --- help ---------------------------------------------------------------------------------------------


def test_help_names_every_command():
    text = good("--help").stdout
    assert len(COMMANDS) == 18
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in COMMANDS)
    assert not any(line.endswith("...") for line in text.splitlines()[1:]), "a summary is cut off"
    assert run().output.splitlines()[1:] == text.splitlines()[1:]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_and_explains_its_options(command):
    text = good(command, "--help").stdout
    assert re.search(rf"^  coordflow {command}\b", text, re.MULTILINE)
    for option in COMMANDS[command].params:
        assert option.help, option
        assert max(option.opts, key=len) in text or option.param_type_name == "argument"


def test_help_groups_options_that_belong_together():
    headings = re.findall(r"^(\w.*):$", good("encode", "--help").stdout, re.MULTILINE)
    expected = ["Arguments", "Options", "Model", "Training", "Frames", "Checkpoints", "Computing", "Output"]
    assert headings == expected


def test_the_version_is_the_packages():
    assert __version__ in good("--version").stdout


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
    assert re.search(r"--fast: \d+\.\d dB", good("decode", coded, tmp_path / "x.npy", "--fast").stdout)


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


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("frame_*.png"))])


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


# --- bad input ----------------------------------------------------------------------------------------

# Words, with places filled in below, and what the one line must say.
REFUSED = [
    ("encode no.mp4 {new}.cfv", "no.mp4 does not exist"),
    ("encode {folder}/empty {new}.cfv", "no PNG"),
    ("encode {text} {new}.cfv", "cannot be read as video"),
    ("encode clip:nope {new}.cfv", "there is no clip 'clip:nope'"),
    ("encode {coded} {new}.cfv", "encoded already"),
    ("encode {source} {new}.bin", "must end in .cfv"),
    ("encode {source} {folder}/nowhere/x.cfv", "there is no folder"),
    ("encode {source} {folder}/folder.cfv", "is a folder"),
    ("encode {source} {text}/x.cfv", "there is no folder"),
    ("encode {source} /proc/x.cfv", "cannot be written"),
    *(
        (f"encode {{source}} {{new}}.cfv --bpp {bpp}", "--bpp")
        for bpp in ("0", "-1", "nan", "inf", "25", "x")
    ),
    *((f"encode {{source}} {{new}}.cfv --size {size}", size) for size in ("0x0", "-4x4", "4", "axb")),
    ("encode {source} {new}.cfv --size 99999x9", "16384"),
    *(
        (f"encode {{source}} {{new}}.cfv --frames {part}", "frames")
        for part in ("5", "3:3", "9:12", "a:b", "::0")
    ),
    ("encode {source} {new}.cfv --layers 0", "layers must be 1 to 16"),
    ("encode {source} {new}.cfv --layers 1000000", "layers must be 1 to 16"),
    ("encode {source} {new}.cfv --width 0", "width must be 1 to 4096"),
    ("encode {source} {new}.cfv --depth 99", "depth must be 1 to 16"),
    ("encode {source} {new}.cfv --gamma nan", "gamma"),
    ("encode {source} {new}.cfv --seed -1", "seed"),
    ("encode {source} {new}.cfv --steps 0", "--steps"),
    ("encode {source} {new}.cfv --minutes 0", "--minutes"),
    ("encode {source} {new}.cfv --steps 9 --minutes 1", "not both"),
    ("encode {source} {new}.cfv --threads 0", "threads"),
    ("encode {source} {new}.cfv --device tpu", "device"),
    ("encode {source} {new}.cfv --segment-frames 0", "--segment-frames"),
    ("encode {source} {new}.cfv --raw 9", "raw format '9' not understood"),
    ("encode {source} {new}.cfv --matrix bt709", "is not raw YUV"),
    ("encode {source} {new}.cfv --matrix bt2020", "bt601"),
    ("encode clip:cutout {new}.cfv --raw 8x4", "leave out --raw and --matrix"),
    ("export clip:cutout {new} --matrix bt601", "leave out --raw and --matrix"),
    ("encode {source} {new}.cfv --no-such-option", "--no-such-option"),
    ("encode {source}", "OUT.cfv"),
    ("decode no.cfv {new}.npy", "no.cfv does not exist"),
    ("decode {folder} {new}.npy", "is a folder"),
    ("decode {text} {new}.npy", "not a .cfv file"),
    ("decode {cut} {new}.npy", "truncated"),
    ("decode {flipped} {new}.npy", "checksum"),
    ("decode {coded} {new}.xyz", "cannot write .xyz"),
    ("decode {coded} {coded}", "cannot write .cfv"),
    ("decode {coded} {folder}/nowhere/x.npy", "there is no folder"),
    ("decode {coded} {folder}", "holds other things"),
    ("decode {coded} {folder} --alpha", "holds other things"),
    ("decode {coded} {text} --alpha", "is a file"),
    ("decode {coded} {new}.npy --layer 2", "--layer must be 0 to 1"),
    ("decode {coded} {new}.npy --layer -1", "--layer must be 0 to 1"),
    *(
        (f"decode {{coded}} {{new}}.npy --scale {scale}", "--scale")
        for scale in ("0", "-1", "nan", "1e9", "1e-9")
    ),
    *((f"decode {{coded}} {{new}}.npy --fps-scale {scale}", "--fps-scale") for scale in ("0", "nan", "1e9")),
    ("decode {coded} {new}.npy --frames 2:9", "it has 3 frames"),
    ("info no.cfv", "does not exist"),
    ("info {text}", "not a .cfv file"),
    ("info {cut}", "truncated"),
    ("evaluate no.mp4 {coded}", "no.mp4 does not exist"),
    ("evaluate {source} {flipped}", "checksum"),
    ("evaluate {short} {coded}", "frames 1:4 of short.npy do not exist"),
    ("export no.mp4 {new}", "does not exist"),
    ("export {source} {folder}", "holds other things"),
    ("export {source} {text}", "is a file"),
    ("baseline no.mp4", "does not exist"),
    ("baseline {source} --codec vp9", "vp9"),
    ("baseline {source} --preset best", "--preset of x265 must be one of"),
    ("baseline {source} --bpp 0", "--bpp"),
    ("demo --out {text}", "is a file"),
    ("demo --minutes -1", "--minutes"),
    ("demo --quick --minutes 1", "not both"),
    ("nope", "nope"),
    ("--nope", "--nope"),
]


@pytest.fixture(scope="module")
def places(source, coded, tmp_path_factory) -> dict[str, str]:
    """What stands in braces in `REFUSED`."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty").mkdir()
    (folder / "folder.cfv").mkdir()
    (folder / "note.txt").write_text("no video")
    np.save(folder / "short.npy", np.load(source)[:2])
    data = coded.read_bytes()
    (folder / "cut.cfv").write_bytes(data[:-9])
    (folder / "flipped.cfv").write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    named = {
        "text": "note.txt",
        "cut": "cut.cfv",
        "flipped": "flipped.cfv",
        "short": "short.npy",
        "new": "new",
    }
    return {key: str(folder / name) for key, name in named.items()} | {
        "folder": str(folder),
        "source": str(source),
        "coded": str(coded),
    }


@pytest.mark.parametrize(("words", "reason"), REFUSED, ids=[words for words, _ in REFUSED])
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(words, reason, places):
    folder = Path(places["folder"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert reason in bad(*(word.format(**places) for word in words.split()))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_all_of_it_is_refused_before_torch_is_imported(places):
    """In one fresh process, so that no other test has imported it; and soon, as nobody waits for a typo."""
    code = """
import json, sys, time
from coordflow_mini import cli
slowest = 0
for words in json.load(sys.stdin):
    began = time.perf_counter()
    try:
        cli.app(words)
    except SystemExit as end:
        assert end.code == 2, words
    slowest = max(slowest, time.perf_counter() - began)
    assert "torch" not in sys.modules, words
print(slowest)
"""
    early = [words for words, _ in REFUSED if "{short}" not in words]  # seen only when frames are compared
    lines = [[word.format(**places) for word in words.split()] for words in early]
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == len(lines), "one line each"
    assert float(done.stdout) < 3


def test_the_process_ends_with_the_same_code():
    words = [sys.executable, "-m", "coordflow_mini"]
    refused = subprocess.run([*words, "info", "no.cfv"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "error: no.cfv does not exist\n"
    assert subprocess.run([*words, "clips"], capture_output=True, check=False).returncode == 0


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


def test_what_was_there_survives_a_failure(source, coded, places, tmp_path, monkeypatch):
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


def test_scarce_memory_and_a_full_disk_are_no_tracebacks(source, tmp_path, monkeypatch):
    for error, words in (
        (MemoryError("cannot allocate 9 GiB"), "not enough memory"),
        (OSError(28, "No space left on device", "x.cfv"), "x.cfv: No space left on device"),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(read, "load", fail)
        assert words in bad("encode", source, tmp_path / "x.cfv")


# --- progress and Ctrl-C ------------------------------------------------------------------------------


class Screen:
    """A stderr that says whether it is a terminal, and remembers."""

    encoding = "utf-8"

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.text = terminal, ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_quality_rate_and_time_left(monkeypatch, terminal):
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Console().training() as on_step:
        on_step(Progress("fit", 50, 50, 31.257, 10.0))
        on_step(Progress("fine-tune", 20, 20, 30.5, 5.0, 4.625))
    for words in ("fit", "50/50", "31.26 dB", "fine-tune", "30.50 dB", "4.62 bits/weight"):
        assert words in screen.text
    assert ("\r" in screen.text) == terminal, "control characters are for terminals"


def test_a_terminal_sees_the_time_left(monkeypatch):
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Console().training() as on_step:
        on_step(Progress("fit", 100, 1000, 31.257, 10.0))
    assert "1 min 30 s left" in screen.text


def test_many_segments_do_not_push_the_last_one_off_the_screen(monkeypatch):
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "24")
    with Console().training() as on_step:
        for number in range(1, 41):
            on_step(Progress(f"segment {number} of 40, fit", 50, 100, 31.0, 1.0))
        assert "segment 40 of 40, fit" in screen.text


def test_a_log_gets_few_lines(capsys):
    with Console().training() as on_step:
        for step in range(50, 2001, 50):
            on_step(Progress("fit", step, 2000, 30.0, step / 20))
    assert len(capsys.readouterr().err.splitlines()) == 1, "40 reports in no time need one line"


def test_quiet_is_quiet(capsys):
    console = Console(quiet=True)
    console.say("nothing")
    with console.training() as on_step:
        on_step(Progress("fit", 50, 50, 31.0, 1.0))
    assert list(console.counted("decode", [1, 2], 2)) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_before_training_writes_nothing(source, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(read, "load", interrupt)
    result = run("encode", source, tmp_path / "x.cfv")
    assert result.exit_code == 130 and "nothing is left half written" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.promise("Interruption", "Ctrl-C during `encode` keeps what was learned.")
@pytest.mark.skipif(os.name == "nt", reason="there, signals are other ones")
def test_an_interrupt_while_training_keeps_what_was_learned(source, tmp_path):
    out = tmp_path / "x.cfv"
    words = ["encode", str(source), str(out), *BRIEF[2:], "--steps", "1000000"]
    with subprocess.Popen(
        [sys.executable, "-m", "coordflow_mini", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("fit "):  # it trains
            assert line, "ended before it trained"
        process.send_signal(signal.SIGINT)
        text, progress = process.communicate(timeout=60)
    assert process.returncode == 0, progress
    assert "of 1,000,000; fine-tuning" in progress
    assert "interrupted: the file is complete" in text
    assert decoder.decode(out.read_bytes()).frames.shape == (5, 12, 16, 3)


def test_a_short_fit_opens_shortly():
    """Otherwise the learning rate would never reach its height in a fit of few steps."""
    usual = FitConfig()
    tenth = Recipe().with_steps(usual.steps // 10).fit
    assert tenth.warm_up == round(usual.warm_up / 10)
    assert Recipe().with_steps(10 * usual.steps).fit.warm_up == usual.warm_up
