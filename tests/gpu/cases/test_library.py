"""Every path of the library on a GPU, with real values: nothing is left behind on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import coordflow_mini as cf
from coordflow_mini import applications, decoder
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.coords import frame_times
from coordflow_mini.encoder import compress
from coordflow_mini.measure.evaluate import evaluate
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.ops.run import finetune, fit
from coordflow_mini.render import render, render_frames
from coordflow_mini.sweeps.budget import steps_within
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

MODEL = ModelConfig(width=10, depth=2, space_frequencies=6, highest_frequency=4.0, flow_width=9)
SHORT = FitConfig(steps=55, batch=256, warm_up=10, grow=20, static=30)
CODEC = CodecConfig(steps=20, rounds=1, choose_width=False)
RECIPE = Recipe(model=MODEL, fit=SHORT, codec=CODEC)


@pytest.fixture(scope="session")
def clip() -> Video:
    return scenes.cutout(16, 24, 8).video


@pytest.fixture(scope="session")
def coded(clip, gpu):
    return compress(clip, RECIPE, device=gpu)


@pytest.fixture(scope="session")
def model(coded, gpu) -> CoordFlow:
    return decoder.read_model(coded.data)[1].to(gpu)


def psnr(result) -> float:
    return result.history[-1].psnr_db


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adam"},
        {"ms_ssim": 0.1, "steps": 3},
        {"absolute": 0.1},
        {"starts": 2, "start_steps": 10},
        {"gamma": 0.0},
    ],
    ids=str,
)
def test_a_fit_learns(options, clip, gpu):
    """All pixels are drawn alike on all devices, and float32 is computed alike: so weights are the same."""
    config = replace(SHORT, **options)
    there = fit(clip, MODEL, config, device=gpu)
    assert there.model.device.type == "cuda" and psnr(there) > 5
    assert abs(psnr(there) - psnr(fit(clip, MODEL, config))) < 0.5


def test_a_fit_that_runs_away_is_caught_and_slowed(clip, gpu, caplog):
    found = fit(clip, MODEL, replace(SHORT, learning_rate=9.9), device=gpu)
    assert "diverged" in caplog.text and 5 < psnr(found) < 50


@pytest.mark.parametrize("place", ["host", "cuda"])
def test_weights_count_wherever_they_lie(place, clip, gpu):
    weights = torch.ones(clip.frames.shape[:3])
    weights = weights.numpy() if place == "host" else weights.to(place)
    assert psnr(fit(clip, MODEL, SHORT, weights=weights, device=gpu)) > 5


def test_some_frames_are_enough(clip, gpu):
    assert psnr(fit(clip, MODEL, SHORT, frames=range(0, 8, 2), device=gpu)) > 5


def test_listeners_may_render(clip, gpu):
    seen = []
    fit(
        clip,
        MODEL,
        SHORT,
        device=gpu,
        on_step=lambda p: seen.append(render(p.model, torch.zeros(1), 8, 12).rgb),
    )
    assert len(seen) == 2 and all(picture.device.type == "cpu" for picture in seen)


def test_a_model_without_motion_trains(clip, gpu):
    assert psnr(fit(clip, replace(MODEL, motion="none", layers=1), SHORT, device=gpu)) > 5


@pytest.mark.parametrize("device", [None, "cuda", "cpu"])
def test_fine_tuning_takes_the_model_to_its_device(device, clip, gpu):
    """Of a fit that was taken to the CPU in between, too, as chapter 08 does."""
    start = fit(clip, MODEL, replace(SHORT, steps=10), device=gpu)
    if device == "cuda":
        start.model.cpu()
    tuned = finetune(start, clip, CODEC, 3000, lambda tensors: 3000, device=device)
    assert start.model.device.type == (device or "cuda") and psnr(tuned) > 5


# --- files ----------------------------------------------------------------------------------------


def test_a_file_keeps_to_its_rate(coded):
    assert coded.psnr_db > 9 and 0.9 * coded.target_bytes < len(coded.data) <= coded.target_bytes


def test_segments_are_encoded_and_decoded(clip, gpu):
    brief = replace(RECIPE, segment_frames=4, codec=replace(CODEC, steps=5, rounds=0, bits_per_weight=7))
    data = cf.encode(clip, brief, device=gpu)
    assert cf.decode(data, device=gpu).frames.shape == clip.frames.shape


@pytest.mark.parametrize("stop", [3])
def test_a_killed_encode_goes_on_with_the_same_bytes(stop, clip, coded, gpu, tmp_path):
    seen = []

    def kill(progress):
        seen.append(progress)
        if len(seen) == stop:
            raise EOFError

    keep = Checkpoint(tmp_path / "c", every=0)
    with pytest.raises(EOFError):
        compress(clip, RECIPE, device=gpu, checkpoint=keep, on_step=kill)
    again = compress(clip, RECIPE, device=gpu, checkpoint=Checkpoint(tmp_path / "c", every=0))
    assert again.data == coded.data


def test_frames_are_those_that_a_cpu_decodes(coded, gpu):
    here, there = (cf.decode(coded.data, device=device).frames for device in ("cpu", gpu))
    assert np.abs(here.astype(int) - there).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_frames_are_decoded_in_all_ways(dtype, coded, gpu):
    how = {"scale": 2, "layer": 1, "dtype": dtype}
    here, there = (
        np.stack(list(decoder.decode_frames(coded.data, [0, 1.5, 7], device=device, **how)))
        for device in ("cpu", gpu)
    )
    assert here.shape == (3, 32, 48, 3) and np.abs(here.astype(int) - there).max() <= 1


def test_a_file_is_evaluated(clip, coded, gpu):
    here, there = (evaluate(clip, coded.data, device=device).point for device in ("cpu", gpu))
    assert there.psnr_db == pytest.approx(here.psnr_db, abs=0.02)
    assert there.ms_ssim == pytest.approx(here.ms_ssim, abs=1e-3)


def test_steps_are_counted_for_a_budget(clip, gpu):
    recipe = replace(RECIPE, minutes=0.05)
    assert steps_within(recipe, clip, MODEL, device=gpu).fit.steps >= 1


# --- a model in use -------------------------------------------------------------------------------


def test_renderings_are_those_of_the_cpu(model, gpu):
    times = frame_times(5)
    there = render(model, times, 20, 30)
    here = render(_twin(model), times, 20, 30)
    assert torch.equal(here.rgb, there.rgb) and torch.equal(here.alpha, there.alpha)
    assert all(one.rgb.equal(there.rgb[[i]]) for i, one in enumerate(render_frames(model, times, 20, 30)))


def _twin(model: CoordFlow) -> CoordFlow:
    twin = CoordFlow(model.config)
    twin.load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})
    return twin


def test_one_layer_is_as_modules_what_it_is_in_the_model(model, gpu):
    points, times = torch.rand(5, 2, device=gpu), torch.zeros(5, device=gpu)
    rgb, alpha = model.layer(1)(points, times)
    assert torch.allclose(rgb, model(points[None], times[:1]).layer_rgb[1, 0], atol=1e-5)
    assert alpha.device.type == "cuda"


def test_motion_is_known_at_times_on_the_cpu(model):
    times = torch.linspace(-1, 1, 8)
    assert torch.equal(model.transforms(times).cpu(), _twin(model).transforms(times))
    assert torch.equal(
        applications.stabilizing(model, 0, times).cpu(), applications.stabilizing(_twin(model), 0, times)
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda model, clip: applications.segment(model, clip),
        lambda model, clip: applications.upscale(model, 2, clip).frames,
        lambda model, clip: applications.interpolate(model, 2, clip).frames,
        lambda model, clip: applications.stabilize(model, 0, clip).video.frames,
    ],
    ids="segment upscale interpolate stabilize".split(),
)
def test_applications_show_what_they_show_on_a_cpu(use, model, clip):
    here, there = use(_twin(model), clip), use(model, clip)
    assert np.array_equal(here, there)


@pytest.mark.parametrize("use", ["inpaint", "denoise"])
def test_applications_train(use, clip, gpu):
    few = replace(SHORT, steps=5)
    hole = (clip.frames[..., 0] > 250,) if use == "inpaint" else ()
    shown = getattr(applications, use)(clip, *hole, config=few, device=gpu)
    assert shown.frames.shape == clip.frames.shape
