"""Similarity transforms: the laws of their group, with 3x3 matrices and autograd as judges."""

import math

import pytest
import torch

from coordflow_mini import similarity


def transforms(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random transforms [*shape, 4] in float64, angles in (-π, π)."""
    values = torch.rand(*shape, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    return values * torch.tensor([1.0, math.pi, 2.0, 2.0], dtype=torch.float64)


def points(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, atol=1e-12, rtol=1e-12)


def test_the_inverse_undoes():
    """inverse ∘ apply = apply ∘ inverse = identity."""
    t, p = transforms(50), points(50)
    close(similarity.apply(similarity.inverse(t), similarity.apply(t, p)), p)
    close(similarity.apply(t, similarity.apply(similarity.inverse(t), p)), p)
    close(similarity.inverse(similarity.inverse(t)), t)


def test_identity_moves_nothing():
    """The zero vector is the neutral element."""
    t, p, identity = transforms(5), points(5), similarity.identity(5)
    assert identity.shape == (5, 4) and not identity.any()
    close(similarity.apply(identity.double(), p), p)
    close(similarity.compose(identity, t), t)
    close(similarity.compose(t, identity), t)
    close(similarity.compose(similarity.inverse(t), t), identity.double())


def test_composition_is_one_after_the_other():
    """apply(compose(a, b), p) = apply(a, apply(b, p)), and composition is associative."""
    a, b, c, p = transforms(40, seed=1), transforms(40, seed=2), transforms(40, seed=3), points(40)
    close(similarity.apply(similarity.compose(a, b), p), similarity.apply(a, similarity.apply(b, p)))
    left = similarity.compose(similarity.compose(a, b), c)
    close(left, similarity.compose(a, similarity.compose(b, c)))


def test_composition_is_the_matrix_product():
    """matrix(compose(a, b)) = matrix(a) @ matrix(b), matrix(inverse(a)) = matrix(a)⁻¹."""
    a, b = transforms(4, 10, seed=1), transforms(4, 10, seed=2)
    close(similarity.matrix(similarity.compose(a, b)), similarity.matrix(a) @ similarity.matrix(b))
    close(similarity.matrix(similarity.inverse(a)), torch.linalg.inv(similarity.matrix(a)))


def test_apply_is_the_matrix_on_homogeneous_points():
    """apply(t, p) = matrix(t) (x, y, 1)."""
    t, p = transforms(30), points(30)
    homogeneous = torch.cat([p, torch.ones(30, 1, dtype=p.dtype)], dim=-1)
    product = (similarity.matrix(t) @ homogeneous[..., None])[..., 0]
    close(similarity.apply(t, p), product[..., :2])
    close(product[..., 2], torch.ones_like(product[..., 2]))


def test_shapes_stay_similar():
    """Distances grow by exactly s and angles stay: that is what makes it a similarity."""
    t, p, q = transforms(30), points(30, seed=1), points(30, seed=2)
    scale = t[:, 0].exp()
    moved_p, moved_q = similarity.apply(t, p), similarity.apply(t, q)
    close((moved_p - moved_q).norm(dim=-1), scale * (p - q).norm(dim=-1))
    origin = similarity.apply(t, torch.zeros_like(p))
    dot = ((moved_p - origin) * (moved_q - origin)).sum(-1)
    close(dot, scale**2 * (p * q).sum(-1))


def test_a_positive_angle_turns_x_towards_y():
    """With y pointing down: to the right becomes down, scaled by e^(log s), then shifted."""
    quarter = torch.tensor([math.log(2), math.pi / 2, 10.0, 20.0], dtype=torch.float64)
    right = torch.tensor([1.0, 0.0], dtype=torch.float64)
    close(similarity.apply(quarter, right), torch.tensor([10.0, 22.0], dtype=torch.float64))


def test_broadcasting():
    """[layers, times, 1, 4] on [times, pixels, 2] equals one transform on one point at a time."""
    t, p = transforms(2, 3), points(3, 5)
    moved = similarity.apply(t[:, :, None], p)
    assert moved.shape == (2, 3, 5, 2)
    for layer, time, pixel in [(0, 0, 0), (1, 2, 4), (0, 1, 3)]:
        close(moved[layer, time, pixel], similarity.apply(t[layer, time], p[time, pixel]))


@pytest.mark.parametrize(
    "function",
    [
        lambda t: similarity.apply(t, points(6)),
        lambda t: similarity.apply(transforms(6), t[:, :2]),
        lambda t: similarity.compose(t, transforms(6, seed=4)),
        lambda t: similarity.compose(transforms(6, seed=4), t),
        similarity.inverse,
        similarity.matrix,
    ],
    ids=[
        "apply, transform",
        "apply, points",
        "compose, after",
        "compose, before",
        "inverse",
        "matrix",
    ],
)
def test_gradients(function):
    """The gradient that autograd finds is the one that finite differences find."""
    assert torch.autograd.gradcheck(function, transforms(6, seed=5).requires_grad_())
