"""From a video to bytes: the size that was asked for, the quality that was reported, the same bytes again."""

import copy
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coordflow_mini import bitstream, encoder
from coordflow_mini.bitstream import BitstreamError
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.decoder import decode, tensor_shapes
from coordflow_mini.encoder import EncodeError, compress, encode, model_for, plan, target_bytes
from coordflow_mini.measure.metrics import bits_per_pixel, psnr_db
from coordflow_mini.model import CoordFlow, weight_count
from coordflow_mini.quantize import QuantizedTensor
from coordflow_mini.sampling import default_model
from coordflow_mini.train import Progress
from coordflow_mini.video.clip import Video

SMALL = ModelConfig(depth=1, space_frequencies=6, flow_width=8)  # few tensors: coding them takes the time

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def quick_fit(short_fit) -> FitConfig:
    return replace(short_fit, steps=40, batch=256)


@pytest.fixture(scope="module")
def quick_codec(short_codec) -> CodecConfig:
    return replace(short_codec, steps=20)


@pytest.fixture
def no_training(monkeypatch) -> None:
    """Refusals come before training: whoever starts it fails."""
    monkeypatch.setattr(encoder, "fit_video", lambda *_, **__: pytest.fail("training began"))


# --- what comes out -------------------------------------------------------------------------------


def test_the_file_is_just_under_the_target(encoded, clip):
    """95 % of the target <= file <= target, in real bytes."""
    target = 4 * clip.pixels // 8
    assert encoded.target_bytes == target
    assert 0.95 * target <= len(encoded.data) <= target
    assert 3.8 <= bits_per_pixel(len(encoded.data), clip) <= 4


def test_the_reported_quality_is_the_decoded_quality(encoded, clip):
    """EncodeResult.psnr_db is the PSNR of what decode makes of the bytes."""
    assert psnr_db(clip.frames, decode(encoded.data).frames) == pytest.approx(encoded.psnr_db, abs=0.01)


def test_it_resembles_the_clip(encoded, clip):
    """The decoded clip is far better than the best single color."""
    flat = np.broadcast_to(clip.frames.mean((0, 1, 2)).round().astype(np.uint8), clip.frames.shape)
    assert encoded.psnr_db > psnr_db(clip.frames, flat) + 5


def test_few_bits_cost_little_quality(encoded):
    """Rounding to a few bits per weight costs at most half a decibel on a short fit."""
    assert encoded.psnr_db > encoded.unquantized_psnr_db - 0.5
    assert encoded.bits_per_weight == pytest.approx(8 * len(encoded.data) / encoded.parameters)
    assert encoded.bits_per_weight < 6


def test_the_record_is_complete(encoded, clip):
    """The record counts the file's weights, keeps the history of both stages, and was not interrupted."""
    header = bitstream.read_header(encoded.data)
    assert header == encoded.header and header.seed == 0 and header.model.layers == 2
    assert (header.time, header.height, header.width, header.fps) == (6, 24, 32, clip.fps)
    assert encoded.parameters == weight_count(header.model) == CoordFlow(header.model).parameter_count
    assert {progress.stage for progress in encoded.history} == {"fit", "fine-tune"}
    assert not encoded.interrupted and encoded.seconds > 0


def test_encoding_twice_gives_the_same_bytes(encoded, clip, short_fit, short_codec):
    """The same clip, seed and thread count: the same bytes; encode is compress without the record."""
    again = encode(clip, Recipe(fit=short_fit, codec=short_codec), bpp=4, device=torch.device("cpu"))
    assert again == encoded.data


def test_the_seed_is_in_the_bytes(clip, quick_fit, quick_codec):
    """Another seed gives another file, which says so."""
    files = []
    for seed in (0, 5):
        config = replace(quick_fit, seed=seed)
        files.append(encode(clip, Recipe(bpp=1.2, model=SMALL, fit=config, codec=quick_codec)))
        assert bitstream.read_header(files[-1]).seed == seed
    assert files[0] != files[1]


@pytest.mark.parametrize("name", ["portrait", "odd size", "grayscale", "one frame", "one row"])
def test_clips_of_any_shape(name, odd_clips, quick_fit, quick_codec):
    """Portrait, odd, gray, short and flat clips become files of the right size that decode to their shape."""
    video = odd_clips[name]
    recipe = Recipe(model=SMALL, fit=quick_fit, codec=quick_codec)
    result = compress(video, recipe, bpp=min(24, 8 * 700 / video.pixels))
    assert 0.95 * result.target_bytes <= len(result.data) <= result.target_bytes
    assert decode(result.data).frames.shape == video.frames.shape


