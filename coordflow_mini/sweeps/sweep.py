"""Many jobs: every clip through every codec at every rate, over any executor, until all have ended.

experiment = sweep.run("runs/small", sweep.plan(["clip:bunny"], [0.03, 0.06], [Reference("x265")]))

A sweep lives in its folder: jobs/NAME/ is a job each, see `jobs`.  Run it again, and what is finished is
not repeated, what was under way goes on, what failed is tried again, and what another process is doing is
left to it.  A clip that is cut into segments is a job of many tasks, which any worker can take.  Workers of
a cluster need this package, and a file system that shows them the folder and the clips under the same names.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from coordflow_mini.config import Recipe, Selection
from coordflow_mini.measure.results import Experiment, FailedJob, RatePoint, RunResult
from coordflow_mini.sweeps import job as jobs
from coordflow_mini.sweeps import worker
from coordflow_mini.sweeps.job import Job, Reference
from coordflow_mini.sweeps.worker import Outcome, Task
from coordflow_mini.video.catalog import uvg

__all__ = ["OnJob", "OnNews", "Standing", "clips_of", "collect", "plan", "run", "unfinished"]

_JOBS = "jobs"  # the folder in a sweep's folder
_TRIES = 3  # of a task whose process died, before it counts as failed
_PATIENCE = 5.0  # seconds that a worker waits for a job that another process is doing
_LOOK = 5.0  # seconds between two looks at the logs


@dataclass(frozen=True)
class Standing:
    """How far a sweep is.

    tasks: of this call, without what was finished before: jobs, and segments of those that are cut.
    """

    done: int
    tasks: int
    seconds_left: float


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
    """The jobs of a sweep: of each clip, at each rate [bits per pixel], CoordFlow and the references.

    clips: for `load`; "uvg" is its seven sequences.  raw, matrix: see `Job`.
    Raises ValueError if there is nothing to do, or something twice.

    >>> [job.name for job in plan(["clip:pan"], [0.5], [Reference("x264")])]
    ['clip-pan-coordflow-0.5', 'clip-pan-x264-0.5']
    """
    names = clips_of(clips)
    coders: tuple[Recipe | Reference, ...] = (recipe or Recipe(), *references)
    wanted = tuple(
        Job(_lasting(name), name, rate, coder, selection or Selection(), raw, matrix)
        for name in names
        for rate in rates
        for coder in coders
    )
    if not wanted:
        raise ValueError("a sweep needs at least one clip and one rate")
    seen: set[str] = set()
    for job in wanted:
        if job.name in seen:
            raise ValueError(f"{job.title} with {job.label} at {job.bpp:g} bpp is asked for twice")
        seen.add(job.name)
    return wanted


def clips_of(inputs: Sequence[str]) -> list[str]:
    """The clips that are meant: "uvg" is its seven sequences."""
    every = [source.name for source in uvg()]
    return [clip for name in inputs for clip in (every if name == "uvg" else [name])]


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
    """What the jobs measured, and those of earlier calls in the same folder.

    Waits until each has ended, wherever it runs; without an executor, here, one after the other.
    device: "cpu", "cuda" or "auto", for each worker.  threads: of PyTorch, in each worker.
    checkpoint_seconds: between two checkpoints of a training.  on_job: called after each job, and each
    segment of one.  on_news: called with a line now and then about what is running.
    Jobs that fail are in the result's `failed`; raises ValueError if a folder holds a job with other
    settings, before any begins.
    """
    root = Path(folder).absolute() / _JOBS
    for job in wanted:
        jobs.prepare(root / job.name, job)
    tasks = [
        Task(job, str(place), device, threads, 0.0, jobs.failures(place), checkpoint_seconds)
        for job in unfinished(folder, wanted)
        for place in [root / job.name]
    ]
    outcomes = _here(tasks, on_news) if executor is None else _there(tasks, executor, on_news)
    clock = _Clock(tasks)
    for outcome in outcomes:
        standing = clock.after(outcome)
        if on_job and outcome.state != "cut":
            on_job(outcome, standing)
    return collect(folder)


def unfinished(folder: str | Path, wanted: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs that have no result in this folder yet."""
    root = Path(folder) / _JOBS
    return tuple(job for job in wanted if not _is_done(root / job.name))


