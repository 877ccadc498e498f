"""What chapter 08 builds on its way from weights to bits, and the picture of a file's bytes."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coordflow_mini import bitstream, decoder
from coordflow_mini.config import FitConfig, Selection
from coordflow_mini.course.lesson import filemap, ladder
from coordflow_mini.encoder import header_of
from coordflow_mini.measure import results
from coordflow_mini.ops.run import fit
from coordflow_mini.sampling import default_model
from coordflow_mini.show.figure import alt_text
from coordflow_mini.video.read import load

BUNNY = results.data_file("bunny.cfv").read_bytes()
FREQUENCIES = [3, 9, 3, 1]


@pytest.fixture(scope="module")
def fitted():
    clip = load("clip:cutout", Selection(0, 4, 1, 16, 12))
    config, how = replace(default_model(clip), width=4), FitConfig(steps=5, batch=64)
    return clip, header_of(clip, config, how), fit(clip, config, how)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_a_message_survives_and_takes_what_it_is_worth(message):
    number, digits = ladder.encode_interval(message, FREQUENCIES)
    assert ladder.decode_interval(number, digits, len(message), FREQUENCIES) == message
    assert digits < 2 + sum(-math.log2(FREQUENCIES[symbol] / 16) for symbol in message)


@pytest.mark.parametrize("name", ["bunny.cfv", "cutout.cfv"])
def test_the_parts_cover_the_file(name):
    data = results.data_file(name).read_bytes()
    parts = list(ladder.parts(data).values())
    assert parts[0][0] == 0
    assert parts[-1][1] == len(data)
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    assert all(start < stop for start, stop in parts)


def test_bits_hold_the_integers_of_a_tensor():
    tensors = [torch.randn(5, 7), 0.01 * torch.randn(3), torch.tensor([-2.0, 0.5])]
    for bits in (4, 8):
        for integers, step in ladder.quantize_all(tensors, bits):
            assert 0.4 * 2 ** (bits - 1) < np.abs(integers).max() < 2 ** (bits - 1)
            assert step == ladder.grid_step(step)


def test_the_grid_holds_a_step_for_a_tensor_of_zeros():
    ((integers, _),) = ladder.quantize_all([torch.zeros(3)], 6)
    assert not integers.any()


def test_tuning_leaves_the_fit_as_it_was(fitted):
    clip, header, result = fitted
    before = [tensor.clone() for tensor in ladder.tensors_of(result.model)]
    plain = ladder.in_bits(result.model, 6)
    tuned = ladder.tuned(result, clip, 6, steps=3)
    data = ladder.priced(result, clip, header, 10.0, steps=3)
    assert [t.step_index for t in tuned] == [t.step_index for t in plain]
    assert decoder.read_model(data)[0] == header
    assert all(torch.equal(a, b) for a, b in zip(before, ladder.tensors_of(result.model), strict=True))


def test_other_weights_go_into_a_copy(fitted):
    model = fitted[2].model
    doubled = ladder.with_weights(model, [2 * tensor for tensor in ladder.tensors_of(model)])
    pairs = zip(ladder.tensors_of(model), ladder.tensors_of(doubled), strict=True)
    assert all(torch.equal(2 * a, b) for a, b in pairs)


def test_naive_tables_cost_more_than_the_file():
    _, tensors = bitstream.read(BUNNY, decoder.tensor_shapes)
    assert ladder.coded_bits([tensor.integers for tensor in tensors]) > 8 * len(BUNNY)


@pytest.mark.parametrize("numbers", [False, True])
def test_the_bytes_are_drawn_in_their_sections_colors(numbers):
    data = BUNNY[:100] if numbers else BUNNY
    figure = filemap.byte_grid(data, ladder.parts(BUNNY), alt="bytes", columns=20, numbers=numbers)
    assert alt_text(figure) == "bytes"
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape == (-(-len(data) // 20), 20, 3)
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert named[:3] == ["magic, version", "header", "checksum"]
    assert ("color networks" in named) is not numbers
