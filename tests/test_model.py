"""The model: layers that move, blended by a softmax; one layer as plain modules."""

from dataclasses import replace

import pytest
import torch

from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.model import Blend, CoordFlow, parameter_shapes, training_dtype
from tests.models import SMALL, configs, trained


@configs
def test_weights_of_the_blend(config):
    """The softmax over layers: alphas are positive and sum to 1 at every pixel."""
    alpha = trained(config)(pixel_grid(5, 8)[None], frame_times(3)).alpha
    assert alpha.shape == (config.layers, 3, 40) and (alpha > 0).all()
    torch.testing.assert_close(alpha.sum(0), torch.ones(3, 40))


def test_the_blend_by_hand():
    """The color of a pixel is Σ αᵢ cᵢ."""
    layer_rgb = torch.tensor([[[[1.0, 0.0, 0.2]]], [[[0.0, 1.0, 0.4]]]])
    blend = Blend(layer_rgb, torch.tensor([[[0.25]], [[0.75]]]))
    torch.testing.assert_close(blend.rgb, torch.tensor([[[0.25, 0.75, 0.35]]]))


@pytest.mark.parametrize("motion", ["similarity", "none"])
def test_one_layer_is_opaque(motion):
    """One layer: alpha is exactly 1 and the blend is the layer."""
    blend = trained(replace(SMALL, layers=1, motion=motion))(pixel_grid(5, 8)[None], frame_times(3))
    assert torch.equal(blend.alpha, torch.ones(1, 3, 40))
    assert torch.equal(blend.rgb, blend.layer_rgb[0])


@pytest.mark.parametrize("motion", ["similarity", "none"])
def test_layers_have_no_order(motion):
    """Permuting the stacked weights permutes the layers and leaves the blend as it is."""
    model = trained(replace(SMALL, motion=motion))
    points, times = pixel_grid(5, 8)[None], frame_times(3)
    blend, transforms = model(points, times), model.transforms(times)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter[order])
    shuffled = model(points, times)
    torch.testing.assert_close(shuffled.layer_rgb, blend.layer_rgb[order])
    torch.testing.assert_close(shuffled.alpha, blend.alpha[order])
    torch.testing.assert_close(shuffled.rgb, blend.rgb)
    torch.testing.assert_close(model.transforms(times), transforms[order])


@configs
def test_a_layer_as_plain_modules_is_the_layer(config):
    """model.layer(i), written as one single network, computes what the stacked weights compute."""
    model, times = trained(config), frame_times(3)
    points = torch.rand(3, 20, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rgb, logits = model.color(model.canonical(points, times), times)
    for index in range(config.layers):
        layer = model.layer(index)
        torch.testing.assert_close(layer.transforms(times), model.transforms(times)[index], atol=1e-5, rtol=0)
        found_rgb, found_logit = layer(points.flatten(0, 1), times.repeat_interleave(20))
        torch.testing.assert_close(found_rgb, rgb[index].flatten(0, 1), atol=1e-5, rtol=0)
        torch.testing.assert_close(found_logit, logits[index].flatten(), atol=1e-5, rtol=0)


def test_a_layer_is_a_copy():
    """model.layer(i) has the layer's share of the weights and shares no storage with the model."""
    model = trained(SMALL)
    before = [parameter.clone() for parameter in model.parameters()]
    layer = model.layer(1)
    assert sum(parameter.numel() for parameter in layer.parameters()) * 3 == model.parameter_count
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("index", [-1, 3])
def test_a_layer_that_is_not_there(index):
    """A layer outside 0..layers-1 is refused with the range."""
    with pytest.raises(ValueError, match="layer must be 0 to 2"):
        trained(SMALL).layer(index)


def test_without_motion_points_stay():
    """motion "none": no flow network, zero transforms, canonical points are the frame's."""
    model, points = trained(replace(SMALL, motion="none")), pixel_grid(4, 6)[None]
    assert model.flow is None and not model.transforms(frame_times(5)).any()
    assert torch.equal(model.canonical(points, frame_times(5)), points.expand(3, 5, -1, -1))


@configs
def test_shapes_are_known_without_weights(config):
    """parameter_shapes lists the shapes of the real tensors in order; all are stacked by layer."""
    model = CoordFlow(config)
    assert parameter_shapes(config) == [tuple(parameter.shape) for parameter in model.parameters()]
    assert all(shape[0] == config.layers for shape in parameter_shapes(config))
    assert model.parameter_count == sum(parameter.numel() for parameter in model.parameters())


def test_shapes_of_the_largest_model_cost_no_memory():
    """parameter_shapes allocates nothing: a model of many gigabytes is described at once."""
    largest = replace(SMALL, layers=16, width=2048, depth=16)
    assert sum(torch.Size(shape).numel() for shape in parameter_shapes(largest)) > 10**9


def test_the_generator_decides_alone():
    """The same seed gives the same weights, another seed others."""
    one, same, other = (CoordFlow(SMALL, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_motion_is_seen_in_the_picture():
    """The frame at p shows what the canonical picture has at p + d: a shift of d draws at -d."""
    model = trained(replace(SMALL, layers=1, time_frequencies=0))
    with torch.no_grad():
        for parameter in (model.flow.weight_in, model.flow.weight_out, model.color.time_weight):
            parameter.zero_()
        model.flow.bias_out.zero_()
    points, time = pixel_grid(6, 6)[None], torch.zeros(1)
    still = model(points, time).rgb[0].view(6, 6, 3)
    with torch.no_grad():
        model.flow.bias_out[:, :, 2] = 2 * 2 / 6  # two pixels to the right in canonical space
    moved = model(points, time).rgb[0].view(6, 6, 3)
    torch.testing.assert_close(moved[:, :4], still[:, 2:], atol=1e-4, rtol=0)


def test_a_model_says_what_it_is():
    """repr is one line with the figures one asks for first."""
    model = CoordFlow(SMALL)
    assert "\n" not in repr(model) and str(model.parameter_count) in repr(model) and "3 layers" in repr(model)


@pytest.mark.parametrize(
    ("avx512", "amx", "dtype"),
    [(0, 0, torch.float32), (1, 0, torch.bfloat16), (0, 1, torch.bfloat16), (1, 1, torch.bfloat16)],
)
@pytest.mark.skipif(not hasattr(torch.cpu, "_is_amx_tile_supported"), reason="this PyTorch cannot tell")
def test_the_dtype_of_training(avx512, amx, dtype, monkeypatch):
    """bfloat16 on a processor that has instructions for it, and only there."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: bool(avx512))
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: bool(amx))
    assert training_dtype(torch.device("cpu")) == dtype
