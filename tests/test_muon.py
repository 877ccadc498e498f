"""Muon: orthogonal steps, with the singular value decomposition and torch's Adam as judges."""

import copy

import pytest
import torch
from torch import nn

from coordflow_mini import muon as optimizer_module
from coordflow_mini.muon import Muon, make_optimizer, memory, orthogonalized, restore

WIDE, NARROW = (2, 24, 16), (2, 16, 4)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def conditioned(rows: int, columns: int, smallest: float, seed: int = 0) -> torch.Tensor:
    """Three matrices with singular values from `smallest` to 1, geometric; float64."""
    rank = min(rows, columns)
    left, _ = torch.linalg.qr(torch.randn(3, rows, rank, generator=source(seed), dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(3, columns, rank, generator=source(seed + 1), dtype=torch.float64))
    values = torch.logspace(0, torch.log10(torch.tensor(smallest)).item(), rank, dtype=torch.float64)
    return left * values @ right.mT


# --- orthogonal directions ------------------------------------------------------------------------

sizes = pytest.mark.parametrize(("rows", "columns"), [(16, 16), (40, 9), (9, 40), (64, 48)])


@sizes
@pytest.mark.parametrize("smallest", [1.0, 0.3, 0.03])
def test_singular_values_come_near_one(rows, columns, smallest):
    """Singular values that are not vanishing end between 0.6 and 1.3."""
    values = torch.linalg.svdvals(orthogonalized(conditioned(rows, columns, smallest)))
    assert values.min() > 0.6 and values.max() < 1.3


@sizes
def test_singular_vectors_stay(rows, columns):
    """Uᵀ O V is diagonal and positive: the directions are those of the matrix, only their lengths change."""
    matrices = conditioned(rows, columns, 0.1)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    core = u.mT @ orthogonalized(matrices) @ vh.mT
    diagonal = torch.diagonal(core, dim1=-2, dim2=-1)
    assert (diagonal > 0.5).all()
    torch.testing.assert_close(core, torch.diag_embed(diagonal), atol=1e-9, rtol=0)


def test_orthogonalized_sees_directions_only():
    """Scaling a matrix changes nothing, its transpose gives the transpose, a batch is each one alone."""
    matrices = conditioned(12, 20, 0.1)
    result = orthogonalized(matrices)
    torch.testing.assert_close(orthogonalized(1e-3 * matrices), result, atol=1e-6, rtol=0)
    torch.testing.assert_close(orthogonalized(1e3 * matrices), result, atol=1e-6, rtol=0)
    torch.testing.assert_close(orthogonalized(matrices.mT), result.mT)
    torch.testing.assert_close(orthogonalized(matrices[1]), result[1])


def test_no_gradient_no_direction():
    """Of a zero matrix the direction is zero, not NaN."""
    assert torch.equal(orthogonalized(torch.zeros(2, 12, 20)), torch.zeros(2, 12, 20))


# --- steps ----------------------------------------------------------------------------------------


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    return [nn.Parameter(torch.randn(shape, generator=source(number))) for number, shape in enumerate(shapes)]


def gradients(parameter: nn.Parameter, step: int) -> torch.Tensor:
    """Gradients that change from step to step, and whose numbers differ in size."""
    noise = torch.randn(parameter.shape, generator=source(100 + step))
    return noise * torch.logspace(-3, 1, parameter.shape[-1]) + 0.1 * parameter.detach()


def run(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        for parameter in weights:
            parameter.grad = gradients(parameter, step)
        optimizer.step()


def test_narrow_tensors_follow_adam():
    """Biases and narrow matrices move exactly as under torch.optim.Adam with betas (0.9, 0.99)."""
    ours, theirs = parameters(NARROW, (2, 1, 64)), parameters(NARROW, (2, 1, 64))
    rate = 0.04
    adam = torch.optim.Adam(theirs, rate * optimizer_module._ADAM_SHARE, betas=(0.9, 0.99), eps=1e-8)
    run(Muon(ours, rate), ours, range(25))
    run(adam, theirs, range(25))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("shape", [WIDE, (1, 9, 60), (3, 60, 9)])
def test_a_wide_matrix_moves_in_all_directions_alike(shape):
    """The first step is orthogonal, against the gradient, with a root mean square of about 0.2 · rate."""
    (weights,) = parameters(shape)
    before, gradient = weights.detach().clone(), gradients(weights, 0)
    weights.grad, rate = gradient, 0.05
    Muon([weights], rate).step()
    change = weights.detach() - before
    expected = -0.2 * rate * max(shape[1:]) ** 0.5 * orthogonalized(gradient)
    torch.testing.assert_close(change, expected, atol=1e-6, rtol=1e-4)
    rms = change.square().mean().sqrt()
    assert 0.6 < rms / (0.2 * rate) < 1.3


def test_momentum():
    """Steps remember: after a gradient turns around, the weights go on for a while, then turn too."""
    (weights,) = parameters(WIDE)
    optimizer, direction = Muon([weights], 0.01), torch.randn(WIDE, generator=source(5))
    positions = []
    for step in range(30):
        weights.grad = direction if step < 10 else -0.2 * direction
        optimizer.step()
        positions.append(float((weights.detach() * direction).sum()))
    assert positions[9] < positions[0]
    assert positions[12] < positions[10], "still going"
    assert positions[29] > positions[20], "turned"


def test_layers_do_not_mix():
    """Stacked layers are stepped as if each were alone, however much their gradients differ in size."""
    (both,) = parameters(WIDE)
    alone = [nn.Parameter(both.detach()[[layer]].clone()) for layer in range(2)]
    scale = torch.tensor([1e-3, 1e3])[:, None, None]
    optimizers = [Muon([parameter], 0.02) for parameter in (both, *alone)]
    for step in range(5):
        both.grad = scale * torch.randn(WIDE, generator=source(step))
        for layer in range(2):
            alone[layer].grad = both.grad[[layer]].clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(both[0], alone[0][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(both[1], alone[1][0], atol=1e-5, rtol=0)


def test_state_continues():
    """Saving the state and going on with a copy is going on: the same weights, bit for bit."""
    weights = parameters(WIDE, NARROW)
    optimizer = Muon(weights, 0.03)
    run(optimizer, weights, range(4))
    assert set(optimizer.state) == set(weights)
    copies = [nn.Parameter(parameter.detach().clone()) for parameter in weights]
    resumed = Muon(copies, 0.9)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, weights, range(4, 9))
    run(resumed, copies, range(4, 9))
    assert all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))


def test_what_has_no_gradient_stays():
    """A weight without gradient is not moved and has no state, also if frozen for a while."""
    weights = parameters(WIDE, NARROW, (2, 1, 5))
    before = [parameter.detach().clone() for parameter in weights]
    weights[1].grad = torch.ones(NARROW)
    optimizer = Muon(weights, 0.03)
    optimizer.step()
    assert torch.equal(weights[0], before[0]) and torch.equal(weights[2], before[2])
    assert not torch.equal(weights[1], before[1]) and set(optimizer.state) == {weights[1]}


@pytest.mark.parametrize("shapes", [(WIDE,), (NARROW,), (WIDE, NARROW)])
def test_each_group_has_its_rate(shapes):
    """A learning rate of zero moves nothing, whichever kinds of tensors there are."""
    weights = parameters(*shapes)
    before = [parameter.detach().clone() for parameter in weights]
    optimizer = Muon(weights, 0.5)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    run(optimizer, weights, range(2))
    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_both_optimizers_descend(name):
    """Either brings a least-squares problem from its start to a hundredth of its error."""
    x = torch.randn(64, 24, generator=source(1))
    y = x @ torch.randn(24, 16, generator=source(2)) / 5
    weights = [nn.Parameter(torch.zeros(1, 24, 16)), nn.Parameter(torch.zeros(1, 1, 16))]
    optimizer, errors = make_optimizer(name, weights, 0.05), []
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 150)
        optimizer.zero_grad()
        error = (x @ weights[0] + weights[1] - y).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.01 * errors[0]


