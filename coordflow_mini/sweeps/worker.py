"""A worker: does one job of a sweep, or one segment of a job, in whatever process calls it.

    outcome = worker.run(Task(job, folder))

A clip that the recipe divides into several segments takes several tasks: the job ends as "cut" while segments
are missing, each segment is a task of its own, and the job, run again, joins them.
"""

import contextlib
import hashlib
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from coordflow_mini.config import Recipe
from coordflow_mini.measure.results import RatePoint, RunResult
from coordflow_mini.ops.console import Console, duration
from coordflow_mini.ops.files import replacing
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.sweeps import job as jobs
from coordflow_mini.sweeps.job import Job, Reference, read_object, write_object

with lazily():
    import torch

    from coordflow_mini import encoder
    from coordflow_mini.measure import baselines, evaluate
    from coordflow_mini.ops import checkpoint as checkpoints
    from coordflow_mini.ops import compiling
    from coordflow_mini.sweeps import budget
    from coordflow_mini.video import clip as videos
    from coordflow_mini.video import read

Say = Callable[[str], None]


@dataclass(frozen=True)
class Segment:
    """One of the segments of a job.  number: counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"segment {self.number} of {self.count}"


@dataclass(frozen=True)
class Task:
    """A job, or a segment of one, for a worker.

    folder: the job's.  waits: for the lock, if another process holds it.  joins: segments that are missing
    now are a failure.  checkpoint_seconds: between two checkpoints.
    """

    job: Job
    folder: Path
    device: str = "auto"
    threads: int | None = None
    checkpoint_seconds: float = 120.0
    waits: bool = False
    joins: bool = False
    segment: Segment | None = None

    @property
    def name(self) -> str:
        """The job, and the segment if there is one."""
        return f"{self.job.name}, {self.segment}" if self.segment else self.job.name

    @property
    def place(self) -> Path:
        """The folder of its lock, log and result: the job's, or the segment's inside it."""
        return jobs.segment_folder(self.folder, self.segment.number) if self.segment else self.folder


@dataclass(frozen=True)
class Outcome:
    """The end of a task.

    state: "done"; "failed", with a reason in one line; "busy": another process works on it; "cut": into
    segments, some of which are missing.  point: of a job that is done.
    """

    name: str
    state: str
    seconds: float = 0.0
    point: RatePoint | None = None
    reason: str = ""
    missing: tuple[Segment, ...] = ()


def run(task: Task, tell: Say | None = None) -> Outcome:
    """Do a task, unless it has ended before.

    tell: receives the lines of the log.  Errors of the job are outcomes; raises OSError if its folder
    cannot be written, and KeyboardInterrupt on Ctrl-C, which leaves the job unfinished.
    """
    task.place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(task.place / jobs.LOCK)
    try:
        lock.acquire(timeout=-1 if task.waits else 0)
    except Timeout:
        return Outcome(task.name, "busy")
    try:
        return _ended(task) or _attempt(task, tell)
    finally:
        lock.release()


def _ended(task: Task) -> Outcome | None:
    """The outcome of a task that ended before, perhaps in another process."""
    with contextlib.suppress(ValueError):  # damaged: do it again
        if not task.segment and (result := jobs.result_of(task.place)):
            return Outcome(task.name, "done", point=_point(result))
        if reason := jobs.failure_of(task.place):
            return Outcome(task.name, "failed", reason=reason)
    return None


def _attempt(task: Task, tell: Say | None) -> Outcome:
    place, began = task.place, time.perf_counter()
    with open(place / jobs.LOG, "a", encoding="utf-8") as file:  # replacing: a log grows

        def say(text: str) -> None:
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", file=file, flush=True)
            if tell:
                tell(text)

        say(f"begun by process {os.getpid()} of {platform.node()}")
        try:
            outcome = _outcome(task, say)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            traceback.print_exc(file=file)
            say(f"failed: {reason}")
            with contextlib.suppress(OSError):  # a full disk: the log has the reason
                jobs.fail(place, reason)
            return Outcome(task.name, "failed", time.perf_counter() - began, reason=reason)
        outcome = replace(outcome, seconds=time.perf_counter() - began)
        if outcome.state == "cut":
            say(f"segments to make: {', '.join(str(segment.number) for segment in outcome.missing)}")
        else:
            point = outcome.point
            figures = f"{point.bpp:.4f} bpp, {point.psnr_db:.2f} dB, " if point else ""
            say(f"done: {figures}{duration(outcome.seconds)}")
        return outcome


def _point(result: RunResult | RatePoint) -> RatePoint:
    return result.point if isinstance(result, RunResult) else result


def _outcome(task: Task, say: Say) -> Outcome:
    """Do the task and leave the result in its folder."""
    job = task.job
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    video = read.load(job.clip, job.selection, job.raw_format())
    say(f"{job.title}: {video.time} frames of {video.width}x{video.height}")
    result: RunResult | RatePoint
    if isinstance(job.coder, Reference):
        result = _measure_reference(job, job.coder, video, say)
    else:
        with _own_device(task) as device:
            ours = _Encode(task, job.coder, video, say, device)
            if task.segment:
                ours.make_section(task.segment)
                return Outcome(task.name, "done")
            if missing := ours.missing():
                return Outcome(task.name, "cut", missing=missing)
            result = ours.measure()
    machine = {"hardware": evaluate.hardware(), "versions": evaluate.versions()}
    write_object(task.place / jobs.MACHINE, machine)
    write_object(task.place / jobs.RESULT, result.to_json())
    return Outcome(task.name, "done", point=_point(result))


@contextlib.contextmanager
def _own_device(task: Task) -> "Iterator[torch.device]":
    """The task's device; of several GPUs, one that no other worker of the sweep on this machine uses.

    With more workers than GPUs, some share one.
    """
    device = compiling.device_named(task.device)
    if device.type != "cuda" or (count := torch.cuda.device_count()) < 2:
        yield device
        return
    locks = [FileLock(task.folder.parent / f"{platform.node()}.gpu{number}.lock") for number in range(count)]
    number = next((number for number, lock in enumerate(locks) if _taken(lock)), os.getpid() % count)
    torch.cuda.set_device(number)
    try:
        yield torch.device("cuda", number)
    finally:
        locks[number].release()


def _taken(lock: FileLock) -> bool:
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
    return lock.is_locked


def _measure_reference(job: Job, coder: Reference, video: "videos.Video", say: Say) -> RatePoint:
    """Another codec's largest stream within the rate, converted to RGB in the way that suits it best."""
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


