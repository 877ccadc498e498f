"""What there is to fetch: the UVG sequences, the free clips of `data/footage.json`, any address."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import unquote, urlsplit

from coordflow_mini.measure.results import data_file
from coordflow_mini.video.clip import RawFormat, VideoError

__all__ = [
    "UVG",
    "FetchError",
    "Sequence1080p",
    "Source",
    "address",
    "check_address",
    "footage",
    "named",
    "uvg",
]


class FetchError(VideoError):
    """A clip cannot be brought here; the message is one line: what came, what was expected, what to do."""


@dataclass(frozen=True)
class Source:
    """Where a clip comes from and what it must be.  Sizes in bytes; None: not known beforehand."""

    name: str  # by which `clips.load` knows it
    url: str  # of the file itself, or of a .7z archive that holds it
    file: str  # the name it has in the end
    size: int | None = None  # of that file
    frames: int | None = None
    width: int = 0
    height: int = 0
    fps: Fraction = Fraction(0)
    sha256: str | None = None  # of that file
    description: str = ""
    license: str = "not known: ask who made it"
    attribution: str = ""
    download: int | None = None  # size of the archive, about: for plans, not for checks
    redirects: tuple[str, ...] = ()  # other origins, "https://host", that the address may lead to

    @property
    def packed(self) -> bool:
        """Whether the address is that of an archive."""
        return urlsplit(self.url).path.lower().endswith(".7z")

    @property
    def command(self) -> str:
        """What brings it.

        >>> named("uvg:Beauty").command, named("clip:car").command
        ('coordflow fetch uvg --sequences Beauty', 'coordflow fetch car')
        """
        kind, _, name = self.name.partition(":")
        known = {"uvg": f"uvg --sequences {name}", "clip": name}
        return f"coordflow fetch {known.get(kind, self.url)}"


@dataclass(frozen=True)
class Sequence1080p:
    """A UVG sequence: its name, the size of its archive, what the file inside is called and holds."""

    name: str
    archive: int  # bytes
    frames: int = 600
    inner: str = ""  # where it differs from the name
    width: int = 1920
    height: int = 1080


# Sizes of archives as public scripts check them; no checksum of them is published.
UVG: tuple[Sequence1080p, ...] = (
    Sequence1080p("Beauty", 925_430_047),
    Sequence1080p("Bosphorus", 680_772_328),
    Sequence1080p("HoneyBee", 906_770_507),
    Sequence1080p("Jockey", 770_631_599),
    Sequence1080p("ReadySetGo", 832_143_797, inner="ReadySteadyGo"),
    Sequence1080p("ShakeNDry", 460_046_003, frames=300),
    Sequence1080p("YachtRide", 724_220_168),
)
_UVG_ADDRESS = "https://ultravideo.fi/video/"
_UVG_LICENSE = "CC BY-NC (non-commercial), https://ultravideo.fi/dataset.html"
_UVG_CREDIT = (
    'A. Mercat, M. Viitanen, J. Vanne, "UVG dataset: 50/120fps 4K sequences for video codec analysis '
    'and development", ACM MMSys 2020'
)


def uvg(
    names: Sequence[str] = (), *, table: Sequence[Sequence1080p] = UVG, site: str = _UVG_ADDRESS
) -> tuple[Source, ...]:
    """The UVG sequences of these names, 1080p in 8 bits; without names all of them.

    Raises FetchError if there is no such sequence.

    >>> uvg(["ReadySetGo"])[0].file
    'ReadySteadyGo_1920x1080_120fps_420_8bit_YUV.yuv'
    """
    known = {sequence.name.lower(): sequence for sequence in table}
    for name in names:
        if name.lower() not in known:
            listed = ", ".join(sequence.name for sequence in table)
            raise FetchError(f"UVG has no sequence {name!r}; there are {listed}")
    chosen = dict.fromkeys(name.lower() for name in names) or known
    return tuple(_uvg_source(known[name], site) for name in chosen)


def _uvg_source(sequence: Sequence1080p, site: str) -> Source:
    layout = f"{sequence.width}x{sequence.height}_120fps_420_8bit_YUV"
    return Source(
        name=f"uvg:{sequence.name}",
        url=f"{site}{sequence.name}_{layout}_RAW.7z",
        file=f"{sequence.inner or sequence.name}_{layout}.yuv",
        size=RawFormat(sequence.width, sequence.height).frame_bytes * sequence.frames,
        frames=sequence.frames,
        width=sequence.width,
        height=sequence.height,
        fps=Fraction(120),
        description="UVG, raw: what the field measures on",
        license=_UVG_LICENSE,
        attribution=_UVG_CREDIT,
        download=sequence.archive,
    )


def footage() -> tuple[Source, ...]:
    """The free clips of the manifest that ships, `data/footage.json`.

    >>> [source.name for source in footage()]
    ['clip:car', 'clip:flower']
    """
    listed = json.loads(data_file("footage.json").read_text(encoding="utf-8"))
    return tuple(
        Source(**{**clip, "fps": Fraction(clip["fps"]), "redirects": tuple(clip["redirects"])})
        for clip in listed["clips"]
    )


def named(name: str) -> Source | None:
    """The source that a name such as "uvg:Beauty" or "clip:car" means to `clips.load`; None if none.

    Raises FetchError if UVG is meant, and has no such sequence.
    """
    if name.startswith("uvg:"):
        return uvg([name.removeprefix("uvg:")])[0]
    return next((source for source in footage() if source.name == name), None)


def check_address(url: str) -> None:
    """Refuses what is no address, and one with a password: it would be shown and stored.  Raises FetchError.

    http:// is an address, too, as some footage has no other; then only a SHA-256 tells what it brings.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    if "@" in parts.netloc:
        raise FetchError(
            f"an address with a user or password is not fetched, got one of {host or 'no host'}; "
            "put them into ~/.netrc, and leave them out of the address"
        )
    plain = url.isprintable() and "\\" not in url  # of others programs disagree where they lead
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise FetchError(
            f"{url.rpartition('@')[2]!r:.200} is no address; expected https://HOST/PATH/FILE.mp4"
        )


def address(url: str, sha256: str | None = None) -> Source:
    """Any video file by its address; nothing is known about it but, perhaps, its SHA-256.

    Raises FetchError if the address is none, or names no file.

    >>> address("https://example.org/films/boat.mp4").file
    'boat.mp4'
    """
    check_address(url)
    file = unquote(urlsplit(url).path).rpartition("/")[2]
    if not re.fullmatch(r"\w[\w .()+-]*\.\w+", file) or file.endswith((".json", ".fetching")):
        raise FetchError(f"{url!r} does not end in the name of a video file, such as boat.mp4")
    if file.lower().endswith((".7z", ".zip", ".gz", ".tar", ".rar", ".xz")):
        raise FetchError(
            f"{file} is an archive; only those of UVG are unpacked: give the address of the clip"
        )
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise FetchError(f"a SHA-256 has 64 hexadecimal digits, got {sha256!r}")
    return Source(file, url, file, sha256=sha256.lower() if sha256 else None)
