"""The yardstick is CoordFlow: pictures, loss and gradients of the naive version are the library's."""

import pytest
import torch

from benchmarks import naive, speed
from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.loss import loss_terms
from coordflow_mini.model import CoordFlow
from coordflow_mini.render import render

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = ModelConfig(layers=3, width=12, depth=2, space_frequencies=6, flow_width=8)


@pytest.fixture
def model() -> CoordFlow:
    """A model in which everything moves and colors depend on time."""
    model = CoordFlow(CONFIG, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def test_the_same_pictures(model):
    """Rendered by either, frames differ by a gray level at most."""
    times = frame_times(3)
    ours = render(model, times, 9, 14).rgb.int()
    assert (naive.render(naive.from_library(model), times, 9, 14).int() - ours).abs().max() <= 1


def test_the_same_loss_and_gradients(model):
    """The loss agrees, and so does its gradient for every weight of every layer."""
    slow, source = naive.from_library(model), torch.Generator().manual_seed(2)
    points, color = torch.rand(4, 7, 2, generator=source) - 0.5, torch.rand(4, 7, 3, generator=source)
    times = frame_times(4)
    ours = loss_terms(model(points, times), color, FitConfig(gamma=0.3)).total
    every = times[:, None].expand(4, 7).reshape(-1)
    theirs = naive.loss_of(slow, points.view(-1, 2), every, color.view(-1, 3), gamma=0.3)
    torch.testing.assert_close(theirs, ours)
    ours.backward()
    theirs.backward()
    for index, layer in enumerate(slow.layers):
        first = torch.cat([model.color.weights[0].grad[index], model.color.time_weight.grad[index]])
        torch.testing.assert_close(layer.color[0].weight.grad.mT, first)
        torch.testing.assert_close(layer.color[-1].bias.grad, model.color.biases[-1].grad[index, 0])
        torch.testing.assert_close(layer.flow[2].weight.grad.mT, model.flow.weight_out.grad[index])


def test_as_many_weights(model):
    """Neither version has a weight more than the other."""
    slow = naive.from_library(model)
    assert sum(weight.numel() for weight in slow.parameters()) == model.parameter_count


def test_the_naive_version_learns(model, clip):
    """Its loss falls: the rival is not broken."""
    training = naive.Training(naive.from_library(model), clip, steps=60, batch=256, rate=1e-2, gamma=0.1)
    losses = [float(training.step()) for _ in range(60)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_a_ratio_is_taken_round_by_round():
    """Rates come from medians, the ratio from pairs: a machine that slows down hits both."""
    ratio = speed.compared("x", 100.0, "pixels/s", [2.0, 4.0, 3.0], [1.0, 1.0, 2.0])
    assert (ratio.naive, ratio.library) == (100 / 3, 100.0)
    assert (ratio.ratio_low, ratio.ratio, ratio.ratio_high) == (1.5, 2.0, 4.0)


@pytest.mark.parametrize("what", ["decode"])
def test_the_benchmark_runs(what, monkeypatch, clip):
    """A round of the benchmark on a small clip gives positive finite figures."""
    monkeypatch.setitem(speed.CLIPS, "cutout", lambda: clip)
    (ratio,) = speed.grid(what, ["cutout"], [8], [2], rounds=2)
    assert 0 < ratio.ratio_low <= ratio.ratio <= ratio.ratio_high
    assert 0 < ratio.share < 2 and "width 8, 2 layers" in str(ratio)
