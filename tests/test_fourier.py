"""Fourier features against their formulas."""

import math

import numpy as np
import pytest
import torch

from coordflow_mini.model import fourier_features, octave_frequencies, spiral_frequencies


def test_features_by_hand():
    """Feature j is sin, feature count + j is cos, of the sum over inputs of value times frequency."""
    rng = np.random.default_rng(0)
    values, frequencies = rng.normal(size=(5, 2)), rng.normal(size=(2, 3))
    features = fourier_features(torch.from_numpy(values), torch.from_numpy(frequencies))
    for row, (x, y) in enumerate(values):
        phases = [x * frequencies[0, j] + y * frequencies[1, j] for j in range(3)]
        by_hand = [math.sin(p) for p in phases] + [math.cos(p) for p in phases]
        np.testing.assert_allclose(features[row].numpy(), by_hand, atol=1e-12)


@pytest.mark.parametrize("shape", [(2,), (7, 2), (3, 4, 2), (0, 2)])
def test_features_have_unit_pairs(shape):
    """Any leading axes stay, the last becomes 2 * count; sin² + cos² = 1."""
    features = fourier_features(
        torch.randn(shape, generator=torch.Generator().manual_seed(0)), torch.randn(2, 6)
    )
    assert features.shape == (*shape[:-1], 12)
    sine, cosine = features.split(6, dim=-1)
    torch.testing.assert_close(sine**2 + cosine**2, torch.ones(*shape[:-1], 6))


def test_octaves():
    """Each frequency of time is twice the one before, from a quarter turn either way; none is allowed."""
    assert octave_frequencies(4)[0].tolist() == pytest.approx([math.pi * f for f in (0.5, 1, 2, 4)])
    assert octave_frequencies(0).shape == (1, 0)
    assert fourier_features(torch.zeros(3, 1), octave_frequencies(0)).shape == (3, 0)


def test_the_first_octave_tells_all_times_apart():
    """Over t in [-1, 1] the first sine rises strictly."""
    sine = fourier_features(torch.linspace(-1, 1, 101)[:, None], octave_frequencies(1))[:, 0]
    assert (sine.diff() > 0).all()


@pytest.mark.parametrize(("count", "lowest", "highest"), [(1, 0.5, 24.0), (2, 1.0, 1.0), (24, 0.5, 24.0)])
def test_the_spiral_goes_from_the_lowest_to_the_highest(count, lowest, highest):
    """Wave lengths form a geometric series from π·lowest to π·highest, directions turn by one angle."""
    waves = spiral_frequencies(count, lowest, highest).double()
    assert waves.shape == (2, count)
    length, angle = waves.norm(dim=0), torch.atan2(waves[1], waves[0])
    assert length[0].item() == pytest.approx(math.pi * lowest, rel=1e-6)
    if count > 1:
        assert length[-1].item() == pytest.approx(math.pi * highest, rel=1e-6)
        ratio = (highest / lowest) ** (1 / (count - 1))
        torch.testing.assert_close(
            length[1:] / length[:-1], torch.full((count - 1,), ratio).double(), rtol=1e-5, atol=0
        )
        golden = math.pi * (3 - math.sqrt(5))
        turn = torch.remainder(angle.diff() - golden + math.pi, 2 * math.pi) - math.pi
        assert turn.abs().max() < 1e-5


def test_a_frequency_counts_half_waves_per_unit():
    """Along its own direction a wave of f half-waves per unit repeats after 2 / f units, not before."""
    wave = spiral_frequencies(5, 0.5, 8.0)[:, 3:4].double()
    half_waves = wave.norm() / math.pi
    direction = (wave / wave.norm()).T
    start = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    there = fourier_features(start, wave)
    torch.testing.assert_close(fourier_features(start + direction * 2 / half_waves, wave), there)
    torch.testing.assert_close(fourier_features(start + direction / half_waves, wave), -there)


@pytest.mark.parametrize("count", [8, 24, 64])
def test_the_spiral_looks_everywhere(count):
    """No direction is left out: waves of opposite sign are one, and gaps stay below three equal shares."""
    waves = spiral_frequencies(count, 0.5, 24.0)
    angle = torch.remainder(torch.atan2(waves[1], waves[0]), math.pi).sort().values
    gaps = torch.cat([angle.diff(), angle[:1] + math.pi - angle[-1:]])
    assert gaps.max() < 3 * math.pi / count
