"""The flow network: one similarity per layer and time."""

import math

import numpy as np
import pytest
import torch

from coordflow_mini import similarity
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.model import FlowNetwork


def network(layers: int = 2, width: int = 8, frequencies: int = 1, seed: int = 0) -> FlowNetwork:
    config = ModelConfig(layers=layers, flow_width=width, flow_frequencies=frequencies)
    return FlowNetwork(config, torch.Generator().manual_seed(seed))


def moving(**arguments: int) -> FlowNetwork:
    """A network whose weights are all far from their start."""
    flow = network(**arguments)
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=source))
    return flow


@pytest.mark.parametrize("frequencies", [0, 1, 4])
def test_it_starts_at_the_identity(frequencies):
    """A fresh flow moves no pixel by as much as a fiftieth of half a picture, at any time."""
    flow, points = network(width=32, frequencies=frequencies), pixel_grid(9, 16)[None]
    canonical = flow(points, frame_times(5))
    assert canonical.shape == (2, 5, 144, 2)
    assert (canonical - points).abs().max() < 0.02


def test_it_starts_with_a_gradient():
    """Though nothing moves yet, every weight receives a gradient, so motion can be learned."""
    flow = network()
    flow(pixel_grid(4, 6)[None], frame_times(5)).square().sum().backward()
    for name, parameter in flow.named_parameters():
        per_layer = parameter.grad.flatten(1).abs().amax(1)
        assert (per_layer > 0).all(), f"{name} has no gradient"
    assert (flow.bias_out.grad != 0).all(), "scale, rotation and both shifts"


def test_the_motion_by_hand():
    """t -> tanh perceptron on (t, sin, cos) -> (log s, θ, dx, dy), in NumPy, layer by layer."""
    flow, times = moving(frequencies=2), frame_times(4)
    found = flow.transforms(times).detach().numpy()
    t = times.double().numpy()[:, None]
    phases = t * (math.pi / 2 * np.array([1, 2]))
    features = np.concatenate([t, np.sin(phases), np.cos(phases)], axis=1)
    for layer in range(2):
        first, bias, last, shift = (
            parameter[layer].detach().double().numpy()
            for parameter in (flow.weight_in, flow.bias_in, flow.weight_out, flow.bias_out)
        )
        by_hand = np.tanh(features @ first + bias) @ last + shift
        np.testing.assert_allclose(found[layer], by_hand, atol=1e-5)


def test_all_pixels_of_a_layer_move_together():
    """Canonical coordinates are one similarity of the frame's points, per layer and time."""
    flow, points, times = moving(), pixel_grid(4, 6), frame_times(3)
    canonical, transforms = flow(points[None], times), flow.transforms(times)
    for layer in range(2):
        for time in range(3):
            expected = similarity.apply(transforms[layer, time], points)
            torch.testing.assert_close(canonical[layer, time], expected)


def test_each_frame_may_have_points_of_its_own():
    """points [times, pixels, 2] are moved row by row, each by its own time's transform."""
    flow, times = moving(), frame_times(3)
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0))
    together = flow(points, times)
    for time in range(3):
        torch.testing.assert_close(together[:, time], flow(points[None, time], times[time, None])[:, 0])


def test_layers_are_independent():
    """Changing the weights of one layer moves that layer only."""
    flow, times = moving(layers=3), frame_times(4)
    before = flow.transforms(times).detach()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter[1] += 0.3
    after = flow.transforms(times).detach()
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]])
    assert (after[1] - before[1]).abs().min() > 1e-3


def test_the_generator_decides_alone():
    """The same seed gives the same weights, another seed others; layers differ from each other."""
    one, same, other = network(seed=1), network(seed=1), network(seed=2)
    assert torch.equal(one.weight_in, same.weight_in)
    assert not torch.equal(one.weight_in, other.weight_in)
    assert not torch.equal(one.weight_in[0], one.weight_in[1])


def test_it_learns_a_known_motion():
    """By gradient descent on the transforms alone, a turn with a zoom is found to a hundredth."""
    flow, times = network(layers=1, width=16, frequencies=1), frame_times(9)
    truth = times[:, None] * torch.tensor([0.2, 0.4, -0.3, 0.1])
    optimizer = torch.optim.Adam(flow.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        error = (flow.transforms(times)[0] - truth).square().mean()
        error.backward()
        optimizer.step()
    assert (flow.transforms(times)[0] - truth).abs().max() < 0.01
