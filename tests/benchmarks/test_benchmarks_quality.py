"""The comparison with plain networks: their shapes, their files, and the search for their rates."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch

from benchmarks import quality
from benchmarks.rivals import KINDS, FourierNetwork, Settings, Siren, rival
from coordflow_mini.config import ModelConfig
from coordflow_mini.model import CoordFlow, weight_count

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {"Fourier features": Settings("muon", 0.04, 1.0), "SIREN": Settings("adam", 0.001, 30.0)}


@pytest.fixture
def task(clip) -> quality.Task:
    config = ModelConfig(width=12, depth=2, space_frequencies=6, highest_frequency=4.0)
    size = round(weight_count(config) * 6 / 8) + 120
    return quality.Task("cutout", clip, config, size, steps=12, tuning_steps=2, codec_steps=5, codec_rounds=0)


@pytest.mark.parametrize("kind", KINDS)
def test_rivals_have_as_many_weights_as_fit(kind):
    config = ModelConfig()
    network = rival(kind, config, 20_000, 1.0)
    assert 0.97 * 20_000 < network.parameter_count <= 20_000
    blend = network(torch.zeros(1, 5, 2), torch.tensor([-1.0, 0.0, 1.0]))
    assert blend.rgb.shape == (3, 5, 3)


def test_without_spread_fourier_features_are_the_plain_network():
    """The library's own network without layers and motion, when it is given the same weights."""
    config = ModelConfig(motion="none", layers=1, width=16)
    ours, theirs = CoordFlow(config), FourierNetwork(config, 16, 0.0, seed=0)
    with torch.no_grad():
        ours.color.time_weight.copy_(theirs.weights[0][:, 48:])
        ours.color.weights[0].copy_(theirs.weights[0][:, :48])
        for mine, its in zip(list(ours.color.weights)[1:-1], list(theirs.weights)[1:-1], strict=True):
            mine.copy_(its)
        ours.color.weights[-1][..., :3] = theirs.weights[-1]
    points, times = torch.rand(1, 9, 2), torch.tensor([-0.3, 0.9])
    torch.testing.assert_close(ours(points, times).rgb, theirs(points, times).rgb, atol=1e-4, rtol=1e-4)


def test_sirens_layers_keep_their_spread():
    """The point of its initialization: sines of every layer are about equally strong, factor 30 included."""
    siren = Siren(ModelConfig(), 64, 30.0, seed=0)
    inputs = 2 * torch.rand(500, 3) - 1
    hidden = siren.first(inputs, torch.float32)
    for weight, bias in zip(list(siren.weights)[1:-1], list(siren.biases)[1:-1], strict=True):
        hidden = torch.sin(30 * (hidden @ weight[0] + bias[0]))
        assert hidden.std().item() == pytest.approx(math.sqrt(0.5), abs=0.15)


@pytest.mark.parametrize("network", [quality.OURS, *KINDS])
def test_every_network_becomes_a_file_of_its_size(task, network):
    run = quality.measured(task, network, 0, 12, SETTINGS.get(network))
    assert run.bytes == pytest.approx(task.target_bytes, rel=0.3)  # so few steps do not meet it
    assert run.decoded_db > 8 and run.psnr_db > 8


def test_the_search_goes_on_until_the_best_is_inside():
    scores = quality.bracketed(lambda rate: -abs(math.log2(rate / 0.16)), 0.01)
    assert max(scores, key=scores.__getitem__) == 0.16 and max(scores) == 0.32
    scores = quality.bracketed(lambda rate: -abs(math.log2(rate / 0.0025)), 0.01)
    assert max(scores, key=scores.__getitem__) == 0.0025 and min(scores) == 0.00125


def test_tuning_tries_both_optimizers_and_the_factor(task, monkeypatch):
    monkeypatch.setattr(quality, "_PROBE", 2)
    tried = [settings for settings, _ in quality.tune(replace(task, tuning_steps=1), "SIREN")]
    assert {settings.optimizer for settings in tried} == {"adam", "muon"}
    assert len({settings.factor for settings in tried}) >= 3
    *searched, first, second, third = tried
    assert len(set(searched)) == len(searched) and first in searched
    assert first.rate == 2 * second.rate == 4 * third.rate


def test_runs_are_kept_and_tabulated(task, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quality, "task_named", lambda name: task)
    monkeypatch.setattr(quality, "_PROBE", 2)
    monkeypatch.setitem(quality.TUNED, "cutout", SETTINGS)
    path = tmp_path / "runs.jsonl"
    words = ["quality", "--only", "cutout", "--seeds", "1", "--runs", str(path)]
    monkeypatch.setattr(sys, "argv", words)
    assert quality.main() == 0
    assert "| cutout | SIREN |" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    assert quality.main() == 0
    runs = json.loads(capsys.readouterr().out)
    assert [run["network"] for run in runs] == [quality.OURS, *KINDS]
    assert len(path.read_text().splitlines()) == 3
