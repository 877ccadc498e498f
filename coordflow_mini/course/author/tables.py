"""The tables of measurements that lessons read, and how each was made.

    python -m coordflow_mini.course.author.tables [NAME ...] [--out FOLDER]

They lie in `data/`, which ships with the package.  A lesson trains one or two networks while the
reader waits; what needs more, several seeds above all, is measured here once.
"""

import argparse
import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.coords import frame_times
from coordflow_mini.course.author.chapter import CHAPTERS
from coordflow_mini.course.lesson import alternatives, canonical, ladder, owners, scenes
from coordflow_mini.course.lesson.announce import announce
from coordflow_mini.course.lesson.layers import alone_db
from coordflow_mini.measure.curves import curve_name
from coordflow_mini.measure.metrics import match_layers, psnr_db
from coordflow_mini.measure.results import RatePoint
from coordflow_mini.model import CoordFlow
from coordflow_mini.sweeps import sweep
from coordflow_mini.sweeps.job import Reference
from coordflow_mini.train import fit
from coordflow_mini.video import read as clips
from coordflow_mini.video.clip import Video

__all__ = ["TABLES", "followed", "gamma", "layers", "main", "one_layer", "rates", "write"]

Row = dict[str, str | float]

LAYER = ModelConfig(layers=1, width=48, highest_frequency=8.0)
PLAIN = ModelConfig(layers=1, motion="none", width=49, highest_frequency=8.0)  # as many weights


def one_layer() -> Iterator[Row]:
    """Chapter 04: one layer and the plain network of equal size, on one motion and on two; 50 frames.

    background, flower: how far the recovered motion is from each true one, see `canonical.pixels_apart`.
    """
    for clip, scene in {"pan": clips.pan(frames=50), "cutout": clips.cutout(frames=50)}.items():
        times = frame_times(scene.video.time)
        for network, config in {"layer": LAYER, "plain": PLAIN}.items():
            for seed in range(3):
                model = fit(scene.video, config, FitConfig(steps=2000, batch=4096, seed=seed)).model
                decoded = model.render(times, scene.video.height, scene.video.width).rgb
                row: Row = {"clip": clip, "network": network, "seed": seed, "weights": model.parameter_count}
                row["psnr_db"] = round(psnr_db(scene.video.frames, decoded), 2)
                row |= _distances(model, scene) if network == "layer" else {}
                yield row


def followed() -> Iterator[Row]:
    """Chapter 04: twelve seeds of the short fit of one layer to two motions; distances as in `one_layer`."""
    scene = clips.cutout(frames=50)
    for seed in range(12):
        config = FitConfig(steps=800, batch=4096, grow=400, seed=seed)
        model = fit(scene.video, LAYER, config).model
        yield {"seed": seed, **_distances(model, scene)}


def layers() -> Iterator[Row]:
    """Chapter 05: one to four layers of equal size together, and one and two of them at slower motion.

    speed: 1 is clip:cutout, 1/3 the same with every motion three times slower, 24 frames each.
    object: the layer that plays the flower, by `iou`.  alone_db: of the flower's layer where it is seen.
    """
    for slower, counts in {1: (1, 2, 3, 4), 3: (1, 2), 12: (1, 2)}.items():
        scene = clips.cutout(frames=24 * slower)
        middle = slice(12 * (slower - 1), 12 * (slower + 1))
        frames, masks = scene.video.frames[middle], scene.masks[middle]
        for count in counts:
            config = ModelConfig(layers=count, width=EQUAL_WIDTHS[count - 1], highest_frequency=12.0)
            for seed in range(3):
                how = FitConfig(steps=600, batch=4096, gamma=0.0, warm_up=100, static=400, seed=seed)
                model = fit(Video(frames), config, how).model
                seen = model.render(frame_times(24), *frames.shape[1:3])
                row: Row = {"speed": round(1 / slower, 3), "layers": count, "seed": seed}
                row |= {"weights": model.parameter_count, "psnr_db": round(psnr_db(frames, seen.rgb), 2)}
                if count > 1:
                    match = match_layers(seen.alpha > 0.5, masks[None])
                    flower = match.order[0]
                    own = alone_db(seen.layer_rgb[flower], seen.alpha[flower], torch.from_numpy(frames))
                    row |= {"object": flower, "iou": round(match.iou, 3), "alone_db": round(own, 2)}
                yield row


