"""Tensors to integers and back: the grid of steps, rounding, refusals."""

import numpy as np
import pytest
import torch

from coordflow_mini import entropy, quantize
from coordflow_mini.quantize import FIRST_INDEX, LARGEST, LAST_INDEX

INDICES = range(FIRST_INDEX, LAST_INDEX + 1)


def test_steps_are_eighths_of_an_octave():
    assert quantize.step(0) == 1.0 and quantize.step(-80) == 2.0**-10
    assert all(quantize.step(i + 8) == 2 * quantize.step(i) for i in range(FIRST_INDEX, LAST_INDEX - 7))
    ratios = [quantize.step(i + 1) / quantize.step(i) for i in range(8)]
    assert ratios == pytest.approx([2 ** (1 / 8)] * 8, rel=1e-15)


def test_step_constants_are_correctly_rounded():
    for i in range(8):  # m is nearest to 2^(i/8) if (m -+ half a unit)^8 encloses 2^i, in whole numbers
        mantissa = int(quantize.step(i) * 2**53)
        assert (2 * mantissa - 2) ** 8 < 2 ** (i + 8 * 54) < (2 * mantissa + 2) ** 8


def test_nearest_index_inverts_step_and_clamps():
    assert [quantize.nearest_index(quantize.step(i)) for i in INDICES] == list(INDICES)
    assert quantize.nearest_index(1e-30) == FIRST_INDEX and quantize.nearest_index(1e30) == LAST_INDEX


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_nearest_index_refuses_what_is_no_step(step):
    with pytest.raises(ValueError, match="positive and finite"):
        quantize.nearest_index(step)


@pytest.mark.parametrize("index", [FIRST_INDEX - 1, LAST_INDEX + 1])
def test_step_refuses_indices_beyond_the_grid(index):
    with pytest.raises(ValueError, match=f"got {index}"):
        quantize.step(index)


def test_halves_go_to_the_even_neighbor():
    assert quantize.quantize(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), 1.0).tolist() == [0, 2, 2, 0, -2]


@pytest.mark.parametrize("index", [-160, -47, -3, 0, 13, 40])
def test_integers_survive_dequantization(index):
    integers = np.random.default_rng(index + 200).integers(-LARGEST, LARGEST + 1, (3, 50), dtype=np.int32)
    values = quantize.QuantizedTensor(integers, index).values
    assert values.dtype == np.float32 and values.shape == (3, 50)
    assert (quantize.quantize(values, quantize.step(index)) == integers).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_and_arrays_agree(dtype):
    tensor = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    integers = quantize.quantize(tensor.requires_grad_(), quantize.step(-40))
    assert integers.dtype == np.int32
    assert (integers == quantize.quantize(tensor.detach().double().numpy(), quantize.step(-40))).all()


def test_the_decoders_weights_are_those_of_torch():
    integers = np.random.default_rng(0).integers(-300, 300, 1000, dtype=np.int32)
    expected = torch.from_numpy(integers).float() * quantize.step(-37)
    assert expected.numpy().tobytes() == quantize.QuantizedTensor(integers, -37).values.tobytes()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e12, 2.0**21])
def test_what_is_no_integer_is_refused(bad):
    with pytest.raises(ValueError, match="larger step"):
        quantize.quantize(np.array([0.0, bad]), 1.0)


def test_an_empty_tensor_has_no_integers():
    assert quantize.quantize(np.zeros((0, 3)), 1.0).shape == (0, 3)


def test_the_coder_takes_every_integer():
    assert entropy.LARGEST == LARGEST
