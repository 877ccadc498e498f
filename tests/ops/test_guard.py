"""Training that runs away: seen soon, led back to the last good state, or stopped with the cure named."""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from coordflow_mini import entropy
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.encoder import compress
from coordflow_mini.finetune import FineTuned, Tuning
from coordflow_mini.ops.checkpoint import Checkpoint, CheckpointError
from coordflow_mini.ops.guard import DivergenceError, is_finite
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.render import render
from coordflow_mini.train import FitResult, Progress, Training
from coordflow_mini.video.clip import Video

pytestmark = pytest.mark.usefixtures("one_thread")

NAN, INF = math.nan, math.inf


@pytest.fixture(scope="module")
def short_fit() -> FitConfig:
    """Fewer pixels a step than elsewhere: these tests ask what happens, not how well it learns."""
    return FitConfig(steps=100, batch=64, warm_up=10, grow=10, static=10)


def weights(result: FitResult) -> list[bytes]:
    return [parameter.detach().numpy().tobytes() for parameter in result.model.parameters()]


def integers(tuned: FineTuned) -> list[tuple[int, bytes]]:
    return [(tensor.step_index, tensor.integers.tobytes()) for tensor in tuned.tensors]


def coded_size(tensors) -> int:
    return len(entropy.encode([tensor.integers for tensor in tensors]))


def warnings_of(caplog) -> list[str]:
    return [record.message for record in caplog.records if record.name == "coordflow_mini"]


# --- faults ---------------------------------------------------------------------------------------


def in_optimizer(optimizer: torch.optim.Optimizer, name: str, value: float) -> None:
    kept = next(state[name] for state in optimizer.state.values() if name in state)
    kept.view(-1)[0] = value


FIT_FAULTS: dict[str, Callable[[Training], None]] = {
    "a weight": lambda run: run.model.color.weights[0].data.view(-1)[:1].fill_(NAN),
    "infinite bias": lambda run: run.model.color.biases[-1].data.view(-1)[:1].fill_(INF),
    "of motion": lambda run: run.model.flow.weight_out.data.fill_(NAN),
    "that no step moves yet": lambda run: run.model.color.time_weight.data.view(-1)[:1].fill_(NAN),
    "momentum": lambda run: in_optimizer(run.optimizers[0], "mean", NAN),
    "squares, which hide it": lambda run: in_optimizer(run.optimizers[0], "square", INF),
}
TUNE_FAULTS: dict[str, Callable[[Tuning], None]] = {
    "a weight": lambda tuning: next(tuning.quantizer.model.parameters()).data.view(-1)[:1].fill_(NAN),
    "momentum": lambda tuning: in_optimizer(tuning.optimizers[0], "mean", NAN),
    "a quantization step": lambda tuning: tuning.quantizer.log2_steps.data[0, :1].fill_(NAN),
    "an endless step": lambda tuning: tuning.quantizer.log2_steps.data[0, 1:2].fill_(INF),
    "a vanished step": lambda tuning: tuning.quantizer.log2_steps.data[0, 1:2].fill_(-INF),
    "the steps' optimizer": lambda tuning: in_optimizer(tuning.optimizers[1], "exp_avg", NAN),
    "the price of a bit": lambda tuning: setattr(tuning.control, "surcharge", NAN),
    "the error": lambda tuning: tuning.running.fill_(NAN),
    "integers out of bounds": lambda tuning: next(tuning.quantizer.model.parameters()).data.fill_(1e9),
}


class Faulty:
    """Spoils a training after some of its steps: the first so many times that it comes there."""

    def __init__(self, monkeypatch, kind: type[Training], spoil: Callable, step: int, times: int = 1):
        self.left = times
        observe = kind.observe

        def spoiled(training, squared):
            observe(training, squared)
            if training.step == step and self.left:
                self.left -= 1
                spoil(training)

        monkeypatch.setattr(kind, "observe", spoiled)


