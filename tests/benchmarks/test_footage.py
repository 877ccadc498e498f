"""The suite on real footage: its table against figures computed another way, and what it does not repeat."""

import json
import os
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from benchmarks import footage
from coordflow_mini import bitstream, decoder
from coordflow_mini.measure import baselines
from coordflow_mini.video import scenes
from coordflow_mini.video.write import write_scene

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scene() -> scenes.Scene:
    return scenes.cutout(32, 48, 6)


@dataclass(frozen=True)
class Outcome:
    """What the suite prints for a folder with one clip: its exit code, the clip's row, and all lines."""

    code: int
    row: dict[str, str]
    lines: list[str]


@pytest.fixture(scope="module")
def words(scene, tmp_path_factory) -> list[str]:
    """The command line of all runs."""
    folder = tmp_path_factory.mktemp("footage")
    write_scene(folder / "clips" / "flower", scene)
    words = [str(folder / "clips"), "--seeds", "3", "--bpp", "1.2", "--rivals", "x264"]
    words += ["--encode", "--steps 20 --width 6 --depth 2"]
    return [*words, "--jobs", f"{os.cpu_count()}", "--runs", str(folder / "runs.jsonl")]


def run(words: list[str]) -> Outcome:
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.setattr(sys, "argv", ["footage", *words])
        code = footage.main()
    lines = out.getvalue().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    return Outcome(code, dict(zip(cells[0], cells[2], strict=True)) if cells else {}, lines)


@pytest.fixture(scope="module")
def first(words) -> tuple[Outcome, bytes]:
    """The first run, and the file that it encodes."""
    files, run_ = [], footage.Bench._run

    def kept(bench: footage.Bench, side: footage.Side, folder: str, *words: str) -> str:
        out = run_(bench, side, folder, *words)
        files.extend(path.read_bytes() for path in Path(folder).glob("*.cfv"))
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footage.Bench, "_run", kept)
        return run(words), files[0]


def psnr_db(reference, decoded) -> float:
    errors = ((reference.astype(float) - decoded) ** 2).mean(axis=(1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / errors)))


def iou(masks, truth) -> float:
    return float(np.mean((masks & truth).sum(axis=(1, 2)) / (masks | truth).sum(axis=(1, 2))))


def test_the_table_has_what_a_file_a_stream_and_masks_give(first, scene):
    outcome, data = first
    row, frames, truth = outcome.row, scene.video.frames, scene.masks
    assert outcome.code == 0 and (row["clip"], row["frames"], row["layers"]) == ("flower", "6", "2")
    assert row["bytes"] == f"{len(data):,}" and bitstream.read_header(data).seed == 3
    ours = psnr_db(frames, decoder.decode(data).frames)
    assert row["ours dB"] == row["lowest dB"] == f"{ours:.2f}"
    alpha = np.concatenate([shown.alpha.numpy() for shown in decoder.decode_renderings(data)], axis=1)
    assert row["IoU"] == f"{max(iou(layer > 0.5, truth) for layer in alpha):.2f}"
    box = np.zeros_like(truth)
    box[:, 9:22, 16:31] = True  # 13 of 32 rows and 15 of 48 columns
    assert row["box IoU"] == f"{iou(box, truth):.2f}"
    stream = baselines.encode_at(scene.video, "x264", len(data))
    rival = psnr_db(frames, baselines.decode(stream, accurate_rgb=True))
    assert row["x264 medium dB"] == f"{rival:.2f}"
    assert outcome.lines[-1] == f"worst against x264 medium: flower, {ours - rival:+.2f} dB"


def test_nothing_is_measured_twice(first, words, monkeypatch):
    for owner, name in ((footage.Bench, "_run"), (baselines, "measure")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("measured again"))
    assert run(words) == first[0]


def test_another_checkout_stands_beside_ours(first, words):
    """The same one here: with words that make its encodes fail, then with ours."""
    against = [*words, "--against", str(footage.HERE)]
    failed = run([*against, "--against-encode", "--width 400"])
    assert failed.code == 1 and not failed.row
    outcome, row = run(against), first[0].row
    assert outcome.code == 0 and outcome.row["gain dB"] == "0.00"
    assert (outcome.row["other dB"], outcome.row["other IoU"]) == (row["ours dB"], row["IoU"])
    assert outcome.lines[-1] == "worst against other: flower, +0.00 dB"


def test_means_and_the_worst_leave_out_what_there_is_not():
    rows = [
        {"clip": "a", "ours dB": 30.0, "x264 dB": 29.0, "IoU": 0.5},
        {"clip": "b", "ours dB": 26.0, "x264 dB": 28.0, "IoU": None},
        {"clip": "c", "ours dB": 20.0, "x264 dB": None, "IoU": None},
    ]
    *_, last = footage.table(rows).splitlines()
    assert last == "| **mean** | 25.33 | 28.50 | 0.50 |"
    assert footage.worst(rows, "x264 dB") == "worst against x264: b, -2.00 dB"


def test_a_line_that_was_cut_is_measured_again(tmp_path):
    path = tmp_path / "runs" / "footage.jsonl"
    cache = footage.Cache(path)
    for number in range(2):
        cache.get({"n": number}, lambda number=number: {"square": number**2})
    path.write_text(path.read_text()[:-9])
    cache = footage.Cache(path)
    assert cache.get({"n": 0}, dict) == {"square": 0}
    assert cache.get({"n": 1}, lambda: {"square": "anew"}) == {"square": "anew"}
    assert footage.Cache(path).known == cache.known


def test_ctrl_c_ends_the_processes_and_keeps_what_is_finished(scene, tmp_path):
    bench = footage.Bench(footage.Cache(tmp_path / "runs.jsonl"), 0.15, jobs=2, threads=1)
    side = footage.Side("ours", footage.HERE, (), footage.version(footage.HERE))
    clip = footage.Clip("flower", "", (), scene.video)

    def measure(_: footage.Clip, what: str) -> footage.Result:
        if what == "sleep":
            bench._run(side, str(tmp_path), "-c", "import time; time.sleep(600)")
        while not bench.running:
            time.sleep(0.01)
        bench.cache.get({"n": 1}, lambda: {"done": True})
        raise KeyboardInterrupt

    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        bench.each(measure, [(clip, "interrupt"), (clip, "sleep"), (clip, "never begun")])
    assert time.perf_counter() - began < 60 and not bench.running
    assert json.loads(bench.cache.path.read_text())["result"] == {"done": True}


def test_changed_files_are_another_version(tmp_path):
    """Without a repository, a checksum tells them apart."""
    module = tmp_path / "coordflow_mini" / "__init__.py"
    module.parent.mkdir()
    module.write_text("one = 1\n")
    first = footage.version(tmp_path)
    module.write_text("one = 2\n")
    assert first != footage.version(tmp_path) and first.startswith("+")
