"""Every figure that the README and the log state, measured and printed beside its target.

    python -m benchmarks.figures                 # all, about 15 minutes on 2 cores
    python -m benchmarks.figures --only bunny    # bunny | cutout | motion | repeat | memory

A figure marked "must" decides the exit code; an "aim" is reported with its distance.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.motion import motion_errors
from coordflow_mini.config import CodecConfig, FitConfig, Recipe
from coordflow_mini.coords import frame_times
from coordflow_mini.decoder import decode, read_model
from coordflow_mini.encoder import EncodeResult, compress
from coordflow_mini.measure import metrics
from coordflow_mini.measure.evaluate import hardware
from coordflow_mini.render import render
from coordflow_mini.sampling import default_model
from coordflow_mini.sweeps.demo import Demo
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load

BUNNY_BYTES = 18_662
SEEDS = range(5)


@dataclass(frozen=True)
class Figure:
    """One measured number and what it should be; `at_most` turns the comparison around."""

    name: str
    value: float
    target: float
    must: bool = True
    at_most: bool = False

    @property
    def met(self) -> bool:
        """True if the target is reached."""
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        kind, sign = ("must" if self.must else "aim "), ("<=" if self.at_most else ">=")
        verdict = "ok  " if self.met else "MISS"
        return f"{verdict} {kind} {self.name:58} {self.value:10.3f} {sign} {self.target:g}"


def encoded(video: Video, seed: int = 0, **changes: object) -> EncodeResult:
    """An encode with default settings, but for the seed and the model's shape."""
    model = replace(default_model(video), **changes) if changes else None
    return compress(video, Recipe(model=model, fit=FitConfig(seed=seed)))


def bunny() -> Iterator[Figure]:
    """The real clip at the demo's rate and training, then one layer and no motion at equal bytes."""
    demo = Demo()
    video = load(demo.clip, demo.selection)
    began = time.perf_counter()
    ours = _bunny(video, demo)
    yield Figure("bunny: seconds to encode", time.perf_counter() - began, 150, must=False, at_most=True)
    decoded = metrics.psnr_db(video.frames, decode(ours.data).frames)
    yield Figure("bunny: bytes", len(ours.data), BUNNY_BYTES, at_most=True)
    yield Figure("bunny: decoded PSNR [dB]", decoded, 28.6)
    for target, name in ((29.2, "aim 1"), (29.68, "x265 veryslow tune=psnr")):
        yield Figure(f"bunny: decoded PSNR [dB], {name}", decoded, target, must=False)
    yield Figure("bunny: bits per weight of the whole file", ours.bits_per_weight, 5.5, at_most=True)
    lost = ours.unquantized_psnr_db - ours.psnr_db
    yield Figure("bunny: PSNR lost by quantization [dB]", lost, 0.3, at_most=True)
    for name, change in (("one layer", {"layers": 1}), ("no motion", {"layers": 1, "motion": "none"})):
        other = _bunny(video, demo, **change)
        gain = decoded - metrics.psnr_db(video.frames, decode(other.data).frames)
        yield Figure(f"bunny: dB ahead of {name} at equal bytes", gain, 0.5, must=False)


def _bunny(video: Video, demo: Demo, **changes: object) -> EncodeResult:
    model = replace(default_model(video), **changes)
    return compress(video, replace(demo.recipe, model=model))


def cutout() -> Iterator[Figure]:
    """The generated scene over five seeds with default settings, and its simpler rivals at equal bytes."""
    scene = scenes.cutout()
    quality = []
    for seed in SEEDS:
        encoding = encoded(scene.video, seed)
        quality.append(_decoded_psnr(scene.video, encoding))
        yield Figure(f"cutout, seed {seed}: seconds", encoding.seconds, 60, at_most=True)
        yield Figure(f"cutout, seed {seed}: decoded PSNR [dB]", quality[-1], 36)
        yield Figure(f"cutout, seed {seed}: mask IoU", _mask_iou(scene, encoding), 0.90)
    plain = _decoded_psnr(scene.video, encoded(scene.video, layers=1, motion="none"))
    single = _decoded_psnr(scene.video, encoded(scene.video, layers=1))
    yield Figure("cutout: decoded PSNR of the plain (x, y, t) network [dB]", plain, 33, at_most=True)
    yield Figure("cutout: dB ahead of one layer at equal bytes", min(quality) - single, 2)
    yield Figure("cutout: dB ahead of the plain network at equal bytes", min(quality) - plain, 3)


