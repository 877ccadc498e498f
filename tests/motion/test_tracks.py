"""Tracks of points: they follow what is really there, and stop where it is lost."""

import numpy as np
import pytest
import torch

from coordflow_mini import similarity
from coordflow_mini.motion.tracks import tracks
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video


@pytest.mark.parametrize(("height", "width"), [(64, 96), (97, 51), (37, 64)])
def test_points_stay_on_what_they_follow(height, width):
    scene = scenes.pan(height, width, 8, seed=1)
    found = tracks(scene.video)
    places = torch.view_as_real(torch.from_numpy(found.points))
    still = similarity.apply(scene.motion[0][None], places).numpy()
    first = found.seen.argmax(1)
    start = still[np.arange(len(still)), first]
    miss = np.linalg.norm(still - start[:, None], axis=-1)[found.seen] * max(height, width) / 2
    assert len(found.points) > 30
    assert np.median(miss) < 0.2  # pixels of the clip
    assert np.quantile(miss, 0.9) < 2


def test_every_track_is_long_enough_and_inside_the_frame():
    found = tracks(scenes.cutout(64, 96, 10, seed=2).video)
    assert (found.seen.sum(1) >= 4).all()
    assert (np.abs(found.points.real) <= 1).all()
    assert (np.abs(found.points.imag) <= 64 / 96).all()
    assert (found.points[~found.seen] == 0).all()


def test_a_track_is_seen_without_gaps():
    seen = tracks(scenes.cutout(64, 96, 10, seed=2).video).seen
    assert (np.abs(np.diff(seen.astype(int), axis=1, prepend=0, append=0)).sum(1) == 2).all()


def test_nothing_is_tracked_where_there_is_no_texture():
    gray = Video(np.full((6, 40, 60, 3), 128, np.uint8), 24)
    assert len(tracks(gray).points) == 0


def test_nothing_is_tracked_across_pictures_that_have_nothing_in_common():
    noise = np.random.default_rng(0).integers(0, 256, (6, 40, 60, 3)).astype(np.uint8)
    assert len(tracks(Video(noise, 24)).points) < 20


def test_one_frame_has_no_tracks_of_four():
    assert tracks(scenes.pan(64, 96, 1).video).seen.shape[1] == 1