@pytest.mark.parametrize("change", [{"layers": 1}, {"motion": "none"}, {"layers": 3}, {"depth": 2}], ids=str)
def test_models_of_any_shape(change, clip, quick_fit, quick_codec):
    """One layer, many, no motion, one hidden layer: the width follows, the size is met."""
    model = replace(SMALL, **change)
    result = compress(clip, Recipe(bpp=1.6, model=model, fit=quick_fit, codec=quick_codec))
    assert result.header.model == replace(model, width=result.header.model.width)
    assert 0.95 * result.target_bytes <= len(result.data) <= result.target_bytes
    assert decode(result.data).frames.shape == clip.frames.shape


def test_the_selection_travels(clip, quick_fit, quick_codec):
    """Which frames and what size were coded is in the file, so an evaluation finds the same frames."""
    part = clip.select(Selection(1, 6, 2, 16, 12))
    video = decode(encode(part, Recipe(bpp=10, model=SMALL, fit=quick_fit, codec=quick_codec)))
    assert video.selection == part.selection and video.fps == part.fps
    assert video.frames.shape == part.frames.shape == (3, 12, 16, 3)


def test_a_given_width_is_kept(clip, quick_fit, quick_codec):
    """choose_width off: the model is the one asked for, and steps alone meet the rate."""
    model = replace(SMALL, width=9)
    codec = replace(quick_codec, choose_width=False)
    result = compress(clip, Recipe(bpp=1, model=model, fit=quick_fit, codec=codec))
    assert result.header.model == model
    assert 0.95 * result.target_bytes <= len(result.data) <= result.target_bytes


# --- the one dial ---------------------------------------------------------------------------------


def test_the_width_is_the_largest_that_fits(clip):
    """The chosen width fits into the target at the planned bits per weight, the next one does not.

    Wide models are aligned: their next width is eight more.
    """
    codec = CodecConfig()
    for target in (1_000, 5_000, 50_000, 500_000):
        model = model_for(clip, target, default_model(clip), codec)
        step = 8 if model.width >= 128 else 1
        assert model.width % step == 0
        sizes = [weight_count(replace(model, width=model.width + more)) for more in (0, step)]
        assert sizes[0] * codec.bits_per_weight / 8 < target
        assert sizes[1] * codec.bits_per_weight / 8 > target - encoder._framing(1)


def test_more_bits_never_give_a_narrower_model(clip):
    """Width rises with the rate."""
    widths = [
        model_for(clip, target, default_model(clip), CodecConfig()).width
        for target in range(800, 20_000, 3000)
    ]
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_the_default_rate():
    """0.1 for long clips, more for short ones, never more than 0.8; never a rate that is refused."""

    def rate(time: int, height: int, width: int) -> float:
        return encoder.default_bpp(SimpleNamespace(pixels=time * height * width))

    assert rate(60, 1080, 1920) == 0.1 and rate(1, 64, 64) == 0.8
    assert 0.1 < rate(20, 108, 192) < 0.8


def test_the_target_in_bytes(clip):
    """target = bpp * pixels / 8, rounded down: never above the rate."""
    for bpp in (0.01, 0.1, 0.333, 1.0, 24.0):
        target = target_bytes(clip, bpp)
        assert bits_per_pixel(target, clip) <= bpp < bits_per_pixel(target + 1, clip)


@pytest.mark.parametrize("bpp", [0, -1, 24.5, 1e9, float("nan"), float("inf")])
def test_an_absurd_rate_is_refused(bpp, clip, no_training):
    """A rate outside (0, 24] is refused before training, with what would be usual."""
    with pytest.raises(EncodeError, match="bpp must lie above 0 and up to 24") as error:
        encode(clip, bpp=bpp)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bpp", [1e-6, 0.01, 0.5])
def test_a_rate_that_is_too_small_is_refused(bpp, clip, no_training):
    """Where not even the narrowest model fits, the refusal names a rate at which one does."""
    with pytest.raises(EncodeError, match="too few") as error:
        encode(clip, Recipe(bpp=bpp, model=ModelConfig(layers=4)))
    least = float(str(error.value).split("at least ")[1].split(" bpp")[0])
    assert model_for(clip, target_bytes(clip, least * 1.01), ModelConfig(layers=4), CodecConfig()).layers == 4


def test_a_clip_too_small_for_any_model_is_refused(no_training):
    """One pixel cannot pay for a network: refused, whatever the rate, before training."""
    video = Video(np.zeros((1, 1, 1, 3), np.uint8))
    for bpp in (None, 0.1, 24):
        with pytest.raises(EncodeError):
            encode(video, bpp=bpp)