# --- the fit --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(one_thread, clip, small_model, short_fit) -> FitResult:
    """A fit whose colors do not see the time but in the last steps."""
    return fit(clip, small_model, replace(short_fit, static=90))


@pytest.mark.promise(
    "Diverging training",
    "A NaN or an infinity anywhere in a fit rolls it back to the last good state. If it was a passing "
    "fault, the result has the same bits as without it.",
)
@pytest.mark.parametrize("fault", FIT_FAULTS)
@pytest.mark.parametrize("step", [1, 73])
def test_a_fault_that_does_not_come_again_leaves_no_trace(
    fault, step, undisturbed, clip, small_model, monkeypatch, caplog
):
    """Weights and history are those of an undisturbed fit, to the last bit; one line says what happened."""
    whole, config = undisturbed, undisturbed.config
    Faulty(monkeypatch, Training, FIT_FAULTS[fault], step)
    result = fit(clip, small_model, config)
    assert weights(result) == weights(whole)
    assert [p.psnr_db for p in result.history] == [p.psnr_db for p in whole.history]
    (line,) = warnings_of(caplog)
    assert re.match(r"fit diverged at step \d+ of 100 .+ once more$", line)


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_a_fault_that_comes_again_lowers_the_rate(
    optimizer, clip, small_model, short_fit, monkeypatch, caplog
):
    """From the second time on, a tenth of the learning rate; the fit ends, and has learned."""
    config = replace(short_fit, optimizer=optimizer, learning_rate=0.04 if optimizer == "muon" else 0.01)
    Faulty(monkeypatch, Training, FIT_FAULTS["a weight"], 60, times=2)
    result = fit(clip, small_model, config)
    assert [p.step for p in result.history] == [50, 100]
    assert result.history[1].psnr_db > result.history[0].psnr_db
    assert (
        len(warnings_of(caplog)) == 2 and f"rate of {config.learning_rate / 10:g}" in warnings_of(caplog)[1]
    )


@pytest.mark.promise(
    "Diverging training",
    "A recurring fault is retried at lower learning rates; then training stops with an error that names "
    "the cure.",
)
def test_a_fault_that_stays_stops_the_fit(clip, small_model, short_fit, monkeypatch):
    """One line with the cure; the last good state is at hand, and in the checkpoint."""
    whole = fit(clip, small_model, replace(short_fit, steps=200))
    Faulty(monkeypatch, Training, FIT_FAULTS["a weight"], 73, times=10**9)
    with pytest.raises(DivergenceError, match=r"use a learning rate below 0\.04, for example") as error:
        fit(clip, small_model, replace(short_fit, steps=200))
    assert "\n" not in str(error.value) and "4e-05" in str(error.value)
    reached = error.value.reached
    assert [p.psnr_db for p in reached.history] == [whole.history[0].psnr_db]
    assert is_finite(reached.model.state_dict())
    assert render(reached.model, torch.zeros(1), 4, 4).rgb.shape == (1, 4, 4, 3)


@pytest.mark.promise("Diverging training", "Checkpoints hold good states only.")
def test_the_checkpoint_never_holds_what_ran_away(tmp_path, clip, small_model, short_fit, monkeypatch):
    """After the end, the same call goes on from the last good state: once the fault is gone, to the end."""
    config, path = replace(short_fit, steps=150), tmp_path / "clip.checkpoint"
    whole = fit(clip, small_model, config)
    with monkeypatch.context() as patch:
        Faulty(patch, Training, FIT_FAULTS["a weight"], 73, times=10**9)
        for _ in range(2):
            with pytest.raises(DivergenceError):
                fit(clip, small_model, config, checkpoint=Checkpoint(path, every=0))
            state = Checkpoint(path)._known()["fit"]
            assert state["step"] == 50 and is_finite(state)
    assert weights(fit(clip, small_model, config, checkpoint=Checkpoint(path))) == weights(whole)


