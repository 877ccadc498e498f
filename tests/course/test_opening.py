"""What stands in for answers of chapter 00, against the library's own ways."""

import numpy as np
import pytest
import torch

from coordflow_mini.course.lesson.opening import compression_factor, switch_off
from coordflow_mini.course.lesson.overlay import blended
from coordflow_mini.measure import metrics
from coordflow_mini.video.clip import Video


@pytest.mark.parametrize("off", range(3))
def test_it_looks_as_in_the_player(off):
    generator = torch.Generator().manual_seed(off)
    colors = torch.randint(0, 256, (3, 5, 7, 3), generator=generator).to(torch.uint8)
    alpha = torch.softmax(torch.randn(3, 5, 7, generator=generator), dim=0)
    kept = [layer for layer in range(3) if layer != off]
    apart = switch_off(colors, alpha, off).numpy() - blended(colors, alpha, kept).astype(float)
    assert np.abs(apart).max() <= 0.51  # rounding to whole gray levels


def test_a_layer_that_nobody_sees_is_not_missed():
    colors = torch.arange(48).view(2, 2, 4, 3).to(torch.uint8)
    alpha = torch.stack([torch.ones(2, 4), torch.zeros(2, 4)])
    assert switch_off(colors, alpha, 1).equal(colors[0].float())
    assert switch_off(colors, alpha, 0).eq(128).all()


def test_rate_times_factor_is_24_bits():
    video = Video(np.zeros((5, 6, 10, 3), np.uint8))
    assert compression_factor(70, video) * metrics.bits_per_pixel(70, video) == pytest.approx(24)
