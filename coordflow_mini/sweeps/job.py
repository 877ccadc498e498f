"""One job of a sweep: a clip through one codec at one rate, in a folder of its own.

The folder tells all that is to be known about the job, so that any process can take it up, see `worker`:

    job.json          what is wanted; written before anything runs
    lock              held by the process that works on it; the system frees it when that process dies
    log.txt           what happened, with the traceback of an error
    video.checkpoint  of CoordFlow: how far the training is, while there is no file
    video.cfv         of CoordFlow: the file, and encoded.json, what was known when it was finished
    machine.json      where it was measured
    result.json       a `RunResult` for CoordFlow, a `RatePoint` for the others: the job is finished
    failure.json      or the reason why not, in one line
    segments/0001/    if there are several: each has lock, log, checkpoint and failure of its own, and
                      section.bin and section.json, its part of the file and what is known of it

Files appear complete or not at all, and result.json comes last: a job that is killed, or run twice, ends
once.
"""

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coordflow_mini.config import Recipe, Selection
from coordflow_mini.measure.results import RatePoint, RunResult

if TYPE_CHECKING:
    from coordflow_mini.video.raw import RawFormat

__all__ = [
    "Job",
    "Reference",
    "failure_of",
    "failures",
    "give_up",
    "last_words",
    "prepare",
    "read_object",
    "result_of",
    "segment_folder",
    "write_object",
]

OURS = "CoordFlow"  # the codec's name in results
JOB, LOCK, LOG, RESULT, FAILURE = "job.json", "lock", "log.txt", "result.json", "failure.json"
CODED, ENCODED, MACHINE, STEPS = "video.cfv", "encoded.json", "machine.json", "steps.json"
CHECKPOINT, SEGMENTS, SECTION, RECORD = "video.checkpoint", "segments", "section.bin", "section.json"
_LARGEST = 1 << 20  # bytes of a JSON file that is looked at
_NAMED = re.compile(r"[a-z]+(:[A-Za-z0-9]+)+")  # clip:cutout:1, uvg:Beauty: as file names without collisions


@dataclass(frozen=True)
class Reference:
    """Another codec, with preset and tune as `baselines.measure` takes them; raises ValueError.

    >>> Reference.parse("x265:veryslow:psnr")
    Reference(codec='x265', preset='veryslow', tune='psnr')
    """

    codec: str
    preset: str | None = None
    tune: str | None = None

    def __post_init__(self) -> None:
        from coordflow_mini.measure import baselines

        if self.codec not in (known := baselines.available()):
            raise ValueError(f"--against must name {', '.join(known)}, got {self.codec!r}")
        if self.preset not in (None, *(known := baselines.CODECS[self.codec].presets)):
            raise ValueError(
                f"--against: preset of {self.codec} must be one of {', '.join(known)}, got {self.preset!r}"
            )
        if self.tune not in (None, "psnr"):
            raise ValueError(f"--against: tune must be psnr or nothing, got {self.tune!r}")

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """CODEC, CODEC:PRESET or CODEC:PRESET:TUNE; an empty part is the codec's own choice."""
        parts = text.strip().split(":")
        if len(parts) > 3:
            raise ValueError(
                f"--against takes CODEC:PRESET:TUNE, for example x265:veryslow:psnr, got {text!r}"
            )
        codec, preset, tune = [*parts, "", ""][:3]
        return cls(codec, preset or None, tune or None)

    @property
    def label(self) -> str:
        """For names of jobs."""
        return "-".join(part for part in (self.codec, self.preset, self.tune) if part)