def test_a_fit_that_was_led_back_goes_on_exactly(tmp_path, clip, small_model, short_fit, monkeypatch):
    """Killed after its rate was lowered, and resumed: the weights of one that was never killed."""

    class Killed(BaseException):
        pass

    def kill(progress: Progress) -> None:
        if progress.step == 150:
            raise Killed

    config, path = replace(short_fit, steps=200), tmp_path / "clip.checkpoint"

    def disturbed(**more) -> FitResult:
        with monkeypatch.context() as patch:
            Faulty(patch, Training, FIT_FAULTS["a weight"], 73, times=2)
            return fit(clip, small_model, config, **more)

    whole = disturbed()
    with pytest.raises(Killed):
        disturbed(checkpoint=Checkpoint(path, every=0), on_step=kill)
    assert weights(fit(clip, small_model, config, checkpoint=Checkpoint(path))) == weights(whole)
    assert weights(whole) != weights(fit(clip, small_model, config))


def test_a_checkpoint_that_is_not_finite_is_refused(tmp_path, clip, small_model, short_fit):
    path = tmp_path / "clip.checkpoint"
    fit(clip, small_model, short_fit, checkpoint=Checkpoint(path))
    checkpoint = Checkpoint(path)
    checkpoint._known()["fit"]["model"]["color.biases.0"][0] = NAN
    with pytest.raises(CheckpointError, match="not all of its numbers are finite.+remove it"):
        fit(clip, small_model, short_fit, checkpoint=checkpoint)


def test_a_checkpoint_is_not_trained_in(tmp_path, clip, small_model, short_fit):
    """The same checkpoint object twice, the first time stopped at once: what it holds has not moved."""

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    config, path = replace(short_fit, steps=150), tmp_path / "clip.checkpoint"
    whole = fit(clip, small_model, config)
    fit(clip, small_model, config, checkpoint=Checkpoint(path), on_step=stop)
    checkpoint = Checkpoint(path)
    state = copy.deepcopy(checkpoint.restored("fit", {}))
    with pytest.MonkeyPatch.context() as patch:
        Faulty(patch, Training, interrupt, 60)
        fit(clip, small_model, config, checkpoint=checkpoint)
    now = checkpoint.restored("fit", {})
    assert all(torch.equal(a, b) for a, b in zip(*map(tensors, (state, now)), strict=True))
    assert weights(fit(clip, small_model, config, checkpoint=checkpoint)) == weights(whole)


def tensors(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [tensor for part in inner for tensor in tensors(part)]


def interrupt(run) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("width", "layers", "rate"), [(4, 1, 1.0), (16, 2, 1.0), (64, 3, 1.0), (4, 2, 9.9)])
@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_learning_rates_far_too_large(width, layers, rate, optimizer, clip, short_fit):
    """Ends with a model that is at least a single color."""
    model = ModelConfig(layers=layers, width=width, depth=2, highest_frequency=4.0)
    config = replace(short_fit, steps=150, batch=128, learning_rate=rate, optimizer=optimizer)
    result = fit(clip, model, config)
    flat = float(np.var(clip.frames.reshape(-1, 3) / 255, axis=0).mean())
    assert result.history[-1].psnr_db > -10 * math.log10(flat) - 3


def test_a_slow_start_is_no_divergence(small_model, short_fit, caplog):
    """A white clip at next to no learning rate stays as bad as it began, and that is all."""
    white = Video(np.full((2, 8, 8, 3), 255, np.uint8))
    fit(white, small_model, replace(short_fit, steps=50, learning_rate=1e-9))
    assert not warnings_of(caplog)


# --- fine-tuning ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(one_thread, clip, small_model, short_fit) -> FitResult:
    return fit(clip, small_model, short_fit)


def tuned(fitted: FitResult, clip: Video, codec, **more) -> FineTuned:
    target = int(4 * fitted.model.parameter_count / 8)
    return finetune(copy.deepcopy(fitted), clip, codec, target, coded_size, **more)


