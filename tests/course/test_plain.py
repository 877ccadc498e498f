"""The plain network's bookkeeping, against the library it stands beside."""

import numpy as np
import torch

from coordflow_mini.config import ModelConfig
from coordflow_mini.course.lesson import plain
from coordflow_mini.draws import key_of
from coordflow_mini.model import CoordFlow
from coordflow_mini.sampling import random_pixels


def test_sampled_pixels_are_those_of_the_library():
    clip = (torch.arange(5 * 6 * 10 * 3) * 37 % 251).to(torch.uint8).view(5, 6, 10, 3)
    batch = random_pixels(clip, 40, key_of(1, 0), torch.arange(5))
    rows = plain.sample_pixels(clip, (batch.indices + batch.frames[:, None] * 60).flatten())
    assert torch.allclose(rows[:, :2], batch.points.flatten(0, 1), atol=1e-6)
    assert torch.allclose(rows[:, 3:], batch.color.flatten(0, 1))
    assert rows[:, 2].unique().tolist() == [-1, -0.5, 0, 0.5, 1]


def test_nominal_bytes_count_every_weight_of_the_plain_network():
    model = CoordFlow(ModelConfig(motion="none", layers=1, width=20, depth=2, time_frequencies=4))
    assert plain.nominal_bytes([48 + 9, 20, 20, 4]) == model.parameter_count * 6 / 8


def test_every_slice_of_the_riddle_starts_with_the_same_row_and_goes_its_own_way():
    line = (np.arange(96 * 3) * 37 % 251).astype(np.uint8).reshape(96, 3)
    slices = plain.slice_riddle(line)
    assert all(part.shape == (24, 96, 3) and part.dtype == np.uint8 for part in slices.values())
    assert all((slices[name][0] == line).all() for name in "ABCD")
    assert (slices["A"][2][:-3] == line[3:]).all()  # at column c, what stood at c + 3: it moved left
    assert (slices["D"][2][5:] == line[:-5]).all()
    assert (
        slices["C"][12][24:72:2] == line[np.round(47.5 + (np.arange(24, 72, 2) - 47.5) / 2).astype(int)]
    ).all()
