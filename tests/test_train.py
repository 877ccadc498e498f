"""The loop: it learns, it is reproducible, it keeps to its frames and weights, it stops well."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.coords import frame_times
from coordflow_mini.loss import LossTerms
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import cosine, learning_rate, trapezoid
from coordflow_mini.ops.run import fit
from coordflow_mini.render import render
from coordflow_mini.sampling import Sampler, default_model
from coordflow_mini.train import FitResult, Progress
from coordflow_mini.video.clip import Video

pytestmark = pytest.mark.usefixtures("one_thread")


def same_weights(left: FitResult, right: FitResult) -> bool:
    pairs = zip(left.model.parameters(), right.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def rendered(result: FitResult, video: Video) -> np.ndarray:
    times = frame_times(video.time)
    return render(result.model, times, video.height, video.width).rgb.numpy()


def figures(progress: Progress) -> dict[str, object]:
    """What listeners see, without the model."""
    return {name: value for name, value in vars(progress).items() if name != "model"}


class Watcher:
    """Remembers all progress; presses Ctrl-C when a stage comes to a step."""

    def __init__(self, stage: str = "", step: int = 0):
        self.stage, self.step = stage, step
        self.seen: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        if progress.stage == self.stage and progress.step >= self.step:
            raise KeyboardInterrupt


# --- learning -------------------------------------------------------------------------------------


def test_it_learns(clip, small_model, short_fit):
    """PSNR rises over the history, and what is rendered is as good as the history says."""
    result = fit(clip, small_model, replace(short_fit, steps=300))
    history = [progress.psnr_db for progress in result.history]
    assert history[-1] > history[0] + 2
    flat = np.broadcast_to(clip.frames.mean((0, 1, 2)).round().astype(np.uint8), clip.frames.shape)
    found = psnr_db(clip.frames, rendered(result, clip))
    assert found > psnr_db(clip.frames, flat) + 3, "better than the best single color"
    assert abs(found - history[-1]) < 1


def test_the_history_is_what_on_step_saw(clip, small_model, short_fit):
    """Reports come in order, end at the last step, and are kept; time does not run backwards."""
    watcher = Watcher()
    result = fit(clip, small_model, replace(short_fit, steps=130), on_step=watcher)
    assert [vars(progress) for progress in result.history] == [figures(progress) for progress in watcher.seen]
    assert not result.interrupted
    steps = [progress.step for progress in result.history]
    assert steps == sorted(set(steps)) and steps[-1] == 130
    assert {(progress.stage, progress.steps) for progress in result.history} == {("fit", 130)}
    seconds = [progress.seconds for progress in result.history]
    assert seconds == sorted(seconds) and result.history[-1].seconds_left == 0


def test_time_left():
    """At constant speed the time left is proportional to the steps left."""
    assert Progress("fit", 25, 100, 20.0, 5.0).seconds_left == pytest.approx(15)
    assert Progress("fit", 0, 100, 20.0, 0.0).seconds_left == 0


def test_annealing():
    """Half a cosine: 1 at the start, 1/2 in the middle, 0 at the end, falling, flat at both ends."""
    rates = [cosine(part) for part in np.linspace(0, 1, 21)]
    assert rates[1] > 0.99 and rates[-2] < 0.01
    assert rates[0] == 1 and rates[10] == pytest.approx(0.5) and rates[-1] == pytest.approx(0)
    assert all(a > b for a, b in pairwise(rates))


def test_wider_models_learn_at_a_lower_rate(clip, small_model, short_fit):
    """The configured rate up to width 68, an eighth of it at four times the width; the optimizer gets it."""
    rates = [learning_rate(FitConfig(learning_rate=0.04), ModelConfig(width=width)) for width in (1, 68, 272)]
    assert rates == [0.04, 0.04, 0.005]

    def moved(width: int, rate: float) -> float:
        """How far the biases of the output move in one step."""
        config = replace(short_fit, steps=1, learning_rate=rate)
        model = replace(small_model, width=width)
        before = CoordFlow(model, torch.Generator().manual_seed(0)).color.biases[-1]
        return (fit(clip, model, config).model.color.biases[-1] - before).detach().norm().item()

    assert moved(272, 0.04) == pytest.approx(moved(68, 0.005), rel=0.2)


def test_the_rate_stays_full_and_then_falls_to_zero():
    """The learning rate of a fit: full until 70 % of all steps, then a straight line to zero."""
    rates = [trapezoid(part) for part in np.linspace(0, 1, 21)]
    assert rates[:15] == pytest.approx([1.0] * 15)
    assert rates[17] == pytest.approx(0.5) and rates[-1] == pytest.approx(0)


@pytest.mark.parametrize("name", ["portrait", "odd size", "grayscale", "one frame", "two frames", "one row"])
def test_clips_of_any_shape(name, odd_clips, small_model, short_fit):
    """Portrait, odd, gray, very short and very flat clips are learned like others."""
    video = odd_clips[name]
    result = fit(video, small_model, short_fit)
    assert result.history[-1].psnr_db > result.history[0].psnr_db
    assert rendered(result, video).shape == video.frames.shape


def test_a_single_pixel(short_fit, small_model):
    """A clip of one pixel is learned to within a gray level."""
    video = Video(np.array([[[[200, 100, 50]]]], np.uint8))
    result = fit(video, small_model, replace(short_fit, steps=200))
    assert np.abs(rendered(result, video).astype(int) - video.frames).max() <= 1


@pytest.mark.parametrize(
    "change",
    [{"layers": 1}, {"motion": "none"}, {"layers": 1, "motion": "none"}, {"layers": 3}, {"depth": 1}],
    ids=str,
)
def test_models_of_any_shape(change, clip, small_model, short_fit):
    """One layer, three, no motion, the plain network: each learns."""
    result = fit(clip, replace(small_model, **change), short_fit)
    assert result.history[-1].psnr_db > result.history[0].psnr_db
    assert result.model.config == replace(small_model, **change)


def test_adam_learns_too(clip, small_model, short_fit):
    """FitConfig.optimizer chooses between two that both work."""
    result = fit(clip, small_model, replace(short_fit, optimizer="adam", learning_rate=6e-3))
    assert result.history[-1].psnr_db > result.history[0].psnr_db + 1


def test_every_term_of_the_loss_matters(clip, small_model, short_fit):
    """Absolute error, MS-SSIM and γ each lead to other weights than squared error alone."""
    few = replace(short_fit, steps=4, batch=64, gamma=0.0)
    plain = fit(clip, small_model, few)
    for change in ({"absolute": 1.0}, {"ms_ssim": 0.5}, {"gamma": 0.5}):
        assert not same_weights(plain, fit(clip, small_model, replace(few, **change))), change


def test_colors_learn_time_however_short_the_fit(clip, small_model):
    """At the default schedule, a fit of any length ends with colors that may change in time."""
    result = fit(clip, small_model, FitConfig(steps=60, batch=64))
    assert result.model.color.time_weight.any()


@pytest.mark.parametrize("steps", [20, 100])
def test_all_frames_are_learned_however_short_the_fit(steps, clip, small_model, monkeypatch):
    """At the default schedule, a fit of any length ends with batches from all frames."""
    seen, terms = [], Sampler.terms

    def watched(self: Sampler, *arguments: object) -> LossTerms:
        seen.append(self.pixels())
        return terms(self, *arguments)

    monkeypatch.setattr(Sampler, "terms", watched)
    fit(clip, small_model, FitConfig(steps=steps, batch=64))
    assert set(seen[0].frames.tolist()) < set(range(clip.time))
    assert set(seen[-1].frames.tolist()) == set(range(clip.time))


def test_a_batch_has_one_shape_from_the_first_step_on(clip, short_fit):
    """However few frames are seen, they fill as many rows, each about as often as any other."""
    sampler = Sampler(clip, short_fit, torch.device("cpu"))
    shapes = set()
    for reach in (0.01, 0.3, 0.7, 1.0):
        sampler.aim(0, reach)
        shapes.add(sampler.pixels().indices.shape)
    assert len(shapes) == 1
    sampler.aim(0, 0.7)
    counts = torch.bincount(sampler.pixels().frames, minlength=clip.time)
    assert counts[0] == 0 and counts.max() - counts[counts > 0].min() <= 2


# --- reproducibility ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{}, {"starts": 2, "start_steps": 20}, {"ms_ssim": 0.1, "steps": 4}], ids=str
)
def test_the_seed_decides(change, clip, small_model, short_fit):
    """The same seed gives the same weights bit for bit, another seed gives others."""
    config = replace(short_fit, **{"steps": 60, **change})
    first = fit(clip, small_model, config)
    torch.rand(3)  # the global generator plays no part
    assert same_weights(first, fit(clip, small_model, config))
    assert not same_weights(first, fit(clip, small_model, replace(config, seed=1)))


@pytest.mark.parametrize("change", [{}, {"starts": 2, "start_steps": 1}], ids=str)
def test_the_seed_decides_on_the_first_weights(change, clip, small_model, short_fit):
    """Before anything is learned, models of two seeds already differ, and so do the pixels that they see."""
    config = replace(short_fit, steps=1, learning_rate=1e-9, **change)
    models = [fit(clip, small_model, replace(config, seed=seed)).model for seed in (0, 1)]
    first, second = (model.color.weights[0] for model in models)
    assert (first - second).abs().mean() > 0.1
    batches = [Sampler(clip, replace(config, seed=seed), torch.device("cpu")).pixels() for seed in (0, 1)]
    assert not torch.equal(batches[0].indices, batches[1].indices)


def test_the_global_generator_is_left_alone(clip, small_model, short_fit):
    """A fit neither reads nor moves PyTorch's global random state."""
    before = torch.get_rng_state()
    fit(clip, small_model, replace(short_fit, steps=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_clip_is_left_alone(clip, small_model, short_fit):
    """A fit does not write into the frames that it was given."""
    before = clip.frames.copy()
    fit(clip, small_model, replace(short_fit, steps=2))
    assert np.array_equal(clip.frames, before)


def test_read_only_frames_are_fine(clip, small_model, short_fit):
    """Frames that may not be written to, as of a memory-mapped file, are fitted without a warning."""
    frames = clip.frames.copy()
    frames.flags.writeable = False
    fit(Video(frames), small_model, replace(short_fit, steps=2))


# --- starts ---------------------------------------------------------------------------------------


def test_the_best_start_goes_on(clip, small_model, short_fit):
    """Of several short starts, the one with the highest PSNR is continued, and only that one."""
    watcher = Watcher()
    config = replace(short_fit, starts=4, start_steps=30, steps=80)
    result = fit(clip, small_model, config, on_step=watcher)
    starts = [progress for progress in watcher.seen if progress.stage != "fit"]
    assert [progress.stage for progress in starts] == [f"start {n} of 4" for n in (1, 2, 3, 4)]
    assert len({progress.psnr_db for progress in starts}) == 4, "the starts differ"
    assert vars(result.history[0]) == figures(max(starts, key=lambda progress: progress.psnr_db))
    assert [progress.step for progress in result.history] == [30, 50, 80]


def test_starts_may_be_the_whole_fit(clip, small_model, short_fit):
    """Starts as long as the fit itself, or longer, are cut to its steps: the best is the result."""
    result = fit(clip, small_model, replace(short_fit, starts=2, start_steps=500, steps=20))
    assert [progress.step for progress in result.history] == [20]


# --- what is learned from -------------------------------------------------------------------------


def scrambled(video: Video, where: np.ndarray) -> Video:
    """The clip with other colors at some pixels; where: bool [time, height, width]."""
    frames = video.frames.copy()
    frames[where] = 255 - frames[where]
    return Video(frames)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, iter])