@dataclass(frozen=True)
class Job:
    """What is wanted: a clip, a codec, a rate.

    clip: for `load`; a path is absolute, as workers have folders of their own.  title: what tables
    call it.  raw: as `RawFormat.parse` takes it.  matrix: see `RawFormat`.

    >>> Job("clip:cutout", "clip:cutout", 0.1, Reference("x265", "veryslow")).name
    'clip-cutout-x265-veryslow-0.1'
    """

    clip: str
    title: str
    bpp: float
    coder: Recipe | Reference
    selection: Selection = field(default_factory=Selection)
    raw: str | None = None
    matrix: str | None = None

    @property
    def codec(self) -> str:
        """The codec's name in results."""
        return self.coder.codec if isinstance(self.coder, Reference) else OURS

    @property
    def label(self) -> str:
        """The codec with its preset and tune, for names."""
        return self.coder.label if isinstance(self.coder, Reference) else OURS.lower()

    @property
    def name(self) -> str:
        """Its folder's name: readable, and safe in every file system.

        It says clip, codec and rate; whatever else there is to a job has to be the same in all of a sweep.
        """
        return f"{_slug(self.clip)}-{self.label}-{self.bpp:g}"

    def raw_format(self) -> "RawFormat | None":
        """How its clip is read as raw YUV; None if that is left to the clip."""
        from coordflow_mini.video import catalog
        from coordflow_mini.video.raw import RawFormat

        return catalog.layout(self.clip, RawFormat.parse(self.raw) if self.raw else None, self.matrix)

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values."""
        return {
            "clip": self.clip,
            "title": self.title,
            "codec": self.codec,
            "bpp": self.bpp,
            "selection": asdict(self.selection),
            "raw": self.raw,
            "matrix": self.matrix,
            "settings": asdict(self.coder),
        }


def prepare(folder: Path, job: Job) -> None:
    """The job's folder, with what is wanted in it.  Raises ValueError if another job lives there."""
    if (folder / JOB).exists():
        try:
            there = read_object(folder / JOB)
        except ValueError as error:
            raise ValueError(f"{error}; remove that folder to do the job again") from None
        if different := _differences(there, json.loads(json.dumps(job.to_json()))):
            raise ValueError(
                f"{folder} was made with other settings: {', '.join(different[:4])}; "
                f"give another --out, or remove that folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_object(folder / JOB, job.to_json())


def result_of(folder: Path) -> RunResult | RatePoint | None:
    """What the job of a folder measured; None if it has not.  Raises ValueError if the file is damaged."""
    if not (folder / RESULT).exists():
        return None
    data = read_object(folder / RESULT)
    try:
        return RunResult.from_json(data) if "point" in data else RatePoint.from_json(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / RESULT} is damaged: {error}") from None


def failure_of(folder: Path) -> int | None:
    """What tells one failure of a job from the next: when it was written [ns]; None if there is none."""
    try:
        return (folder / FAILURE).stat().st_mtime_ns
    except OSError:
        return None


def failures(folder: Path) -> frozenset[int]:
    """The failures of a job and its segments, as `failure_of` tells them apart."""
    found = (failure_of(place) for place in [folder, *folder.glob(f"{SEGMENTS}/*")])
    return frozenset(failure for failure in found if failure is not None)


def segment_folder(folder: Path, number: int) -> Path:
    """Where segment `number` of a job lives, counted from 1."""
    return folder / SEGMENTS / f"{number:04d}"


def give_up(folder: Path, reason: str) -> None:
    """Note why a job failed where it cannot do so itself, because its process died."""
    with contextlib.suppress(OSError):
        write_object(folder / FAILURE, {"reason": reason})


def last_words(folder: Path) -> str:
    """The last line of a job's log, without its time; "" if there is none."""
    try:
        with open(folder / LOG, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return lines[-1].partition("  ")[2] if lines else ""


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.  Raises ValueError with one line if it is damaged, or is none."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} bytes")
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError(f"expected an object, got {data!r:.40}")
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path} is damaged: {reason}") from None
    return data


def write_object(path: Path, data: dict[str, Any]) -> None:
    """An object as a JSON file, all of it or nothing."""
    from coordflow_mini.ops.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


# --- names --------------------------------------------------------------------------------------------


def _slug(clip: str) -> str:
    """A clip's name for file systems; a path gets a hash of all of it, as others may end alike.

    >>> _slug("uvg:Beauty"), _slug("/films/<Übung 1>.mp4")
    ('uvg-Beauty', 'bung-1-8ddf21')
    """
    if _NAMED.fullmatch(clip) and len(clip) <= 40:
        return clip.replace(":", "-")
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", Path(clip).stem).strip("-")[:40]
    digest = hashlib.sha256(os.fsencode(clip)).hexdigest()[:6]
    return f"{plain}-{digest}" if plain else digest


def _differences(there: dict[str, Any], wanted: dict[str, Any], path: str = "") -> list[str]:
    """Which settings are not the same, as "name: there, not wanted"; how a clip is called does not matter."""
    found = []
    for key in sorted((there.keys() | wanted.keys()) - {"title"}):
        old, new = there.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{path}{key}.")
        elif old != new:
            found.append(f"{path}{key} {old!r:.40}, not {new!r:.40}")
    return found
