"""Records of results: a rate-quality point, a run, a sweep, the published points.

Plain, frozen, and without PyTorch.  `to_json` gives JSON values.  A record refuses wrong values with one line
of ValueError, and unknown or missing fields with TypeError.
"""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_LARGEST = 1e12  # beyond any measurement; larger numbers would overflow in a sum or on an axis
_LONGEST = 1 << 16


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
        bounds = {"bytes": (0, _LARGEST), "bpp": (1 / _LARGEST, _LARGEST), "psnr_db": (-_LARGEST, _LARGEST)}
        bounds |= {"encode_seconds": (0, _LARGEST), "decode_seconds": (0, _LARGEST)}
        bounds |= {} if self.ms_ssim is None else {"ms_ssim": (-1, 1)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not least <= value <= most:
                raise ValueError(f"{name} must be a number from {least:g} to {most:g}, got {value!r:.60}")
        for name in ("codec", "clip", "settings", "source"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > _LONGEST:
                raise ValueError(f"{name} must be a string of up to {_LONGEST} characters, got {value!r:.60}")
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
