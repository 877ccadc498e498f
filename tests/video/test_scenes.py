"""Generated scenes keep their promises about the truth."""

import numpy as np
import pytest
import torch

from coordflow_mini import coords, similarity
from coordflow_mini.config import Selection
from coordflow_mini.video import scenes
from coordflow_mini.video.raw import VideoError
from coordflow_mini.video.read import load


def warped(picture: np.ndarray, source: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """`picture`, a layer in the source frame, as the target frame must show it; and where that is known."""
    height, width, _ = picture.shape
    canonical = similarity.apply(target, coords.pixel_grid(height, width).double())
    points = similarity.apply(similarity.inverse(source), canonical)
    size = torch.tensor([width, height]) / (2 * coords.half_side(height, width))
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].double()
    grid = (points / size).reshape(1, height, width, 2)
    moved = torch.nn.functional.grid_sample(image, grid, align_corners=False)[0].permute(1, 2, 0)
    inside = (points.abs() < size - 1 / coords.half_side(height, width)).all(-1)
    return moved.numpy(), inside.reshape(height, width).numpy()


@pytest.mark.parametrize("layer", [0, 1])
def test_motion_carries_one_frame_of_a_layer_onto_another(layer: int) -> None:
    scene = scenes.cutout(120, 160, 9, seed=1)
    first, last = (scene.layers[layer, frame] for frame in (2, 6))
    moved, known = warped(first, scene.motion[layer, 2], scene.motion[layer, 6])
    error = np.abs(moved - last)[known]
    assert known.mean() > 0.4
    assert error.mean() < 4  # interpolation blurs edges
    still = np.abs(first.astype(float) - last)[known]
    assert error.mean() < still.mean() / 5  # the layer did move


def test_the_same_point_of_a_layer_has_the_same_color_in_any_frame_and_at_any_size() -> None:
    small, large = scenes.cutout(48, 64, 3, seed=2), scenes.cutout(144, 192, 3, seed=2)
    torch.testing.assert_close(small.motion, large.motion)
    shrunk = large.layers.reshape(2, 3, 48, 3, 64, 3, 3).mean((3, 5))
    assert np.abs(shrunk - small.layers).mean() < 4


@pytest.mark.parametrize("seed", range(3))
def test_masks_and_layers_make_the_video_but_for_soft_edges(seed: int) -> None:
    scene = scenes.cutout(seed=seed)
    background, foreground = scene.layers
    composed = np.where(scene.masks[..., None], foreground, background)
    differs = (composed != scene.video.frames).any(-1)
    edge = grown(~scene.masks) & grown(scene.masks)
    assert (differs & ~edge).mean() < 1e-4  # the bottom of a notch thinner than a pixel
    assert 0 < differs.mean() < 0.1
    assert 0.05 < scene.masks.mean() < 0.4


def grown(masks: np.ndarray) -> np.ndarray:
    """True within two pixels of a True one."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(masks, ((0, 0), (2, 2), (2, 2))), (5, 5), (1, 2)
    )
    return windows.any((-1, -2))


def test_layers_move_as_much_as_the_constants_say_and_in_opposite_ways() -> None:
    for seed in range(4):
        background, foreground = scenes.cutout(8, 12, 5, seed).motion
        content = similarity.inverse(torch.stack([background, foreground]))  # canonical -> frame
        scale, turn = (content[:, -1] - content[:, 0])[:, 0], (content[:, -1] - content[:, 0])[:, 1]
        assert scale.abs().exp().tolist() == pytest.approx([scenes.ZOOM, scenes.GROW])
        assert turn.abs().rad2deg().tolist() == pytest.approx([scenes.TURN, scenes.SPIN])
        assert (scale[0] * scale[1] < 0) and (turn[0] * turn[1] < 0)
        shift = content[:, -1, 2:] - content[:, 0, 2:]
        assert (shift[0] * shift[1]).sum() < 0


def test_seeds_decide_everything() -> None:
    one, again, other = scenes.cutout(seed=3), scenes.cutout(seed=3), scenes.cutout(seed=4)
    assert np.array_equal(one.video.frames, again.video.frames)
    assert torch.equal(one.motion, again.motion)
    assert np.abs(one.video.frames.astype(int) - other.video.frames).mean() > 20
    assert not torch.allclose(one.motion, other.motion)


def test_pan_is_the_background_of_cutout() -> None:
    pan, cutout = scenes.pan(seed=5), scenes.cutout(seed=5)
    assert np.array_equal(pan.video.frames, cutout.layers[0])
    assert np.array_equal(pan.layers[0], pan.video.frames)
    assert pan.motion.shape == (1, 24, 4) and not pan.masks.any()


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 5, 1), (96, 33, 2), (20, 300, 1)])
def test_any_size_and_length(size: tuple[int, int, int]) -> None:
    scene = scenes.cutout(*size)
    height, width, frames = size
    assert scene.video.frames.shape == (frames, height, width, 3)
    assert scene.layers.shape == (2, frames, height, width, 3)
    assert scene.masks.shape == (frames, height, width)
    assert scene.motion.shape == (2, frames, 4) and scene.motion.dtype == torch.float64


def test_a_scene_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1x1 pixels"):
        scenes.cutout(3, 0, 1)


def test_load_selects_frames_and_draws_at_the_size() -> None:
    whole = load("clip:cutout:7")
    part = load("clip:cutout:7", Selection(3, 20, 4))
    assert np.array_equal(part.frames, whole.frames[3:20:4])
    assert part.selection == Selection(3, 20, 4, 96, 64) and part.fps == whole.fps / 4
    assert (whole.name, whole.time, whole.fps) == ("clip:cutout:7", 24, 24)
    drawn = load("clip:cutout", Selection(0, 2, 1, 48, 72))
    assert drawn.frames.shape == (2, 72, 48, 3)
    assert np.array_equal(drawn.frames, scenes.cutout(72, 48).video.frames[:2])


def test_scene_by_name_is_load_with_truth() -> None:
    selection = Selection(1, 9, 3, 60, 40)
    scene = scenes.scene("clip:cutout:2", selection)
    assert np.array_equal(scene.video.frames, load("clip:cutout:2", selection).frames)
    assert scene.video.selection == selection
    whole = scenes.cutout(40, 60, seed=2)
    assert torch.equal(scene.motion, whole.motion[:, 1:9:3])
    assert np.array_equal(scene.masks, whole.masks[1:9:3])


@pytest.mark.parametrize("selection", [Selection(0, 25), Selection(24, None), Selection(30, 40)])
def test_frames_out_of_a_scene(selection: Selection) -> None:
    with pytest.raises(VideoError, match="it has 24 frames"):
        load("clip:pan", selection)
