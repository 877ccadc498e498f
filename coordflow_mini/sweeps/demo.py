"""`coordflow demo`: encode a real clip, decode it, and compare with x264 and x265 at the same size.

The file is decoded in a fresh process. The result is a demo page to open in a browser.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from coordflow_mini import decoder, encoder
from coordflow_mini.config import CodecConfig, FitConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.measure import baselines, evaluate, metrics
from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.ops.console import Console, duration, table
from coordflow_mini.ops.files import replacing
from coordflow_mini.render import render
from coordflow_mini.show.demo_page import demo_page_html
from coordflow_mini.sweeps import budget
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load
from coordflow_mini.video.write import write

_FIRST_FRAMES = Selection(0, 96, 1, 192, 108)
_RECIPE = Recipe(bpp=0.075, fit=FitConfig(steps=3000), codec=CodecConfig(steps=1200))  # 18,662 bytes
FILE, DECODED, RESULTS, PAGE = "demo.cfv", "decoded.mp4", "results.json", "demo.html"


@dataclass(frozen=True)
class Demo:
    """A clip, how to encode it, and what to compare it with.

    references: codec, preset and tune, for `baselines.measure`.
    """

    clip: str = "clip:bunny"
    selection: Selection = _FIRST_FRAMES
    recipe: Recipe = _RECIPE
    references: tuple[tuple[str, str, str | None], ...] = (
        ("x264", "medium", None),
        ("x264", "veryslow", "psnr"),
        ("x265", "medium", None),
        ("x265", "veryslow", "psnr"),
    )


def run(
    out: Path,
    demo: Demo | None = None,
    console: Console | None = None,
    *,
    device: torch.device | str = "cpu",
) -> RunResult:
    """Run the demo, write its files into `out`, and return the figures.

    Raises VideoError, with the cure, if the clip is missing.
    """
    demo, console = demo or Demo(), console or Console(quiet=True)
    original = load(demo.clip, demo.selection)
    planned = encoder.plan(original, demo.recipe)
    recipe = budget.steps_within(demo.recipe, original, planned.model, device=device)
    console.say(
        f"{original.name}: {original.time} frames of {original.width}x{original.height} into at most "
        f"{planned.target_bytes:,} bytes; {planned.model.layers} layers of width {planned.model.width}"
    )
    with console.training() as on_step:
        made = encoder.compress(original, recipe, device=device, on_step=on_step)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / FILE) as temporary:
        temporary.write_bytes(made.data)
    decoded = _decode_in_fresh_process(out / FILE, original)
    console.say(f"decoded in a fresh process: {decoded.time} frames, from {FILE} alone")
    write(out / DECODED, decoded.frames, decoded.fps)
    began = time.perf_counter()
    header, model = decoder.read_model(made.data)
    rendering = render(model.to(device), frame_times(header.time), header.height, header.width)
    seconds = time.perf_counter() - began
    point = evaluate.rate_point(
        made.data,
        original.name,
        metrics.psnr_db(original.frames, decoded.frames),
        metrics.ms_ssim(original.frames, decoded.frames),
        encode_seconds=made.seconds,
        decode_seconds=seconds,
    )
    result = RunResult(
        clip=original.name,
        shape=(original.time, original.height, original.width),
        point=replace(point, settings=f"{point.settings}, {recipe.fit.steps}+{recipe.codec.steps} steps"),
        bits_per_weight=made.bits_per_weight,
        parameters=made.parameters,
        unquantized_psnr_db=made.unquantized_psnr_db,
        hardware=evaluate.hardware(),
        versions=evaluate.versions(),
        references=_references(original, len(made.data), demo, console),
    )
    with replacing(out / RESULTS) as temporary:
        temporary.write_text(json.dumps(result.to_json(), indent=2) + "\n", encoding="utf-8")
    with replacing(out / PAGE) as temporary:
        temporary.write_text(demo_page_html(result, original, decoded, rendering), encoding="utf-8")
    return result


def _decode_in_fresh_process(path: Path, original: Video) -> Video:
    """The frames that `coordflow decode` writes, in a process that has only the file."""
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.npy"
        subprocess.run(
            [sys.executable, "-m", "coordflow_mini", "decode", str(path), str(frames), "--quiet"],
            check=True,
        )
        pictures = np.load(frames, allow_pickle=False)
        return Video(pictures, original.fps, "decoded", original.selection, original.matrix)


def _references(original: Video, size: int, demo: Demo, console: Console) -> tuple[RatePoint, ...]:
    """The other codecs on the same frames: their largest streams of at most `size` bytes.

    Converted to RGB in the way that suits them best.
    """
    points = []
    for codec, preset, tune in demo.references:
        points.append(
            baselines.measure(original, codec, target_bytes=size, preset=preset, tune=tune, accurate_rgb=True)
        )
        console.say(f"{curve_name(points[-1])}: {points[-1].psnr_db:.2f} dB")
    return tuple(points)


def comparison(result: RunResult) -> str:
    """The figures as a table, best PSNR first, with our lead over each codec."""
    ours = result.point
    points = sorted([ours, *result.references], key=lambda point: -point.psnr_db)
    rows = [["", "PSNR [dB]", "ours is ahead by [dB]", "MS-SSIM", "bytes", "bits/pixel", "encode"]]
    for point in points:
        ahead = "" if point is ours else f"{ours.psnr_db - point.psnr_db:+.2f}"
        ssim = "-" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
        figures = [f"{point.psnr_db:.2f}", ahead, ssim, f"{point.bytes:,}", f"{point.bpp:.4f}"]
        rows.append([curve_name(point), *figures, duration(point.encode_seconds)])
    lost = result.unquantized_psnr_db - ours.psnr_db
    return (
        f"{table(rows)}\n\n{result.parameters:,} weights at {result.bits_per_weight:.2f} bits each; "
        f"quantization cost {lost:.2f} dB; decoded in {duration(ours.decode_seconds)}"
    )
