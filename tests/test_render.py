"""Rendering: the model's blend as 8-bit pictures, whole or in pieces, in bounded memory."""

import math
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from coordflow_mini import render as render_module
from coordflow_mini.config import ModelConfig
from coordflow_mini.coords import frame_times, pixel_grid
from coordflow_mini.model import CoordFlow
from coordflow_mini.render import pictures, render, render_frames, still, to_uint8
from tests.models import SMALL, configs, trained


@configs
def test_a_rendering_is_the_blend_in_8_bits(config):
    """render shows the blend, the layers and their alpha at every pixel of every time."""
    model, times = trained(config), frame_times(3)
    blend = model(pixel_grid(5, 8)[None], times)
    rendering = render(model, times, 5, 8)
    assert rendering.rgb.dtype == rendering.layer_rgb.dtype == torch.uint8

    def expected(rgb: torch.Tensor) -> torch.Tensor:
        return rgb.detach().clamp(0, 1).mul(255).unflatten(-2, (5, 8))

    assert (rendering.rgb - expected(blend.rgb)).abs().max() <= 0.501
    assert (rendering.layer_rgb - expected(blend.layer_rgb)).abs().max() <= 0.501
    torch.testing.assert_close(rendering.alpha, blend.alpha.detach().unflatten(-1, (5, 8)))


def test_8_bits():
    """Colors are rounded to the nearest of 256 levels, and clipped at both ends."""
    levels = torch.arange(256) / 255
    assert to_uint8(levels).tolist() == list(range(256))
    assert to_uint8(levels[:-1] + 0.4 / 255).tolist() == list(range(255))
    assert to_uint8(torch.tensor([-3.0, -0.001, 1.001, 7.0])).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
def test_chunks_leave_no_trace(chunk, monkeypatch):
    """Rendered in chunks of any size, a frame is the same."""
    model, times = trained(SMALL), frame_times(2)
    whole = render(model, times, 5, 8)
    monkeypatch.setattr(render_module, "_PIECE", chunk)
    parts = render(model, times, 5, 8)
    torch.testing.assert_close(parts.alpha, whole.alpha, atol=1e-5, rtol=0)
    for name in ("rgb", "layer_rgb"):
        assert (getattr(parts, name).int() - getattr(whole, name).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("scale", "height", "width"), [(1, 5, 8), (2, 10, 16), (0.5, 2, 4), (1.3, 6, 10), (0.01, 1, 1)]
)
def test_scale(scale, height, width):
    """scale samples the same area by round(scale * side) pixels per side."""
    model, times = trained(SMALL), frame_times(2)
    rendering = render(model, times, 5, 8, scale=scale)
    assert rendering.rgb.shape == (2, height, width, 3)
    assert rendering.layer_rgb.shape == (3, 2, height, width, 3) and rendering.alpha.shape == (
        3,
        2,
        height,
        width,
    )
    blend = model(pixel_grid(5, 8, scale=scale)[None], times)
    torch.testing.assert_close(rendering.alpha.flatten(2), blend.alpha.detach())


def test_frames_come_one_by_one():
    """render_frames yields the frames of render, each made only when asked for."""
    model, times = trained(SMALL), frame_times(4)
    together = render(model, times, 5, 8)
    frames = render_frames(model, times, 5, 8)
    assert iter(frames) is frames, "an iterator, not a list"
    for number, frame in enumerate(frames):
        assert torch.equal(frame.rgb[0], together.rgb[number])
        assert torch.equal(frame.layer_rgb[:, 0], together.layer_rgb[:, number])
        assert torch.equal(frame.alpha[:, 0], together.alpha[:, number])