class _Encode:
    def __init__(self, task: Task, recipe: Recipe, video: "videos.Video", say: Say, device: "torch.device"):
        self.task, self.video, self.say, self.device = task, video, say, device
        self.file = task.folder / jobs.CODED
        recipe = encoder.adapted(replace(recipe, bpp=task.job.bpp), video)
        self.plan = encoder.plan(video, recipe)
        self.recipe = self._with_steps(recipe)

    def _with_steps(self, recipe: Recipe) -> Recipe:
        """Minutes become steps once, for all segments and for a job that is resumed."""
        if recipe.minutes is None:
            return recipe
        path, plan = self.task.folder / jobs.STEPS, self.plan
        try:
            return recipe.with_steps(int(read_object(path)["steps"]))
        except (ValueError, TypeError, KeyError):
            timed = budget.steps_within(
                recipe, self.video, plan.model, segments=plan.segments, device=self.device
            )
            write_object(path, {"steps": timed.fit.steps})
            return timed

    def missing(self) -> tuple[Segment, ...]:
        """Segments that must be made before the file.  Raises ValueError if one has failed."""
        count = len(self.plan.segments)
        if count == 1 or _restored(self.file):
            return ()
        segments = (Segment(number, count) for number in range(1, count + 1))
        missing = tuple(segment for segment in segments if self._section(segment) is None)
        for segment in missing:
            reason = jobs.failure_of(jobs.segment_folder(self.task.folder, segment.number))
            if reason or self.task.joins:
                raise ValueError(f"{segment}: {reason or 'it left no result'}")
        return missing

    def make_section(self, segment: Segment) -> None:
        """Encode one segment into its folder, unless it is there."""
        if self._section(segment):
            self.say("it is there already")
            return
        result = self._trained(segment.number - 1)
        figures = {name: getattr(result, name) for name in _FIGURES}
        _store(self._section_path(segment), result.section, {"of": f"{segment}, {self.plan}", **figures})
        self._checkpoint().remove()

    def measure(self) -> RunResult:
        """The figures of the file, which is made first unless it is there."""
        data, known = _restored(self.file) or self._make_file()
        self._checkpoint().remove()
        found, title = evaluate.evaluate(self.video, data, device=self.device), self.task.job.title
        settings = f"{found.point.settings}, {known['steps']}"
        return RunResult(
            clip=title,
            shape=found.shape,
            point=replace(found.point, clip=title, encode_seconds=float(known["seconds"]), settings=settings),
            bits_per_weight=found.bits_per_weight,
            parameters=found.parameters,
            unquantized_psnr_db=float(known["unquantized_psnr_db"]),
            hardware=evaluate.hardware(),
            versions=evaluate.versions(),
        )

    def _make_file(self) -> tuple[bytes, dict[str, Any]]:
        """Make the file from its sections, or from its only segment."""
        count = len(self.plan.segments)
        if count == 1:
            results = [self._trained(0)]
        else:
            found = (self._section(Segment(number, count)) for number in range(1, count + 1))
            results = [result for result in found if result]
        header = encoder.header_of(self.video, self.plan.model, self.recipe.fit)
        made = encoder.assembled(header, self.plan, results)
        steps = f"{self.recipe.fit.steps}+{self.recipe.codec.steps} steps"
        known = {
            "steps": f"{count} segments of {steps}" if count > 1 else steps,
            "seconds": made.seconds,
            "unquantized_psnr_db": made.unquantized_psnr_db,
        }
        _store(self.file, made.data, known)
        return made.data, known

    def _trained(self, index: int) -> "encoder.SegmentResult":
        """A segment, resumed from its checkpoint; an unusable checkpoint is removed."""
        checkpoint = self._checkpoint()
        if checkpoint.files():
            self.say("resumes from its checkpoint")
        try:
            with Console(to=self.say).training() as on_step:
                result = encoder.encode_segment(
                    self.video,
                    self.plan,
                    index,
                    self.recipe,
                    device=self.device,
                    on_step=on_step,
                    checkpoint=checkpoint,
                )
        except checkpoints.CheckpointError as error:
            checkpoint.remove()
            self.say(f"starts over: {error}")
            return self._trained(index)
        if result.interrupted:  # `coordflow encode` would write this file; a sweep finishes it next time
            raise KeyboardInterrupt
        return result

    def _checkpoint(self) -> "checkpoints.Checkpoint":
        path = self.task.place / jobs.CHECKPOINT
        return checkpoints.Checkpoint(path, every=self.task.checkpoint_seconds)

    def _section_path(self, segment: Segment) -> Path:
        return jobs.segment_folder(self.task.folder, segment.number) / jobs.SECTION

    def _section(self, segment: Segment) -> "encoder.SegmentResult | None":
        """A segment that was made before; None if it is missing, damaged, or of another plan."""
        found = _restored(self._section_path(segment))
        if found is None or found[1].get("of") != f"{segment}, {self.plan}":
            return None
        figures = {name: found[1][name] for name in _FIGURES}
        frames = self.plan.segments[segment.number - 1]
        return encoder.SegmentResult(frames, found[0], history=(), **figures)


_FIGURES = ("parameters", "unquantized_psnr_db", "psnr_db", "seconds")  # of a SegmentResult


def _store(path: Path, data: bytes, known: dict[str, Any]) -> None:
    """Write bytes, then facts about them, with their SHA-256, into a JSON file beside them."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    write_object(path.with_suffix(".json"), {"sha256": hashlib.sha256(data).hexdigest(), **known})


def _restored(path: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The bytes and facts that `_store` wrote; None if they are missing or damaged."""
    try:
        known, data = read_object(path.with_suffix(".json")), path.read_bytes()
    except (OSError, ValueError):
        return None
    return (data, known) if hashlib.sha256(data).hexdigest() == known.get("sha256") else None
