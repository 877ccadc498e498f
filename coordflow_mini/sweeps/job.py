"""A job of a sweep: one clip, one codec, one rate, in a folder of its own.

The folder holds the whole state of the job, so that any process can continue it, see `worker`:

    job.json          the request, written before anything runs
    lock              held by the process that works on the job, released by the system if it dies
    log.txt           what happened, with tracebacks
    video.checkpoint  CoordFlow only: the training so far, until the file is complete
    video.cfv         CoordFlow only: the file; video.json: how it was made
    machine.json      hardware and versions
    result.json       a `RunResult` for CoordFlow, a `RatePoint` for other codecs: the job is done
    failure.json      the reason in one line: the job has failed
    segments/0001/    in a clip of several segments: lock, log, checkpoint and failure of each, and
                      section.bin, its part of the file, with section.json

Files appear complete or not at all, and result.json comes last: a job that is killed, or started twice,
finishes once.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coordflow_mini.config import Recipe, Selection
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.ops.files import replacing
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.measure import baselines
    from coordflow_mini.video import catalog
    from coordflow_mini.video import raw as yuv

OURS = "CoordFlow"  # the codec's name in results
JOB, LOCK, LOG, RESULT, FAILURE = "job.json", "lock", "log.txt", "result.json", "failure.json"
CODED, MACHINE, STEPS = "video.cfv", "machine.json", "steps.json"
CHECKPOINT, SEGMENTS, SECTION = "video.checkpoint", "segments", "section.bin"
_LARGEST = 1 << 20  # bytes of a JSON file that is read
_NAMED = re.compile(r"[a-z]+(:[A-Za-z0-9]+)+")  # clip:cutout:1, uvg:Beauty: safe as file names, and distinct


@dataclass(frozen=True)
class Reference:
    """Another codec, with preset and tune as `baselines.measure` takes them.  Raises ValueError.

    >>> Reference.parse("x265:veryslow:psnr")
    Reference(codec='x265', preset='veryslow', tune='psnr')
    """

    codec: str
    preset: str | None = None
    tune: str | None = None

    def __post_init__(self) -> None:
        baselines.checked(self.codec, self.preset, self.tune)

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """CODEC, CODEC:PRESET or CODEC:PRESET:TUNE; an empty part means the codec's default."""
        parts = text.strip().split(":")
        if len(parts) > 3:
            raise ValueError(
                f"--against takes CODEC:PRESET:TUNE, for example x265:veryslow:psnr, got {text!r}"
            )
        codec, preset, tune = [*parts, "", ""][:3]
        return cls(codec, preset or None, tune or None)


@dataclass(frozen=True)
class Job:
    """A clip, a codec, a rate.

    clip: for `video.read.load`, with an absolute path, since workers have other working folders.
    title: its name in tables.  coder: a recipe's rate is the job's.  raw, matrix: see `RawFormat`.

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
        """The codec, with preset and tune."""
        if isinstance(self.coder, Recipe):
            return OURS.lower()
        return "-".join(filter(None, (self.coder.codec, self.coder.preset, self.coder.tune)))

    @property
    def name(self) -> str:
        """The folder's name: clip, codec and rate, safe in every file system."""
        return f"{_slug(self.clip)}-{self.label}-{self.bpp:g}"

    def raw_format(self) -> "yuv.RawFormat | None":
        """The layout of a raw YUV clip; None if the clip describes itself."""
        return catalog.layout(self.clip, yuv.RawFormat.parse(self.raw) if self.raw else None, self.matrix)

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values."""
        return {**asdict(self), "codec": self.codec}


def prepare(folder: Path, job: Job) -> None:
    """Create the job's folder.  Raises ValueError if it holds a job with other settings."""
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
    """The result in a job's folder, if there is one.  Raises ValueError if the file is damaged."""
    if not (folder / RESULT).exists():
        return None
    data = read_object(folder / RESULT)
    try:
        return RunResult.from_json(data) if "point" in data else RatePoint(**data)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / RESULT} is damaged: {error}") from None


def fail(folder: Path, reason: str) -> None:
    """Record why a job or a segment failed."""
    write_object(folder / FAILURE, {"reason": reason})


def failure_of(folder: Path) -> str | None:
    """The reason why a job or a segment failed, if it did.  Raises ValueError if the file is damaged."""
    if not (folder / FAILURE).exists():
        return None
    reason = read_object(folder / FAILURE).get("reason")
    return reason if isinstance(reason, str) and reason else "no reason is known; see its log.txt"


def forget_failures(folder: Path) -> None:
    """Let a job and its segments be tried again."""
    for place in (folder, *folder.glob(f"{SEGMENTS}/*")):
        (place / FAILURE).unlink(missing_ok=True)


def segment_folder(folder: Path, number: int) -> Path:
    """The folder of segment `number`, counted from 1."""
    return folder / SEGMENTS / f"{number:04d}"


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.  Raises ValueError, in one line, if there is none."""
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
    """Write an object as a JSON file, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _slug(clip: str) -> str:
    """A clip's name for file systems; a path gets a hash, as other paths may end alike.

    >>> _slug("uvg:Beauty"), _slug("/films/<Übung 1>.mp4")
    ('uvg-Beauty', 'bung-1-8ddf21')
    """
    if _NAMED.fullmatch(clip) and len(clip) <= 40:
        return clip.replace(":", "-")
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", Path(clip).stem).strip("-")[:40]
    digest = hashlib.sha256(os.fsencode(clip)).hexdigest()[:6]
    return f"{plain}-{digest}" if plain else digest


def _differences(there: dict[str, Any], wanted: dict[str, Any], path: str = "") -> list[str]:
    """Settings that differ, as "name there, not wanted"; the title does not matter."""
    found = []
    for key in sorted((there.keys() | wanted.keys()) - {"title"}):
        old, new = there.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{path}{key}.")
        elif old != new:
            found.append(f"{path}{key} {old!r:.40}, not {new!r:.40}")
    return found
