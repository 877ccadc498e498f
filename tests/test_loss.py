"""The loss terms against hand computations and their laws."""

import math

import numpy as np
import pytest
import torch

from coordflow_mini.config import FitConfig
from coordflow_mini.loss import absolute_error, layer_error, loss_terms, squared_error, structure_loss
from coordflow_mini.model import Blend

TERMS = (squared_error, absolute_error, layer_error)
terms = pytest.mark.parametrize("term", TERMS)


def random_blend(
    layers: int = 3, times: int = 2, pixels: int = 5, seed: int = 0
) -> tuple[Blend, torch.Tensor]:
    """A blend with gradients, and the true colors; float64."""
    source = torch.Generator().manual_seed(seed)
    rgb = torch.rand(layers, times, pixels, 3, generator=source, dtype=torch.float64).requires_grad_()
    logits = torch.randn(layers, times, pixels, generator=source, dtype=torch.float64)
    color = torch.rand(times, pixels, 3, generator=source, dtype=torch.float64)
    return Blend(rgb, torch.softmax(logits, 0)), color


def two_pixels() -> tuple[Blend, torch.Tensor]:
    """Two layers, one frame, two pixels with numbers that can be checked on paper."""
    layer_rgb = torch.tensor([[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5]]], [[[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]]])
    alpha = torch.tensor([[[0.75, 1.0]], [[0.25, 0.0]]])
    return Blend(layer_rgb, alpha), torch.tensor([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.2]]])


def test_two_pixels_by_hand():
    """First pixel: blend (3/4, 1/4, 0), second: (1/2, 1/2, 1/2); the terms follow on paper."""
    blend, color = two_pixels()
    squares = [(0.25**2 + 0.25**2) / 3, 0.3**2 / 3]
    sizes = [0.5 / 3, 0.3 / 3]
    owned = [0.75 * 0 + 0.25 * 2 / 3, 1.0 * 0.3**2 / 3]
    assert squared_error(blend, color).item() == pytest.approx(sum(squares) / 2)
    assert absolute_error(blend, color).item() == pytest.approx(sum(sizes) / 2)
    assert layer_error(blend, color).item() == pytest.approx(sum(owned) / 2)


def test_the_total_is_the_weighted_sum():
    """L = squared·MSE + absolute·MAE + γ·L_layer; squared and layer are reported without gradient."""
    blend, color = two_pixels()
    found = loss_terms(blend, color, FitConfig(squared=2.0, absolute=3.0, gamma=0.5))
    expected = [term(blend, color) for term in TERMS]
    weighted = 2 * expected[0] + 3 * expected[1] + 0.5 * expected[2]
    torch.testing.assert_close(found.total, weighted)
    torch.testing.assert_close(found.squared, expected[0])
    torch.testing.assert_close(found.layer, expected[2])
    blend, color = random_blend()
    found = loss_terms(blend, color, FitConfig())
    assert found.total.requires_grad and not found.squared.requires_grad and not found.layer.requires_grad


def test_one_layer_pays_no_layer_loss():
    """With one layer the layer loss is the squared error, and is not counted twice."""
    blend, color = random_blend(layers=1)
    torch.testing.assert_close(layer_error(blend, color), squared_error(blend, color))
    config = FitConfig(gamma=5.0)
    torch.testing.assert_close(loss_terms(blend, color, config).total, squared_error(blend, color))


def test_the_layer_loss_is_never_below_the_squared_error():
    """Jensen: Σ αᵢ ‖cᵢ - y‖² >= ‖Σ αᵢ cᵢ - y‖², with equality where one layer has all the weight."""
    for seed in range(20):
        blend, color = random_blend(seed=seed)
        assert layer_error(blend, color) > squared_error(blend, color)
    alone = Blend(
        blend.layer_rgb, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)[:, None, None].expand(3, 2, 5)
    )
    torch.testing.assert_close(layer_error(alone, color), squared_error(alone, color))


def test_the_gradient_of_the_layer_loss_moves_weight_to_better_layers():
    """∂/∂logitᵢ = αᵢ (eᵢ - Σ αⱼ eⱼ) per pixel: a layer with less than the mean error gains weight."""
    blend, color = random_blend()
    logits = torch.log(blend.alpha).requires_grad_()
    layer_error(Blend(blend.layer_rgb, torch.softmax(logits, 0)), color).backward()
    errors = (blend.layer_rgb - color).square().mean(-1)
    expected = blend.alpha * (errors - (blend.alpha * errors).sum(0)) / color[..., 0].numel()
    torch.testing.assert_close(logits.grad, expected)


def test_the_gradient_of_the_layer_loss_trains_each_layer_by_its_alpha():
    """∂/∂cᵢ = 2 αᵢ (cᵢ - y) / 3 per pixel: each layer is pulled to the true color, not to the residual."""
    blend, color = random_blend()
    layer_error(blend, color).backward()
    expected = 2 * blend.alpha[..., None] * (blend.layer_rgb - color) / color.numel()
    torch.testing.assert_close(blend.layer_rgb.grad, expected.detach())


