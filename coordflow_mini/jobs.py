"""One job of a sweep: a clip through one codec at one rate, in a folder of its own.

The folder tells all that is to be known about the job, so that any process can take it up:

    job.json        what is wanted; written before anything runs
    lock            held by the process that works on it; the system frees it when that process dies
    log.txt         what happened, with the traceback of an error
    video.cfv       of CoordFlow: the file, and encoded.json, what was known when it was finished
    machine.json    where it was measured
    result.json     a `RunResult` for CoordFlow, a `RatePoint` for the others: the job is finished
    failure.json    or the reason why not, in one line

Files appear complete or not at all, and result.json comes last: a job that is killed, or run twice, ends
once.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from filelock import FileLock, Timeout

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Selection
from coordflow_mini.console import Console, duration
from coordflow_mini.results import RatePoint, RunResult

if TYPE_CHECKING:
    import torch

    from coordflow_mini.budget import Budget
    from coordflow_mini.video import Video

__all__ = [
    "FILES",
    "Job",
    "Outcome",
    "Recipe",
    "Reference",
    "Task",
    "failure_of",
    "give_up",
    "last_words",
    "prepare",
    "read_object",
    "result_of",
    "run",
]

OURS = "CoordFlow"  # the codec's name in results
_JOB, _LOCK, _LOG, _RESULT, _FAILURE = "job.json", "lock", "log.txt", "result.json", "failure.json"
_CODED, _ENCODED, _MACHINE, _STEPS = "video.cfv", "encoded.json", "machine.json", "steps.json"
FILES = (_JOB, _LOCK, _LOG, _RESULT, _FAILURE, _CODED, _ENCODED, _MACHINE, _STEPS)
_LARGEST = 1 << 20  # bytes of a JSON file that is looked at
_NAMED = re.compile(r"[a-z]+(:[A-Za-z0-9]+)+")  # clip:cutout:1, uvg:Beauty: as file names without collisions

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How CoordFlow encodes: depth and layers of the model, training; the width follows from the rate.

    minutes: of training, instead of the steps of `fit`.  segment_frames: see `encoder.compress`.
    """

    layers: int = ModelConfig.layers
    depth: int = ModelConfig.depth
    fit: FitConfig = field(default_factory=FitConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    minutes: float | None = None
    segment_frames: int | None = None

    @property
    def label(self) -> str:
        """For names of jobs."""
        return "coordflow"


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
        from coordflow_mini import baselines

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

    clip: for `clips.load`; a path is absolute, as workers have folders of their own.  title: what tables
    call it.  raw: as `RawFormat.parse` takes it.

    >>> Job("clip:cutout", "clip:cutout", 0.1, Reference("x265", "veryslow")).name
    'clip-cutout-x265-veryslow-0.1'
    """

    clip: str
    title: str
    bpp: float
    coder: Recipe | Reference
    selection: Selection = field(default_factory=Selection)
    raw: str | None = None

    @property
    def codec(self) -> str:
        """The codec's name in results."""
        return self.coder.codec if isinstance(self.coder, Reference) else OURS

    @property
    def name(self) -> str:
        """Its folder's name: readable, and safe in every file system.

        It says clip, codec and rate; whatever else there is to a job has to be the same in all of a sweep.
        """
        return f"{_slug(self.clip)}-{self.coder.label}-{self.bpp:g}"

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values."""
        return {
            "clip": self.clip,
            "title": self.title,
            "codec": self.codec,
            "bpp": self.bpp,
            "selection": asdict(self.selection),
            "raw": self.raw,
            "settings": asdict(self.coder),
        }


@dataclass(frozen=True)
class Task:
    """A job for a worker: where its folder is, and with what it is to be done.

    patience: how long to wait for a lock that another process holds [s].
    known_failure: the failure, if any, that the job had when the sweep began, see `failure_of`; only that
    one is tried again.
    """

    job: Job
    folder: str
    device: str = "auto"
    threads: int | None = None
    patience: float = 0.0
    known_failure: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "done", "failed" (reason: one line) or "busy": another process is at it."""

    name: str
    state: str
    codec: str
    seconds: float = 0.0
    point: RatePoint | None = None
    reason: str = ""


def prepare(folder: Path, job: Job) -> None:
    """The job's folder, with what is wanted in it.  Raises ValueError if another job lives there."""
    if (folder / _JOB).exists():
        try:
            there = read_object(folder / _JOB)
        except ValueError as error:
            raise ValueError(f"{error}; remove that folder to do the job again") from None
        if different := _differences(there, json.loads(json.dumps(job.to_json()))):
            raise ValueError(
                f"{folder} was made with other settings: {', '.join(different[:4])}; "
                f"give another --out, or remove that folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write_object(folder / _JOB, job.to_json())


def run(task: Task, tell: Tell | None = None) -> Outcome:
    """Do a job, unless it is done: what every worker calls, anywhere, as often as an engine likes.

    tell: gets the lines of the log, too.  An error of the job is an outcome; raises OSError if not even
    its folder can be written.  Ctrl-C leaves the job unfinished: raises KeyboardInterrupt.
    """
    folder, job = Path(task.folder), task.job
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=task.patience, poll_interval=0.1)
    except Timeout:
        return Outcome(job.name, "busy", job.codec)
    try:
        return _ended(task) or _attempt(task, tell)
    finally:
        lock.release()


def result_of(folder: Path) -> RunResult | RatePoint | None:
    """What the job of a folder measured; None if it has not.  Raises ValueError if the file is damaged."""
    if not (folder / _RESULT).exists():
        return None
    data = read_object(folder / _RESULT)
    try:
        return RunResult.from_json(data) if "point" in data else RatePoint.from_json(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder / _RESULT} is damaged: {error}") from None


def failure_of(folder: Path) -> int | None:
    """What tells one failure of a job from the next: when it was written [ns]; None if there is none."""
    try:
        return (folder / _FAILURE).stat().st_mtime_ns
    except OSError:
        return None


def give_up(folder: Path, reason: str) -> None:
    """Note why a job failed where it cannot do so itself, because its process died."""
    with contextlib.suppress(OSError):
        _write_object(folder / _FAILURE, {"reason": reason})


def last_words(folder: Path) -> str:
    """The last line of a job's log, without its time; "" if there is none."""
    try:
        with open(folder / _LOG, "rb") as file:
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
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path} is damaged: {reason}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} is damaged: expected an object, got {data!r:.40}")
    return data


