"""Tables of measurements for chapters, and how each is made.

    python -m coordflow_mini.course.author.tables [NAME ...] [--out FOLDER]

The tables in `data/` ship with the package.  A chapter trains one or two networks while the reader waits;
measurements that need more, several seeds above all, are made here once.
"""

import argparse
import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coordflow_mini import bitstream, decoder
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.course.author import film
from coordflow_mini.course.author.chapter import CHAPTERS
from coordflow_mini.course.lesson import canonical, ladder, owners
from coordflow_mini.course.lesson.announce import announce
from coordflow_mini.course.lesson.layers import alone_db
from coordflow_mini.encoder import header_of
from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.metrics import match_layers, psnr_db
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.run import fit
from coordflow_mini.render import render
from coordflow_mini.sampling import default_model
from coordflow_mini.sweeps import sweep
from coordflow_mini.sweeps.job import Reference
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load
from coordflow_mini.video.scenes import Scene, cutout, pan

Row = dict[str, str | float]

LAYER = ModelConfig(layers=1, width=48, highest_frequency=8.0)
PLAIN = ModelConfig(layers=1, motion="none", width=49, highest_frequency=8.0)  # as many weights


def one_layer() -> Iterator[Row]:
    """Chapter 04: one layer and a plain network of equal size, on clips with one and two motions, 50 frames.

    background, flower: distance of the recovered motion from each true one, see `canonical.pixels_apart`.
    """
    for clip, scene in {"pan": pan(frames=50), "cutout": cutout(frames=50)}.items():
        times = frame_times(scene.video.time)
        for network, config in {"layer": LAYER, "plain": PLAIN}.items():
            for seed in range(3):
                model = fit(scene.video, config, FitConfig(steps=2000, batch=4096, seed=seed)).model
                decoded = render(model, times, scene.video.height, scene.video.width).rgb
                row: Row = {"clip": clip, "network": network, "seed": seed, "weights": model.parameter_count}
                row["psnr_db"] = round(psnr_db(scene.video.frames, decoded), 2)
                row |= _distances(model, scene) if network == "layer" else {}
                yield row


def followed() -> Iterator[Row]:
    """Chapter 04: short fits of one layer to two motions, 12 seeds; distances as in `one_layer`."""
    scene = cutout(frames=50)
    for seed in range(12):
        config = FitConfig(steps=800, batch=4096, grow=400, seed=seed)
        model = fit(scene.video, LAYER, config).model
        yield {"seed": seed, **_distances(model, scene)}


def layers() -> Iterator[Row]:
    """Chapter 05: one to four layers of equal total size, and one and two layers on slower motion.

    speed: 1 is `clip:cutout`; at 1/3 every motion is three times slower; 24 frames each.
    object: the layer that matches the flower best, by `iou`.  alone_db: PSNR of that layer where it is seen.
    """
    for slower, counts in {1: (1, 2, 3, 4), 3: (1, 2), 12: (1, 2)}.items():
        scene = cutout(frames=24 * slower)
        middle = slice(12 * (slower - 1), 12 * (slower + 1))
        frames, masks = scene.video.frames[middle], scene.masks[middle]
        for count in counts:
            config = ModelConfig(layers=count, width=EQUAL_WIDTHS[count - 1], highest_frequency=12.0)
            for seed in range(3):
                how = FitConfig(steps=600, batch=4096, gamma=0.0, warm_up=100, static=400, seed=seed)
                model = fit(Video(frames), config, how).model
                seen = render(model, frame_times(24), *frames.shape[1:3])
                row: Row = {"speed": round(1 / slower, 3), "layers": count, "seed": seed}
                row |= {"weights": model.parameter_count, "psnr_db": round(psnr_db(frames, seen.rgb), 2)}
                if count > 1:
                    match = match_layers(seen.alpha > 0.5, masks[None])
                    flower = match.order[0]
                    own = alone_db(seen.layer_rgb[flower], seen.alpha[flower], torch.from_numpy(frames))
                    row |= {"object": flower, "iou": round(match.iou, 3), "alone_db": round(own, 2)}
                yield row


EQUAL_WIDTHS = (62, 40, 30, 24)  # of one to four layers, for about the same total number of weights


def _distances(model: CoordFlow, scene: Scene) -> Row:
    """Distance of a one-layer model's motion from each true one [pixels]."""
    with torch.no_grad():
        motion = model.transforms(frame_times(scene.video.time))[0]
    size = scene.video.height, scene.video.width
    return {
        name: round(canonical.pixels_apart(motion, truth, *size), 2)
        for name, truth in zip(("background", "flower"), scene.motion, strict=False)
    }


GAMMAS = (0.0, 0.01, 0.05, 0.1, 0.2, 1.0)


def gamma() -> Iterator[Row]:
    """Chapter 06: six weights of the layer loss on four clips; takes about ten minutes on one core.

    psnr_db, alone_db: PSNR of the blend, and of each pixel as its owner alone shows it.  early_db: PSNR of
    the batches of steps 101 to 150.  decided, smallest: fraction of pixels with an alpha above 0.95, and of
    pixels owned by the smallest layer.  iou: mean over the true layers.
    """
    for clip, (video, truth) in _gamma_clips().items():
        model_config = ModelConfig(width=48, layers=3 if clip == "trio" else 2)
        times = frame_times(video.time)
        for weight in GAMMAS:
            for seed in range(3):
                config = FitConfig(steps=1000, batch=2048, gamma=weight, seed=seed)
                result = fit(video, model_config, config)
                shown = render(result.model, times, video.height, video.width)
                regions = owners.regions(shown.alpha)
                yield {
                    "clip": clip,
                    "gamma": weight,
                    "seed": seed,
                    "psnr_db": round(psnr_db(video.frames, shown.rgb), 2),
                    "alone_db": round(
                        psnr_db(video.frames, owners.owner_picture(shown.layer_rgb, shown.alpha)), 2
                    ),
                    "early_db": round(result.history[2].psnr_db, 2),
                    "decided": round(owners.decided(shown.alpha), 3),
                    "smallest": round(regions.double().mean((1, 2, 3)).min().item(), 3),
                    "iou": "" if truth is None else round(match_layers(regions, truth).iou, 3),
                }