@pytest.mark.parametrize("change", [{"seed": -1}, {"seed": 2**64}, {"gamma": 1e7}], ids=str)
def test_what_no_header_holds_is_refused_before_training(change, clip, no_training):
    """A seed or γ that the file cannot store is refused at once, not after the fit."""
    with pytest.raises((ValueError, BitstreamError), match=next(iter(change))):
        encode(clip, Recipe(bpp=2, fit=FitConfig(**change)))


@pytest.mark.parametrize("bpp", [0.015, 0.12])
def test_the_rates_of_the_field_have_a_plan(bpp):
    """600 frames of 1080p in one segment, without making them: what a sweep over UVG asks for."""

    shape = {"time": 600, "height": 1080, "width": 1920, "pixels": 600 * 1080 * 1920}
    whole = Selection(0, 600, 1, 1920, 1080)
    sequence = SimpleNamespace(**shape, fps=Fraction(120), matrix="bt601", selection=whole)
    planned = plan(sequence, Recipe(bpp=bpp, fit=FitConfig(), ignore_cuts=True))
    assert 5 < 8 * planned.target_bytes / weight_count(planned.model) < 6


def test_a_model_beyond_the_format_is_refused(clip, no_training):
    """More weights than a file holds are refused before training, at any rate."""
    model = ModelConfig(layers=16, width=2048, depth=16)
    with pytest.raises(EncodeError, match="weights"):
        encode(clip, Recipe(bpp=24, model=model, codec=CodecConfig(choose_width=False)))


@pytest.mark.parametrize("bpp", [0.02, 24])
def test_a_width_that_cannot_meet_the_rate_is_refused(bpp, clip, quick_fit, quick_codec):
    """A given width at a rate far too low or too high for it ends with EncodeError, which names the cure."""
    model = ModelConfig(width=4, depth=1, space_frequencies=2, flow_width=2)
    codec = replace(quick_codec, choose_width=False, rounds=2)
    with pytest.raises(EncodeError, match="width"):
        compress(clip, Recipe(bpp=bpp, model=model, fit=quick_fit, codec=codec))


# --- interruption and verification ----------------------------------------------------------------


@pytest.mark.parametrize("stage", ["fit", "fine-tune"])
def test_ctrl_c_still_makes_a_file(stage, clip, short_fit, short_codec):
    """Interrupted in either stage, compress returns a good file of at most the target, and says so."""

    def stop(progress: Progress) -> None:
        if progress.stage == stage:
            raise KeyboardInterrupt

    fit, codec = replace(short_fit, steps=100_000), replace(short_codec, steps=20)
    if stage == "fine-tune":
        fit, codec = replace(short_fit, steps=20), replace(short_codec, steps=100_000)
    result = compress(clip, Recipe(bpp=1.6, model=SMALL, fit=fit, codec=codec), on_step=stop)
    assert result.interrupted and decode(result.data).frames.shape == clip.frames.shape
    assert 0.8 * result.target_bytes <= len(result.data) <= result.target_bytes


def test_bytes_that_do_not_decode_are_never_returned(encoded, monkeypatch):
    """If what was written reads back as other integers, the encoder raises instead of returning it."""
    _, tensors = bitstream.read(encoded.data, tensor_shapes)
    (segment,) = bitstream.segments(encoded.data)
    section = encoded.data[segment.at : segment.end]
    encoder._verified(section, encoded.header, tensors)
    wrong = copy.deepcopy(tensors)
    wrong[3].integers[0] += 1
    with pytest.raises(RuntimeError, match="do not decode"):
        encoder._verified(section, encoded.header, wrong)
    wrong = [QuantizedTensor(tensor.integers, tensor.step_index + 1) for tensor in tensors]
    with pytest.raises(RuntimeError, match="do not decode"):
        encoder._verified(section, encoded.header, wrong)


def test_checked_frames_are_spread_over_the_clip():
    """Quality is checked on all frames of a short clip, on some from first to last of a long one."""

    def frames(time: int, height: int, width: int) -> list[int]:
        return encoder.checked_frames(SimpleNamespace(time=time, height=height, width=width))

    assert frames(6, 24, 32) == list(range(6)) and frames(1, 24, 32) == [0]
    some = frames(600, 1080, 1920)
    assert some[0] == 0 and some[-1] == 599 and len(set(some)) == len(some) < 5
    assert frames(3, 10**4, 10**4) == [0], "never none"


def test_a_clip_too_small_for_any_rate_is_told_of_a_width():
    """No rate up to that of raw pixels is enough for one pixel; a given width makes a file of it."""
    pixel = Video(np.full((1, 1, 1, 3), 7, np.uint8))
    with pytest.raises(EncodeError, match="give a width instead of a rate"):
        plan(pixel, Recipe(bpp=24))
    given = CodecConfig(choose_width=False)
    assert plan(pixel, Recipe(model=ModelConfig(width=4), codec=given)).target_bytes > 100
