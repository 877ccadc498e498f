"""Fine-tuning: what rounding may do, what a bit costs, and where the size lands."""

import copy
import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from coordflow_mini import entropy
from coordflow_mini.config import CodecConfig
from coordflow_mini.finetune import Quantizer, quantize_model, rate_bits
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.quantize import LARGEST, QuantizedTensor, step
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import FitResult, Progress

pytestmark = pytest.mark.usefixtures("one_thread")


def coded_size(tensors: list[QuantizedTensor]) -> int:
    """Bytes of the integers alone, really coded."""
    return len(entropy.encode([tensor.integers for tensor in tensors]))


@pytest.fixture(scope="module")
def once_fitted(one_thread, clip, small_model, short_fit) -> FitResult:
    return fit(clip, small_model, short_fit)


@pytest.fixture
def fitted(once_fitted) -> FitResult:
    """A fit of this test's own: fine-tuning trains in place."""
    return copy.deepcopy(once_fitted)


@pytest.fixture
def quantizer(fitted) -> Quantizer:
    """Steps that differ between tensors and layers, and lie off the grid of storable ones."""
    made = make_quantizer(fitted.model)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made.log2_steps += torch.rand(made.log2_steps.shape, generator=source)
    return made


def make_quantizer(model: CoordFlow) -> Quantizer:
    return Quantizer(model)


def layers(model: CoordFlow) -> list[torch.Tensor]:
    """Every tensor of every layer, in the order of the file."""
    return [layer.detach() for parameter in model.parameters() for layer in parameter]


# --- rounding -------------------------------------------------------------------------------------


def test_rounding_moves_a_weight_by_half_a_step_at_most(quantizer):
    """|w - q(w)| <= step / 2, for every weight of every tensor of every layer."""
    rounded = [layer for tensor in quantizer.rounded().values() for layer in tensor.detach()]
    indices = [index for per_layer in quantizer.step_indices() for index in per_layer]
    assert len(rounded) == len(indices) == len(layers(quantizer.model))
    for weights, found, index in zip(layers(quantizer.model), rounded, indices, strict=True):
        assert (weights - found).abs().max() <= 0.5 * step(index) * (1 + 1e-5)
        on_grid = found / step(index)
        torch.testing.assert_close(on_grid, on_grid.round(), atol=2e-4, rtol=0)


def test_training_sees_the_weights_of_the_file(quantizer):
    """The rounded weights of the forward pass are, to float32, what the stored integers stand for."""
    rounded = [layer for tensor in quantizer.rounded().values() for layer in tensor.detach()]
    for found, stored in zip(rounded, quantizer.quantized(), strict=True):
        torch.testing.assert_close(found, torch.from_numpy(stored.values), atol=1e-6, rtol=1e-6)


def test_gradients_pass_straight_through(quantizer):
    """For weights, rounding has the gradient of the identity; for log2 steps, that of LSQ."""
    source = torch.Generator().manual_seed(1)
    towards = {name: torch.randn(p.shape, generator=source) for name, p in quantizer.model.named_parameters()}
    rounded = quantizer.rounded()
    sum((towards[name] * tensor).sum() for name, tensor in rounded.items()).backward()
    triples = zip(
        quantizer.model.named_parameters(), quantizer.log2_steps.grad.T, quantizer.step_indices(), strict=True
    )
    for (name, parameter), gradient, indices in triples:
        torch.testing.assert_close(parameter.grad, towards[name], atol=1e-5, rtol=1e-5)
        assert gradient.shape == (quantizer.model.config.layers,)
        sizes = torch.tensor([step(index) for index in indices], dtype=torch.float64)[:, None, None]
        scaled = parameter.detach().double() / sizes
        expected = (towards[name] * (scaled.round() - scaled) * sizes).flatten(1).sum(1) * np.log(2)
        torch.testing.assert_close(gradient.double(), expected, atol=1e-4, rtol=1e-3)


def test_the_quantizer_is_the_model_with_rounded_weights(quantizer, clip):
    """Calling the quantizer renders what a model of the rounded weights renders."""
    points, times = torch.rand(1, 9, 2), torch.tensor([-0.5, 0.5])
    found = quantizer(points, times)
    model = copy.deepcopy(quantizer.model)
    model.load_state_dict(quantizer.rounded())
    torch.testing.assert_close(found.rgb, model(points, times).rgb)


def test_integers_are_in_the_order_of_the_file(fitted):
    """quantize_model lists all layers of the first parameter, then of the next, each at its own step."""
    model, count = fitted.model, len(list(fitted.model.parameters()))
    indices = [[-24 - number, -40 - number] for number in range(count)]
    tensors = quantize_model(model, indices)
    assert [tensor.step_index for tensor in tensors] == [index for pair in indices for index in pair]
    for tensor, weights in zip(tensors, layers(model), strict=True):
        assert tensor.integers.dtype == np.int32 and tensor.integers.shape == tuple(weights.shape)
        assert np.abs(tensor.values - weights.numpy()).max() <= 0.5 * step(tensor.step_index) * (1 + 1e-5)


