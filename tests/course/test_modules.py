"""One layer as plain modules, against the model that it is of."""

import pytest
import torch

from coordflow_mini.coords import frame_times
from coordflow_mini.course.lesson.modules import Layer
from tests.models import SMALL, configs, trained


@configs
def test_a_layer_as_plain_modules_is_the_layer(config):
    """Layer(model, i), written as one single network, computes what the stacked weights compute."""
    model, times = trained(config), frame_times(3)
    points = torch.rand(3, 20, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rgb, logits = model.color(model.canonical(points, times), times)
    for index in range(config.layers):
        layer = Layer(model, index)
        torch.testing.assert_close(layer.transforms(times), model.transforms(times)[index], atol=1e-5, rtol=0)
        found_rgb, found_logit = layer(points.flatten(0, 1), times.repeat_interleave(20))
        torch.testing.assert_close(found_rgb, rgb[index].flatten(0, 1), atol=1e-5, rtol=0)
        torch.testing.assert_close(found_logit, logits[index].flatten(), atol=1e-5, rtol=0)


def test_a_layer_is_a_copy():
    """Layer(model, i) has the layer's share of the weights and shares no storage with the model."""
    model = trained(SMALL)
    before = [parameter.clone() for parameter in model.parameters()]
    layer = Layer(model, 1)
    assert sum(parameter.numel() for parameter in layer.parameters()) * 3 == model.parameter_count
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("index", [-1, 3])
def test_a_layer_that_is_not_there(index):
    """A layer outside 0..layers-1 is refused with the range."""
    with pytest.raises(ValueError, match="layer must be 0 to 2"):
        Layer(trained(SMALL), index)
