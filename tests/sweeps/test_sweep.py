"""Sweeps: every job ends once, whatever is killed, broken, named strangely or started twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coordflow_mini import bitstream, decoder, encoder
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.measure.results import Experiment, RunResult
from coordflow_mini.sweeps import cluster, sweep, worker
from coordflow_mini.sweeps import job as jobs
from coordflow_mini.sweeps.job import Job, Reference
from coordflow_mini.sweeps.worker import Task
from coordflow_mini.video import scenes
from coordflow_mini.video.read import load
from tests.cli.commands import bad, good

SMALL = Selection(0, 4, 1, 24, 16)
QUICK = Recipe(
    model=ModelConfig(layers=1, depth=1),
    fit=FitConfig(steps=3, batch=64, warm_up=1, grow=1, static=1),
    codec=CodecConfig(steps=3),
)
LONG = replace(QUICK, fit=replace(QUICK.fit, steps=400))  # about a second
WORDS = ["--frames", "0:4", "--size", "24x16", "--layers", "1", "--threads", "1"]


X264 = (Reference("x264"),)


def planned(inputs=("clip:cutout",), rates=(4.0, 6.0), references=X264, recipe=QUICK):
    return sweep.plan(list(inputs), list(rates), references, recipe, selection=SMALL)


def run(folder, wanted, **more) -> Experiment:
    return sweep.run(folder, wanted, device="cpu", threads=1, **more)


def log(folder: Path, name: str) -> str:
    path = folder / "jobs" / name / "log.txt"
    return path.read_text() if path.exists() else ""


def ends(folder: Path) -> dict[str, int]:
    """How often each job came to its end."""
    return {place.name: log(folder, place.name).count("  done: ") for place in (folder / "jobs").iterdir()}


def until(true, seconds: float = 60) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "waited too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "new" / "folder"
    run(folder, planned())
    return folder


# --- what a sweep measures ----------------------------------------------------------------------------


def test_every_codec_is_measured_at_every_rate(folder):
    experiment = sweep.collect(folder)
    assert not experiment.failed and not experiment.pending and experiment.hardware
    assert experiment.versions["torch"]
    pixels = 4 * 16 * 24
    assert Counter(point.codec for point in experiment.points) == {"CoordFlow": 2, "x264": 2}
    for point in experiment.points:
        assert point.clip == "clip:cutout" and point.measured and point.encode_seconds > 0
        assert point.bytes <= (4.0 if point.bpp <= 4 else 6.0) * pixels / 8


def test_the_figures_are_those_of_the_file(folder):
    place = folder / "jobs" / "clip-cutout-coordflow-4"
    data = (place / "video.cfv").read_bytes()
    result = RunResult.from_json(json.loads((place / "result.json").read_text()))
    original = load("clip:cutout", SMALL)
    assert result.point.bytes == len(data)
    assert result.point.psnr_db == pytest.approx(
        psnr_db(original.frames, decoder.decode(data).frames), abs=0.01
    )
    assert "3+3 steps" in result.point.settings


def test_what_is_finished_is_not_done_again(folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / "jobs").rglob("*")}
    called = []
    experiment = run(folder, planned(), on_job=lambda *ended: called.append(ended))
    assert not called and len(experiment.points) == 4
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "jobs").rglob("*")}


def test_other_settings_need_another_folder(folder):
    other = replace(QUICK, model=ModelConfig(layers=2, depth=1), fit=replace(QUICK.fit, steps=4))
    with pytest.raises(
        ValueError, match="other settings: coder.fit.steps 3, not 4, coder.model.layers 1, not 2"
    ):
        run(folder, planned(recipe=other))


def test_a_larger_sweep_grows_from_a_smaller_one(tmp_path, one_thread):
    x264 = planned(rates=(4.0,))[1:]
    run(tmp_path, x264)
    seen = []
    more = (*x264, *planned(rates=(6.0,))[1:])
    experiment = run(tmp_path, more, on_job=lambda outcome, standing: seen.append((outcome.name, standing)))
    assert len(experiment.points) == 2
    (name, standing), *rest = seen
    assert not rest and name == "clip-cutout-x264-6"
    assert (standing.done, standing.tasks, standing.seconds_left) == (1, 1, 0)


def test_a_file_that_is_finished_is_measured_but_not_made_again(tmp_path, one_thread):
    (job,) = planned(references=(), rates=(4.0,))
    run(tmp_path, [job])
    place = tmp_path / "jobs" / job.name
    made, first = (place / "video.cfv").stat().st_mtime_ns, sweep.collect(tmp_path).points
    (place / "result.json").unlink()
    (point,) = run(tmp_path, [job]).points
    assert (place / "video.cfv").stat().st_mtime_ns == made
    assert replace(point, decode_seconds=first[0].decode_seconds) == first[0]
    (place / "result.json").unlink()
    (place / "video.cfv").write_bytes(b"damaged")
    (again,) = run(tmp_path, [job]).points
    assert again.bytes == first[0].bytes == (place / "video.cfv").stat().st_size


def test_minutes_become_steps_once(tmp_path, one_thread):
    (job,) = planned(references=(), rates=(4.0,), recipe=replace(QUICK, minutes=0.002))
    run(tmp_path, [job])
    place = tmp_path / "jobs" / job.name
    steps = json.loads((place / "steps.json").read_text())["steps"]
    assert f", {steps}+" in json.loads((place / "result.json").read_text())["point"]["settings"]
    (place / "steps.json").write_text('{"steps": 2}')
    for left in ("result.json", "video.cfv"):
        (place / left).unlink()
    (point,) = run(tmp_path, [job]).points
    assert ", 2+2 steps" in point.settings


def test_the_matrix_of_raw_yuv_goes_with_the_job(tmp_path, one_thread):
    raw = tmp_path / "noise_24x16_25fps_420_8bit_YUV.yuv"
    raw.write_bytes(np.random.default_rng(0).integers(0, 256, 2 * 576, np.uint8).tobytes())
    (job,) = sweep.plan([str(raw)], [8.0], recipe=QUICK, matrix="bt709")
    assert len(run(tmp_path, [job]).points) == 1
    data = (tmp_path / "jobs" / job.name / "video.cfv").read_bytes()
    assert bitstream.read_header(data).matrix == "bt709"
    with pytest.raises(ValueError, match="other settings: matrix 'bt709', not None"):
        run(tmp_path, sweep.plan([str(raw)], [8.0], recipe=QUICK))


# --- going on -----------------------------------------------------------------------------------------

LONGER = replace(QUICK, fit=replace(QUICK.fit, steps=120), codec=CodecConfig(steps=120))


class Killed(BaseException):
    """The process is gone: nothing of ours catches this."""


@pytest.fixture
def seen(monkeypatch):
    """Where trainings are when they say so, (stage, step), and where the next one is to be killed."""

    class Seen(list):
        deadly: tuple[str, int] | None = None

    seen, whole = Seen(), encoder.encode_segment

    def encode_segment(*arguments, on_step, **more):
        def watched(progress):
            seen.append((progress.stage, progress.step))
            if seen[-1] == seen.deadly:
                raise Killed
            on_step(progress)

        return whole(*arguments, on_step=watched, **more)

    monkeypatch.setattr(encoder, "encode_segment", encode_segment)
    return seen


def coded(folder: Path, job: Job) -> bytes:
    return (folder / "jobs" / job.name / "video.cfv").read_bytes()


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.rglob("video.checkpoint*"))  # no temporary files, which begin with a dot


def test_a_job_that_is_killed_goes_on_exactly_where_it_was(tmp_path, one_thread, seen):
    (job,) = planned(references=(), rates=(4.0,), recipe=LONGER)
    run(tmp_path / "whole", [job])
    for seen.deadly in [("fit", 100), ("fine-tune", 100)]:
        with pytest.raises(Killed):
            run(tmp_path / "killed", [job], checkpoint_seconds=0)
        assert checkpoints(tmp_path)
    seen.deadly = None
    seen.clear()
    run(tmp_path / "killed", [job], checkpoint_seconds=0)
    assert seen and "fit" not in dict(seen)  # it is not begun anew
    assert coded(tmp_path / "killed", job) == coded(tmp_path / "whole", job)
    assert log(tmp_path / "killed", job.name).count("resumes from its checkpoint") == 2
    assert not checkpoints(tmp_path)


def test_a_damaged_checkpoint_is_told_of_and_removed(tmp_path, one_thread, seen):
    (job,) = planned(references=(), rates=(4.0,), recipe=LONGER)
    seen.deadly = ("fit", 100)
    with pytest.raises(Killed):
        run(tmp_path, [job], checkpoint_seconds=0)
    (path,) = checkpoints(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    seen.deadly = None
    assert len(run(tmp_path, [job]).points) == 1
    assert not checkpoints(tmp_path)
    assert "starts over: " in log(tmp_path, job.name)


# --- segments -----------------------------------------------------------------------------------------

CUT = replace(QUICK, segment_frames=2)  # two segments


def of_segment(folder: Path, job: Job, number: int, file: str = "log.txt") -> Path:
    return folder / "jobs" / job.name / "segments" / f"000{number}" / file


def test_segments_are_made_by_two_workers_into_the_file_of_one(tmp_path, one_thread):
    (job,) = planned(references=(), rates=(4.0,), recipe=CUT)
    names, standings = [], []

    def on_job(outcome, standing) -> None:
        names.append(outcome.name)
        standings.append((standing.done, standing.tasks))

    with ThreadPoolExecutor(2) as pool:
        experiment = run(tmp_path, [job], executor=pool, on_job=on_job)
    video = load("clip:cutout", SMALL)
    expected = encoder.compress(video, encoder.adapted(CUT, video), bpp=4.0)
    assert coded(tmp_path, job) == expected.data
    (point,) = experiment.points
    assert point.bytes == len(expected.data) and "2 segments of 3+3 steps" in point.settings
    assert sorted(names[:2]) == [f"{job.name}, segment {number} of 2" for number in (1, 2)]
    assert names[2] == job.name and standings == [(1, 3), (2, 3), (3, 3)]
    record = json.loads((tmp_path / "jobs" / job.name / "video.json").read_text())
    assert record["unquantized_psnr_db"] == pytest.approx(expected.unquantized_psnr_db)


def test_segments_that_are_there_are_not_made_again(tmp_path, one_thread, seen):
    (job,) = planned(references=(), rates=(4.0,), recipe=CUT)
    run(tmp_path, [job])
    data, place = coded(tmp_path, job), tmp_path / "jobs" / job.name
    for name in ("result.json", "video.cfv"):
        (place / name).unlink()
    of_segment(tmp_path, job, 2, "section.bin").write_bytes(b"damaged")
    seen.clear()
    assert len(run(tmp_path, [job]).points) == 1
    assert {stage for stage, _ in seen} == {"segment 2 of 2, fit", "segment 2 of 2, fine-tune"}
    assert coded(tmp_path, job) == data


def test_a_segment_that_is_killed_goes_on_exactly_where_it_was(tmp_path, one_thread, seen):
    (job,) = planned(references=(), rates=(4.0,), recipe=replace(LONGER, segment_frames=2))
    run(tmp_path / "whole", [job])
    seen.deadly = ("segment 2 of 2, fit", 100)
    with pytest.raises(Killed):
        run(tmp_path / "killed", [job], checkpoint_seconds=0)
    seen.deadly = None
    seen.clear()
    run(tmp_path / "killed", [job])
    assert seen[0] == ("segment 2 of 2, fit", 120)
    assert coded(tmp_path / "killed", job) == coded(tmp_path / "whole", job)
    assert not checkpoints(tmp_path)


def test_a_segment_that_fails_fails_the_job_and_the_others_are_kept(tmp_path, one_thread, monkeypatch):
    whole, calls = encoder.encode_segment, []

    def encode_segment(video, plan, index, recipe, **more):
        calls.append(index)
        if index == 0 and len(calls) < 3:
            raise ValueError("it diverged")
        return whole(video, plan, index, recipe, **more)

    monkeypatch.setattr(encoder, "encode_segment", encode_segment)
    (job,) = planned(references=(), rates=(4.0,), recipe=CUT)
    (failed,) = run(tmp_path, [job]).failed
    assert failed.reason == "segment 1 of 2: it diverged" and calls == [0, 1]
    assert "Traceback" in of_segment(tmp_path, job, 1).read_text()
    assert len(run(tmp_path, [job]).points) == 1 and calls == [0, 1, 0]


def test_minutes_of_segments_become_steps_once(tmp_path, one_thread, monkeypatch):
    from coordflow_mini.sweeps import budget

    whole, calls = budget.steps_within, []
    monkeypatch.setattr(budget, "steps_within", lambda *a, **k: calls.append(k) or whole(*a, **k))
    (job,) = planned(references=(), rates=(4.0,), recipe=replace(CUT, minutes=0.002))
    assert len(run(tmp_path, [job]).points) == 1
    assert [call["segments"] for call in calls] == [(range(2), range(2, 4))]


def test_two_sweeps_at_once_make_each_segment_once(tmp_path, one_thread, seen):
    wanted = planned(references=(), rates=(4.0,), recipe=CUT)
    with ThreadPoolExecutor(2) as pool:
        experiments = [pool.submit(run, tmp_path, wanted) for _ in range(2)]
    assert all(len(experiment.result().points) == 1 for experiment in experiments)
    assert sorted(stage for stage, _ in seen if stage.endswith(", fit")) == [
        "segment 1 of 2, fit",
        "segment 2 of 2, fit",
    ]


def test_workers_on_one_machine_take_a_gpu_each(tmp_path, monkeypatch):
    """A third worker shares one of two GPUs; one that is given back is taken again."""
    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    (job,) = planned(references=(), rates=(4.0,))
    task = Task(job, tmp_path / "jobs" / job.name, "cuda")
    task.folder.mkdir(parents=True)
    with worker._own_device(task) as first:
        with worker._own_device(task) as second, worker._own_device(task) as third:
            assert (first.index, second.index) == (0, 1) and third.index in (0, 1)
        with worker._own_device(task) as fourth:
            assert fourth == second
    assert current == [0, 1, third.index, 1]


# --- failures -----------------------------------------------------------------------------------------


def test_failed_jobs_are_reported_the_others_done_and_all_tried_again(tmp_path, one_thread):
    source = tmp_path / "clip.npy"
    wanted = planned([str(source), "clip:pan"], rates=(4.0,))
    out = tmp_path / "out"
    experiment = run(out, wanted)
    assert len(experiment.points) == len(experiment.failed) == 2 and not experiment.pending
    for failed in experiment.failed:
        assert "does not exist" in failed.reason and "\n" not in failed.reason
        assert "Traceback" in log(out, failed.name) and log(out, failed.name).count("failed: ") == 1
    np.save(source, scenes.cutout(16, 24, 4).video.frames)
    experiment = run(out, wanted)
    assert len(experiment.points) == 4 and not experiment.failed
    assert set(ends(out).values()) == {1}


def test_a_failure_of_another_process_is_not_repeated_in_the_same_round(tmp_path, one_thread):
    (job,) = planned([str(tmp_path / "none.npy")], rates=(4.0,), references=())
    place = tmp_path / "out"
    jobs.prepare(place, job)
    task = Task(job, place, "cpu", 1)
    first = worker.run(task)
    assert first.state == "failed" and worker.run(task).reason == first.reason
    assert (place / "log.txt").read_text().count("begun") == 1
    jobs.forget_failures(place)
    assert worker.run(task).state == "failed"
    assert (place / "log.txt").read_text().count("begun") == 2


def test_a_job_that_somebody_holds_is_busy(tmp_path):
    from filelock import FileLock

    (job,) = planned(rates=(4.0,), references=())
    jobs.prepare(tmp_path, job)
    with FileLock(tmp_path / "lock"):
        assert worker.run(Task(job, tmp_path)).state == "busy"


def test_ctrl_c_leaves_a_job_unfinished(tmp_path, one_thread, monkeypatch):
    whole = encoder.encode_segment
    monkeypatch.setattr(encoder, "encode_segment", lambda *a, **k: replace(whole(*a, **k), interrupted=True))
    (job,) = planned(rates=(4.0,), references=())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [job])
    experiment = sweep.collect(tmp_path)
    assert experiment.pending == (job.name,) and not experiment.failed and not experiment.points


class Deadly(Executor):
    """Its workers die of every task."""

    def submit(self, fn, task):
        future: Future = Future()
        future.set_exception(OSError("killed"))
        return future


def test_a_task_whose_workers_die_is_a_failure(tmp_path):
    whole, cut = planned(rates=(4.0,)), planned(rates=(6.0,), recipe=CUT)
    experiment = run(tmp_path, [*whole, *cut], executor=Deadly())
    assert len(experiment.failed) == 4 and not experiment.pending
    assert all(failed.reason == "its worker died: killed" for failed in experiment.failed)


# --- names and damage ---------------------------------------------------------------------------------

STRANGE = [
    "<script>alert(1)</script>",
    "../../../etc/passwd",
    "a b\tc\nd.mp4",
    "è" * 200,
    "CON",
    "-rf",
    "x" * 300,
]


@pytest.mark.parametrize("clip", STRANGE)
def test_a_jobs_name_is_safe_in_every_file_system(clip):
    name = Job(os.path.abspath(clip), clip, 0.015, Reference("x265", "veryslow", "psnr")).name
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name)
    assert name.endswith("-x265-veryslow-psnr-0.015")


def test_clips_of_one_name_in_two_folders_are_two_jobs():
    first, second = planned(["a/clip.mp4", "b/clip.mp4"], rates=(1.0,), references=())
    assert first.name != second.name and first.title != second.title
    assert os.path.isabs(first.clip)


def test_the_same_twice_is_refused():
    with pytest.raises(ValueError, match="asked for twice"):
        planned(["clip:pan", "clip:pan"])
    with pytest.raises(ValueError, match="x264-medium-1 is asked for twice"):
        planned(rates=(1.0,), references=(Reference("x264", "medium"), Reference("x264", "medium")))


def test_uvg_is_seven_clips():
    titles = {job.title for job in planned(["uvg"])}
    assert len(titles) == 7 and "uvg:Beauty" in titles


DAMAGE = [
    "",
    "{",
    "[]",
    "null",
    '{"point": 1}',
    '{"codec": "x264"}',
    "[" * 100_000,
    "\udcff",
    '{"a": 1}' + " " * (1 << 21),
]


@pytest.mark.parametrize("file", ["result.json", "job.json"])
def test_damaged_files_are_told_in_one_line(tmp_path, one_thread, folder, file):
    place = tmp_path / "jobs" / "clip-cutout-x264-4"
    shutil.copytree(folder / "jobs" / place.name, place)
    for text in DAMAGE:
        (place / file).write_bytes(text.encode("utf-8", "surrogateescape"))
        experiment = sweep.collect(tmp_path)
        (failed,) = experiment.failed
        assert not experiment.points and failed.name == place.name
        assert "\n" not in failed.reason and len(failed.reason) < 500
    if file == "result.json":  # it is made again
        assert len(run(tmp_path, planned(rates=(4.0,))[1:]).points) == 1


def test_a_result_of_another_job_is_refused(tmp_path, folder):
    for name, other in [("job.json", "clip-cutout-x264-4"), ("result.json", "clip-cutout-coordflow-4")]:
        (tmp_path / "jobs" / "x").mkdir(parents=True, exist_ok=True)
        (tmp_path / "jobs" / "x" / name).write_bytes((folder / "jobs" / other / name).read_bytes())
    (failed,) = sweep.collect(tmp_path).failed
    assert "not of this job" in failed.reason


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no sweep"):
        sweep.collect(tmp_path)


# --- processes ----------------------------------------------------------------------------------------


@pytest.fixture
def start():
    """Begins sweeps in processes of their own, which end with the test."""
    processes = []

    def begin(*arguments: str) -> subprocess.Popen:
        processes.append(started(*arguments))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def started(out: Path, *words: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "coordflow_mini",
        "sweep",
        "clip:cutout",
        "--out",
        str(out),
        *WORDS,
        *words,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may ignore it
    )


SLOW = ["--bpp", "4,5", "--against", "x264", "--steps", "20"]  # x264 between two long ones


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path, start):
    process = start(tmp_path, *SLOW)
    until(lambda: "frames of" in log(tmp_path, "clip-cutout-coordflow-5"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = ends(tmp_path)
    assert before["clip-cutout-coordflow-4"] == before["clip-cutout-x264-4"] == 1
    assert before["clip-cutout-coordflow-5"] == 0
    again = [start(tmp_path, *SLOW) for _ in range(2)]  # two at once, and the job of the dead one is free
    said = [process.communicate(timeout=100) for process in again]
    assert [process.returncode for process in again] == [0, 0], said
    assert set(ends(tmp_path).values()) == {1}
    assert any("already done" in output[1] for output in said)


def test_ctrl_c_ends_at_once_and_says_how_to_go_on(tmp_path, start):
    process = start(tmp_path, "--bpp", "4", "--against", "none", "--steps", "20000")
    until(lambda: "  fit  " in log(tmp_path, "clip-cutout-coordflow-4"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "run the same command" in said and "Traceback" not in said
    assert sweep.collect(tmp_path).pending == ("clip-cutout-coordflow-4",)
    assert checkpoints(tmp_path)


@pytest.mark.slow
def test_a_job_goes_on_at_another_worker_of_a_cluster_when_its_own_is_killed(tmp_path, one_thread):
    distributed = pytest.importorskip("distributed")
    wanted = planned(rates=(4.0,), recipe=LONG)
    begun = re.compile(r"begun by process (\d+)")

    def kill() -> None:
        until(lambda: checkpoints(tmp_path), 300)
        os.kill(int(begun.search(log(tmp_path, wanted[0].name))[1]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as workers,
        cluster.connected(workers.scheduler_address.replace("tcp", "dask")) as executor,
    ):
        killer.start()
        experiment = run(tmp_path, wanted, executor=executor, checkpoint_seconds=0)
        killer.join()
    assert len(experiment.points) == 2 and not experiment.failed and not experiment.pending
    assert set(ends(tmp_path).values()) == {1}
    assert log(tmp_path, wanted[0].name).count("begun by process") == 2
    assert "resumes from its checkpoint" in log(tmp_path, wanted[0].name)
    run(tmp_path / "whole", wanted[:1])
    assert coded(tmp_path, wanted[0]) == coded(tmp_path / "whole", wanted[0])


# --- the command --------------------------------------------------------------------------------------


def test_the_command_prints_what_it_measured_as_json(tmp_path):
    words = [
        "--bpp",
        "4",
        "--against",
        "x264:veryslow:psnr",
        "--steps",
        "3",
        "--json",
        "--quiet",
        "--segment-frames",
        "2",
    ]
    result = good("sweep", "clip:cutout", *words, "--out", tmp_path, *WORDS)
    figures = json.loads(result.stdout)
    assert [point["codec"] for point in figures["points"]] == ["CoordFlow", "x264"]
    assert "preset=veryslow tune=psnr" in figures["points"][1]["settings"]
    assert result.stderr == "" and not figures["failed"] and not figures["pending"]


def test_a_report_is_made_of_a_sweeps_folder(folder):
    before = sweep.collect(folder)
    result = good("report", folder, "--json", "--quiet")
    (figures,) = [json.loads(result.stdout)]
    assert figures["report"].endswith("report.html") and not figures["failed"] and not figures["pending"]
    text = (folder / "report.html").read_text()
    for expected in ("clip:cutout", "x264", "CoordFlow", "BD-rate"):
        assert expected in text
    assert (folder / "points.csv").read_text().count("clip:cutout") == 4
    assert sweep.collect(folder) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.mp4", "--bpp", "1"], "none.mp4 does not exist"),
        (["clip:pan", "--bpp", "1;2"], "--bpp must be rates with commas"),
        (["clip:pan", "--bpp", "0"], "--bpp must lie above 0"),
        (["clip:pan", "--bpp", "1", "--against", "x266"], "codec must be one of x264, x265, av1"),
        (["clip:pan", "--bpp", "1", "--against", "av1:medium"], "preset of av1 must be one of 0, 1"),
        (["clip:pan", "--bpp", "1", "--against", "x264:slow:ssim"], "tune must be None or 'psnr'"),
        (["clip:pan", "--bpp", "1", "--against", "x264:slow:psnr:1"], "takes CODEC:PRESET:TUNE"),
        (["clip:pan", "--bpp", "1", "--executor", "cloud"], "--executor must be local or dask://HOST:PORT"),
        (["clip:pan", "--bpp", "1", "--workers", "0"], "--workers must be 1 or more"),
        (["clip:pan", "--bpp", "1", "--steps", "3", "--minutes", "1"], "--steps or --minutes"),
        (["clip:pan", "--bpp", "1", "--matrix", "bt709"], "leave out --raw and --matrix"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(tmp_path, words, said):
    assert said in bad("sweep", *words, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("dask://localhost:8786", 1), ("local", 2)])
def test_without_dask_the_extra_is_named(monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"pip install 'coordflow-mini\[scale\]'"):
        cluster.check(*arguments)