def test_other_frames_are_not_looked_at(kind, clip, small_model, short_fit):
    """frames=: the colors of frames left out change nothing, bit for bit; indices in any container."""
    chosen = [0, 2, 4]
    other = np.zeros(clip.frames.shape[:3], bool)
    other[[1, 3, 5]] = True
    few = replace(short_fit, steps=20)
    result = fit(clip, small_model, few, frames=kind(chosen))
    assert same_weights(result, fit(scrambled(clip, other), small_model, few, frames=chosen))
    assert not same_weights(result, fit(scrambled(clip, ~other), small_model, few, frames=chosen))


def test_times_stay_those_of_the_whole_clip(clip, small_model, short_fit):
    """frames=: a frame keeps its time, so the frames between can be rendered."""
    sampler = Sampler(clip, short_fit, torch.device("cpu"), frames=[0, 2, 4])
    batch = sampler.pixels()
    assert set(batch.frames.tolist()) == {0, 2, 4}
    torch.testing.assert_close(sampler.times, frame_times(clip.time))


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_pixels_of_weight_zero_are_not_looked_at(kind, clip, small_model, short_fit):
    """weights=: the colors in a hole of weight 0 change nothing, bit for bit."""
    hole = np.zeros(clip.frames.shape[:3], bool)
    hole[:, 5:15, 8:20] = True
    few = replace(short_fit, steps=20)
    weights = (~hole).astype(np.float32)
    result = fit(clip, small_model, few, weights=kind(weights))
    assert same_weights(result, fit(scrambled(clip, hole), small_model, few, weights=weights))
    assert not same_weights(result, fit(scrambled(clip, ~hole), small_model, few, weights=weights))


