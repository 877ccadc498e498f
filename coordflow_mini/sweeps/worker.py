"""A job of a sweep being done: what every worker calls, anywhere.

outcome = worker.run(Task(job, folder))

A clip that the recipe cuts into several segments is more than one task: the job ends as "cut" until all of
them are there, each is a task of its own, and the job, run again, joins them.
"""

import contextlib
import hashlib
import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from filelock import FileLock, Timeout

from coordflow_mini.config import Recipe
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.ops.console import Console, duration
from coordflow_mini.sweeps import job as jobs
from coordflow_mini.sweeps.job import Job, Reference, read_object, write_object

if TYPE_CHECKING:
    import torch

    from coordflow_mini.encoder import Plan, SegmentResult
    from coordflow_mini.ops.checkpoint import Checkpoint
    from coordflow_mini.video.clip import Video

__all__ = ["Outcome", "Segment", "Task", "run"]

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Segment:
    """One of the segments that a job is cut into.  number: counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"segment {self.number} of {self.count}"

    def named(self, job: str) -> str:
        """What it is called in a sweep."""
        return f"{job}, {self}"


@dataclass(frozen=True)
class Task:
    """A job, or a segment of one, for a worker: where its folder is, and with what it is to be done.

    patience: how long to wait for a lock that another process holds [s].
    known_failures: those that the job had when the sweep began, see `jobs.failures`; they are tried again,
    others are not.  checkpoint_seconds: between two checkpoints.
    """

    job: Job
    folder: str
    device: str = "auto"
    threads: int | None = None
    patience: float = 0.0
    known_failures: frozenset[int] = frozenset()
    checkpoint_seconds: float = 120.0
    segment: Segment | None = None

    @property
    def name(self) -> str:
        """What it is called in a sweep."""
        return self.segment.named(self.job.name) if self.segment else self.job.name

    @property
    def place(self) -> Path:
        """Where its lock, its log and its result are: the job's folder, or the segment's in it."""
        folder = Path(self.folder)
        return jobs.segment_folder(folder, self.segment.number) if self.segment else folder

    @property
    def known_failure(self) -> bool:
        """Whether it failed, and is to be tried again."""
        return jobs.failure_of(self.place) in self.known_failures

    def of_segment(self, segment: Segment) -> "Task":
        """The task of one segment of this job."""
        return replace(self, segment=segment, patience=0.0)


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "done", "failed", "busy" or "cut".

    failed: with the reason, in one line.  busy: another process is at it.  cut: into segments, of which
    some are missing.  point: of a job that is done.
    """

    name: str
    state: str
    seconds: float = 0.0
    point: RatePoint | None = None
    reason: str = ""
    missing: tuple[Segment, ...] = ()


def run(task: Task, tell: Tell | None = None) -> Outcome:
    """Do a task, unless it is done: as often as an engine likes.

    tell: gets the lines of the log, too.  An error of the job is an outcome; raises OSError if not even
    its folder can be written.  Ctrl-C leaves the job unfinished: raises KeyboardInterrupt.
    """
    task.place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(task.place / jobs.LOCK)
    try:
        lock.acquire(timeout=task.patience, poll_interval=0.1)
    except Timeout:
        return Outcome(task.name, "busy")
    try:
        return _ended(task) or _attempt(task, tell)
    finally:
        lock.release()


def _ended(task: Task) -> Outcome | None:
    """The outcome of a task that ended before, other than by a failure that is to be tried again."""
    with contextlib.suppress(ValueError):  # a damaged result is no result
        if not task.segment and (result := jobs.result_of(task.place)):
            return Outcome(task.name, "done", point=_point(result))
    if jobs.failure_of(task.place) is None or task.known_failure:
        return None
    with contextlib.suppress(ValueError):
        return Outcome(task.name, "failed", reason=_reason(task.place))
    return None


def _attempt(task: Task, tell: Tell | None) -> Outcome:
    """One try at the task, by the one process that holds its lock."""
    place, began = task.place, time.perf_counter()
    for left in place.glob(".*.part"):  # by a process that was killed
        if not left.name.startswith(f".{jobs.JOB}."):  # that one is written without the lock
            left.unlink(missing_ok=True)
    with open(place / jobs.LOG, "a", encoding="utf-8") as file:  # replacing: a log grows
        say = _log(file, tell)
        say(f"begun by process {os.getpid()} of {platform.node()}")
        try:
            outcome = _done(task, say)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            traceback.print_exc(file=file)
            say(f"failed: {reason}")
            jobs.give_up(place, reason)
            return Outcome(task.name, "failed", time.perf_counter() - began, reason=reason)
        outcome = replace(outcome, seconds=time.perf_counter() - began)
        if outcome.state == "cut":
            say(f"cut into {outcome.missing[0].count} segments, of which {len(outcome.missing)} are missing")
            return outcome
        (place / jobs.FAILURE).unlink(missing_ok=True)
        point = outcome.point
        figures = f"{point.bpp:.4f} bpp, {point.psnr_db:.2f} dB, " if point else ""
        say(f"done: {figures}{duration(outcome.seconds)}")
        return outcome