@pytest.fixture(scope="module")
def brief_tuning(fitted, clip, short_codec) -> tuple[CodecConfig, FineTuned]:
    """How to fine-tune in half a second, and what comes of it."""
    codec = replace(short_codec, steps=30, rounds=0)
    return codec, tuned(fitted, clip, codec)


@pytest.mark.promise("Diverging training", "A fault while fine-tuning is rolled back the same way.")
@pytest.mark.parametrize("fault", TUNE_FAULTS)
def test_a_fault_while_fine_tuning_leaves_no_trace(fault, fitted, clip, brief_tuning, monkeypatch, caplog):
    codec, whole = brief_tuning
    Faulty(monkeypatch, Tuning, TUNE_FAULTS[fault], 11)
    assert integers(tuned(fitted, clip, codec)) == integers(whole)
    (line,) = warnings_of(caplog)
    assert line.startswith("fine-tune diverged at step ")


def test_a_fault_that_stays_stops_fine_tuning(fitted, clip, short_codec, monkeypatch):
    Faulty(monkeypatch, Tuning, TUNE_FAULTS["a weight"], 31, times=10**9)
    with pytest.raises(DivergenceError, match=r"fine-tuning learning rate below 0\.008, for example 0\.0008"):
        tuned(fitted, clip, short_codec)


@pytest.mark.parametrize("rate", [1.0, 9.9])
def test_fine_tuning_at_rates_far_too_large(rate, fitted, clip, brief_tuning):
    """It ends with integers of about the wanted size."""
    target = 4 * fitted.model.parameter_count / 8
    found = tuned(fitted, clip, replace(brief_tuning[0], learning_rate=rate))
    assert coded_size(found.tensors) == pytest.approx(target, rel=0.3)


def test_a_model_that_is_not_finite_is_refused(fitted, clip, short_codec):
    spoiled = copy.deepcopy(fitted)
    next(spoiled.model.parameters()).data.view(-1)[0] = NAN
    with pytest.raises(ValueError, match="not finite; fit it again"):
        tuned(spoiled, clip, short_codec)


@pytest.mark.parametrize("target", [1, 10**6])
def test_a_target_out_of_reach_takes_no_rounds(target, fitted, clip, short_codec):
    """No file of these weights can be that small, or that large: nothing is gained by training on."""
    seen: list[Progress] = []
    codec = replace(short_codec, steps=10, rounds=12)
    finetune(copy.deepcopy(fitted), clip, codec, target, coded_size, on_step=seen.append)
    assert [progress.step for progress in seen] == [10]


# --- the file -------------------------------------------------------------------------------------


def test_an_encode_with_faults_gives_the_very_file(clip, short_fit, short_codec, monkeypatch, caplog):
    """One fault in the fit, one in fine-tuning."""
    model = ModelConfig(width=8, depth=2)
    codec = replace(short_codec, steps=20, aim=0.97, floor=0.5, choose_width=False)
    recipe = Recipe(model=model, fit=replace(short_fit, steps=70), codec=codec)
    whole = compress(clip, recipe)
    Faulty(monkeypatch, Training, FIT_FAULTS["a weight"], 60)
    Faulty(monkeypatch, Tuning, TUNE_FAULTS["a weight"], 11)
    assert compress(clip, recipe).data == whole.data
    assert len(warnings_of(caplog)) == 2