@pytest.mark.parametrize(("name", "limit"), [("_BAND", 30), ("_BAND", 1), ("_NUMBERS", 20)])
def test_large_frames_and_wide_models_come_in_pieces(name, limit, monkeypatch):
    """Bands of a row or two, and pieces of a pixel or two, are the same picture to a gray level."""
    model, times = trained(SMALL), frame_times(2)
    whole = render(model, times, 5, 8)
    assert torch.equal(torch.stack(list(pictures(model, times, 5, 8))), whole.rgb)
    monkeypatch.setattr(render_module, name, limit)
    parts = render(model, times, 5, 8)
    assert (parts.rgb.int() - whole.rgb.int()).abs().max() <= 1
    assert (parts.layer_rgb.int() - whole.layer_rgb.int()).abs().max() <= 1
    torch.testing.assert_close(parts.alpha, whole.alpha, atol=1e-4, rtol=0)
    assert torch.equal(torch.stack(list(pictures(model, times, 5, 8))), parts.rgb)
    alone = torch.stack(list(pictures(model, times, 5, 8, layer=1)))
    assert torch.equal(alone, parts.layer_rgb[1])


def test_motion_beyond_all_numbers_still_shows_colors():
    """A layer scaled by exp(1000) or moved by 10^38: no NaN reaches a color, and alpha sums to 1."""
    model = trained(SMALL)
    for value in (1e3, 1e38, -1e38):
        with torch.no_grad():
            model.flow.bias_out.fill_(value)
        rendering = render(model, frame_times(2), 5, 8)
        torch.testing.assert_close(rendering.alpha.sum(dim=0), torch.ones(2, 5, 8))


def test_no_number_is_black():
    """NaN as a color is 0 on every machine; infinities are clipped like other numbers."""
    colors = torch.tensor([math.nan, math.inf, -math.inf])
    assert to_uint8(colors).tolist() == [0, 255, 0]


def test_rendering_needs_no_gradient():
    """A rendering holds no graph, so a long one holds no memory."""
    rendering = render(trained(SMALL), frame_times(2), 5, 8)
    assert not rendering.alpha.requires_grad


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_cannot_be_is_refused(scale):
    """A scale that is not positive and finite is refused by name."""
    with pytest.raises(ValueError, match="scale"):
        render(trained(SMALL), frame_times(1), 5, 8, scale=scale)


@configs
def test_a_still_is_the_model(config):
    """still, at any points, is the model itself at one time, without a gradient."""
    model, time = trained(config), torch.tensor(0.3)
    points = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 4 - 2
    found, expected = still(model, points, time), model(points[None], time[None])
    torch.testing.assert_close(found.layer_rgb, expected.layer_rgb.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.alpha, expected.alpha.detach(), atol=1e-5, rtol=0)
    assert not found.alpha.requires_grad


PEAK = """
import resource, torch
from coordflow_mini.config import ModelConfig
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.compiling import keep_memory
from coordflow_mini.render import pictures

def peak(height, width):
    next(pictures(model, torch.zeros(1), height, width))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

keep_memory()  # as training does
model = CoordFlow(ModelConfig(width=743))
before = peak(32, 64)  # one piece
print((peak(128, 256) - before) // 1024)  # sixteen
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_memory_does_not_grow_with_the_pieces():
    """A wide model's frame of sixteen pieces takes hardly more memory than one of a single piece [MiB]."""
    done = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 25


class RoundedFactors(TorchDispatchMode):
    """Products of matrices with factors of 10 bits, as a GPU makes them in TF32."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default):
            args = tuple(((a.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32) for a in args)
        return func(*args, **(kwargs or {}))


def test_coordinates_are_exact_whatever_becomes_of_products():
    """At 1080p, products of 10 bits cost less than a level; coordinates of 10 bits would cost over ten."""
    model = CoordFlow(ModelConfig(width=64, highest_frequency=240.0), torch.Generator().manual_seed(0))
    points, time = pixel_grid(1080, 1920, band=slice(540, 541)), torch.tensor(0.3)
    exact = still(model, points, time)
    with RoundedFactors():
        rounded = still(model, points, time)
        coarse = still(model, ((points.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32), time)
    assert (exact.rgb - rounded.rgb).abs().max() < 1 / 255
    assert (exact.rgb - coarse.rgb).abs().max() > 10 / 255