# --- doing it -----------------------------------------------------------------------------------------


def _ended(task: Task) -> Outcome | None:
    """The outcome of a job that ended before, other than by the failure that is to be tried again."""
    folder, job = Path(task.folder), task.job
    with contextlib.suppress(ValueError):  # a damaged result is no result
        if result := result_of(folder):
            point = result.point if isinstance(result, RunResult) else result
            return Outcome(job.name, "done", job.codec, 0.0, point)
    if failure_of(folder) in (None, task.known_failure):
        return None
    with contextlib.suppress(ValueError):
        return Outcome(
            job.name, "failed", job.codec, 0.0, None, str(read_object(folder / _FAILURE)["reason"])
        )
    return None


def _attempt(task: Task, tell: Tell | None) -> Outcome:
    """One try at the job, by the one process that holds its lock."""
    folder, job, began = Path(task.folder), task.job, time.perf_counter()
    for left in folder.glob(".*.part"):  # by a process that was killed
        left.unlink(missing_ok=True)
    with open(folder / _LOG, "a", encoding="utf-8") as file:
        say = _log(file, tell)
        say(f"{job.name}: begun by process {os.getpid()} of {platform.node()}")
        try:
            result = _measured(task, say)
            _write_object(folder / _RESULT, result.to_json())
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            traceback.print_exc(file=file)
            say(f"failed: {reason}")
            give_up(folder, reason)
            return Outcome(job.name, "failed", job.codec, time.perf_counter() - began, None, reason)
        (folder / _FAILURE).unlink(missing_ok=True)
        point, seconds = (
            result.point if isinstance(result, RunResult) else result,
            time.perf_counter() - began,
        )
        say(f"done: {point.bpp:.4f} bpp, {point.psnr_db:.2f} dB, {duration(seconds)}")
        return Outcome(job.name, "done", job.codec, seconds, point)