def test_the_command_line_names_its_own_cure_and_resumes(source, tmp_path, monkeypatch):
    """One line, exit code 2; once the fault is gone, --resume makes the file of an undisturbed encode."""
    from typer.testing import CliRunner

    from coordflow_mini.cli import app

    def encoded(name: str, *more: str) -> tuple[int, str]:
        words = ["encode", str(source), str(tmp_path / name), "--width", "4", "--depth", "1", "--steps", "60"]
        result = CliRunner().invoke(app, [*words, "--device", "cpu", *more])
        return result.exit_code, result.stderr.splitlines()[-1]

    assert encoded("whole.cfv")[0] == 0
    with monkeypatch.context() as patch:
        Faulty(patch, Training, FIT_FAULTS["a weight"], 55, times=10**9)
        code, line = encoded("late.cfv")
    assert code == 2 and line.startswith("error: fit diverged at step ")
    assert line.endswith("try another --seed, or a smaller --width")
    assert not (tmp_path / "late.cfv").exists()
    assert encoded("late.cfv", "--resume")[0] == 0
    assert (tmp_path / "late.cfv").read_bytes() == (tmp_path / "whole.cfv").read_bytes()


# --- Ctrl-C ---------------------------------------------------------------------------------------


@pytest.mark.promise("Interruption", "Ctrl-C during `fit` leaves a usable model and its history.")
@pytest.mark.parametrize("step", [1, 20, 77])
@pytest.mark.parametrize("spoiled", [False, True])
def test_ctrl_c_at_any_step_leaves_a_model_and_a_history(step, spoiled, clip, small_model, short_fit):
    """Also where a fault had just come, and nobody had looked yet."""

    def stop(run: Training) -> None:
        if spoiled:
            FIT_FAULTS["a weight"](run)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        Faulty(patch, Training, stop, step)
        result = fit(clip, small_model, short_fit)
    assert result.interrupted and is_finite(result.model.state_dict())
    assert result.history[-1].step == (50 * (step // 50) if spoiled else step)
    assert math.isfinite(result.history[-1].psnr_db)


def test_ctrl_c_in_the_first_step_leaves_a_model_and_a_history(clip, small_model, short_fit, monkeypatch):
    """As where the first step compiles for a while."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("coordflow_mini.sampling.pixel_terms", interrupted)
    result = fit(clip, small_model, short_fit)
    assert result.interrupted and [p.step for p in result.history] == [0]


@pytest.mark.parametrize("spoiled", [False, True])
def test_ctrl_c_while_fine_tuning_leaves_integers(spoiled, fitted, clip, short_codec):
    def stop(tuning: Tuning) -> None:
        if spoiled:
            TUNE_FAULTS["a weight"](tuning)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        Faulty(patch, Tuning, stop, 31)
        result = tuned(fitted, clip, short_codec)
    assert result.interrupted and result.history
    assert coded_size(result.tensors) == pytest.approx(4 * fitted.model.parameter_count / 8, rel=0.1)


def test_a_report_copies_the_state_once(tmp_path, clip, small_model, short_fit, monkeypatch):
    """The guard's copy is the checkpoint's."""
    copies, state = [], Training.state
    monkeypatch.setattr(Training, "state", lambda training: copies.append(state(training)) or copies[-1])
    checkpoint = Checkpoint(tmp_path / "clip.checkpoint")
    fit(clip, small_model, short_fit, checkpoint=checkpoint)
    assert [copy["step"] for copy in copies] == [0, 50, 100]
    assert checkpoint._known()["fit"]["model"] is copies[-1]["model"]


# --- single parts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        ({}, True),
        ({"a": [1, "x", None, 2.0, torch.ones(2), torch.tensor([1, 2])]}, True),
        ({"a": {"b": [torch.tensor([1.0, NAN])]}}, False),
        ({"a": (0.0, INF)}, False),
        ({"a": torch.zeros(0), "b": torch.zeros(3, 2, 1)}, True),
        (torch.tensor([NAN, INF, 0.0]), False),
        (torch.tensor([[3.0], [-INF]]), False),
        (torch.tensor(-INF), False),
        (torch.full((3,), 3e38), True),
        (torch.tensor([INF, -INF]), False),
        (torch.full((9,), 6e4).half(), True),
    ],
    ids=str,
)
def test_what_is_finite(value, finite):
    assert is_finite(value) is finite
