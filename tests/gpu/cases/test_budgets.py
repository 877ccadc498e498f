"""What a training step costs on a GPU: kernels, and no wait; and it can be captured as a graph."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.finetune import Quantizer, RateControl, Tuning
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import learning_rate
from coordflow_mini.ops.guard import Guard
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import FitResult, Training, advance, descend
from coordflow_mini.video import scenes
from tests.gpu import card

MODEL = ModelConfig(width=16, depth=4)  # as deep as the presets: kernels do not depend on the width
FIT = FitConfig(steps=1000, batch=512)
CODEC = CodecConfig(steps=100)
STEPS = 7  # more than between two corrections of the rate

# Kernels of a step, as PyTorch runs them one by one; MS-SSIM takes some more.
MOST_FIT, MOST_FINE_TUNE, MORE_MS_SSIM = 330, 425, 440
# Kernels around the loss of single pixels.  If that is compiled, it takes 67 in a fit and 105 in fine-tuning,
# see `test_inductor`: together fewer than 160 and 300.
AROUND_FIT, AROUND_FINE_TUNE = 90, 150


@pytest.fixture(scope="module")
def clip():
    return scenes.cutout(32, 48, 8).video


def fitting(clip, gpu, step=0, **options) -> Training:
    config = replace(FIT, **options)
    model = CoordFlow(MODEL, torch.Generator().manual_seed(0)).to(gpu)
    training = Training(Sampler(clip, config, gpu), model, config, learning_rate(config, MODEL))
    training.step = step
    return training


def tuning(clip, gpu, step=0) -> Tuning:
    model = CoordFlow(MODEL, torch.Generator().manual_seed(0)).to(gpu)
    control = RateControl(Quantizer(model), CODEC, 2000, lambda tensors: 2000)
    found = Tuning(FitResult(model, FIT, ()), Sampler(clip, FIT, gpu), control)
    found.step = step
    return found


STAGES = {
    "fit, opening": fitting,
    "fit, later": partial(fitting, step=800),
    "fit, adam": partial(fitting, step=800, optimizer="adam"),
    "fit, ms_ssim": partial(fitting, step=800, ms_ssim=0.1),
    "fit, absolute": partial(fitting, step=800, absolute=0.5),
    "fine-tune": tuning,
    "fine-tune, arriving": partial(tuning, step=18),
    "fine-tune, settling": partial(tuning, step=66),
    "fine-tune, settled": partial(tuning, step=80),
}
staged = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


def steps(training: Training, count: int = STEPS) -> None:
    for squared in descend(training, training.step + count):
        training.observe(squared)


@staged
def test_between_reports_nothing_waits_and_nothing_is_copied(stage, clip, gpu, counting):
    """Not even where PyTorch forbids it in the same words: `set_sync_debug_mode`."""
    training = stage(clip, gpu)
    steps(training, 2)  # optimizers make their state
    torch.cuda.set_sync_debug_mode("error")
    try:
        with counting() as found:
            steps(training)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not found.syncs, found.where()
    assert not found.copies, found.where()


@staged
def test_a_step_takes_few_kernels(stage, clip, gpu, counting):
    training = stage(clip, gpu)
    steps(training, 2)
    with counting() as found:
        steps(training)
    most = MOST_FINE_TUNE if isinstance(training, Tuning) else MOST_FIT
    most += MORE_MS_SSIM if training.sampler.config.ms_ssim else 0
    assert found.kernels <= most * STEPS, found.of("kernel").most_common(12)


@pytest.mark.parametrize(("stage", "most"), [(fitting, AROUND_FIT), (tuning, AROUND_FINE_TUNE)])
def test_what_is_not_compiled_takes_few_kernels(stage, most, clip, gpu, counting):
    training = stage(clip, gpu, step=20)
    steps(training, 2)
    with counting() as whole:
        steps(training)
    model = getattr(training, "quantizer", training.model)
    with counting() as loss:
        training.sampler.terms(model).total.backward()
    assert whole.kernels - loss.kernels * STEPS <= most * STEPS


@staged
def test_no_sum_of_training_depends_on_chance(stage, clip, gpu, counting):
    """CUDA adds in any order in some kernels; equal seeds would then give unequal weights."""
    training = stage(clip, gpu)
    with counting() as found:
        steps(training, 2)
    assert not found.of("unstable")


def test_a_report_copies_what_it_tells(clip, gpu, counting):
    """The errors of its steps, at once; weights stay where they are."""
    training = fitting(clip, gpu)
    steps(training)
    with counting() as found:
        training.report()
    assert found.syncs == found.copies == 1, found.where()


def test_a_good_report_is_seen_by_one_look(clip, gpu, counting):
    """The guard copies the state on the GPU, and asks once whether all of it is finite."""
    training = fitting(clip, gpu)
    seen = []
    with counting() as whole:
        for _ in Guard()(training, training.reports(100)):
            seen.append(training.step)
    assert seen == [50, 100]
    assert whole.syncs <= 2 * 3, whole.where()


def memory_of(training: Training) -> list[torch.Tensor]:
    """All that a step changes."""
    states = [kept for optimizer in training.optimizers for kept in optimizer.state.values()]
    steps = [training.quantizer.log2_steps] if isinstance(training, Tuning) else []
    return [*training.model.parameters(), *steps, *(tensor for state in states for tensor in state.values())]


@staged
def test_a_step_can_be_captured_and_replayed(stage, clip, gpu):
    """A graph of one step, replayed with other rates, prices and places, makes the weights of single steps.

    So a step has no wait, no copy from ordinary memory, no generator, and no number of the host that changes.
    """
    eager, captured = stage(clip, gpu), stage(clip, gpu)
    steps(eager, 2)
    steps(captured, 2)
    graph = torch.cuda.CUDAGraph()
    captured.aim()
    before = [tensor.clone() for tensor in memory_of(captured)]
    with torch.cuda.graph(graph):
        squared = advance(captured)
    with torch.no_grad():
        torch._foreach_copy_(
            memory_of(captured), before
        )  # capturing has made a step here, as it does not on CUDA
    for _ in range(3):
        captured.aim()
        graph.replay()
        captured.step += 1
        captured.observe(squared.clone())
    steps(eager, 3)
    for a, b in zip(eager.model.parameters(), captured.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_clip_that_would_crowd_the_card_stays_on_the_host(clip, gpu, counting):
    """Its pixels then come through pinned memory, without a wait, and training takes the same steps."""
    near, far = fitting(clip, gpu), None
    with card.limited(2 * clip.frames.nbytes - 1000):
        sampler = Sampler(clip, FIT, gpu)
    assert sampler.clip.device.type == "cpu" and near.sampler.clip.device.type == "cuda"
    far = fitting(clip, gpu)
    far.sampler = sampler
    steps(near)
    steps(far, 2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with counting() as found:
            steps(far, STEPS - 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not found.syncs and found.copies == STEPS - 2, found.where()
    for a, b in zip(near.model.parameters(), far.model.parameters(), strict=True):
        assert torch.equal(a, b)
