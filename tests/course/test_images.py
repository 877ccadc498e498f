"""What stands in for the exercises of chapter 01 says the same as the library and as PyTorch."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from coordflow_mini.config import ModelConfig
from coordflow_mini.course.lesson import images
from coordflow_mini.measure import metrics
from coordflow_mini.model import CoordFlow


def test_psnr_is_that_of_a_clip_of_one_frame_and_takes_any_part_of_a_picture():
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 256, (2, 9, 14, 3), dtype=np.uint8)
    assert images.psnr(first, second) == pytest.approx(metrics.psnr_db(first[None], second[None]))
    mask = rng.random((9, 14)) < 0.5
    assert images.psnr(first[mask], second[mask]) > 0


@pytest.mark.parametrize("sizes", [[2, 3], [2, 70, 70, 70, 3], [96, 64, 64, 3]])
def test_weights_are_counted_as_pytorch_counts_them(sizes):
    network = torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in pairwise(sizes)))
    assert images.count_weights(sizes) == sum(weight.numel() for weight in network.parameters())


def test_the_librarys_hidden_layers_are_sine_layers_of_factor_one():
    color = CoordFlow(ModelConfig(layers=1, width=8)).layer(0).color
    values = torch.rand(5, 8, generator=torch.Generator().manual_seed(0))
    ours = images.sine_layer(values, color[2].weight.T, color[2].bias, factor=1.0)
    assert torch.allclose(ours, color[2:4](values), atol=1e-6)


def test_scrambled_names_are_the_same_names_in_one_order():
    names = ["no encoding", "waves in x only", "waves up to 32", "waves up to 128"]
    assert sorted(images.scrambled(names)) == sorted(names)
    assert images.scrambled(names) == images.scrambled(reversed(names)) != sorted(names)
