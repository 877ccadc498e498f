"""A sweep: every clip through every codec at every rate, one job after another, or on a Dask cluster.

    experiment = sweep.run("runs/small", sweep.plan(["clip:bunny"], [0.03, 0.06], [Reference("x265")]))

A sweep lives in its folder: jobs/NAME/ is one job, see `job`. Run it again, and finished jobs are not
repeated, interrupted ones resume, failed ones are tried again, and those of another process are left to it.
A clip of several segments becomes several tasks, which workers share. Workers on other machines need this
package, and a file system that shows them the folder and the clips under the same paths.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from coordflow_mini.config import Recipe, Selection
from coordflow_mini.measure.results import Experiment, FailedJob, RatePoint, RunResult
from coordflow_mini.sweeps import job as jobs
from coordflow_mini.sweeps import worker
from coordflow_mini.sweeps.job import Job, Reference
from coordflow_mini.sweeps.worker import Outcome, Task
from coordflow_mini.video import catalog

_JOBS = "jobs"  # the folder in a sweep's folder


@dataclass(frozen=True)
class Standing:
    """Progress of a sweep: jobs that were unfinished, and segments of those with several."""

    done: int
    tasks: int
    seconds_left: float  # at the mean speed so far


OnJob = Callable[[Outcome, Standing], None]
OnNews = Callable[[str], None]


def plan(
    clips: Sequence[str],
    rates: Sequence[float],
    references: Sequence[Reference] = (),
    recipe: Recipe | None = None,
    *,
    selection: Selection | None = None,
    raw: str | None = None,
    matrix: str | None = None,
) -> tuple[Job, ...]:
    """The jobs of a sweep: for each clip and each rate [bits per pixel], CoordFlow and the references.

    clips: for `video.read.load`; "uvg" stands for its seven sequences.  raw, matrix: see `Job`.
    Raises ValueError if there is nothing to do, or something twice.

    >>> [job.name for job in plan(["clip:pan"], [0.5], [Reference("x264")])]
    ['clip-pan-coordflow-0.5', 'clip-pan-x264-0.5']
    """
    coders: tuple[Recipe | Reference, ...] = (recipe or Recipe(), *references)
    wanted = tuple(
        Job(_absolute(name), name, rate, coder, selection or Selection(), raw, matrix)
        for name in clips_of(clips)
        for rate in rates
        for coder in coders
    )
    if not wanted:
        raise ValueError("a sweep needs at least one clip and one rate")
    name, times = Counter(job.name for job in wanted).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{name} is asked for twice")
    return wanted


def clips_of(inputs: Sequence[str]) -> list[str]:
    """The clips, with "uvg" replaced by its seven sequences."""
    uvg = [source.name for source in catalog.uvg()]
    return [clip for name in inputs for clip in (uvg if name == "uvg" else [name])]


def _absolute(clip: str) -> str:
    return clip if clip.startswith(("clip:", "uvg:")) else os.path.abspath(clip)


def run(
    folder: str | Path,
    wanted: Sequence[Job],
    *,
    executor: Executor | None = None,
    device: str = "auto",
    threads: int | None = None,
    checkpoint_seconds: float = 120.0,
    on_job: OnJob | None = None,
    on_news: OnNews | None = None,
) -> Experiment:
    """Do the jobs and return all results in the folder, those of earlier calls included.

    executor: runs tasks elsewhere, see `cluster`; by default they run here, one after another.
    device: "cpu", "cuda" or "auto", in each worker.  threads: of PyTorch, in each worker.
    on_job: called after each job and each segment.  on_news: called with lines of logs, if tasks run here.
    Failed jobs are in the result's `failed`.  Raises ValueError, before any job begins, if a job's folder
    was made with other settings.
    """
    root = Path(folder).absolute() / _JOBS
    for job in wanted:
        jobs.prepare(root / job.name, job)
    tasks = [
        Task(job, root / job.name, device, threads, checkpoint_seconds) for job in unfinished(folder, wanted)
    ]
    for task in tasks:
        jobs.forget_failures(task.folder)
    began, done, left = time.perf_counter(), 0, len(tasks)
    for outcome in _here(tasks, on_news) if executor is None else _there(tasks, executor):
        if outcome.state == "cut":
            left += len(outcome.missing)
            continue
        done, left = done + 1, left - 1
        if on_job:
            seconds = (time.perf_counter() - began) / done * left
            on_job(outcome, Standing(done, done + left, seconds))
    return collect(folder)


def unfinished(folder: str | Path, wanted: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs that have no result in this folder yet."""

    def is_done(job: Job) -> bool:
        with suppress(ValueError):
            return jobs.result_of(Path(folder) / _JOBS / job.name) is not None
        return False

    return tuple(job for job in wanted if not is_done(job))