def collect(folder: str | Path) -> Experiment:
    """What the jobs of a sweep measured so far; damaged files are failed jobs, with one line each.

    Raises ValueError if the folder holds no sweep.
    """
    root = Path(folder) / _JOBS
    places = sorted(place for place in root.iterdir() if place.is_dir()) if root.is_dir() else []
    if not places:
        raise ValueError(f"{folder} holds no sweep; make one with: coordflow sweep INPUT --out {folder}")
    points, failed, pending = [], [], []
    hardware: dict[str, None] = {}  # in the order of appearance
    versions: dict[str, str] = {}
    for place in places:
        try:
            point = _measured(place)
            if point is None:
                pending.append(place.name)
                continue
            points.append(point)
            machine = _machine(place)
            hardware[machine.hardware] = None
            versions |= machine.versions
        except ValueError as error:
            failed.append(FailedJob(place.name, " ".join(str(error)[:2000].split())))
    known = tuple(name for name in hardware if name)
    return Experiment(tuple(points), tuple(failed), tuple(pending), known, versions)


# --- one folder ---------------------------------------------------------------------------------------


def _lasting(clip: str) -> str:
    """The clip's name, or its path from the root: a worker may have another working folder."""
    return clip if clip.startswith(("clip:", "uvg:")) else os.path.abspath(clip)


def _is_done(place: Path) -> bool:
    """Whether a job has a result that can be read."""
    with suppress(ValueError):
        return jobs.result_of(place) is not None
    return False


def _measured(place: Path) -> RatePoint | None:
    """The point of a job, None if it has not run.  Raises ValueError with the reason if it failed."""
    wanted = jobs.read_object(place / jobs.JOB)
    result = jobs.result_of(place)
    if result is None:
        if jobs.failure_of(place) is None:
            return None
        reason = jobs.read_object(place / jobs.FAILURE).get("reason")
        raise ValueError(
            reason if isinstance(reason, str) and reason else "no reason is known; see its log.txt"
        )
    point = result.point if isinstance(result, RunResult) else result
    if (point.clip, point.codec) != (wanted.get("title"), wanted.get("codec")):
        raise ValueError(f"{place / jobs.RESULT} is of {point.codec} on {point.clip!r:.60}, not of this job")
    return point


@dataclass(frozen=True)
class _Machine:
    """Where a job was measured."""

    hardware: str
    versions: dict[str, str]


def _machine(place: Path) -> _Machine:
    """Where a job was measured; nothing if that is not known, for the figures are good without it."""
    try:
        data = jobs.read_object(place / jobs.MACHINE)
    except ValueError:
        data = {}
    versions = data.get("versions")
    pairs = versions.items() if isinstance(versions, dict) else ()
    known = {name[:80]: text[:80] for name, text in pairs if isinstance(text, str)}
    hardware = data.get("hardware")
    return _Machine(hardware[:500] if isinstance(hardware, str) else "", known)


# --- many ---------------------------------------------------------------------------------------------


class _Clock:
    """The time that is left, from what tasks of the same kind have taken."""

    def __init__(self, tasks: Sequence[Task]):
        self.began = time.perf_counter()
        self.left = {task.name: task.job.codec for task in tasks}
        self.done = 0
        self.taken: dict[str, list[float]] = {}

    def after(self, outcome: Outcome) -> Standing:
        """How far the sweep is, now that this task has ended."""
        kind = self.left.pop(outcome.name, "")
        if outcome.state == "cut":
            self.left[outcome.name] = "join"
            self.left |= {segment.named(outcome.name): "segment" for segment in outcome.missing}
        else:
            self.done += 1
            self.taken.setdefault(kind, []).append(outcome.seconds)
        return Standing(self.done, self.done + len(self.left), self._seconds_left())

    def _seconds_left(self) -> float:
        everything = [seconds for part in self.taken.values() for seconds in part]
        expected = sum(
            sum(known) / max(len(known), 1)
            for kind in self.left.values()
            for known in [self.taken.get(kind, everything)]
        )
        speed = sum(everything) / max(time.perf_counter() - self.began, 1e-9)  # about the number of workers
        return expected / max(speed, 1e-9)


