"""Training that starts from a given motion: where it starts, what holds it, and what guides alpha."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.finetune import Quantizer, RateControl, Tuning
from coordflow_mini.loss import guide_error, loss_terms
from coordflow_mini.model import Blend, CoordFlow
from coordflow_mini.motion.measure import Motion
from coordflow_mini.muon import Muon, optimizers_for
from coordflow_mini.render import render
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import FitResult, Training, descend, fit

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ModelConfig(
    layers=2, width=10, depth=2, space_frequencies=6, highest_frequency=6.0, flow_frequencies=4
)
CONFIG = FitConfig(steps=60, batch=600, flow_start="measured", compile=False)
CPU = torch.device("cpu")


@pytest.fixture
def motion(clip):
    """A pan and a turn, and a right half that belongs to the second layer."""
    t = frame_times(clip.time)
    zero = torch.zeros_like(t)
    pan, turn = (
        torch.stack([zero, zero, 0.4 * t, -0.1 * t], -1),
        torch.stack([0.2 * t, 0.3 * t, zero, zero], -1),
    )
    owner = np.zeros((clip.time, 6, 8), np.uint8)
    owner[:, :, 4:] = 1
    return Motion(torch.stack([pan, turn]), owner, np.ones_like(owner, bool), 1.0)


def training(clip, motion, config=CONFIG):
    model = CoordFlow(MODEL, torch.Generator().manual_seed(0))
    model.start_from(motion.transforms)
    return Training(Sampler(clip, config, CPU, motion=motion), model, config, 0.04)


def moved(before, model):
    return [not torch.equal(a, b) for a, b in zip(before, model.flow.parameters(), strict=True)]


def test_the_flow_network_starts_with_the_given_motion(clip, motion):
    model = CoordFlow(MODEL, torch.Generator().manual_seed(1))
    model.start_from(motion.transforms)
    with torch.no_grad():
        assert torch.allclose(model.transforms(frame_times(clip.time)), motion.transforms, atol=2e-3)


def test_no_motion_changes_nothing():
    model = CoordFlow(MODEL, torch.Generator().manual_seed(1))
    before = [weight.clone() for weight in model.parameters()]
    model.start_from(None)
    CoordFlow(replace(MODEL, motion="none")).start_from(torch.zeros(2, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(("part", "expected"), [(0.5, False), (0.95, True)])
def test_the_flow_stands_still_for_a_part_of_the_steps(clip, motion, part, expected):
    run = training(clip, motion, replace(CONFIG, flow_still=0.8))
    before = [weight.detach().clone() for weight in run.model.flow.parameters()]
    for _ in descend(run, round(part * CONFIG.steps)):
        pass
    assert any(moved(before, run.model)) == expected


def test_the_flow_moves_by_less_than_its_rate_a_step(clip, motion):
    """Adam's step is at most about its learning rate in every weight: here, in the shift of a layer."""
    run = training(clip, motion, replace(CONFIG, flow_still=0.0))
    before = run.model.flow.bias_out.detach().clone()
    for _ in descend(run, 20):
        pass
    pixels = (run.model.flow.bias_out - before).abs().max() * clip.width / 2
    assert 0 < pixels < 20 * 2 * CONFIG.flow_rate


def test_a_measured_motion_has_an_optimizer_of_its_own(clip):
    model = CoordFlow(MODEL)
    optimizers, rates = optimizers_for(model, CONFIG, 0.04, clip)
    assert [type(optimizer) for optimizer in optimizers] == [Muon, torch.optim.Adam]
    assert rates == [0.04, pytest.approx(0.02 / 16)]  # half of 32 pixels is a unit
    own = [parameter for group in optimizers[1].param_groups for parameter in group["params"]]
    assert [id(parameter) for parameter in own] == [id(parameter) for parameter in model.flow.parameters()]
    learned, one = optimizers_for(model, replace(CONFIG, flow_start="random"), 0.04, clip)
    assert (len(learned), one) == (1, [0.04])


def test_alpha_follows_the_owners(clip, motion):
    result = fit(clip, MODEL, replace(CONFIG, guide=1.0, front=0.0, squared=0.01, gamma=0.0), motion=motion)
    with torch.no_grad():
        alpha = render(result.model, frame_times(clip.time), clip.height, clip.width).alpha
    right = torch.arange(clip.width) >= clip.width / 2
    assert (alpha[1][..., right] > 0.5).float().mean() > 0.9
    assert (alpha[1][..., ~right] > 0.5).float().mean() < 0.1


def test_guidance_fades(clip, motion):
    run = training(clip, motion)
    weights = []
    for step in (0, 12, 24, 59):
        run.step = step
        run.aim()
        weights.append(float(run.sampler.guide.weight))
    assert weights == pytest.approx([0.01, 0.005, 0.0, 0.0])


def test_the_error_of_guidance_is_a_cross_entropy():
    alpha = torch.tensor([[[0.9, 0.2]], [[0.1, 0.8]]])
    blend = Blend(torch.zeros(2, 1, 2, 3), alpha)
    found = guide_error(blend, torch.tensor([[0, 0]]), torch.tensor([[1.0, 0.3]]))
    assert float(found) == pytest.approx(-(np.log(0.9) + 0.3 * np.log(0.2)) / 2)


def test_front_layers_have_a_price():
    blend = Blend(torch.zeros(2, 1, 2, 3), torch.tensor([[[0.9, 0.2]], [[0.1, 0.8]]]))
    config = replace(CONFIG, gamma=0.0, front=0.5)
    assert float(loss_terms(blend, torch.zeros(1, 2, 3), config).total) == pytest.approx(0.5 * 0.45)
    random = replace(config, flow_start="random")
    assert float(loss_terms(blend, torch.zeros(1, 2, 3), random).total) == 0


def test_it_goes_on_where_it_was(clip, motion):
    whole, first, second = (training(clip, motion, replace(CONFIG, flow_still=0.1)) for _ in range(3))
    for _ in descend(whole, 40):
        pass
    for _ in descend(first, 20):
        pass
    second.restore(first.state())
    for _ in descend(second, 40):
        pass
    pairs = zip(whole.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_fine_tuning_moves_the_flow_at_its_own_rate(clip, motion):
    """Which is far below that of the colors."""
    result = fit(clip, MODEL, CONFIG, motion=motion)
    codec = CodecConfig(steps=20)
    control = RateControl(Quantizer(result.model), codec, 2000, lambda tensors: 2000)
    tuning = Tuning(FitResult(result.model, result.config, ()), Sampler(clip, result.config, CPU), control)
    assert len(tuning.optimizers) == len(tuning.rates) == 3
    flow, colors = (result.model.flow.bias_out, result.model.color.biases[-1])
    before = [weight.detach().clone() for weight in (flow, colors)]
    for _ in descend(tuning, 10):
        pass
    change = [float((a - b).detach().abs().max()) for a, b in zip((flow, colors), before, strict=True)]
    assert 0 < change[0] < change[1]


def test_a_result_tells_where_its_motion_came_from(clip, motion):
    measured = fit(clip, MODEL, replace(CONFIG, steps=2), motion=motion).config
    learned = fit(clip, replace(MODEL, motion="none"), replace(CONFIG, steps=2), motion=motion).config
    assert (measured.flow_start, learned.flow_start) == ("measured", "random")