def test_weights_of_one_are_no_weights(clip, small_model, short_fit):
    """weights= all 1 learns what no weights learn, up to rounding."""
    few = replace(short_fit, steps=5)
    plain = fit(clip, small_model, few)
    ones = fit(clip, small_model, few, weights=np.ones(clip.frames.shape[:3], bool))
    for a, b in zip(plain.model.parameters(), ones.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=5e-3, rtol=0)


def test_structure_in_a_hole_is_not_looked_at(clip, small_model, short_fit):
    """weights= with MS-SSIM: colors of weight 0 change nothing, or the pair is refused."""
    hole = np.zeros(clip.frames.shape[:3], bool)
    hole[:, 5:15, 8:20] = True
    config = replace(short_fit, steps=3, batch=64, ms_ssim=0.5)
    weights = (~hole).astype(np.float32)
    try:
        results = [
            fit(video, small_model, config, weights=weights) for video in (clip, scrambled(clip, hole))
        ]
    except ValueError as error:
        assert "ms_ssim" in str(error)
    else:
        assert same_weights(*results)


@pytest.mark.parametrize(
    "arguments",
    [
        {"frames": []},
        {"frames": [6]},
        {"frames": [-1]},
        {"frames": [0.5]},
        {"weights": np.ones((6, 24, 31))},
        {"weights": np.ones((6, 32, 24))},
        {"weights": np.ones((24, 32))},
        {"weights": np.full((6, 24, 32), np.nan)},
        {"weights": np.full((6, 24, 32), -1.0)},
    ],
    ids=["none", "beyond", "negative", "fraction", "narrow", "transposed", "one frame", "nan", "below zero"],
)
def test_frames_and_weights_that_do_not_fit_the_clip(arguments, clip, small_model, short_fit):
    """frames= and weights= that do not fit the clip are refused by name, before training."""
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        fit(clip, small_model, replace(short_fit, steps=2), **arguments)