def _log(file: TextIO, tell: Tell | None) -> Tell:
    """Writes lines with the time, at once."""

    def say(text: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", file=file, flush=True)
        if tell:
            tell(text)

    return say


def _measured(task: Task, say: Tell) -> RunResult | RatePoint:
    """The result of the job."""
    import torch

    from coordflow_mini import clips, evaluate, machine
    from coordflow_mini.video import RawFormat

    job, folder = task.job, Path(task.folder)
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    device = machine.device_named(task.device)
    video = clips.load(job.clip, job.selection, RawFormat.parse(job.raw) if job.raw else None)
    say(f"{job.title}: {video.time} frames of {video.width}x{video.height}")
    if isinstance(job.coder, Reference):
        result: RunResult | RatePoint = _of_reference(job, job.coder, video, say)
    else:
        result = _of_ours(job, job.coder, video, folder, device, say)
    _write_object(folder / _MACHINE, {"hardware": evaluate.hardware(), "versions": evaluate.versions()})
    return result


def _of_reference(job: Job, coder: Reference, video: "Video", say: Tell) -> RatePoint:
    """Another codec at the largest stream within the rate; its pictures become RGB as suits it best."""
    from coordflow_mini import baselines

    point = baselines.measure(
        video,
        coder.codec,
        bpp=job.bpp,
        preset=coder.preset,
        tune=coder.tune,
        accurate_rgb=True,
        on_try=lambda stream: say(f"crf {stream.crf:g}: {len(stream.data):,} bytes"),
    )
    return replace(point, clip=job.title)


def _of_ours(
    job: Job, recipe: Recipe, video: "Video", folder: Path, device: "torch.device", say: Tell
) -> RunResult:
    """CoordFlow, measured by decoding the file; one that is finished is not made again."""
    from coordflow_mini import evaluate

    made = _finished_file(folder) or _encode(job, recipe, video, folder, device, say)
    evaluation = evaluate.evaluate((folder / _CODED).read_bytes(), evaluate.Source(video), device=device)
    point = evaluation.point
    return RunResult(
        clip=job.title,
        shape=evaluation.shape,
        point=replace(
            point,
            clip=job.title,
            encode_seconds=made.seconds,
            settings=f"{point.settings}, {made.steps} steps",
        ),
        bits_per_weight=evaluation.bits_per_weight,
        parameters=evaluation.parameters,
        unquantized_psnr_db=made.unquantized_psnr_db,
        hardware=evaluate.hardware(),
        versions=evaluate.versions(),
    )


@dataclass(frozen=True)
class _Made:
    """What is known of a file when it is finished; sha256: of its bytes.  steps: fit+fine-tuning."""

    sha256: str
    seconds: float
    unquantized_psnr_db: float
    steps: str


def _finished_file(folder: Path) -> _Made | None:
    """The record of the file of an earlier try, if it is whole."""
    try:
        made = _Made(**read_object(folder / _ENCODED))
        data = (folder / _CODED).read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return made if hashlib.sha256(data).hexdigest() == made.sha256 else None


def _encode(
    job: Job, recipe: Recipe, video: "Video", folder: Path, device: "torch.device", say: Tell
) -> _Made:
    """Make the file.  Raises KeyboardInterrupt where `coordflow encode` would end with less training."""
    from coordflow_mini import encoder
    from coordflow_mini.fit import default_model
    from coordflow_mini.video import replacing

    model = replace(default_model(video), layers=recipe.layers, depth=recipe.depth)
    chosen = _budget(job, recipe, video, model, folder, device)
    more = {} if recipe.segment_frames is None else {"segment_frames": recipe.segment_frames}
    with Console(to=say).training() as on_step:
        encoding = encoder.compress(
            video,
            bpp=job.bpp,
            model=model,
            fit=chosen.fit,
            codec=chosen.codec,
            device=device,
            on_step=on_step,
            **more,
        )
    if encoding.interrupted:
        raise KeyboardInterrupt
    with replacing(folder / _CODED) as temporary:
        temporary.write_bytes(encoding.data)
    digest, steps = hashlib.sha256(encoding.data).hexdigest(), f"{chosen.fit.steps}+{chosen.codec.steps}"
    made = _Made(digest, encoding.seconds, encoding.unquantized_psnr_db, steps)
    _write_object(folder / _ENCODED, asdict(made))
    return made


def _budget(
    job: Job, recipe: Recipe, video: "Video", model: ModelConfig, folder: Path, device: "torch.device"
) -> "Budget":
    """How long to train; minutes become steps once, so that a job that is taken up again goes on alike."""
    from coordflow_mini import budget, encoder

    if recipe.minutes is None:
        return budget.Budget(recipe.fit, recipe.codec)
    try:
        steps = int(read_object(folder / _STEPS)["steps"])
    except (ValueError, TypeError, KeyError):
        planned = encoder.plan(video, bpp=job.bpp, model=model, codec=recipe.codec)
        seconds = 60 * recipe.minutes
        timed = budget.steps_within(seconds, video, planned.model, recipe.fit, recipe.codec, device=device)
        steps = timed.fit.steps
        _write_object(folder / _STEPS, {"steps": steps})
    return budget.steps_for(steps, recipe.fit, recipe.codec)


# --- names and files ----------------------------------------------------------------------------------


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


def _write_object(path: Path, data: dict[str, Any]) -> None:
    """An object as a JSON file, all of it or nothing."""
    from coordflow_mini.video import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
