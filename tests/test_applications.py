"""Layers taken apart and asked elsewhere, against what the model itself renders."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from coordflow_mini import applications, similarity
from coordflow_mini.config import FitConfig, ModelConfig, Selection
from coordflow_mini.coords import frame_times, pixel_points
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.run import fit
from coordflow_mini.render import Rendering, render
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video


@pytest.fixture(scope="module")
def model(one_thread) -> CoordFlow:
    model = CoordFlow(ModelConfig(layers=3, width=8, depth=1), torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    torch.nn.init.normal_(model.color.time_weight)  # so that it moves
    return model


@pytest.fixture(scope="module")
def like() -> Video:
    return Video(np.zeros((5, 6, 8, 3), np.uint8), Fraction(30), "black")


@pytest.fixture(scope="module")
def rendering(model, like) -> Rendering:
    return render(model, frame_times(like.time), like.height, like.width)


def test_every_pixel_belongs_to_the_layer_with_the_largest_alpha(rendering):
    masks = applications.masks(rendering)
    assert masks.dtype == bool and masks.shape == (3, 5, 6, 8)
    assert (masks.sum(axis=0) == 1).all()
    alpha = rendering.alpha.numpy()
    assert (alpha.max(axis=0) == (alpha * masks).sum(axis=0)).all()


def test_of_equal_alphas_the_first_layer_wins(rendering):
    even = Rendering(rendering.rgb, rendering.layer_rgb, torch.full_like(rendering.alpha, 1 / 3))
    assert applications.masks(even)[0].all()


def test_there_is_no_other_layer(model, like):
    for layer in (-1, 3):
        with pytest.raises(ValueError, match="layer must be 0 to 2"):
            applications.stabilize(model, layer, like)


def test_at_its_own_scale_nothing_changes(model, like, rendering):
    np.testing.assert_array_equal(applications.upscale(model, 1, like).frames, rendering.rgb)


def test_an_odd_scale_keeps_the_old_pixels(model, like, rendering):
    """At three times the size, the middle of each block of 3x3 lies where the old pixel was."""
    large = applications.upscale(model, 3, like).frames
    assert large.shape == (5, 18, 24, 3)
    np.testing.assert_allclose(large[:, 1::3, 1::3].astype(int), rendering.rgb, atol=1)


def test_twice_the_frames_contain_the_old_ones(model, like, rendering):
    slow = applications.interpolate(model, 2, like)
    assert slow.frames.shape == (9, 6, 8, 3) and slow.fps == 60
    np.testing.assert_allclose(slow.frames[::2].astype(int), rendering.rgb, atol=1)
    assert (slow.frames[1::2] != slow.frames[:-1:2]).any(), "the frames between are no copies"


# --- on a clip whose truth is known -------------------------------------------------------------------

QUICK = FitConfig(steps=500, batch=2048)


@pytest.fixture(scope="module")
def scene(one_thread) -> scenes.Scene:
    return scenes.cutout(32, 48, 12)


@pytest.fixture(scope="module")
def panning(one_thread) -> tuple[scenes.Scene, CoordFlow]:
    scene = scenes.pan(32, 48, 12)
    return scene, fit(scene.video, ModelConfig(layers=1, width=24, highest_frequency=6.0), QUICK).model


def psnr_where(where, pictures, truth) -> float:
    """PSNR of the pixels of a mask [dB]."""
    difference = (pictures.astype(float) - truth)[where] / 255
    return float(-10 * np.log10((difference**2).mean()))


def test_segment_is_the_masks_of_all_frames(model, like, rendering):
    np.testing.assert_array_equal(applications.segment(model, like), applications.masks(rendering))


def test_the_background_is_the_layer_with_most_of_the_picture():
    found = np.zeros((3, 2, 4, 4), bool)
    found[0, :, :1], found[2, :, 1:3], found[1, :, 3:] = True, True, True
    assert applications.background(found) == 2


@pytest.mark.parametrize("pixels", [0, 1, 3, 50])
def test_a_mask_grows_by_so_many_pixels_across_and_down(pixels):
    found = np.random.default_rng(0).random((2, 7, 9)) < 0.03
    expected = np.zeros_like(found)
    for frame, row, column in np.argwhere(found):
        top, left = max(0, row - pixels), max(0, column - pixels)
        expected[frame, top : row + pixels + 1, left : column + pixels + 1] = True
    np.testing.assert_array_equal(applications.grown(found, pixels), expected)


def test_every_picture_is_counted(model, like):
    counts = []

    def counted(items, total):
        counts.append([total, 0])
        for item in items:
            counts[-1][1] += 1
            yield item

    few = FitConfig(steps=1, batch=64)
    applications.segment(model, like, counted=counted)
    applications.upscale(model, 2, like, counted=counted)
    applications.interpolate(model, 2, like, counted=counted)
    applications.stabilize(model, 0, like, counted=counted)
    applications.denoise(like, config=few, counted=counted)
    applications.inpaint(like, np.arange(8) + 0 * like.frames[..., 0] > 4, config=few, counted=counted)
    assert counts == [[5, 5], [5, 5], [9, 9], [5, 5], [5, 5], [5, 5]]


def test_holes_are_filled_with_what_other_frames_show_there(scene):
    """The flower is removed: what the background is behind it is known."""
    filled = applications.inpaint(scene.video, scene.masks, config=QUICK)
    kept = ~scene.masks
    np.testing.assert_array_equal(filled.frames[kept], scene.video.frames[kept])
    unmoved = np.ma.array(scene.video.frames, mask=np.repeat(scene.masks[..., None], 3, axis=-1))
    median = np.broadcast_to(np.ma.median(unmoved, axis=0).filled(127), scene.video.frames.shape)
    truth = scene.layers[0]
    ours, theirs = (psnr_where(scene.masks, pictures, truth) for pictures in (filled.frames, median))
    assert ours > 20 and ours > theirs + 4, f"{ours:.1f} dB, median over time {theirs:.1f} dB"
    assert filled.fps == scene.video.fps and filled.selection == scene.video.selection


def test_what_is_under_a_hole_cannot_be_seen_in_the_result(scene):
    """Two clips that differ in their holes only are filled alike."""
    few = FitConfig(steps=5, batch=256)
    other = scene.video.frames.copy()
    other[scene.masks] = 255 - other[scene.masks]
    a, b = (
        applications.inpaint(clip, scene.masks, config=few)
        for clip in (scene.video, replace(scene.video, frames=other))
    )
    np.testing.assert_array_equal(a.frames, b.frames)


@pytest.mark.parametrize(
    ("holes", "message"),
    [
        (np.zeros((1, 2, 3), bool), r"\[time, height, width\] = \(12, 32, 48\), got bool \(1, 2, 3\)"),
        (np.zeros((12, 32, 48)), "must be bool .* got float64"),
        (np.ones((12, 32, 48), bool), "nothing is left to learn from"),
    ],
)
def test_other_holes_are_refused(scene, holes, message):
    with pytest.raises(ValueError, match=message):
        applications.inpaint(scene.video, holes)


def test_noise_is_not_remembered(scene):
    noise = np.random.default_rng(0).normal(0, 30, scene.video.frames.shape)
    noisy = np.clip(scene.video.frames + noise, 0, 255).astype(np.uint8)
    clean = applications.denoise(replace(scene.video, frames=noisy), config=QUICK)
    before, after = (psnr_db(scene.video.frames, frames) for frames in (noisy, clean.frames))
    assert after > before + 4, f"{before:.1f} dB before, {after:.1f} dB after"


def test_a_stabilized_layer_stands_still(panning):
    """The true motion of what is shown, in the stabilized picture, is that of the middle frame, always."""
    scene, model = panning
    times = frame_times(scene.video.time)
    stable = applications.stabilizing(model, 0, times)
    truth = scene.motion[0].float()
    corners = pixel_points(torch.tensor([4.0, 43.0]), torch.tensor([4.0, 27.0]), 32, 48)
    before = similarity.apply(truth[:, None], corners)
    after = similarity.apply(similarity.compose(truth, stable)[:, None], corners)
    moved, residual = ((points - points[6]).norm(dim=-1).max() * 24 for points in (before, after))
    assert moved > 5 and residual < 0.5, f"{moved:.2f} pixels before, {residual:.2f} after"


def test_stabilized_frames_look_like_the_middle_one_where_they_were_seen(panning):
    scene, model = panning
    steady = applications.stabilize(model, 0, scene.video)
    assert steady.seen[6].all() and not steady.seen[0].all()
    middle = np.broadcast_to(scene.video.frames[6], scene.video.frames.shape)
    before = psnr_where(steady.seen, scene.video.frames, middle)
    after = psnr_where(steady.seen, steady.video.frames, middle)
    assert after > before + 6, f"{before:.1f} dB, {after:.1f} dB"
    rows, columns = steady.crop
    assert steady.seen[:, rows, columns].all() and columns.stop - columns.start > 24
    assert not steady.seen[:, rows.start - 1 : rows.stop + 1, columns.start - 2 : columns.stop + 2].all()


def test_a_large_frame_is_stabilized_in_bands(model, like, monkeypatch):
    """Whole or row by row, what is shown and what was seen is the same."""
    whole = applications.stabilize(model, 1, like)
    asked, still = [], applications.still
    monkeypatch.setattr("coordflow_mini.render._BAND", 1)
    monkeypatch.setattr(applications, "still", lambda *given: asked.append(len(given[1])) or still(*given))
    banded = applications.stabilize(model, 1, like)
    assert asked == [like.width] * (like.time * like.height)
    np.testing.assert_array_equal(banded.seen, whole.seen)
    np.testing.assert_allclose(banded.video.frames.astype(int), whole.video.frames, atol=1)


def test_the_extent_of_a_clip_is_enough(model, like, rendering):
    """A file's clip need not be made to ask its model, and what comes of it says where it is from."""
    part = Selection(3, 8, 1, 8, 6)
    extent = applications.Extent(5, 6, 8, Fraction(24), "file", part, "bt709")
    np.testing.assert_array_equal(applications.segment(model, extent), applications.masks(rendering))
    np.testing.assert_array_equal(applications.upscale(model, 1, extent).frames, rendering.rgb)
    steady = applications.stabilize(model, 0, extent).video
    assert (steady.fps, steady.selection, steady.matrix) == (24, part, "bt709")
    np.testing.assert_array_equal(steady.frames, applications.stabilize(model, 0, like).video.frames)


def test_where_no_pixel_is_always_seen_nothing_is_left_to_crop(like):
    seen = np.zeros((2, 6, 8), bool)
    seen[0, :, :3], seen[1, :, 5:] = True, True
    rows, columns = applications.Stabilized(like, seen).crop
    assert like.frames[:, rows, columns].size == 0


def test_a_layer_that_is_not_there_cannot_be_held_still(model, like):
    with pytest.raises(ValueError, match="layer must be 0 to 2, got 3"):
        applications.stabilize(model, 3, like)