# --- stopping -------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_reached(clip, small_model, short_fit):
    """Interrupted after 50 of many steps, fit returns the model of that moment, and says so."""
    config = replace(short_fit, steps=100_000)
    result = fit(clip, small_model, config, on_step=Watcher("fit", 50))
    assert result.interrupted and [progress.step for progress in result.history] == [50]
    assert result.config == config
    assert abs(psnr_db(clip.frames, rendered(result, clip)) - result.history[-1].psnr_db) < 6


def test_ctrl_c_before_there_is_anything_ends_at_once(clip, small_model, short_fit, monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("coordflow_mini.train.CoordFlow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(clip, small_model, short_fit)


@pytest.mark.parametrize("start", [1, 2, 3])
def test_ctrl_c_during_the_starts_keeps_the_best(start, clip, small_model, short_fit):
    """Interrupted during a start, fit returns the best of the starts so far."""
    watcher = Watcher(f"start {start} of 3", 0)
    result = fit(clip, small_model, replace(short_fit, starts=3, start_steps=20), on_step=watcher)
    assert result.interrupted and len(watcher.seen) == start
    assert result.history[-1].psnr_db == max(progress.psnr_db for progress in watcher.seen)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_result_can_be_trained_further(interrupted, clip, small_model, short_fit):
    """However a fit ended, every weight of its model can learn: fine-tuning goes on with all of them."""
    config = replace(short_fit, steps=300 if interrupted else 60, static=200)
    result = fit(clip, small_model, config, on_step=Watcher("fit" if interrupted else "", 50))
    assert result.interrupted is interrupted
    assert all(parameter.requires_grad for parameter in result.model.parameters())


def test_errors_of_on_step_are_not_swallowed(clip, small_model, short_fit):
    """Only Ctrl-C is caught: what else goes wrong in on_step comes through."""

    def broken(progress: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(clip, small_model, short_fit, on_step=broken)


def test_defaults_need_nothing_but_a_clip(clip):
    """fit(video) works; its result holds the defaults for that clip."""
    result = fit(clip, on_step=Watcher("fit", 50))
    assert result.config == FitConfig() and result.model.config == default_model(clip)