# --- rate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("deviations", "tolerance"), [(1.0, 0.05), (2.0, 0.03), (8.0, 0.02), (100.0, 0.02)])
def test_the_rate_of_gaussian_weights(deviations, tolerance):
    """rate_bits is what the entropy coder really pays for Gaussian integers, to a few percent."""
    weights = torch.randn(2, 50, 40, generator=torch.Generator().manual_seed(0))
    log2_step = -torch.log2(torch.tensor([deviations, deviations]))
    estimate = rate_bits(weights, log2_step)
    assert estimate.shape == (2,)
    for layer, bits in zip(weights, estimate, strict=True):
        integers = np.rint(layer.numpy() * deviations).astype(np.int32)
        ideal = entropy.ideal_bits(integers, entropy.best_model(integers))
        assert bits.item() == pytest.approx(ideal, rel=tolerance)


def test_a_step_twice_as_fine_costs_a_bit_per_weight():
    """For fine steps, halving the step adds one bit to each weight, and the gradient knows."""
    weights = torch.randn(1, 30, 20, generator=torch.Generator().manual_seed(0))
    log2_step = torch.tensor([-7.0], requires_grad=True)
    bits = rate_bits(weights, log2_step)
    assert (rate_bits(weights, log2_step - 1) - bits).item() == pytest.approx(600, rel=1e-3)
    bits.sum().backward()
    assert log2_step.grad.item() == pytest.approx(-600, rel=1e-3)


def test_constant_tensors_have_a_finite_rate():
    """A tensor of equal numbers, or a single one, costs little and sends finite gradients."""
    for shape in [(2, 1, 8), (2, 1, 1)]:
        weights, log2_step = (
            torch.zeros(shape, requires_grad=True),
            torch.full((2,), -13.0, requires_grad=True),
        )
        bits = rate_bits(weights, log2_step)
        bits.sum().backward()
        assert (bits >= 0).all() and (bits <= shape[-1]).all()
        assert torch.isfinite(weights.grad).all() and torch.isfinite(log2_step.grad).all()


def test_spending_moves_the_rate_by_about_as_much(quantizer):
    """spend(b) makes the integers cost about b bits more, negative b less; all steps move alike."""
    before, steps = 8 * coded_size(quantizer.quantized()), quantizer.log2_steps.detach().clone()
    for share in (1.0, -2.0):
        bits = share * quantizer.model.parameter_count
        start = 8 * coded_size(quantizer.quantized())
        quantizer.spend(bits)
        assert 8 * coded_size(quantizer.quantized()) - start == pytest.approx(bits, rel=0.3)
    moved = quantizer.log2_steps.detach() - steps
    torch.testing.assert_close(moved, torch.ones_like(moved), atol=1e-5, rtol=0)
    assert 8 * coded_size(quantizer.quantized()) < before