def _log(file: TextIO, tell: Tell | None) -> Tell:
    """Writes lines with the time, at once."""

    def say(text: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", file=file, flush=True)
        if tell:
            tell(text)

    return say


def _point(result: RunResult | RatePoint) -> RatePoint:
    return result.point if isinstance(result, RunResult) else result


def _reason(place: Path) -> str:
    """Why a task failed.  Raises ValueError if that is damaged."""
    return str(read_object(place / jobs.FAILURE).get("reason"))


# --- doing it -----------------------------------------------------------------------------------------


def _done(task: Task, say: Tell) -> Outcome:
    """The outcome of the task, with its result in its folder."""
    import torch

    from coordflow_mini.measure import evaluate
    from coordflow_mini.ops import compiling as machine
    from coordflow_mini.video.read import load

    job = task.job
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    device = machine.device_named(task.device)
    video = load(job.clip, job.selection, job.raw_format())
    say(f"{job.title}: {video.time} frames of {video.width}x{video.height}")
    result: RunResult | RatePoint
    if isinstance(job.coder, Reference):
        result = _of_reference(job, job.coder, video, say)
    else:
        coding = _Coding(task, job.coder, video, device, say)
        if task.segment:
            coding.segment(task.segment)
            return Outcome(task.name, "done")
        made = _finished_file(task.place)
        if made is None and (missing := coding.missing()):
            return Outcome(task.name, "cut", missing=missing)
        result = coding.measured(made or coding.make())
    write_object(
        task.place / jobs.MACHINE, {"hardware": evaluate.hardware(), "versions": evaluate.versions()}
    )
    write_object(task.place / jobs.RESULT, result.to_json())
    return Outcome(task.name, "done", point=_point(result))


def _of_reference(job: Job, coder: Reference, video: "Video", say: Tell) -> RatePoint:
    """Another codec at the largest stream within the rate; its pictures become RGB as suits it best."""
    from coordflow_mini.measure import baselines

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


class _Coding:
    """A clip through CoordFlow, or one of its segments."""

    def __init__(self, task: Task, recipe: Recipe, video: "Video", device: "torch.device", say: Tell):
        from coordflow_mini import encoder

        self.task, self.video, self.device, self.say = task, video, device, say
        recipe = encoder.adapted(replace(recipe, bpp=task.job.bpp), video)
        self.plan = encoder.plan(video, recipe)
        self.recipe = _with_steps(task, recipe, video, self.plan, device)

    def missing(self) -> tuple[Segment, ...]:
        """The segments that have to be made by tasks of their own before `make` can join them.

        Raises ValueError with the reason if one failed, other than before the sweep began.
        """
        count = len(self.plan.segments)
        several = (Segment(number, count) for number in range(1, count + 1)) if count > 1 else ()
        missing = tuple(segment for segment in several if self._finished(segment) is None)
        for segment in missing:
            part = self.task.of_segment(segment)
            if jobs.failure_of(part.place) is not None and not part.known_failure:
                raise ValueError(f"{segment}: {_reason(part.place)}")
        return missing

    def segment(self, segment: Segment) -> None:
        """Make one segment, unless it is there."""
        place = self.task.place
        if self._finished(segment):
            self.say("it is there already")
        else:
            _write_section(place, self._encoded(segment.number - 1), _subject(self.plan, segment))
        _checkpoint(self.task).remove()

    def make(self) -> "_Made":
        """Make the file: of the only segment, or of those that are there."""
        from coordflow_mini import encoder
        from coordflow_mini.ops.files import replacing

        place, count = self.task.place, len(self.plan.segments)
        if count == 1:
            results = [self._encoded(0)]
        else:
            found = (self._finished(Segment(number, count)) for number in range(1, count + 1))
            results = [result for result in found if result is not None]
        header = encoder.header_of(self.video, self.plan.model, self.recipe.fit)
        encoding = encoder.assembled(header, self.plan, results)
        with replacing(place / jobs.CODED) as temporary:
            temporary.write_bytes(encoding.data)
        steps = f"{self.recipe.fit.steps}+{self.recipe.codec.steps} steps"
        made = _Made(
            hashlib.sha256(encoding.data).hexdigest(),
            encoding.seconds,
            encoding.unquantized_psnr_db,
            f"{count} segments of {steps}" if count > 1 else steps,
        )
        write_object(place / jobs.ENCODED, asdict(made))
        return made

    def measured(self, made: "_Made") -> RunResult:
        """The figures of the file, by decoding it."""
        from coordflow_mini.measure import evaluate

        _checkpoint(self.task).remove()  # the file is there
        data = (self.task.place / jobs.CODED).read_bytes()
        found = evaluate.evaluate(self.video, data, device=self.device)
        point, title = found.point, self.task.job.title
        settings = f"{point.settings}, {made.steps}"
        return RunResult(
            clip=title,
            shape=found.shape,
            point=replace(point, clip=title, encode_seconds=made.seconds, settings=settings),
            bits_per_weight=found.bits_per_weight,
            parameters=found.parameters,
            unquantized_psnr_db=made.unquantized_psnr_db,
            hardware=evaluate.hardware(),
            versions=evaluate.versions(),
        )

    def _finished(self, segment: Segment) -> "SegmentResult | None":
        place = jobs.segment_folder(Path(self.task.folder), segment.number)
        return _read_section(place, self.plan.segments[segment.number - 1], _subject(self.plan, segment))

    def _encoded(self, index: int) -> "SegmentResult":
        """A segment, from its checkpoint on; one that cannot be gone on with is kept aside.

        Raises KeyboardInterrupt where `coordflow encode` would end with less training.
        """
        from coordflow_mini import encoder
        from coordflow_mini.ops.checkpoint import CheckpointError

        checkpoint = _checkpoint(self.task)
        if checkpoint.files():
            self.say("goes on from its checkpoint")
        with Console(to=self.say).training() as on_step:
            try:
                result = encoder.encode_segment(
                    self.video,
                    self.plan,
                    index,
                    self.recipe,
                    device=self.device,
                    on_step=on_step,
                    checkpoint=checkpoint,
                )
            except CheckpointError as error:
                kept = ", ".join(path.name for path in checkpoint.set_aside())
                self.say(f"begins anew, and keeps {kept}: {error}")
                return self._encoded(index)
        if result.interrupted:
            raise KeyboardInterrupt
        return result


def _checkpoint(task: Task) -> "Checkpoint":
    """How far the training of a task is, in a file."""
    from coordflow_mini.ops.checkpoint import Checkpoint

    return Checkpoint(task.place / jobs.CHECKPOINT, every=task.checkpoint_seconds)


def _with_steps(task: Task, recipe: Recipe, video: "Video", plan: "Plan", device: "torch.device") -> Recipe:
    """The recipe in steps; minutes become steps once, for all segments and for a job that goes on."""
    from coordflow_mini.sweeps import budget

    if recipe.minutes is None:
        return recipe
    path = Path(task.folder) / jobs.STEPS
    try:
        return recipe.with_steps(int(read_object(path)["steps"]))
    except (ValueError, TypeError, KeyError):
        timed = budget.steps_within(recipe, video, plan.model, segments=plan.segments, device=device)
        write_object(path, {"steps": timed.fit.steps})
        return timed


# --- files --------------------------------------------------------------------------------------------


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
        made = _Made(**read_object(folder / jobs.ENCODED))
        data = (folder / jobs.CODED).read_bytes()
    except (OSError, ValueError, TypeError):
        return None
    return made if hashlib.sha256(data).hexdigest() == made.sha256 else None


def _subject(plan: "Plan", segment: Segment) -> dict[str, Any]:
    """What a segment depends on besides the job, as JSON values: a clip may have grown, defaults changed."""
    frames = plan.segments[segment.number - 1]
    return {
        "frames": [frames.start, frames.stop],
        "target_bytes": plan.target_bytes,
        "model": asdict(plan.model),
    }


_FIGURES = ("unquantized_psnr_db", "psnr_db", "seconds")


def _write_section(place: Path, result: "SegmentResult", of: dict[str, Any]) -> None:
    """A segment's part of the file, then its record."""
    from coordflow_mini.ops.files import replacing

    with replacing(place / jobs.SECTION) as temporary:
        temporary.write_bytes(result.section)
    figures = {name: getattr(result, name) for name in _FIGURES}
    digest = hashlib.sha256(result.section).hexdigest()
    known = {"sha256": digest, "parameters": result.parameters, **figures}
    write_object(place / jobs.RECORD, {"of": of, **known})


def _read_section(place: Path, frames: range, of: dict[str, Any]) -> "SegmentResult | None":
    """The segment that was written there; None if it is not there, damaged, or of something else."""
    from coordflow_mini.encoder import SegmentResult

    try:
        record = read_object(place / jobs.RECORD)
        section = (place / jobs.SECTION).read_bytes()
        if record["of"] != of or record["sha256"] != hashlib.sha256(section).hexdigest():
            return None
        parameters = int(record["parameters"])
        unquantized, psnr_db, seconds = (float(record[name]) for name in _FIGURES)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return SegmentResult(frames, section, parameters, unquantized, psnr_db, seconds, history=())