# --- running tasks ------------------------------------------------------------------------------------


class _Order:
    """The order of tasks: a busy one later, the segments of a job, then the job that joins them."""

    def __init__(self) -> None:
        self.cut: dict[str, Task] = {}  # jobs that wait for their segments
        self.open: dict[str, int] = {}  # segments of each that have not ended

    def after(self, task: Task, outcome: Outcome) -> list[Task]:
        """The tasks to do now that this one has ended."""
        name = task.job.name
        if outcome.state == "busy":
            return [replace(task, waits=True)]
        if outcome.state == "cut":
            self.cut[name], self.open[name] = replace(task, joins=True), len(outcome.missing)
            return [replace(task, segment=segment, waits=False) for segment in outcome.missing]
        if task.segment:
            self.open[name] -= 1
            return [] if self.open[name] else [self.cut[name]]
        return []


def _here(tasks: Sequence[Task], on_news: OnNews | None) -> Iterator[Outcome]:
    queue, order = deque(tasks), _Order()
    while queue:
        task = queue.popleft()
        outcome = worker.run(task, _naming(on_news, task))
        following = order.after(task, outcome)
        if outcome.state == "busy":  # all others first: that process may finish it meanwhile
            queue.extend(following)
        else:
            queue.extendleft(reversed(following))
            yield outcome


def _naming(on_news: OnNews | None, task: Task) -> OnNews | None:
    return on_news and (lambda line: on_news(f"{task.name}: {line}"))


def _there(tasks: Sequence[Task], executor: Executor) -> Iterator[Outcome]:
    """Do the tasks on an executor, which tries those of dead workers again, as Dask does."""
    order = _Order()
    waiting: dict[Future[Outcome], Task] = {executor.submit(worker.run, task): task for task in tasks}
    try:
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                task = waiting.pop(future)
                outcome = _result(future, task)
                for following in order.after(task, outcome):
                    waiting[executor.submit(worker.run, following)] = following
                if outcome.state != "busy":
                    yield outcome
    finally:
        for future in waiting:
            future.cancel()


def _result(future: "Future[Outcome]", task: Task) -> Outcome:
    """The outcome of a task; a failure, recorded in its folder, if its workers died."""
    error = future.exception()
    if error is None:
        return future.result()
    reason = f"its worker died: {' '.join(str(error).split()) or type(error).__name__}"
    jobs.fail(task.place, reason)
    return Outcome(task.name, "failed", reason=reason)


# --- results ------------------------------------------------------------------------------------------


def collect(folder: str | Path) -> Experiment:
    """All results of a sweep so far; a damaged file counts as a failed job, described in one line.

    Raises ValueError if the folder holds no sweep.
    """
    root = Path(folder) / _JOBS
    places = sorted(place for place in root.iterdir() if place.is_dir()) if root.is_dir() else []
    if not places:
        raise ValueError(f"{folder} holds no sweep; make one with: coordflow sweep INPUT --out {folder}")
    points, failed, pending = [], [], []
    hardware: dict[str, None] = {}  # in order of appearance
    versions: dict[str, str] = {}
    for place in places:
        try:
            point = _measured(place)
        except ValueError as error:
            failed.append(FailedJob(place.name, " ".join(str(error)[:2000].split())))
            continue
        if point is None:
            pending.append(place.name)
            continue
        points.append(point)
        found, packages = _machine(place)
        hardware[found] = None
        versions |= packages
    known = tuple(name for name in hardware if name)
    return Experiment(tuple(points), tuple(failed), tuple(pending), known, versions)


def _measured(place: Path) -> RatePoint | None:
    """The point of a job; None if it has not run.  Raises ValueError with the reason if it failed."""
    wanted = jobs.read_object(place / jobs.JOB)
    result = jobs.result_of(place)
    if result is None:
        if reason := jobs.failure_of(place):
            raise ValueError(reason)
        return None
    point = result.point if isinstance(result, RunResult) else result
    if (point.clip, point.codec) != (wanted.get("title"), wanted.get("codec")):
        raise ValueError(f"{place / jobs.RESULT} is of {point.codec} on {point.clip!r:.60}, not of this job")
    return point


def _machine(place: Path) -> tuple[str, dict[str, str]]:
    """Hardware and versions of packages of a job; empty if unknown, since its figures are good without."""
    try:
        data = jobs.read_object(place / jobs.MACHINE)
    except ValueError:
        return "", {}
    hardware, versions = data.get("hardware"), data.get("versions")
    pairs = versions.items() if isinstance(versions, dict) else ()
    known = {name[:80]: text[:80] for name, text in pairs if isinstance(text, str)}
    return hardware[:500] if isinstance(hardware, str) else "", known
