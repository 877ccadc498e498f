"""The coordinate convention, and batches of random pixels."""

from itertools import pairwise

import pytest
import torch

from coordflow_mini.coords import frame_times, half_side, pixel_grid, pixel_points, point_pixels
from coordflow_mini.draws import key_of
from coordflow_mini.sampling import random_patches, random_pixels

SHAPES = [(64, 96), (96, 64), (5, 5), (1, 1), (7, 1), (1, 7), (23, 31)]  # height, width
shapes = pytest.mark.parametrize(("height", "width"), SHAPES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_clip(time: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (time, height, width, 3), generator=generator(seed), dtype=torch.uint8)


# --- pixels <-> points ----------------------------------------------------------------------------


@shapes
def test_index_to_point_to_index(height, width):
    """Pixel indices -> points -> pixel indices is a no-op, between pixels too."""
    columns = torch.rand(200, generator=generator(1)) * width - 0.5
    rows = torch.rand(200, generator=generator(2)) * height - 0.5
    back = point_pixels(pixel_points(columns, rows, height, width), height, width)
    torch.testing.assert_close(back, (columns, rows), atol=2e-5, rtol=0)


@shapes
def test_corners_of_the_picture(height, width):
    """The outer corners of the corner pixels are at ±w/max(w, h), ±h/max(w, h)."""
    columns = torch.tensor([-0.5, width - 0.5])
    rows = torch.tensor([-0.5, height - 0.5])
    corner = torch.tensor([width, height]) / max(width, height)
    torch.testing.assert_close(pixel_points(columns, rows, height, width), torch.stack([-corner, corner]))


@shapes
def test_coordinates_are_isotropic(height, width):
    """One pixel to the right and one pixel down are equally far: 1 / half_side."""
    zero, one = torch.zeros(()), torch.ones(())
    origin = pixel_points(zero, zero, height, width)
    right = pixel_points(one, zero, height, width) - origin
    down = pixel_points(zero, one, height, width) - origin
    step = 1 / half_side(height, width)
    torch.testing.assert_close(right, torch.tensor([step, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(down, torch.tensor([0.0, step]), atol=1e-6, rtol=0)


def test_portrait_is_landscape_with_axes_swapped():
    """The grid of a transposed picture is the transposed grid with x and y swapped."""
    landscape = pixel_grid(4, 6).view(4, 6, 2)
    portrait = pixel_grid(6, 4).view(6, 4, 2)
    torch.testing.assert_close(portrait, landscape.transpose(0, 1).flip(-1))


# --- grids ----------------------------------------------------------------------------------------


@shapes
def test_the_grid_is_in_reading_order(height, width):
    """Point number row * width + column of the grid is the point of (column, row)."""
    place = torch.arange(height * width)
    expected = pixel_points((place % width).float(), (place // width).float(), height, width)
    torch.testing.assert_close(pixel_grid(height, width), expected)


@shapes
def test_the_grid_is_centered(height, width):
    """The middle of the picture is the origin."""
    torch.testing.assert_close(pixel_grid(height, width).mean(0), torch.zeros(2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_finer_grid_has_the_same_pixels_in_groups(factor):
    """At scale n each pixel becomes n x n pixels whose mean is the old pixel's center."""
    fine = pixel_grid(4, 6, scale=factor).view(4, factor, 6, factor, 2)
    torch.testing.assert_close(fine.mean(dim=(1, 3)).view(-1, 2), pixel_grid(4, 6), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("scale", "rows", "columns"), [(1, 23, 31), (2, 46, 62), (0.5, 12, 16), (1.5, 34, 46), (0.001, 1, 1)]
)
def test_a_grid_at_scale_covers_the_same_area(scale, rows, columns):
    """Any scale: round(scale * side) pixels per side, never none, spread evenly over the same area."""
    points = pixel_grid(23, 31, scale=scale).view(rows, columns, 2)
    corner = torch.tensor([31 / 31, 23 / 31])
    pixel = 2 * corner / torch.tensor([columns, rows])
    torch.testing.assert_close(points[0, 0], pixel / 2 - corner, atol=1e-6, rtol=0)
    torch.testing.assert_close(points[-1, -1], corner - pixel / 2, atol=1e-6, rtol=0)
    if columns > 1:
        torch.testing.assert_close(
            points[0, 1] - points[0, 0], pixel * torch.tensor([1, 0]), atol=1e-6, rtol=0
        )


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [2, 3, 24, 132])
def test_time_runs_from_minus_one_to_one(frames):
    """First frame -1, last frame 1, equal steps, symmetric around the middle."""
    times = frame_times(frames)
    assert times[0] == -1 and times[-1] == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(times.diff(), torch.full((frames - 1,), 2 / (frames - 1)), atol=1e-6, rtol=0)
    torch.testing.assert_close(times, -times.flip(0), atol=1e-6, rtol=0)


def test_a_single_frame_is_at_time_zero():
    """One frame: t = 0."""
    assert frame_times(1).tolist() == [0.0]
    assert frame_times(1, at=torch.tensor([0, 0])).tolist() == [0.0, 0.0]


def test_times_between_frames():
    """A frame index between two frames lies as far between their times."""
    times = frame_times(9)
    between = frame_times(9, at=torch.tensor([2.25, 0.0, 8.0]))
    expected = torch.stack([torch.lerp(times[2], times[3], 0.25), times[0], times[8]])
    torch.testing.assert_close(between, expected)


# --- random pixels --------------------------------------------------------------------------------


@shapes
def test_random_pixels_are_the_clips(height, width):
    """Colors are the clip's at (frame, place), and points are the pixels' points."""
    clip = random_clip(4, height, width)
    batch = random_pixels(clip, 400, key_of(0, 3), torch.arange(4))
    rows, columns = batch.indices // width, batch.indices % width
    expected = clip[batch.frames[:, None], rows, columns].float() / 255
    assert torch.equal(batch.color, expected)
    assert torch.equal(batch.points, pixel_points(columns.float(), rows.float(), height, width))


def test_random_pixels_cover_every_pixel_alike():
    """Each pixel of each frame is drawn equally often: χ² within five sigma of its mean."""
    clip, count = random_clip(3, 6, 9), 3 * 54 * 200
    batch = random_pixels(clip, count, key_of(0, 0), torch.arange(3))
    cells = 3 * 54
    drawn = torch.bincount((batch.frames[:, None] * 54 + batch.indices).flatten(), minlength=cells)
    chi_squared = ((drawn - count / cells) ** 2 / (count / cells)).sum()
    degrees = cells - 3  # each frame's total is fixed
    assert abs(chi_squared - degrees) < 5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize(
    ("count", "frames", "share"), [(1000, 10, 100), (1005, 10, 100), (3, 10, 1), (1, 1, 1)]
)
def test_every_frame_gives_an_equal_share(count, frames, share):
    """A batch has one row per frame, of count // frames pixels but at least one."""
    batch = random_pixels(random_clip(frames, 4, 5), count, key_of(0, 0), torch.arange(frames))
    assert batch.frames.tolist() == list(range(frames))
    assert batch.indices.shape == (frames, share) and batch.points.shape == (frames, share, 2)


def test_pixels_come_from_the_chosen_frames_only():
    """frames: the rows are these frames, in this order."""
    batch = random_pixels(random_clip(8, 4, 5), 60, key_of(0, 0), torch.tensor([5, 1, 2]))
    assert batch.frames.tolist() == [5, 1, 2]


def test_many_frames_are_drawn_evenly():
    """Of very many frames a batch takes one of each of 128 equal parts, and in time all of them."""
    clip, wanted = random_clip(300, 1, 2), torch.arange(10, 300)
    seen = set()
    for step in range(60):
        frames = random_pixels(clip, 8192, key_of(0, step), wanted).frames.tolist()
        assert len(frames) == 128 and all(a <= b for a, b in pairwise(frames))
        parts = [(frame - 10) * 128 / 290 for frame in frames]
        assert all(row - 1 < part < row + 1 for row, part in enumerate(parts))
        seen |= set(frames)
    assert seen == set(range(10, 300))


def test_seed_and_step_decide_alone():
    """The same seed and step draw the same batch, the next step and another seed do not."""
    clip, frames = random_clip(3, 8, 8), torch.arange(3)
    first, same, later, other = (
        random_pixels(clip, 96, key_of(*of), frames).indices for of in ((5, 0), (5, 0), (5, 1), (6, 0))
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, later) and not torch.equal(first, other)


# --- random patches -------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(20, 30), (8, 30), (30, 8), (8, 8), (3, 5)])
def test_patches_are_cut_out_of_the_clip(height, width):
    """A patch is a whole rectangle of one frame, its colors are the clip's at its points."""
    clip = random_clip(6, height, width)
    patch = random_patches(clip, key_of(0, 0), torch.tensor([4, 1]), count=9, side=8)
    assert (patch.height, patch.width) == (min(8, height), min(8, width))
    assert set(patch.frames.tolist()) <= {1, 4}
    columns, rows = point_pixels(patch.points, height, width)
    columns, rows = (index.round().long().view(9, patch.height, patch.width) for index in (columns, rows))
    assert (columns.diff(dim=2) == 1).all() and (rows.diff(dim=1) == 1).all()
    assert (columns.diff(dim=1) == 0).all() and (rows.diff(dim=2) == 0).all()
    expected = clip[patch.frames[:, None, None], rows, columns].float() / 255
    assert torch.equal(patch.color.view_as(expected), expected)


def test_patches_reach_every_place():
    """Patches start at every place at which they fit, first and last included."""
    clip = random_clip(2, 5, 6)
    patch = random_patches(clip, key_of(0, 0), torch.arange(2), count=600, side=4)
    columns, rows = point_pixels(patch.points[:, 0], 5, 6)
    starts = {(round(c), round(r)) for c, r in zip(columns.tolist(), rows.tolist(), strict=True)}
    assert starts == {(c, r) for c in range(3) for r in range(2)}
    assert set(patch.frames.tolist()) == {0, 1}
