"""Layers as the centers of k-means."""

import numpy as np
import torch

from coordflow_mini import loss
from coordflow_mini.course.lesson import figures, owners
from coordflow_mini.model import Blend
from coordflow_mini.video.scenes import cutout


def _pixels():
    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(3, 4, 50, 3, generator=generator)
    logits = torch.randn(3, 4, 50, generator=generator)
    return colors, logits, torch.rand(4, 50, 3, generator=generator)


def test_the_layer_loss_is_the_librarys():
    colors, logits, truth = _pixels()
    alpha = torch.softmax(logits, 0)
    flat = owners.layer_loss(colors.flatten(1, 2), alpha.flatten(1), truth.flatten(0, 1))
    assert torch.allclose(flat, loss.layer_error(Blend(colors, alpha), truth))


def test_the_handover_is_the_gradient():
    colors, logits, truth = _pixels()
    logits = logits.flatten(1).requires_grad_()
    errors = (colors - truth).square().mean(-1).flatten(1)
    (gradient,) = torch.autograd.grad((torch.softmax(logits, 0) * errors).sum(), logits)
    assert torch.allclose(owners.handover(torch.softmax(logits, 0), errors), gradient, atol=1e-6)


def test_no_centers_are_better():
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    alpha = torch.softmax(torch.randn(3, 40, generator=torch.Generator().manual_seed(2)), 0)

    def cost(centers):
        return (alpha * (centers[:, None] - points).square().sum(-1)).sum()

    best = owners.best_centers(points, alpha)
    for step in torch.eye(6).view(6, 3, 2):
        assert cost(best) < min(cost(best + 0.01 * step), cost(best - 0.01 * step))


def test_the_owner_shows_the_pixel_alone():
    colors, logits, _ = _pixels()
    picture, owner = owners.owner_picture(colors, torch.softmax(logits, 0)), logits.argmax(0)
    for layer, region in enumerate(owners.regions(logits)):
        assert torch.equal(picture[region], colors[layer][region])
        assert torch.equal(region, owner == layer)


def test_a_pixel_is_decided_or_not():
    assert owners.decided(torch.tensor([[0.99, 0.6], [0.01, 0.4]])) == 0.5


def test_displacements_are_those_of_the_motions():
    scene = cutout(32, 48)
    moved, mask = owners.displacements(scene, 12, 8), torch.from_numpy(scene.masks[12]).flatten()
    assert moved.shape == (32 * 48, 2)
    assert (
        3 < moved[~mask].mean(0).norm() < 5
    )  # 0.3 units of 24 pixels within 24 frames, faster in the middle
    assert 6 < moved[mask].mean(0).norm() < 9  # twice as far, the other way
    assert (moved[mask].mean(0) @ moved[~mask].mean(0)) < 0


def test_the_trio_has_three_owners():
    video, truth = owners.trio()
    assert video.frames.shape == (24, 32, 48, 3) and truth.shape == (3, 24, 32, 48)
    assert (truth.sum(0) == 1).all()
    assert (truth.mean((2, 3)) > 0.03).all()  # each one is seen in every frame
    background = cutout(64, 96).layers[0].astype(float).reshape(24, 32, 2, 48, 2, 3).mean((2, 4))
    away = np.abs(video.frames - background).max(-1) > 30
    assert (away & ~truth[0]).sum() / (~truth[0]).sum() > 0.7


def test_a_figure_becomes_a_picture():
    figure, _ = figures.axes(alt="nothing", size=(2, 1))
    assert figures.drawn(figure, dpi=50).shape == (50, 100, 3)
