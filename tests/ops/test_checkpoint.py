"""Checkpoints: a training that goes on ends with the very weights of one that never stopped."""

import copy
import errno
import io
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from coordflow_mini import cli, entropy
from coordflow_mini.config import Recipe
from coordflow_mini.encoder import compress
from coordflow_mini.finetune import FineTuned
from coordflow_mini.ops import checkpoint as checkpoints
from coordflow_mini.ops.checkpoint import Checkpoint, CheckpointError
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.train import FitResult, Progress
from coordflow_mini.video.clip import Video

pytestmark = pytest.mark.usefixtures("one_thread")

SUBJECT = {"clip": "a", "steps": 5}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "clip.checkpoint"


class Killed(BaseException):
    """The process is gone: nothing of ours catches this."""


def killer(step: int):
    """Ends the training at a step, as a kill would: without a word to anybody."""

    def on_step(progress: Progress) -> None:
        if progress.step >= step:
            raise Killed

    return on_step


def as_bytes(result: FitResult) -> list[bytes]:
    return [parameter.detach().numpy().tobytes() for parameter in result.model.parameters()]


# --- the file -------------------------------------------------------------------------------------


def test_what_is_kept_comes_back(path):
    """Tensors, numbers, strings, lists and dicts; another object reads them from the file alone."""
    state = {
        "weights": torch.randn(3, 2),
        "step": 7,
        "error": 0.1,
        "history": [["fit", 1, None]],
        "by": {"0": 1},
    }
    checkpoint = Checkpoint(path)
    checkpoint.reached("fit", SUBJECT, state)
    checkpoint.write()
    found = Checkpoint(path).restored("fit", SUBJECT)
    assert torch.equal(found.pop("weights"), state.pop("weights"))
    assert found == {"of": SUBJECT, **state}
    assert Checkpoint(path).restored("fine-tune", SUBJECT) is None


@pytest.mark.parametrize(("every", "written"), [(0, True), (1000, False)])
def test_it_is_written_every_so_often(every, written, path):
    Checkpoint(path, every=every).reached("fit", SUBJECT, {"step": 1})
    assert path.exists() == written


def test_nothing_new_is_not_written(path):
    checkpoint = Checkpoint(path)
    checkpoint.write()
    assert not path.exists()


def test_a_finished_training_leaves_nothing(path):
    checkpoint = Checkpoint(path, every=0)
    checkpoint.reached("fit", SUBJECT, {"step": 1})
    checkpoint.remove()
    checkpoint.write()
    assert not path.exists() and checkpoint.restored("fit", SUBJECT) is None
    checkpoint.remove()


def test_a_checkpoint_of_something_else_is_refused(path):
    checkpoint = Checkpoint(path, every=0)
    checkpoint.reached("fit", SUBJECT, {"step": 1})
    with pytest.raises(CheckpointError, match=r"another fit: steps was 5, now it is 6; use the same"):
        Checkpoint(path).restored("fit", {**SUBJECT, "steps": 6})


class Payload:
    """Would leave a trace if it were unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def under_seal(payload: bytes) -> bytes:
    """What a forger would write: anything under a good checksum."""
    return checkpoints._MAGIC + crc32(payload).to_bytes(4, "little") + payload


def sealed(content: object) -> bytes:
    """Any JSON, with the tensors of a state, in the format and under a good checksum."""
    if isinstance(content, dict):
        return under_seal(checkpoints.to_bytes(content))
    return under_seal(safetensors.torch.save({}, {"state": json.dumps(content)}))


def pickled(content: object) -> bytes:
    """The same as PyTorch would write it."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.promise("No code from data", "A damaged or hostile checkpoint is refused with one line.")
@pytest.mark.parametrize("kind", ["empty", "text", "pickle", "code", "list", "stage", "cut", "more"])
def test_a_damaged_or_hostile_file_is_one_line(kind, path, tmp_path):
    """And no code in it is run."""
    Checkpoint(path, every=0).reached("fit", SUBJECT, {"weights": torch.zeros(100)})
    good, trace = path.read_bytes(), tmp_path / "trace"
    path.write_bytes(
        {
            "empty": b"",
            "text": b"hello",
            "pickle": pickle.dumps(Payload(trace)),
            "code": under_seal(pickled({"seconds": 1.0, "stages": {"fit": {"of": Payload(trace)}}})),
            "list": sealed([1, 2]),
            "stage": sealed({"seconds": 1.0, "stages": {"fit": 3}}),
            "cut": good[:-1],
            "more": good + b"0",
        }[kind]
    )
    with pytest.raises(CheckpointError, match=r"remove it$") as caught:
        Checkpoint(path).restored("fit", SUBJECT)
    assert "\n" not in str(caught.value) and not trace.exists()


