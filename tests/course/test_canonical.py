"""The geometry of canonical pictures."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from coordflow_mini import similarity
from coordflow_mini.coords import frame_times, half_side, pixel_grid
from coordflow_mini.course.lesson import canonical
from coordflow_mini.video import scenes

TRUTH = scenes.pan(height=8, width=12, frames=9).motion[0]
ANYWHERE = torch.tensor([0.4, 2.0, -0.7, 0.3], dtype=torch.float64)


def test_a_motion_in_another_canonical_picture_aligns_exactly():
    elsewhere = similarity.compose(ANYWHERE.expand_as(TRUTH), TRUTH)
    assert torch.allclose(canonical.align(elsewhere, TRUTH), TRUTH, atol=1e-9)
    assert canonical.pixels_apart(elsewhere, TRUTH, 64, 96) < 1e-6


def test_no_other_similarity_aligns_better():
    found = TRUTH + 0.1 * torch.sin(torch.arange(36.0).double()).view(9, 4)
    best = canonical.align(found, TRUTH)
    apply = similarity.apply
    corners = canonical.outline(similarity.identity().double(), 2, 3)

    def error(motion):
        return (apply(motion[:, None], corners) - apply(TRUTH[:, None], corners)).square().sum()

    for channel in range(4):
        for step in (-1e-3, 1e-3):
            nudge = torch.zeros(4, dtype=torch.float64)
            nudge[channel] = step
            assert error(best) < error(similarity.compose(nudge.expand_as(best), best))


def test_pixels_apart_is_a_distance_in_pixels():
    shifts = torch.zeros(4, 4, dtype=torch.float64)
    shifts[:, 2] = torch.tensor([1.0, -1.0, 1.0, -1.0]) / half_side(64, 96)
    assert canonical.pixels_apart(shifts, torch.zeros(4, 4), 64, 96) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(("height", "width"), [(6, 10), (10, 6), (7, 7)])
def test_an_outline_holds_the_pixels_and_no_more(height, width):
    corners = canonical.outline(similarity.identity(), height, width)
    half_pixel = 0.5 / half_side(height, width)
    grid = pixel_grid(height, width)
    assert torch.allclose(corners[0], grid[0] - half_pixel)
    assert torch.allclose(corners[2], grid[-1] + half_pixel)
    x, y = corners.T
    area = 0.5 * (x * y.roll(-1) - y * x.roll(-1)).sum()  # positive: clockwise on a screen, y points down
    assert float(area) == pytest.approx(height * width / half_side(height, width) ** 2)


def test_a_canvas_holds_all_places_and_knows_its_pixels():
    places = torch.tensor([[-0.5, 0.25], [1.0, 0.75]])
    canvas = canonical.Canvas.around(places, unit=8)
    assert (canvas.height, canvas.width) == (4, 12)
    assert canvas.points.shape == (4, 12, 2)
    assert torch.allclose(canvas.pixels(places), torch.tensor([[0.0, 0.0], [12.0, 4.0]]))
    assert torch.allclose(canvas.pixels(canvas.points[2, 5]), torch.tensor([5.5, 2.5]))


def test_an_outline_is_drawn_closed_and_marks_its_first_corner():
    corners = torch.tensor([[4.0, 4.0], [24.0, 4.0], [24.0, 16.0], [4.0, 16.0]])
    drawn = canonical.with_outline(np.full((20, 30, 3), 100, np.uint8), corners)
    white = (drawn == 255).all(-1)
    assert white[4, 10] and white[16, 10] and white[10, 4] and white[10, 24]
    assert not white[10, 14]
    assert white[2:7, 2:7].sum() > 2 * white[2:7, 22:27].sum()


def test_a_flow_that_starts_at_the_identity_reaches_all_its_weights():
    flow = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    canonical.start_at_identity(flow)
    moved = flow(torch.eye(3))
    assert moved.abs().max() < 0.01
    (moved - 1).square().sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in flow.parameters())


def test_gather_evaluates_the_flow_once_per_frame():
    asked = []

    def flow(times):
        asked.append(len(times))
        return TRUTH.float()

    frame, points = torch.tensor([3, 8, 3]), torch.rand(3, 2)
    places = canonical.gather(flow, frame_times(9), frame, points)
    assert asked == [9]
    assert torch.allclose(places[1], similarity.apply(TRUTH[8].float(), points[1]))


def test_the_riddle_has_one_right_run():
    runs = canonical.motion_riddle(TRUTH)
    right = [name for name, run in runs.items() if canonical.pixels_apart(run, TRUTH, 64, 96) < 1e-3]
    assert right == ["B"]
    assert math.isclose(float(runs["B"][0, 1] - TRUTH[0, 1]), 0.25)


def test_the_nearest_similarity_of_a_similarity_is_itself():
    motion = torch.tensor([0.2, 0.5, 0.1, -0.2])
    points = pixel_grid(4, 6)
    found = canonical.nearest(points, similarity.apply(motion, points))
    torch.testing.assert_close(found, motion)
