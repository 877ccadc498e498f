"""The ways to a GPU and back: what is copied, when somebody waits, and what stays on the host."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from coordflow_mini import decoder
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.coords import frame_times
from coordflow_mini.encoder import compress
from coordflow_mini.measure import metrics
from coordflow_mini.measure.evaluate import evaluate
from coordflow_mini.model import CoordFlow
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.ops.guard import is_finite
from coordflow_mini.ops.run import fit
from coordflow_mini.render import pictures, render_frames
from coordflow_mini.sweeps import budget
from coordflow_mini.video import device as places
from coordflow_mini.video import scenes
from coordflow_mini.video.device import YuvClip, arriving, clip_on, moved
from coordflow_mini.video.raw import RawFormat
from coordflow_mini.video.read import load
from tests.gpu.card import limited

MODEL = ModelConfig(width=10, depth=2, space_frequencies=6, highest_frequency=4.0, flow_width=9)
SHORT = FitConfig(steps=20, batch=256, warm_up=5, grow=5, static=5)
CLIP = scenes.cutout(16, 24, 8).video


def weights(result) -> list[torch.Tensor]:
    return [parameter.detach().cpu() for parameter in result.model.parameters()]


# --- to the GPU -----------------------------------------------------------------------------------


def test_nobody_waits_for_what_is_moved(gpu, counting):
    here = torch.arange(1000)
    with counting() as count:
        there = moved(here, gpu)
    assert (count.copies, count.syncs) == (1, 0) and there.is_cuda and torch.equal(there.cpu(), here)


def raw_clip(tmp_path):
    """The same frames as raw YUV, mapped, and as RGB."""
    raw = RawFormat(24, 16)
    data = np.random.default_rng(0).integers(16, 236, 8 * raw.frame_bytes, np.uint8)
    (tmp_path / "clip.yuv").write_bytes(data.tobytes())
    mapped = load(tmp_path / "clip.yuv", raw=raw)
    return mapped, replace(mapped, frames=np.asarray(mapped.frames))


def test_a_clip_that_has_room_is_on_the_gpu(tmp_path, gpu):
    mapped, _ = raw_clip(tmp_path)
    assert clip_on(CLIP.frames, gpu).is_cuda and clip_on(mapped.frames, gpu).device.type == "cuda"


@pytest.mark.parametrize(("kind", "options"), [("rgb", {"ms_ssim": 0.1, "steps": 3}), ("yuv", {})])
def test_a_clip_that_would_crowd_the_gpu_trains_the_same_from_the_host(
    kind, options, tmp_path, gpu, counting, monkeypatch
):
    """To the last bit, and nobody waits for its pixels."""
    mapped, rgb = raw_clip(tmp_path)
    video, config = mapped if kind == "yuv" else rgb, replace(SHORT, **options)
    with counting() as usual:
        whole = fit(video, MODEL, config, device=gpu)
    with monkeypatch.context() as patch:
        patch.setattr(places, "_SHARE", 1e-12)
        assert isinstance(clip := clip_on(video.frames, gpu), YuvClip if kind == "yuv" else torch.Tensor)
        assert clip.device.type == "cpu"
        with counting() as count:
            parted = fit(video, MODEL, config, device=gpu)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(parted), strict=True))
    assert count.copies >= config.steps and count.syncs <= usual.syncs


def test_what_is_free_decides(gpu):
    """The real question to the card: half of what is free, and not more."""
    with limited(3 * CLIP.frames.nbytes):
        assert clip_on(CLIP.frames, gpu).is_cuda
    with limited(CLIP.frames.nbytes):
        assert clip_on(CLIP.frames, gpu).device.type == "cpu"


def watched(patch: pytest.MonkeyPatch) -> list:
    """Clips that are brought to a device from now on."""
    brought, bring = [], places._place
    patch.setattr(places, "_place", lambda *clip: brought.append(clip) or bring(*clip))
    return brought


@pytest.fixture(scope="module")
def encoded(gpu) -> tuple[bytes, list]:
    """A file, and the clips that were brought over for it."""
    recipe = Recipe(model=MODEL, fit=SHORT, codec=CodecConfig(steps=5, choose_width=False))
    with pytest.MonkeyPatch.context() as patch:
        brought = watched(patch)
        return compress(CLIP, recipe, device=gpu).data, brought


@pytest.fixture
def coded(encoded) -> bytes:
    return encoded[0]


def test_the_clip_is_brought_over_once_for_all_stages_and_for_all_that_is_timed(encoded, gpu, monkeypatch):
    brought, recipe = watched(monkeypatch), Recipe(fit=SHORT, codec=CodecConfig(choose_width=False))
    budget.pace(CLIP, MODEL, recipe, enough=0, device=gpu)
    assert len(encoded[1]) == len(brought) == 1


# --- and back -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(gpu) -> CoordFlow:
    model = CoordFlow(MODEL, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return model.to(gpu)


def test_a_picture_is_copied_while_the_next_one_is_computed(model, counting):
    """One copy and one wait for each, and the wait is for the copy alone."""
    times = frame_times(5)
    with counting() as count:
        shown = [picture.clone() for picture in pictures(model, times, 9, 14)]
    waits = {line.partition(" at ")[2].partition(":")[0] for line in count.where() if "sync" in line}
    assert count.syncs <= 5 + 1 and waits <= {"device.py", "render.py"}, count.where()
    assert torch.equal(torch.stack(shown), torch.cat([one.rgb for one in render_frames(model, times, 9, 14)]))
    assert not any(picture.is_pinned() for picture in pictures(model, times[:2], 9, 14))


def test_the_next_one_has_begun_when_one_is_handed_out(gpu):
    begun = []

    def made():
        for number in range(4):
            begun.append(number)
            yield torch.full((3,), number, device=gpu), torch.zeros(number, device=gpu)

    for number, (values, zeros) in enumerate(arriving(made())):
        assert values.tolist() == [number] * 3 and zeros.shape == (number,)
        assert begun[-1] == min(number + 1, 3)


# --- measuring ------------------------------------------------------------------------------------


def test_an_evaluation_is_the_same_and_masks_too(coded, gpu):
    here, there = (evaluate("clip:cutout", coded, device=place) for place in ("cpu", gpu))
    same = {"decode_seconds": 0.0}
    assert replace(here.point, **same) == replace(there.point, **same) and here.mask_iou == there.mask_iou
    assert there.point.decode_seconds > 0


@pytest.mark.parametrize("side", [16, 40, 180])
def test_quality_is_measured_where_the_frames_are(side, gpu, counting):
    """The same numbers as on the CPU, to the bit; one number comes back for a frame."""
    clip = np.random.default_rng(side).integers(0, 256, (2, side, side + 5, 3), np.uint8)
    worse = (0.7 * clip).astype(np.uint8)
    there = [torch.from_numpy(frames).to(gpu) for frames in (clip, worse)]
    for measure in (metrics.psnr_db, metrics.ms_ssim):
        with counting() as count:
            found = measure(*there)
        assert found == measure(clip, worse) and (count.syncs, count.copies) == (2, 0), count.where()


def test_the_loss_of_structure_adds_in_one_order(gpu, counting):
    """No kernel whose gradient a GPU would sum in another order each time; and nobody waits."""
    a = torch.rand(4, 48, 48, 3, device=gpu).permute(0, 3, 1, 2)
    b = torch.rand(4, 48, 48, 3, device=gpu).permute(0, 3, 1, 2).requires_grad_()
    with counting() as count:
        metrics.ms_ssim_loss(b, a).backward()
    assert not count.of("unstable") and count.syncs == 0 and b.grad.isfinite().all()
    assert not any("reflection" in name for name in count.of("kernel"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_fast_decoding_is_within_a_level(dtype, coded, gpu):
    exact, fast = (
        np.stack(list(decoder.decode_frames(coded, device=gpu, dtype=kind)))
        for kind in (torch.float32, dtype)
    )
    assert decoder.fast_dtype(gpu) == torch.float16 and np.abs(exact.astype(int) - fast).max() <= 1


# --- reports --------------------------------------------------------------------------------------


def test_whether_a_state_is_finite_is_asked_once(gpu, counting):
    state = {name: torch.ones(number, device=gpu) for number, name in enumerate("abcdef")}
    for value, finite in ((1.0, True), (float("nan"), False)):
        state["g"] = torch.tensor(value).to(gpu)
        with counting() as count:
            assert is_finite({"x": [state, 1.5], "f": torch.ones(3)}) is finite
        assert count.syncs == 1, count.where()


def test_a_report_costs_two_waits_and_a_checkpoint_none_until_it_is_due(tmp_path, gpu, counting):
    """However many tensors a state has: its error is read, and whether it is finite."""
    waits = []
    for steps in (50, 150):
        config, checkpoint = replace(SHORT, steps=steps), Checkpoint(tmp_path / f"{steps}.checkpoint")
        with counting() as count:
            fit(CLIP, MODEL, config, device=gpu, checkpoint=checkpoint)
        waits.append(count.syncs)
    assert waits[1] - waits[0] <= 2 * 2, count.where()  # two more reports


def test_between_reports_and_for_listeners_products_are_exact(gpu):
    seen = []
    fit(CLIP, MODEL, SHORT, device=gpu, on_step=lambda _: seen.append(torch.get_float32_matmul_precision()))
    assert seen == ["highest"]