# --- weights --------------------------------------------------------------------------------------


@terms
def test_a_weight_of_zero_ignores_a_pixel(term):
    """The color of a pixel of weight 0 changes neither the term nor any gradient."""
    weight = torch.tensor([[1.0, 0, 1, 1, 0], [1, 1, 0, 1, 1]], dtype=torch.float64)
    results = []
    for change in (0.0, 5.0):
        blend, color = random_blend()
        value = term(blend, color + change * (weight == 0)[..., None], weight)
        value.backward()
        results.append((value.detach(), blend.layer_rgb.grad))
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    assert not results[0][1][:, weight == 0].any()
    seen = term(Blend(blend.layer_rgb[:, weight > 0], blend.alpha[:, weight > 0]), color[weight > 0])
    torch.testing.assert_close(results[0][0], seen.detach())


def test_the_total_weighs_every_term():
    """loss_terms hands the pixels' weights to each of its terms."""
    blend, color = random_blend()
    weight = torch.rand(2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    config = FitConfig(squared=2.0, absolute=3.0, gamma=0.5)
    parts = [term(blend, color, weight) for term in TERMS]
    torch.testing.assert_close(
        loss_terms(blend, color, config, weight).total, 2 * parts[0] + 3 * parts[1] + 0.5 * parts[2]
    )


@terms
def test_only_ratios_of_weights_count(term):
    """Equal weights of any size are no weights; a weight of 2 is a pixel seen twice."""
    blend, color = random_blend(times=1, pixels=3)
    plain = term(blend, color)
    torch.testing.assert_close(term(blend, color, torch.full((1, 3), 0.37, dtype=torch.float64)), plain)
    twice = term(blend, color, torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64))
    index = [0, 0, 1]
    repeated = term(Blend(blend.layer_rgb[:, :, index], blend.alpha[:, :, index]), color[:, index])
    torch.testing.assert_close(twice, repeated)


@terms
def test_nothing_to_see_costs_nothing(term):
    """If all weights of a batch are 0, the term is 0 and its gradient finite."""
    blend, color = random_blend()
    value = term(blend, color, torch.zeros(2, 5, dtype=torch.float64))
    value.backward()
    assert value.item() == 0 and not blend.layer_rgb.grad.any()


# --- structure ------------------------------------------------------------------------------------


def patches(noise: float, height: int = 24, width: int = 30) -> tuple[Blend, torch.Tensor]:
    """Two textured patches as a blend of one layer, off by some noise, and their true colors."""
    source = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.stack([torch.sin(0.9 * x + k) * torch.cos(0.7 * y) for k in range(6)])
    color = (0.5 + 0.4 * waves).view(2, 3, -1).transpose(1, 2)  # [2, pixels, 3]
    rgb = (color + noise * torch.randn(color.shape, generator=source)).clamp(0, 1)
    return Blend(rgb[None].requires_grad_(), torch.ones(1, 2, height * width)), color


def test_structure_of_equal_patches():
    """1 - MS-SSIM of a patch with itself is 0."""
    assert structure_loss(*patches(0.0), 24, 30).item() == pytest.approx(0, abs=1e-6)


def test_structure_falls_with_noise():
    """More noise costs more, always less than 1; the gradient reaches every pixel and is finite."""
    costs = []
    for noise in (0.02, 0.1, 0.4):
        blend, color = patches(noise)
        cost = structure_loss(blend, color, 24, 30)
        cost.backward()
        assert torch.isfinite(blend.layer_rgb.grad).all() and blend.layer_rgb.grad.any()
        costs.append(cost.item())
    assert 0 < costs[0] < costs[1] < costs[2] < 1


def test_structure_is_what_the_metric_measures():
    """On 8-bit pictures, 1 - loss is metrics.ms_ssim of the same pictures."""
    from coordflow_mini.measure.metrics import ms_ssim

    blend, color = patches(0.1)
    pictures = [(255 * rgb.detach()).round().to(torch.uint8) for rgb in (color, blend.rgb)]
    truth, found = (picture.float().div(255) for picture in pictures)
    loss = structure_loss(Blend(found[None], blend.alpha), truth, 24, 30)
    measured = ms_ssim(*(picture.view(2, 24, 30, 3).numpy() for picture in pictures))
    assert 1 - loss.item() == pytest.approx(measured, abs=1e-4)


def test_the_squared_term_is_the_psnr():
    """-10 log10 of the squared error of 8-bit colors is the PSNR that metrics reports."""
    from coordflow_mini.measure.metrics import psnr_db

    source = np.random.default_rng(0)
    truth, found = source.integers(0, 256, (2, 1, 6, 7, 3), dtype=np.uint8)
    rgb, color = (torch.from_numpy(part.reshape(1, 42, 3)).double() / 255 for part in (found, truth))
    error = squared_error(Blend(rgb[None], torch.ones(1, 1, 42, dtype=torch.float64)), color)
    assert -10 * math.log10(error.item()) == pytest.approx(psnr_db(truth, found), abs=1e-9)
