"""What stands in for answers of chapter 05, against the library's own ways."""

import math

import pytest
import torch

from coordflow_mini.config import ModelConfig
from coordflow_mini.course.lesson import layers
from coordflow_mini.measure import metrics
from coordflow_mini.model import CoordFlow


def test_the_blend_is_the_models():
    model = CoordFlow(ModelConfig(layers=3, width=8), torch.Generator().manual_seed(0))
    points, times = torch.rand(1, 7, 2), torch.tensor([0.3])
    output = torch.stack([torch.cat([rgb, logit[:, None]], -1) for rgb, logit in _each(model, points, times)])
    assert layers.blend(output).allclose(model(points, times).rgb[0], atol=1e-5)


def _each(model, points, times):
    return (model.layer(i)(points[0], times.expand(7)) for i in range(model.config.layers))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_gradient_is_that_of_autograd(count):
    generator = torch.Generator().manual_seed(count)
    colors, target = torch.rand(count, 9, 3, generator=generator), torch.rand(9, 3, generator=generator)
    logits = torch.randn(count, 9, generator=generator, requires_grad=True)
    alpha = torch.softmax(logits, dim=0)
    blended = (alpha[..., None] * colors).sum(0)
    (blended - target).square().sum().backward()
    slope = 2 * (blended - target).detach()
    assert layers.logit_gradient(colors, alpha.detach(), slope).allclose(logits.grad, atol=1e-6)


def test_the_iou_does_not_depend_on_the_order_of_layers():
    alpha = torch.softmax(torch.randn(3, 2, 4, 5, generator=torch.Generator().manual_seed(0)), dim=0)
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[:, 1:3] = True
    assert layers.object_iou(alpha, mask) == layers.object_iou(alpha[[2, 0, 1]], mask)
    assert layers.object_iou(torch.stack([~mask, mask]).float(), mask) == 1


def test_a_layer_seen_everywhere_is_judged_as_a_picture():
    frames = torch.arange(36).view(1, 3, 4, 3).to(torch.uint8)
    color = frames + 3
    everywhere = torch.ones(1, 3, 4)
    assert layers.alone_db(color, everywhere, frames) == pytest.approx(metrics.psnr_db(frames, color))
    assert math.isnan(layers.alone_db(color, 0 * everywhere, frames))