EQUAL_WIDTHS = (62, 40, 30, 24)  # of one to four layers with about as many weights together


def _distances(model: CoordFlow, scene: clips.Scene) -> Row:
    """How far a one-layer model's motion is from each true one [pixels]."""
    with torch.no_grad():
        motion = model.transforms(frame_times(scene.video.time))[0]
    size = scene.video.height, scene.video.width
    return {
        name: round(canonical.pixels_apart(motion, truth, *size), 2)
        for name, truth in zip(("background", "flower"), scene.motion, strict=False)
    }


GAMMAS = (0.0, 0.01, 0.05, 0.1, 0.2, 1.0)


def gamma() -> Iterator[Row]:
    """Chapter 06: six weights of the layer loss on four clips; about ten minutes of one core.

    psnr_db, alone_db: of the blend, and of every pixel as its owner shows it.  early_db: of the batches
    of steps 101 to 150.  decided, smallest: shares of the pixels, of those with one alpha above 0.95 and of
    those that the smallest layer owns.  iou: mean over the true layers.
    """
    for clip, (video, truth) in _gamma_clips().items():
        model_config = ModelConfig(width=48, layers=3 if clip == "trio" else 2)
        times = frame_times(video.time)
        for weight in GAMMAS:
            for seed in range(3):
                config = FitConfig(steps=1000, batch=2048, gamma=weight, seed=seed)
                result = fit(video, model_config, config)
                shown = result.model.render(times, video.height, video.width)
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
    """Four clips of different motions, 24 frames, and which true layer is seen where, if that is known."""
    cutout = clips.cutout(32, 48)
    return {
        "cutout": (cutout.video, np.stack([~cutout.masks, cutout.masks])),
        "trio": scenes.trio(),
        "pan": (clips.pan(32, 48).video, None),
        "bunny": (clips.load("clip:bunny", Selection(0, 96, 4, 96, 54)), None),
    }


RATES = (0.03, 0.05, 0.075, 0.12)
RIVALS = ("x264:medium", "x264:veryslow:psnr", "x265:medium", "x265:veryslow:psnr", "av1:6", "av1:2")


def rates() -> Iterator[Row]:
    """Chapter 09: bunny at four rates, against the everyday codecs; a quarter of an hour on two cores.

    A sweep in runs/rates, which goes on where it was stopped.  codec: with preset and tune.
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
    """The name of a point's curve; how its pictures became RGB stays in its settings."""
    return curve_name(point).replace(" accurate RGB", "")


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    "one_layer.csv": one_layer,
    "followed.csv": followed,
    "layers.csv": layers,
    "gamma.csv": gamma,
    "on_film.csv": alternatives.on_film,
    "ladder.csv": ladder.measure,
    "rates.csv": rates,
}


def write(path: Path, rows: Iterator[Row]) -> None:
    """Write rows as CSV; what a row does not have stays empty."""
    measured = list(rows)
    names = list(dict.fromkeys(name for row in measured for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(measured)


def main() -> None:
    """Measure all tables, or the named ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}; all by default")
    parser.add_argument("--out", type=Path, default=CHAPTERS.parent / "data", help="folder; data/ by default")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in TABLES]
    if unknown:
        parser.error(f"there is no table {unknown[0]!r}; expected {', '.join(TABLES)}")
    for name in options.names or TABLES:
        write(options.out / name, TABLES[name]())
        announce(f"{options.out / name}")


if __name__ == "__main__":
    main()