def test_every_flipped_byte_is_noticed(path):
    Checkpoint(path, every=0).reached("fit", SUBJECT, {"weights": torch.zeros(3)})
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 16]) + good[place + 1 :])
        with pytest.raises(CheckpointError):
            Checkpoint(path).restored("fit", SUBJECT)


def changed(path: Path, *way: str | int, to: object) -> None:
    """Another value in a checkpoint's fit, under a good seal."""
    content = checkpoints.from_bytes(path.read_bytes()[9:])
    place = content["stages"]["fit"]
    for name in way[:-1]:
        place = place[name]
    place[way[-1]] = to
    path.write_bytes(sealed(content))


CHANGES = {
    "a negative step": (("step",), -(10**12)),
    "a step of text": (("step",), "7"),
    "a step beyond the end": (("step",), 10**9),
    "a step that is not a number": (("step",), float("nan")),
    "seconds without end": (("seconds",), float("inf")),
    "no model": (("model",), {}),
    "a model of text": (("model",), "model"),
    "weights of another shape": (("model", "color.time_weight"), torch.zeros(1)),
    "no optimizer": (("optimizers",), {}),
    "a count below zero": (("optimizers", "0", "1"), {"count": torch.tensor(-5.0)}),
    "a memory of another shape": (("optimizers", "0", "0"), {"mean": torch.zeros(7)}),
    "memories of unknown weights": (("optimizers", "0", "99"), {"mean": torch.zeros(7)}),
    "a history of numbers": (("history",), [1, 2]),
    "a history of text": (("history",), "fit"),
    "a history of half rows": (("history",), [["fit", 50]]),
    "a history of words": (("history",), [["fit", 50, 100, "good", 0.0, None]]),
    "a history of half a step": (("history",), [["fit", 50.5, 100, 0.0, 0.0, None]]),
    "a history without numbers": (("history",), [["fit", 50, 100, float("nan"), 0.0, None]]),
    "a history after the step": (("history",), [["fit", 10**9, 100, 0.0, 0.0, None]]),
    "a history that stands still": (("history",), [["fit", 50, 100, 0.0, 0.0, None]] * 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_state_that_fits_nothing_is_one_line(change, path, clip, small_model, short_fit):
    """Well made and sealed, and refused before a step is made with it."""
    fit(clip, small_model, short_fit, checkpoint=Checkpoint(path))
    way, value = CHANGES[change]
    changed(path, *way, to=value)
    with pytest.raises(CheckpointError, match=r"remove it$") as caught:
        fit(clip, small_model, short_fit, checkpoint=Checkpoint(path), on_step=killer(0))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), "1", None])
def test_a_time_that_is_none_is_one_line(seconds, path):
    path.write_bytes(sealed({"seconds": seconds, "stages": {}}))
    with pytest.raises(CheckpointError, match=r"seconds is .+ remove it$"):
        Checkpoint(path).restored("fit", SUBJECT)


