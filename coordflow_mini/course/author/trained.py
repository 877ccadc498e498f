"""Trained files that chapters open, and how each is made.

    python -m coordflow_mini.course.author.trained [NAME ...] [--film FILE] [--out FOLDER]

The files in `data/` ship with the package.  Each takes minutes to make, and is the same to the byte with the
same library, machine and number of threads.  One shot is cut from the full film Big Buck Bunny, which is too
large to fetch automatically; see `FILM`.  Without --film its file is left as it is.
"""

import argparse
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from coordflow_mini import encoder
from coordflow_mini.bitstream import Header
from coordflow_mini.config import CodecConfig, FitConfig, Recipe, Selection
from coordflow_mini.course.author.chapter import CHAPTERS
from coordflow_mini.ops.console import Console
from coordflow_mini.video.clip import Video
from coordflow_mini.video.read import load

MOST_BYTES = 60_000  # per file: the repository keeps every version


FILM = "film"  # resources/bbb.mp4 in moviepy_10_minutes.zip, in the source distribution of moviepy 2.1.1
FILM_SHA256 = "475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0"


@dataclass(frozen=True)
class TrainedFile:
    """Clip (of the catalog, or `FILM`), frames and recipe of one file."""

    clip: str
    recipe: Recipe
    selection: Selection = field(default_factory=Selection)

    def source(self, film: Path | None = None) -> Video:
        """The frames to encode.  Raises ValueError if they need the film and `film` is not that file."""
        if self.clip != FILM:
            return load(self.clip, self.selection)
        if film is None or hashlib.sha256(film.read_bytes()).hexdigest() != FILM_SHA256:
            raise ValueError(f"--film must be bbb.mp4 with SHA-256 {FILM_SHA256}, got {film}")
        return load(film, self.selection)


TRAINED = {
    "bunny.cfv": TrainedFile(  # the same settings as `coordflow demo`
        "clip:bunny",
        Recipe(bpp=0.075, fit=FitConfig(steps=3000), codec=CodecConfig(steps=1200)),
        Selection(0, 96, 1, 192, 108),
    ),
    "cutout.cfv": TrainedFile("clip:cutout", Recipe(bpp=0.8, fit=FitConfig())),  # motion is learned
    "squirrel.cfv": TrainedFile(  # the camera follows the animal: it stays in place and the ground moves
        FILM,
        Recipe(bpp=0.25, fit=FitConfig(steps=2500), codec=CodecConfig(steps=1000)),
        Selection(10_367, 10_409, 1, 160, 90),
    ),
}


def expected_header(recipe: Recipe, video: Video) -> Header:
    """Header of the file that this version makes from the recipe; video: its source."""
    return encoder.header_of(video, encoder.plan(video, recipe).model, recipe.fit)


def main() -> None:
    """Make all files or the named ones."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(TRAINED)} (default: all)"
    )
    parser.add_argument("--film", type=Path, help="the full film, bbb.mp4; without it, its shots are skipped")
    parser.add_argument(
        "--out", type=Path, default=CHAPTERS.parent / "data", help="output folder (default: data/)"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(TRAINED):
        parser.error(f"unknown file {', '.join(sorted(unknown))}; choose from {', '.join(TRAINED)}")
    console = Console()
    for name in options.names or TRAINED:
        wanted = TRAINED[name]
        if wanted.clip == FILM and options.film is None and not options.names:
            console.say(f"{options.out / name}: skipped, needs --film")
            continue
        with console.training() as on_step:
            made = encoder.compress(wanted.source(options.film), wanted.recipe, on_step=on_step)
        (options.out / name).write_bytes(made.data)
        console.say(f"{options.out / name}: {len(made.data):,} bytes, {made.psnr_db:.2f} dB")


if __name__ == "__main__":
    main()