def _gamma_clips() -> dict[str, tuple[Video, Any]]:
    """Four clips of 24 frames with different motions, and masks of their true layers where known."""
    small = cutout(32, 48)
    return {
        "cutout": (small.video, np.stack([~small.masks, small.masks])),
        "trio": owners.trio(),
        "pan": (pan(32, 48).video, None),
        "bunny": (load("clip:bunny", Selection(0, 96, 4, 96, 54)), None),
    }


def rungs(steps: int = 3000, tuning: int = 1200) -> Iterator[Row]:
    """Chapter 08: one fit of bunny on every rung of the ladder; takes about four minutes on 2 threads.

    rung: "float32", "fp16", "rounded" (to integers), "tuned" (trained on with rounding), "priced" (the
    library's fine-tuning).  bits: requested per weight.  bytes, bits_per_weight: of the file.
    """
    video = load("clip:bunny", Selection(0, 96, 1, 192, 108))
    fit_config = FitConfig(steps=steps)
    model_config = replace(default_model(video), width=68)
    header = header_of(video, model_config, fit_config)
    fitted = fit(video, model_config, fit_config)
    model, plain = fitted.model, len(bitstream.header_bytes(header))
    weights = model.parameter_count

    def row(rung: str, bits: float, size: int, decoded: CoordFlow) -> Row:
        shown = render(decoded, frame_times(video.time), video.height, video.width).rgb
        quality = round(psnr_db(video.frames, shown), 2)
        rate = round(8 * size / weights, 3)
        return {"rung": rung, "bits": bits, "bytes": size, "bits_per_weight": rate, "psnr_db": quality}

    yield row("float32", 32, plain + 4 * weights, model)
    halved = ladder.with_weights(model, [tensor.half().float() for tensor in ladder.tensors_of(model)])
    yield row("fp16", 16, plain + 2 * weights, halved)
    for bits in (8, 7, 6, 5, 4):
        data = bitstream.write(header, ladder.in_bits(model, bits))
        yield row("rounded", bits, len(data), decoder.read_model(data)[1])
    for bits in (6, 5):
        data = bitstream.write(header, ladder.tuned(fitted, video, bits, tuning))
        yield row("tuned", bits, len(data), decoder.read_model(data)[1])
    for wanted in (5.4, 5.0, 4.5, 4.0):
        data = ladder.priced(fitted, video, header, wanted, tuning)
        yield row("priced", wanted, len(data), decoder.read_model(data)[1])


RATES = (0.03, 0.05, 0.075, 0.12)
RIVALS = ("x264:medium", "x264:veryslow:psnr", "x265:medium", "x265:veryslow:psnr", "av1:6", "av1:2")


def rates() -> Iterator[Row]:
    """Chapter 09: bunny at four rates against standard codecs; takes 15 minutes on two cores.

    Runs a resumable sweep in runs/rates.  codec: includes preset and tune.
    """
    wanted = sweep.plan(
        ["clip:bunny"],
        RATES,
        [Reference.parse(rival) for rival in RIVALS],
        Recipe(fit=FitConfig(steps=8000), codec=CodecConfig(steps=3000)),
        selection=Selection(0, 96, 1, 192, 108),
    )
    folder = CHAPTERS.parent / "runs" / "rates"
    experiment = sweep.run(
        folder, wanted, on_job=lambda outcome, standing: announce(f"{outcome.name}: {outcome.state}")
    )
    if experiment.failed:
        raise RuntimeError(f"{experiment.failed[0].name} failed: {experiment.failed[0].reason}")
    for point in sorted(experiment.points, key=lambda point: (_curve(point), point.bpp)):
        yield {
            "codec": _curve(point),
            "bpp": round(point.bpp, 5),
            "bytes": point.bytes,
            "psnr_db": round(point.psnr_db, 2),
            "ms_ssim": round(point.ms_ssim or math.nan, 4),
            "encode_seconds": round(point.encode_seconds, 2),
            "decode_seconds": round(point.decode_seconds, 2),
            "settings": point.settings,
        }


def _curve(point: RatePoint) -> str:
    """Name of a point's curve, without the RGB conversion, which is among its settings."""
    return curve_name(point).replace(" accurate RGB", "")


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    "one_layer.csv": one_layer,
    "followed.csv": followed,
    "layers.csv": layers,
    "gamma.csv": gamma,
    "on_film.csv": film.on_film,
    "ladder.csv": rungs,
    "rates.csv": rates,
}


def write(path: Path, rows: Iterator[Row]) -> None:
    """Write rows as CSV; missing values stay empty."""
    measured = list(rows)
    names = list(dict.fromkeys(name for row in measured for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(measured)


def main() -> None:
    """Measure all tables or the named ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(TABLES)} (default: all)"
    )
    parser.add_argument(
        "--out", type=Path, default=CHAPTERS.parent / "data", help="output folder (default: data/)"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in TABLES]
    if unknown:
        parser.error(f"unknown table {unknown[0]!r}; choose from {', '.join(TABLES)}")
    for name in options.names or TABLES:
        write(options.out / name, TABLES[name]())
        announce(f"{options.out / name}")


if __name__ == "__main__":
    main()