def test_an_unknown_optimizer_is_refused():
    """The refusal names what there is and what came."""
    with pytest.raises(ValueError, match="muon or adam, got 'sgd'"):
        make_optimizer("sgd", parameters(WIDE), 0.1)


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_an_optimizer_goes_on_from_its_memory(name):
    """Another one, given the memory, makes the same next step; the memory does not change with either."""
    weights, others = parameters(WIDE, NARROW), parameters(WIDE, NARROW)
    one, other = make_optimizer(name, weights, 0.03), make_optimizer(name, others, 0.03)
    for step in (1, 2):
        for parameter in (*weights, *others):
            parameter.grad = torch.full_like(parameter, float(step))
        one.step()
        if step == 1:
            kept = memory(one)
            restore(other, kept)
            for parameter, trained in zip(others, weights, strict=True):
                parameter.data.copy_(trained)
        else:
            other.step()
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    restore(make_optimizer(name, parameters(WIDE, NARROW), 0.03), kept)


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_the_memory_of_another_optimizer_is_refused(name):
    source, kind = parameters(WIDE, NARROW), {"muon": "adam", "adam": "muon"}[name]
    optimizer = make_optimizer(kind, source, 0.03)
    for parameter in source:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with pytest.raises((ValueError, KeyError)):
        restore(make_optimizer(name, parameters(WIDE, NARROW), 0.03), memory(optimizer))
