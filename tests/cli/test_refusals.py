"""Bad input: one line on stderr, exit code 2, nothing written, and no PyTorch loaded for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video.read import load
from tests.cli.commands import bad, good

BRIEF = ["--steps", "5", "--width", "4", "--depth", "1", "--threads", "1"]

# Words, with names of files that `folder` makes in braces, and what the one line must say.
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
    ("export no.mp4 {new}", "does not exist"),
    ("export {source} {folder}", "holds other things"),
    ("export {source} {text}", "is a file"),
    ("baseline no.mp4", "does not exist"),
    ("baseline {source} --codec vp9", "vp9"),
    ("baseline {source} --preset best", "preset of x265 must be one of"),
    ("baseline {source} --bpp 0", "--bpp"),
    ("demo --out {text}", "is a file"),
    ("demo --minutes -1", "--minutes"),
    ("demo --quick --minutes 1", "not both"),
    ("nope", "nope"),
    ("--nope", "--nope"),
    *(
        (f"{command} no.mp4 {{new}}.npy" + more, "no.mp4 does not exist")
        for command, more in (
            ("segment", ""),
            ("inpaint", " --mask {mask}"),
            ("upscale", ""),
            ("interpolate", ""),
            ("stabilize", ""),
            ("denoise", ""),
        )
    ),
    *((f"{command} {{cut}} {{new}}.npy", "truncated") for command in ("segment", "upscale", "stabilize")),
    *((f"{command} no.cfv {{new}}.npy", "no.cfv does not exist") for command in ("segment", "interpolate")),
    ("segment {text}.cfv {new}", "not a .cfv file"),
    ("segment {text} {new}", "cannot be read as video"),
    *(
        (f"upscale {{coded}} {{new}}.npy {option}", "is fitted already")
        for option in ("--frames 0:2", "--size 4x4", "--steps 3", "--seed 1", "--layers 3", "--width 9")
    ),
    *(
        (f"{command} {{coded}} {{new}}.npy" + more, "encoded already")
        for command, more in (
            ("denoise", ""),
            ("inpaint", " --mask {mask}"),
            ("inpaint", " --remove 0"),
        )
    ),
    *(
        (f"{command} {{source}} {{source}}", "is the input")
        for command in ("segment", "upscale", "interpolate", "stabilize", "denoise", "inpaint --remove 0")
    ),
    ("inpaint {other} {source} --mask {source}", "is the input"),
    *(
        (f"{command} {{source}} {{new}}.xyz", "cannot write .xyz")
        for command in ("segment", "upscale", "denoise")
    ),
    ("segment {source} {folder}", "holds other things"),
    ("segment {source} {text}", "cannot write .txt"),
    ("upscale {source} {folder}", "holds other things"),
    ("denoise {source} {folder}/nowhere/x.mp4", "there is no folder"),
    ("segment {source} {new} --steps 0", "--steps"),
    ("segment {source} {new} --steps 9 --minutes 1", "not both"),
    ("segment {source} {new} --layers 0", "layers must be 1 to 16"),
    ("segment {source} {new} --width 0", "width must be 1 to 4096"),
    ("segment {source} {new} --seed -1", "seed"),
    ("segment {source} {new} --frames 5:99", "do not exist"),
    ("segment {source} {new} --size 0x0", "size"),
    *((f"upscale {{source}} {{new}}.npy --scale {scale}", "--scale") for scale in ("0", "-1", "nan", "1e9")),
    ("upscale {coded} {new}.npy --scale 1e9", "of 12x8 pixels"),
    *(
        (f"interpolate {{source}} {{new}}.npy --factor {factor}", "--factor")
        for factor in ("0", "nan", "1e9")
    ),
    ("stabilize {source} {new}.npy --layer 2", "--layer must be 0 to 1"),
    ("stabilize {coded} {new}.npy --layer -1", "--layer must be 0 to 1"),
    ("stabilize {unmoved} {new}.npy", "no motion"),
    ("inpaint {source} {new}.npy", "--mask PATH or --remove LAYER"),
    ("inpaint {source} {new}.npy --mask {mask} --remove 1", "one of them"),
    ("inpaint {source} {new}.npy --remove 2", "--remove must be 0 to 1"),
    ("inpaint {source} {new}.npy --remove 0 --layers 1", "--remove needs 2 or more --layers, got 1"),
    ("inpaint {source} {new}.npy --remove 0 --grow -1", "--grow"),
    ("inpaint {source} {new}.npy --mask no.png", "no.png does not exist"),
    ("inpaint {source} {new}.npy --mask {text}", "cannot be read as video"),
    ("inpaint {source} {new}.npy --mask {large}", "is 48x32, the frames are 24x16"),
    ("inpaint {source} {new}.npy --mask {short}", "has 2 pictures, the clip 6 frames; expected 1 or 6"),
    ("inpaint {source} {new}.npy --mask {black}", "no white pixel"),
    ("inpaint {source} {new}.npy --mask {white}", "white all over"),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory, one_thread) -> dict[str, str]:
    """Paths by the names in braces."""
    folder = tmp_path_factory.mktemp("bad")
    scene = load("clip:cutout", Selection.parse("0:6", "24x16")).frames
    for name, frames in {
        "source": scene,
        "other": scene,
        "large": np.zeros((1, 32, 48, 3), np.uint8),
        "short": scene[:2],
        "black": np.zeros_like(scene),
        "white": np.full_like(scene, 255),
        "mask": np.where(np.arange(24)[:, None] > 12, 255, 0) * np.ones_like(scene[:1]),
    }.items():
        np.save(folder / f"{name}.npy", frames.astype(np.uint8))
    source, coded = folder / "source.npy", folder / "coded.cfv"
    good("encode", source, coded, "--frames", "1:4", "--size", "12x8", *BRIEF)
    good("encode", source, folder / "unmoved.cfv", *BRIEF, "--motion", "none")
    data = coded.read_bytes()
    (folder / "cut.cfv").write_bytes(data[:-9])
    (folder / "flipped.cfv").write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    (folder / "text.txt").write_text("no video")
    (folder / "text.txt.cfv").write_text("no video")
    (folder / "empty").mkdir()
    (folder / "folder.cfv").mkdir()
    found = {path.name.partition(".")[0]: str(path) for path in sorted(folder.iterdir(), reverse=True)}
    return found | {"folder": str(folder), "new": str(folder / "new"), "text": str(folder / "text.txt")}


CODE = """
import contextlib, io, json, sys, time
from coordflow_mini import cli
results = []
for words in json.load(sys.stdin):
    out, err, began = io.StringIO(), io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.app(words)
        except SystemExit as end:
            code = end.code
    seconds = time.perf_counter() - began
    results.append((code, out.getvalue(), err.getvalue(), seconds, "torch" in sys.modules))
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def results(names) -> dict[str, list]:
    """Exit code, stdout, stderr, seconds, and whether PyTorch is loaded, from one fresh process for all."""
    folder = Path(names["folder"])
    lines = [[word.format(**names) for word in words.split()] for words, _ in REFUSED]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before, "nothing is written"
    return dict(zip([words for words, _ in REFUSED], json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(("words", "reason"), REFUSED, ids=[words for words, _ in REFUSED])
def test_bad_input_is_refused_in_one_line_before_torch_is_imported(words, reason, results):
    code, out, err, seconds, torch_loaded = results[words]
    assert (code, out) == (2, "") and re.fullmatch(r"error: .+\n", err), err
    assert reason in err
    assert not torch_loaded and seconds < 3


def test_a_source_without_the_frames_of_the_file_is_refused(names):
    assert "frames 1:4 of short.npy do not exist" in bad("evaluate", names["short"], names["coded"])
