"""Cards of other kinds: a T4 has tensor cores for float16 and none for bfloat16."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import coordflow_mini as cf
from coordflow_mini import decoder
from coordflow_mini.encoder import compress
from coordflow_mini.model import training_dtype
from coordflow_mini.video import scenes
from tests.gpu.cases.test_budgets import fitting, steps, tuning
from tests.gpu.cases.test_library import RECIPE


@pytest.fixture(scope="module")
def clip():
    return scenes.cutout(16, 24, 8).video


def test_each_card_trains_in_what_it_multiplies_fast(gpu, request):
    assert training_dtype(gpu) == torch.bfloat16
    request.getfixturevalue("t4")
    assert training_dtype(gpu) == torch.float16


@pytest.mark.parametrize("stage", [fitting, tuning])
def test_a_t4_trains_without_waiting(stage, clip, gpu, t4, counting):
    training = stage(clip, gpu)
    steps(training, 2)
    with counting() as found:
        steps(training)
    assert not found.syncs and not found.copies, found.where()


def test_float16_learns_as_bfloat16_does(clip, gpu, request):
    """Gradients of single pixels are too small for float16 unless they are scaled."""

    def error(training) -> float:
        steps(training, 60)
        return training.error()

    usual = error(fitting(clip, gpu, grow=20))
    request.getfixturevalue("t4")
    half = fitting(clip, gpu, grow=20)
    assert half.sampler.dtype == torch.float16
    assert error(half) == pytest.approx(usual, rel=0.1)


def test_a_t4_encodes_and_decodes(clip, gpu, t4):
    brief = replace(RECIPE.codec, steps=5, rounds=0, bits_per_weight=7)
    coded = compress(clip, replace(RECIPE, codec=brief), device=gpu)
    frames = list(decoder.decode_frames(coded.data, device=gpu, dtype=torch.float16))
    exact = cf.decode(coded.data).frames
    assert np.abs(np.stack(frames).astype(int) - exact).max() <= 2