@pytest.mark.parametrize(
    "data", [b"", b"\x89CFK\x01" + bytes(100), under_seal(pickle.dumps(Payload(Path("x"))))]
)
def test_the_command_says_it_in_one_line(data, source, tmp_path):
    out = tmp_path / "a.cfv"
    kept = tmp_path / "a.cfv.checkpoint.0"
    kept.write_bytes(data)
    words = ["encode", str(source), str(out), "--resume", "--steps", "20", "--width", "4", "-q"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "--restart" in result.stderr and kept.read_bytes() == data and not out.exists()


@pytest.mark.parametrize("version", [b"\x01", b"\x02", b"\x03", b"\x06"])
def test_a_checkpoint_of_another_version_is_named_as_such(version, path):
    """It can be finished, with that version."""
    Checkpoint(path, every=0).reached("fit", SUBJECT, {"step": 1})
    path.write_bytes(b"\x89CFK" + version + path.read_bytes()[5:])
    with pytest.raises(
        CheckpointError, match=r"another version of coordflow-mini: finish it with .+, or remove it$"
    ):
        Checkpoint(path).restored("fit", SUBJECT)


# --- what cannot be written -----------------------------------------------------------------------


def full_disk(monkeypatch, *, number: int = errno.ENOSPC) -> None:
    def write_bytes(path: Path, data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


def too_large(monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "_MOST_JSON", 100)


@pytest.mark.parametrize(
    ("spoil", "said"), [(full_disk, "No space left on device"), (too_large, "at most 100")]
)
def test_training_outlives_its_checkpoint(
    spoil, said, path, clip, small_model, short_fit, short_codec, monkeypatch, caplog
):
    """A fit and its fine-tuning end as without one, with one warning; what was in the file stays in it."""
    path.write_bytes(b"before")
    kept = Checkpoint(path, every=0)
    kept._stages = {}
    whole = fit(clip, small_model, short_fit)
    size = round(5.5 * whole.model.parameter_count / 8)
    codec = replace(short_codec, steps=20, rounds=0)
    tuned = finetune(copy.deepcopy(whole), clip, codec, size, coded_size)
    with monkeypatch.context() as patch:
        spoil(patch)
        last = fit(clip, small_model, short_fit, checkpoint=kept)
        again = finetune(copy.deepcopy(last), clip, codec, size, coded_size, checkpoint=kept)
    assert as_bytes(last) == as_bytes(whole) and integers(again) == integers(tuned)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"{path} cannot be written, training goes on: ") and said in line
    assert path.read_bytes() == b"before" and list(path.parent.iterdir()) == [path]
    kept.write()
    assert as_bytes(fit(clip, small_model, short_fit, checkpoint=Checkpoint(path))) == as_bytes(whole)


def test_a_full_disk_does_not_hide_why_training_ended(path, clip, small_model, short_fit, monkeypatch):
    full_disk(monkeypatch)
    with pytest.raises(Killed):
        fit(clip, small_model, short_fit, checkpoint=Checkpoint(path), on_step=killer(50))
    kept = Checkpoint(path)
    kept.reached("fit", SUBJECT, {"step": 1})
    with pytest.raises(OSError, match="No space"):
        kept.write()


# --- a fit that goes on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{}, {"optimizer": "adam"}, {"starts": 2, "start_steps": 50}, {"ms_ssim": 0.1}]
)
def test_a_killed_fit_goes_on_exactly(change, path, clip, small_model, short_fit):
    """Killed twice, at 100 and 150 of 200 steps: same weights and same history as never killed."""
    config = replace(short_fit, steps=200, **change)
    whole = fit(clip, small_model, config)
    for step in (100, 150):
        with pytest.raises(Killed):
            fit(clip, small_model, config, checkpoint=Checkpoint(path, every=0), on_step=killer(step))
    seen: list[int] = []
    last = fit(
        clip,
        small_model,
        config,
        checkpoint=Checkpoint(path),
        on_step=lambda progress: seen.append(progress.step),
    )
    assert as_bytes(last) == as_bytes(whole)
    assert seen == [200]
    figures = [[replace(p, seconds=0) for p in result.history] for result in (last, whole)]
    assert figures[0] == figures[1]


def test_a_finished_fit_is_not_repeated(path, clip, small_model, short_fit):
    whole = fit(clip, small_model, short_fit, checkpoint=Checkpoint(path))
    again = fit(clip, small_model, short_fit, checkpoint=Checkpoint(path), on_step=killer(0))
    assert as_bytes(again) == as_bytes(whole)


def test_a_checkpoint_changes_nothing(path, clip, small_model, short_fit):
    kept = fit(clip, small_model, short_fit, checkpoint=Checkpoint(path, every=0))
    assert as_bytes(kept) == as_bytes(fit(clip, small_model, short_fit))


def test_ctrl_c_keeps_what_was_reached_in_the_file(path, clip, small_model, short_fit):
    """However long the pause between two writes: nothing is lost that was reported."""

    def stop(progress: Progress) -> None:
        if progress.step == 50:
            raise KeyboardInterrupt

    stopped = fit(clip, small_model, short_fit, checkpoint=Checkpoint(path, every=1e6), on_step=stop)
    assert stopped.interrupted
    last = fit(clip, small_model, short_fit, checkpoint=Checkpoint(path))
    assert as_bytes(last) == as_bytes(fit(clip, small_model, short_fit))


@pytest.mark.parametrize("change", ["clip", "model", "config", "weights", "frames"])
def test_another_fit_does_not_go_on(change, path, clip, small_model, short_fit):
    fit(clip, small_model, short_fit, checkpoint=Checkpoint(path))
    arguments = {"clip": clip, "model": small_model, "config": short_fit}
    extra = {}
    if change == "clip":
        arguments["clip"] = Video(255 - clip.frames)
    elif change == "model":
        arguments["model"] = replace(small_model, width=9)
    elif change == "config":
        arguments["config"] = replace(short_fit, learning_rate=0.01)
    else:
        extra = {"weights": {"weights": np.ones(clip.frames.shape[:3])}, "frames": {"frames": [0, 1]}}[change]
    with pytest.raises(CheckpointError, match="another fit"):
        fit(*arguments.values(), **extra, checkpoint=Checkpoint(path))


# --- fine-tuning that goes on ---------------------------------------------------------------------


