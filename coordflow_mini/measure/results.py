"""Records of results: a rate-quality point, a run, a sweep, the published points.

Plain, frozen, and without PyTorch.  `to_json` gives JSON values.  A record refuses wrong values with one line
of ValueError, and unknown or missing fields with TypeError.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RatePoint:
    """One codec on one clip at one rate.

    bytes: of the file or raw stream.  bpp: bits per pixel over all frames.
    psnr_db, ms_ssim: see `metrics`; ms_ssim is None where it was not measured, or is NaN (tiny frames).
    encode_seconds: of the final encode, without the search for the rate.
    settings: enough to make the point again.
    measured: here, by us; a published point has False, a source, and 0 for unknown bytes and times.
    Raises ValueError if a number is missing, negative or not finite.

    >>> point = RatePoint("x265", "clip:bunny", 18_650, 0.075, 28.9, settings="medium")
    >>> RatePoint(**point.to_json()) == point
    True
    """

    codec: str
    clip: str
    bytes: int
    bpp: float
    psnr_db: float
    ms_ssim: float | None = None
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    settings: str = ""
    measured: bool = True
    source: str = ""

    def __post_init__(self) -> None:
        if self.ms_ssim != self.ms_ssim:
            object.__setattr__(self, "ms_ssim", None)
        _check(self, "codec clip", _is_name, "a non-empty string")
        _check(self, "bytes", _is_count, "an integer >= 0")
        _check(self, "bpp", _is_positive, "a number > 0")
        _check(self, "psnr_db", _is_number, "a finite number")
        _check(self, "encode_seconds decode_seconds", lambda value: _is_number(value, 0), "seconds >= 0")
        _check(self, "measured", lambda value: isinstance(value, bool), "true or false")
        _check(self, "settings source", _is_text, "a string")
        if self.ms_ssim is not None:
            _check(self, "ms_ssim", lambda value: _is_number(value, -1, 1), "None or in [-1, 1]")
        if not self.measured and not self.source:
            raise ValueError("a published RatePoint (measured=False) needs its source, got ''")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class RunResult:
    """One encode from clip to evaluated file, with the codecs to compare it with.

    shape: (time, height, width).  point: our own rate and quality.  parameters: number of weights.
    bits_per_weight: bits of the whole file / parameters.  unquantized_psnr_db: before quantization.
    hardware: in words.  versions: of packages.  references: other codecs on the same clip.
    """

    clip: str
    shape: tuple[int, int, int]
    point: RatePoint
    bits_per_weight: float
    parameters: int
    unquantized_psnr_db: float
    hardware: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    references: tuple[RatePoint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "versions", dict(self.versions))
        object.__setattr__(self, "references", tuple(self.references))
        sides = len(self.shape) == 3 and all(_is_count(side, 1) for side in self.shape)
        _check(self, "clip", _is_name, "a non-empty string")
        _check(self, "shape", lambda _: sides, "three integers >= 1: time, height, width")
        _check(self, "bits_per_weight", _is_positive, "a number > 0")
        _check(self, "parameters", lambda value: _is_count(value, 1), "an integer >= 1")
        _check(self, "unquantized_psnr_db", _is_number, "a finite number")
        _check(self, "hardware", _is_text, "a string")
        words = [word for pair in self.versions.items() for word in pair]
        _check(self, "versions", lambda _: all(map(_is_text, words)), "package names with their versions")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, the points as dicts."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunResult":
        """The run that `to_json` described; raises ValueError or TypeError if it is none."""
        points = (RatePoint(**point) for point in data.get("references", ()))
        return cls(**{**data, "point": RatePoint(**data["point"]), "references": tuple(points)})


@dataclass(frozen=True)
class FailedJob:
    """A job of a sweep that ended without a point: its name, and the reason in one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Experiment:
    """The results of a sweep.

    points: in no particular order; curves are told apart by codec and settings.  failed: jobs without a
    point.  pending: names of jobs that have not run yet.  hardware: one description per machine.
    versions: of packages.
    """

    points: tuple[RatePoint, ...]
    failed: tuple[FailedJob, ...] = ()
    pending: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


# --- data that ships with the package -----------------------------------------------------------------


def data_file(name: str) -> Path:
    """The path of a data file that ships with the package, such as "anchors/uvg_rd.csv".

    It is inside an installed wheel, or in the checkout's `data/`.
    Raises FileNotFoundError if there is no such file.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "data", package.parent / "data"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no file {name!r} ships with coordflow_mini; reinstall the package")


def published(sequence: str = "average") -> tuple[RatePoint, ...]:
    """Points that papers report on UVG 1080p, for one sequence or the "average" of all seven.

    Their rates and protocols differ: read `data/anchors/README.md` before comparing.
    Raises ValueError if the sequence is not in the table.

    >>> [point.bpp for point in published("Beauty") if point.codec == "HiNeRV"]
    [0.013, 0.0261, 0.0512, 0.102, 0.2007]
    """
    with data_file("anchors/uvg_rd.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    points = tuple(_published_point(row) for row in rows if row["sequence"] == sequence)
    if not points:
        known = ", ".join(sorted({row["sequence"] for row in rows}))
        raise ValueError(f"sequence must be one of {known}, got {sequence!r}")
    return points


def _published_point(row: Mapping[str, str]) -> RatePoint:
    return RatePoint(
        codec=row["codec"],
        clip=f"uvg:{row['sequence']}",
        bytes=0,
        bpp=float(row["bpp"]),
        psnr_db=float(row["psnr_rgb_db"]),
        ms_ssim=float(row["ms_ssim"]) if row["ms_ssim"] else None,
        settings=row["notes"],
        measured=False,
        source=f"{row['reference']}; {row['source']}",
    )


# --- checks of fields ---------------------------------------------------------------------------------

_LARGEST = 1e12  # beyond any measurement; larger numbers would overflow in a sum or on an axis


def _is_number(value: Any, least: float = -_LARGEST, most: float = _LARGEST) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _is_positive(value: Any) -> bool:
    return _is_number(value, 1 / _LARGEST)


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1 << 16


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 1 << 12


def _check(record: Any, names: str, is_good: Callable[[Any], bool], expected: str) -> None:
    """Raises ValueError for the first of the named fields that fails the check."""
    for name in names.split():
        value = getattr(record, name)
        if not is_good(value):
            raise ValueError(f"{type(record).__name__}.{name} must be {expected}, got {value!r:.60}")