class _Course:
    """What comes next: a task that is busy once more, the segments of a job that is cut, then the job."""

    def __init__(self) -> None:
        self.cut: dict[str, Task] = {}  # jobs that wait for their segments
        self.open: dict[str, int] = {}  # how many of them have not ended
        self.cuts: Counter[str] = Counter()

    def after(self, task: Task, outcome: Outcome) -> list[Task]:
        """The tasks to do now that this one has ended."""
        name = task.job.name
        if outcome.state == "busy":
            return [replace(task, patience=_PATIENCE)]
        if outcome.state == "cut":
            self.cuts[name] += 1
            if self.cuts[name] > _TRIES:  # what is written there does not stay: the job is left pending
                return []
            self.cut[name], self.open[name] = task, len(outcome.missing)
            return [task.of_segment(segment) for segment in outcome.missing]
        if task.segment:
            self.open[name] -= 1
            return [] if self.open[name] else [self.cut[name]]
        return []


def _here(tasks: Sequence[Task], on_news: OnNews | None) -> Iterator[Outcome]:
    """The outcomes of tasks that are done in this process, one after the other."""
    queue, course = deque(tasks), _Course()
    while queue:
        task = queue.popleft()
        outcome = worker.run(task, _named(on_news, task))
        following = course.after(task, outcome)
        if outcome.state == "busy":
            queue.extend(following)
        else:
            queue.extendleft(reversed(following))
            yield outcome


def _named(on_news: OnNews | None, task: Task) -> OnNews | None:
    """Says which task a line is about."""
    return None if on_news is None else lambda line: on_news(f"{task.name}: {line}")


def _there(tasks: Sequence[Task], executor: Executor, on_news: OnNews | None) -> Iterator[Outcome]:
    """The outcomes of tasks as workers finish them."""
    crew = _Crew(executor)
    for task in tasks:
        crew.submit(task)
    try:
        while crew.waiting:
            ended, _ = wait(crew.waiting, _LOOK, FIRST_COMPLETED)
            for future in ended:
                outcome = crew.outcome(future)
                if outcome:
                    yield outcome
            if on_news and not ended:
                crew.tell(on_news)
    finally:
        for future in crew.waiting:
            future.cancel()


class _Crew:
    """Tasks that workers have or wait for.  What a worker held when it died goes to another one."""

    def __init__(self, executor: Executor):
        self.executor = executor
        self.waiting: dict[Future[Outcome], Task] = {}
        self.course = _Course()
        self.tries: Counter[str] = Counter()
        self.deaths = 0  # in a row, of workers that had not begun anything
        self.begun: dict[str, int] = {}  # sizes of logs when their tasks were submitted
        self.told: dict[str, str] = {}

    def submit(self, task: Task) -> None:
        """Give a task to the executor."""
        self.begun[task.name] = _log_size(task)
        self.waiting[self.executor.submit(worker.run, task)] = task

    def outcome(self, future: "Future[Outcome]") -> Outcome | None:
        """The outcome of a task, or None if it was given to a worker once more."""
        task = self.waiting.pop(future)
        error = CancelledError() if future.cancelled() else future.exception()
        if error is not None:
            return self._died(task, error)
        self.deaths = 0
        outcome = future.result()
        return self._follow(task, outcome)

    def _follow(self, task: Task, outcome: Outcome) -> Outcome | None:
        """Submit what comes next."""
        for following in self.course.after(task, outcome):
            self.submit(following)
        return None if outcome.state == "busy" else outcome

    def _died(self, task: Task, error: BaseException) -> Outcome | None:
        """Another try, unless it had enough of them; one that had not begun loses none.

        A broken pool does not say whose process died, and ends those beside it: all that had begun lose one.
        """
        name = task.name
        if isinstance(error, BrokenExecutor) and _log_size(task) == self.begun[name]:
            self.deaths += 1
            if self.deaths > _TRIES * (len(self.waiting) + 1):
                raise OSError(f"the workers die before they begin anything: {error}")
        else:
            self.deaths = 0
            self.tries[name] += 1
        if self.tries[name] < _TRIES:
            self.submit(task)
            return None
        text = " ".join(str(error).split()) or type(error).__name__
        reason = f"given up after {_TRIES} tries, as its process ended each time: {text}"
        jobs.give_up(task.place, reason)
        return self._follow(task, Outcome(name, "failed", reason=reason))

    def tell(self, on_news: OnNews) -> None:
        """The last line of each log that has a new one."""
        for task in self.waiting.values():
            if _log_size(task) != self.begun[task.name]:
                line = jobs.last_words(task.place)
                if line and line != self.told.get(task.name):
                    self.told[task.name] = line
                    on_news(f"{task.name}: {line}")


def _log_size(task: Task) -> int:
    """Bytes of a task's log: it grows as soon as the task begins."""
    try:
        return os.path.getsize(task.place / jobs.LOG)
    except OSError:
        return 0