def coded_size(tensors) -> int:
    return len(entropy.encode([tensor.integers for tensor in tensors]))


def integers(tuned: FineTuned) -> list[tuple[int, bytes]]:
    return [(tensor.step_index, tensor.integers.tobytes()) for tensor in tuned.tensors]


@pytest.mark.parametrize(("steps", "target"), [(250, 1.0), (120, 0.55)])
def test_killed_fine_tuning_goes_on_exactly(steps, target, path, clip, small_model, short_fit, short_codec):
    """Killed at every report, in the main part and in further rounds (the small target needs some)."""
    fitted = fit(clip, small_model, replace(short_fit, steps=50))
    codec = replace(short_codec, steps=steps, rounds=3)
    size = round(target * 5.5 * fitted.model.parameter_count / 8)
    whole = finetune(copy.deepcopy(fitted), clip, codec, size, coded_size)
    kills = 0
    while True:
        arguments = copy.deepcopy(fitted), clip, codec, size, coded_size
        reports = len(whole.history)
        wanted = whole.history[kills].step if kills < reports - 1 else 10**9
        try:
            last = finetune(*arguments, checkpoint=Checkpoint(path, every=0), on_step=killer(wanted))
            break
        except Killed:
            kills += 1
    assert kills == len(whole.history) - 1 >= 2
    assert integers(last) == integers(whole)
    assert [replace(p, seconds=0) for p in last.history] == [replace(p, seconds=0) for p in whole.history]


def test_fine_tuning_towards_another_size_does_not_go_on(path, clip, small_model, short_fit, short_codec):
    fitted = fit(clip, small_model, replace(short_fit, steps=50))
    codec = replace(short_codec, steps=10, rounds=0)
    finetune(copy.deepcopy(fitted), clip, codec, 500, coded_size, checkpoint=Checkpoint(path))
    with pytest.raises(CheckpointError, match="another fine-tune: target_bytes was 500, now it is 600"):
        finetune(fitted, clip, codec, 600, coded_size, checkpoint=Checkpoint(path))


# --- an encode that goes on -----------------------------------------------------------------------


@pytest.mark.promise(
    "Interruption",
    "`encode --resume` ends with the bytes of an uninterrupted run (same machine, same number of threads).",
)
@pytest.mark.parametrize("segment_frames", [None, 3])
def test_a_killed_encode_ends_with_the_same_bytes(segment_frames, path, clip, short_fit, short_codec):
    """Killed in the fit, then in fine-tuning, of each segment."""
    codec = replace(short_codec, steps=100, rounds=1, bits_per_weight=6)
    recipe = Recipe(bpp=6, fit=short_fit, codec=codec, segment_frames=segment_frames)
    whole = compress(clip, recipe)
    stages = ["fit", "fine-tune"]
    if segment_frames:
        stages = [f"segment {number} of 2, {stage}" for number in (1, 2) for stage in stages]
    for stage in stages:

        def kill(progress: Progress, stage: str = stage) -> None:
            if progress.stage == stage:
                raise Killed

        with pytest.raises(Killed):
            compress(clip, recipe, on_step=kill, checkpoint=Checkpoint(path, every=0))
    checkpoint = Checkpoint(path)
    assert checkpoint.files()
    last = compress(clip, recipe, checkpoint=checkpoint)
    assert last.data == whole.data and last.psnr_db == whole.psnr_db
    assert [p.step for p in last.history] == [p.step for p in whole.history]
    checkpoint.remove()
    assert list(path.parent.iterdir()) == []


def test_after_ctrl_c_the_checkpoint_leads_to_the_file_that_was_asked_for(path, clip, short_fit, short_codec):
    def stop(progress: Progress) -> None:
        if progress.stage == "fit" and progress.step == 50:
            raise KeyboardInterrupt

    recipe = Recipe(bpp=4, fit=short_fit, codec=short_codec)
    early = compress(clip, recipe, on_step=stop, checkpoint=Checkpoint(path))
    assert early.interrupted
    late = compress(clip, recipe, checkpoint=Checkpoint(path))
    assert not late.interrupted and late.data == compress(clip, recipe).data


def test_seconds_of_earlier_processes_count(path):
    first = Checkpoint(path)
    first._began -= 100
    first.reached("fit", SUBJECT, {"step": 1})
    first.write()
    second = Checkpoint(path)
    second.restored("fit", SUBJECT)
    assert 100 <= second.before < 110


def test_a_full_gpu_is_not_taken_for_a_checkpoint_of_another_version(tmp_path):
    with pytest.raises(torch.cuda.OutOfMemoryError), Checkpoint(tmp_path / "x").restoring("fit"):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
