"""The study of training variants: its default is the library's fit, and every part runs on a tiny scene."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import learning
from benchmarks.variants import ImportantDraws, Training, TrainingSettings, available, rate_share
from coordflow_mini.config import FitConfig
from coordflow_mini.ops.run import fit
from coordflow_mini.video.clip import Video

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(clip, small_model) -> learning.Task:
    return learning.Task("tiny", clip, small_model)


def test_the_default_recipe_is_the_librarys_fit(task):
    """Same seed, same steps, same pictures: a change is measured against what the library does."""
    steps = 24
    ours = learning.trained(task, TrainingSettings(batch=(512, 512)), steps, seed=3)
    config = FitConfig(steps=steps, batch=512, warm_up=6, grow=6, static=14, seed=3)
    theirs = fit(task.video, task.model, config).model
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("variant", learning.VARIANTS)
def test_every_variant_trains(task, variant):
    settings = replace(learning.DEFAULT, **learning.VARIANTS[variant])
    if not available(settings):
        pytest.skip(f"the package for {settings.optimizer} is not installed")
    small = replace(settings, batch=tuple(size // 32 for size in settings.batch))
    model = learning.trained(task, small, steps=6, seed=0)
    psnr_db, iou = learning.quality(task, model)
    assert np.isfinite(psnr_db) and iou is None


def test_no_two_variants_are_the_same():
    """Different names mean different settings; the first is the reference."""
    settings = [replace(learning.DEFAULT, **changes) for changes in learning.VARIANTS.values()]
    assert len(set(settings)) == len(settings)
    assert settings[0] == TrainingSettings()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "trapezoid"])
def test_schedules_fall_from_one_to_zero(schedule):
    rates = [rate_share(schedule, part) for part in np.linspace(0, 1, 11)]
    assert rates[0] == 1 and abs(rates[-1]) < 1e-9 and rates == sorted(rates, reverse=True)


def test_the_batch_grows_by_powers_of_two(task):
    training = Training(task.video, task.model, TrainingSettings(batch=(64, 256)), steps=9)
    sizes = []
    for training.step in range(9):
        sizes.append(training._batch())
    assert sizes[0] == 64 and sizes[-1] == 256 and set(sizes) == {64, 128, 256}


def test_important_pixels_are_drawn_more_often_and_weighted_less():
    frames = np.full((2, 20, 28, 3), 128, np.uint8)
    frames[:, :8, :8] = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3))
    draws = ImportantDraws(Video(frames), 0, TrainingSettings(importance="gradient", reweight=True))
    batch, weight = draws.draw(20_000, reach=1.0)
    busy = (batch.indices // 28 < 8) & (batch.indices % 28 < 8)
    assert busy.float().mean() > 2 * 64 / 560
    assert weight is not None and float(weight.mean()) == pytest.approx(1, abs=0.05)
    assert (weight * busy).mean() == pytest.approx(64 / 560, rel=0.15)  # unbiased, whatever was drawn
    first = batch.color[0, 0] * 255
    assert first.round().to(torch.uint8).tolist() == frames[0].reshape(-1, 3)[batch.indices[0, 0]].tolist()


def test_blocks_remember_their_error(clip):
    draws = ImportantDraws(clip, 0, TrainingSettings(importance="error"))
    batch, weight = draws.draw(4000, reach=1.0)
    draws.learn(batch, torch.zeros_like(batch.indices, dtype=torch.float32))
    assert weight is None
    assert float(draws.value.max()) < 1


def test_runs_are_kept_and_tabulated(task, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learning, "task_named", lambda name: task)
    monkeypatch.setattr(learning, "_PROBE", 2)
    path = tmp_path / "runs.jsonl"
    words = ["learning", "--seeds", "1", "--seconds", "0.02", "--clips", "tiny", "--runs", str(path)]
    words += ["--only", "default", "--only", "Muon 0.02"]
    monkeypatch.setattr(sys, "argv", words)
    assert learning.main() == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("variant") for line in lines] == [None, "default", "Muon 0.02"]
    assert learning.main() == 0
    assert len(path.read_text().splitlines()) == 3  # nothing was run twice
    assert "| Muon 0.02 |" in capsys.readouterr().out


def test_clips_of_ones_own_are_scaled(clip, tmp_path):
    from coordflow_mini.video.write import write

    source = Video(np.repeat(clip.frames, 10, axis=0)[:55].copy())
    write(tmp_path / "own.y4m", source.frames, source.fps)
    task = learning.task_named(f"{tmp_path / 'own.y4m'}@3")
    assert task.name == "own" and task.video.frames.shape == (48, 120, 160, 3)