def _decoded_psnr(video: Video, result: EncodeResult) -> float:
    return metrics.psnr_db(video.frames, decode(result.data).frames)


def _mask_iou(scene: scenes.Scene, result: EncodeResult) -> float:
    header, model = read_model(result.data)
    top = render(model, frame_times(header.time), header.height, header.width).alpha.argmax(dim=0)
    masks = np.stack([(top == layer).numpy() for layer in range(header.model.layers)])
    return metrics.match_layers(masks, scene.masks[None]).iou


def motion() -> Iterator[Figure]:
    """Error of the recovered motion of `clip:cutout`, after one alignment per layer."""
    scene = scenes.cutout()
    _, model = read_model(encoded(scene.video).data)
    for layer, limits, must in (("background", (2, 1, 1), True), ("foreground", (5, 5, 2), False)):
        errors = motion_errors(model, scene, layer)
        names = ("scale [percent]", "rotation [degrees]", "translation [pixels]")
        for name, error, limit in zip(names, errors, limits, strict=True):
            yield Figure(f"motion of the {layer}: mean error of {name}", error, limit, must, at_most=True)


def repeat() -> Iterator[Figure]:
    """The same seed gives the same bytes; threads change no decoded pixel by more than one level."""
    video = load("clip:cutout")
    recipe = Recipe(bpp=0.8, fit=FitConfig(steps=200), codec=CodecConfig(steps=100))
    first, second = (compress(video, recipe).data for _ in range(2))
    yield Figure("two encodes with one seed: differing bytes", float(first != second), 0, at_most=True)
    threads, pictures = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        pictures.append(decode(first).frames.astype(np.int16))
    torch.set_num_threads(threads)
    levels = float(np.abs(pictures[0] - pictures[1]).max())
    yield Figure("decoded by 1 and 2 threads: largest difference [levels]", levels, 1, at_most=True)


_CHILD = """
import resource, sys
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini import config, decoder, encoder
from coordflow_mini.video import scenes
from coordflow_mini.video.read import load
if sys.argv[1] == "encode":
    video = load("clip:bunny", config.Selection(0, 60, 1, 1920, 1080))
    model = ModelConfig(width=64, highest_frequency=96.0)
    codec = CodecConfig(choose_width=False, steps=20)
    made = encoder.compress(video, Recipe(model=model, fit=FitConfig(steps=20), codec=codec))
    open(sys.argv[2], "wb").write(made.data)
else:
    for number, frame in enumerate(decoder.decode_frames(open(sys.argv[2], "rb").read())):
        if number == 4:
            break
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def memory() -> Iterator[Figure]:
    """Peak resident memory of 60 frames of 1920x1080, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "large.cfv")
        for task, limit in (("encode", 3.0), ("decode", 1.0)):
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, task, path], check=True, capture_output=True, text=True
            )
            name = f"1080p, 60 frames: peak memory to {task} [GiB]"
            yield Figure(name, float(done.stdout), limit, at_most=True)


GROUPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "cutout": cutout,
    "motion": motion,
    "bunny": bunny,
    "repeat": repeat,
    "memory": memory,
}


def main() -> int:
    """Measure, print, and say whether every must holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, action="append", help="measure this group alone")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    print(f"on {hardware()}, {torch.get_num_threads()} threads", flush=True)
    figures = []
    for name in options.only or GROUPS:
        for figure in GROUPS[name]():
            figures.append(figure)
            print(figure, flush=True)
    if options.json:
        options.json.write_text(json.dumps([figure.__dict__ for figure in figures], indent=2) + "\n")
    missed = [figure for figure in figures if figure.must and not figure.met]
    print(f"{len(figures)} figures, {len(missed)} musts missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