def test_the_rate_of_a_model_is_that_of_its_tensors(quantizer):
    """bits() and its gradients are those of `rate_bits`, tensor by tensor."""
    quantizer.bits().backward()
    tensors = list(zip(quantizer.model.parameters(), quantizer.log2_steps.detach().T, strict=True))
    total = sum(rate_bits(weights.detach(), steps).sum() for weights, steps in tensors)
    torch.testing.assert_close(quantizer.bits().detach(), total)
    for (weights, steps), gradient in zip(tensors, quantizer.log2_steps.grad.T, strict=True):
        twin, log2_step = weights.detach().clone().requires_grad_(), steps.clone().requires_grad_()
        rate_bits(twin, log2_step).sum().backward()
        torch.testing.assert_close(weights.grad, twin.grad, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(gradient, log2_step.grad, atol=1e-4, rtol=1e-4)


def test_weights_too_large_for_the_format_are_seen(quantizer):
    """fits_format() agrees with the integers themselves, just below and just above the limit."""
    with torch.no_grad():
        (weight,) = (p.view(-1)[:1] for p in [next(quantizer.model.parameters())])
        size = step(quantizer.step_indices()[0][0])
        for ratio, fits in ((0.999, True), (1.001, False), (math.nan, False)):
            weight.fill_(ratio * LARGEST * size)
            assert quantizer.fits_format() is fits
            with nullcontext() if fits else pytest.raises(ValueError, match="finite"):
                quantizer.quantized()


# --- the whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits_per_weight", [3.0, 6.0])
def test_the_size_lands_under_the_target(bits_per_weight, fitted, clip, short_codec):
    """At either end of the usual rates the coded size lies between the floor and the target."""
    target = int(bits_per_weight * fitted.model.parameter_count / 8)
    tuned = finetune(fitted, clip, short_codec, target, coded_size)
    assert short_codec.floor * target <= coded_size(tuned.tensors) <= target
    assert not tuned.interrupted


def test_fine_tuning_beats_plain_rounding(fitted, clip, short_codec, short_fit):
    """At the same few bytes, weights trained to be rounded are better than weights that were just rounded."""
    sampler = Sampler(clip, short_fit, torch.device("cpu"))

    @torch.no_grad()
    def error(tensors: list[QuantizedTensor]) -> float:
        model, values = copy.deepcopy(fitted.model), iter(tensors)
        for parameter in model.parameters():
            for layer in parameter:
                layer.copy_(torch.from_numpy(next(values).values))
        return sampler.terms(model, torch.float32).squared.item()

    target = int(2 * fitted.model.parameter_count / 8)
    plain = make_quantizer(fitted.model)
    for _ in range(12):
        plain.spend(8 * (target - coded_size(plain.quantized())))
    rounded = plain.quantized()
    assert coded_size(rounded) >= 0.98 * target
    before = error(rounded)
    tuned = finetune(fitted, clip, short_codec, target, coded_size)
    assert coded_size(tuned.tensors) <= target
    assert error(tuned.tensors) < 0.9 * before


def test_the_weights_settle_on_steps_that_stand_still(fitted, clip, short_codec, monkeypatch):
    """A step that moves at the end rounds weights anew that no training repairs any more."""
    used: list[list[list[int]]] = []
    rounded = Quantizer.rounded

    def watched(quantizer: Quantizer):
        used.append(quantizer.step_indices())
        return rounded(quantizer)

    monkeypatch.setattr(Quantizer, "rounded", watched)
    target = round(fitted.model.parameter_count * 5.5 / 8)
    finetune(fitted, clip, replace(short_codec, steps=100, rounds=0), target, coded_size)
    assert len(used) == 100 and used[60] != used[69], "until then they learn"
    assert all(steps == used[75] for steps in used[75:])


def test_fine_tuning_is_reproducible(once_fitted, clip, short_codec):
    """From the same fit come the same integers and steps."""
    target = int(4 * once_fitted.model.parameter_count / 8)
    codec = replace(short_codec, steps=20)
    runs = [finetune(copy.deepcopy(once_fitted), clip, codec, target, coded_size) for _ in range(2)]
    for one, other in zip(*(run.tensors for run in runs), strict=True):
        assert one.step_index == other.step_index and np.array_equal(one.integers, other.integers)


def test_the_history_is_what_on_step_saw(fitted, clip, short_codec):
    """Reports are kept, their steps rise, and the last bits per weight are those of the file."""
    seen: list[Progress] = []
    target = int(4 * fitted.model.parameter_count / 8)
    tuned = finetune(fitted, clip, short_codec, target, coded_size, on_step=seen.append)
    assert [p.psnr_db for p in tuned.history] == [p.psnr_db for p in seen]
    assert {progress.stage for progress in seen} == {"fine-tune"}
    steps = [progress.step for progress in seen]
    assert steps == sorted(set(steps)) and steps[-1] >= short_codec.steps
    assert all(progress.step <= progress.steps for progress in seen)
    expected = 8 * coded_size(tuned.tensors) / fitted.model.parameter_count
    assert seen[-1].bits_per_weight == pytest.approx(expected)


def test_ctrl_c_keeps_what_was_reached(fitted, clip, short_codec):
    """Interrupted early, fine-tuning returns quantized weights of about the wanted size, and says so."""

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    target = int(4 * fitted.model.parameter_count / 8)
    tuned = finetune(fitted, clip, replace(short_codec, steps=100_000), target, coded_size, on_step=stop)
    assert tuned.interrupted and len(tuned.history) == 1
    assert len(tuned.tensors) == len(layers(fitted.model))
    assert coded_size(tuned.tensors) == pytest.approx(target, rel=0.1)


def test_a_fit_that_ended_badly_is_fine_tuned(fitted, clip, short_codec):
    """An error of 0.7 is worse than that of any gray picture, but not that of numbers that run away."""
    last = replace(fitted.history[-1], psnr_db=-10 * math.log10(0.7))
    poor = replace(fitted, history=(last,))
    target = int(4 * fitted.model.parameter_count / 8)
    tuned = finetune(poor, clip, replace(short_codec, steps=10, rounds=0), target, coded_size)
    assert tuned.history[-1].step == 10 and tuned.history[-1].psnr_db > last.psnr_db


def test_without_steps_it_rounds(fitted, clip):
    """Zero steps of fine-tuning: plain rounding at steps that meet the size."""
    target = int(5 * fitted.model.parameter_count / 8)
    before = layers(fitted.model)
    tuned = finetune(fitted, clip, CodecConfig(steps=0, rounds=0), target, coded_size)
    assert coded_size(tuned.tensors) == pytest.approx(target, rel=0.1)
    for weights, tensor in zip(before, tuned.tensors, strict=True):
        assert np.abs(tensor.values - weights.numpy()).max() <= 0.5 * step(tensor.step_index) * (1 + 1e-5)


@pytest.mark.parametrize(
    "target",
    [
        1,
        10**6,
    ],
)
def test_a_target_out_of_reach_ends_well(target, fitted, clip, short_codec):
    """A target that no steps can meet ends with about the nearest size there is, not with an inner error."""
    tuned = finetune(fitted, clip, replace(short_codec, steps=10, rounds=1), target, coded_size)
    size, count = coded_size(tuned.tensors), fitted.model.parameter_count
    assert 1 < size < count / 8 if target == 1 else count < size < target
