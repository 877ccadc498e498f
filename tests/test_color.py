"""The color network: what a layer shows at its canonical points."""

import numpy as np
import pytest
import torch

from coordflow_mini import model as library
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.model import ColorNetwork, sine


def network(layers: int = 2, width: int = 8, depth: int = 2, seed: int = 0, **changes: float) -> ColorNetwork:
    shape = {"space_frequencies": 5, "time_frequencies": 2, "highest_frequency": 4.0} | changes
    config = ModelConfig(layers=layers, width=width, depth=depth, **shape)
    return ColorNetwork(config, torch.Generator().manual_seed(seed))


def trained(**arguments: float) -> ColorNetwork:
    """A network in which every weight, also of time, is at work."""
    color = network(**arguments)
    source = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in color.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=source)
    return color


def points(layers: int = 2, times: int = 3, pixels: int = 7) -> torch.Tensor:
    return torch.rand(layers, times, pixels, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shapes(layers, depth):
    """RGB [layers, times, pixels, 3] and logits [layers, times, pixels], float32, whatever the depth."""
    rgb, logits = network(layers, depth=depth)(points(layers), frame_times(3))
    assert rgb.shape == (layers, 3, 7, 3) and logits.shape == (layers, 3, 7)
    assert rgb.dtype == logits.dtype == torch.float32


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_network_by_hand(depth):
    """sin perceptron on Fourier features of place and on (t, Fourier features of t), in NumPy."""
    color, place, times = trained(depth=depth), points(), frame_times(3)
    rgb, logits = (found.detach().numpy() for found in color(place, times))
    weights, biases = ([p.detach().double().numpy() for p in part] for part in (color.weights, color.biases))
    time_weight = color.time_weight.detach().double().numpy()
    waves, octaves = color.space.double().numpy(), color.time.double().numpy()
    for layer in range(2):
        for time, t in enumerate(times.tolist()):
            phase = place[layer, time].double().numpy() @ waves
            hidden = np.concatenate([np.sin(phase), np.cos(phase)], axis=1) @ weights[0][layer]
            seen = np.concatenate([[t], np.sin(t * octaves[0]), np.cos(t * octaves[0])])
            hidden = np.sin(hidden + seen @ time_weight[layer] + biases[0][layer])
            for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
                hidden = np.sin(hidden @ weight[layer] + bias[layer])
            output = hidden @ weights[-1][layer] + biases[-1][layer]
            np.testing.assert_allclose(rgb[layer, time], output[:, :3] + 0.5, atol=2e-5)
            np.testing.assert_allclose(logits[layer, time], output[:, 3], atol=2e-5)


def test_it_starts_as_a_still_picture():
    """A fresh network shows the same colors at all times, yet time receives a gradient."""
    color, times = network(), frame_times(3)
    rgb, _ = color(points(times=1).expand(-1, 3, -1, -1), times)
    assert torch.equal(rgb[:, 0], rgb[:, 1]) and torch.equal(rgb[:, 0], rgb[:, 2])
    (rgb * torch.arange(3.0)[:, None, None]).sum().backward()
    assert (color.time_weight.grad.flatten(1).abs().amax(1) > 0).all()


def test_it_starts_around_middle_gray():
    """A fresh network's colors are spread around 0.5, most of them inside [0, 1]."""
    rgb, _ = network(layers=4, width=64)(points(4, 1, 2000), frame_times(1))
    assert abs(rgb.mean() - 0.5) < 0.15
    assert ((rgb > 0) & (rgb < 1)).float().mean() > 0.5


@pytest.mark.parametrize("depth", [1, 3])
def test_every_weight_learns(depth):
    """Colors and logits send a gradient to every tensor of every layer."""
    color = trained(depth=depth)
    rgb, logits = color(points(), frame_times(3))
    (rgb.square().sum() + logits.square().sum()).backward()
    for name, parameter in color.named_parameters():
        assert (parameter.grad.flatten(1).abs().amax(1) > 0).all(), name


def test_layers_are_independent():
    """A layer's colors follow from its own points and its own weights alone."""
    color, times, place = trained(layers=3), frame_times(3), points(3)
    before = [part.detach() for part in color(place, times)]
    with torch.no_grad():
        place[1] += 0.2
        for parameter in color.parameters():
            parameter[1] += 0.1
    after = [part.detach() for part in color(place, times)]
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new[[0, 2]], old[[0, 2]])
        assert not torch.allclose(new[1], old[1], atol=1e-3)


def test_pixels_are_independent():
    """A color depends on its own point and time: any order, any subset gives the same colors."""
    color, times, place = trained(), frame_times(3), points(pixels=20)
    rgb, logits = color(place, times)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))[:11]
    some_rgb, some_logits = color(place[:, :, order], times)
    torch.testing.assert_close(some_rgb, rgb[:, :, order])
    torch.testing.assert_close(some_logits, logits[:, :, order])


def test_without_time_frequencies_time_itself_is_left():
    """time_frequencies=0 still sees t, as a single number."""
    color = trained(time_frequencies=0)
    assert color.time_weight.shape[1] == 1
    rgb, _ = color(points(times=1).expand(-1, 3, -1, -1), frame_times(3))
    assert not torch.allclose(rgb[:, 0], rgb[:, 2], atol=1e-3)


def test_bfloat16_is_near_float32():
    """In bfloat16 the perceptron is off by a few thousandths to hundredths, and answers in float32."""
    color, place, times = network(width=16), points(pixels=500), frame_times(3)
    exact, rough = color(place, times), color(place, times, torch.bfloat16)
    for precise, fast in zip(exact, rough, strict=True):
        assert fast.dtype == torch.float32
        assert 0 < (precise - fast).abs().mean() < 0.02


def test_the_encodings_are_no_weights():
    """Frequencies follow from the config: no file and no optimizer holds them."""
    color = network()
    assert not {"space", "time"} & (set(color.state_dict()) | {name for name, _ in color.named_parameters()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_a_compiler_the_sine_is_the_sine(dtype):
    """Not compiled, it is torch.sin in the wanted dtype."""
    values = torch.linspace(-40, 40, 1001)
    assert torch.equal(sine(values, dtype), torch.sin(values).to(dtype))


def test_the_polynomials_are_as_exact_as_they_say():
    """Sine and derivative are within 5e-5 of the true ones over many turns, before they are rounded."""
    values = torch.linspace(-80, 80, 100_001)
    turns = library._turns(values)
    assert turns.abs().max() <= 0.5
    sines = turns * library._polynomial(turns * turns, library._SINE)
    cosines = library._polynomial(turns * turns, library._COSINE)
    assert (sines - torch.sin(values)).abs().max() < 5e-5
    assert (cosines - torch.cos(values)).abs().max() < 5e-5


def test_the_polynomial_sine_in_bfloat16():
    """Values and gradients are those of torch.sin to within what bfloat16 can tell."""
    values = torch.linspace(-9, 9, 501, requires_grad=True)
    result = library._PolynomialSine.apply(values)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), torch.sin(values), atol=4e-3, rtol=0)
    result.sum().backward()
    torch.testing.assert_close(values.grad, torch.cos(values).detach(), atol=4e-3, rtol=0)
