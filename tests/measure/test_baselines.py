"""The peers get a fair hearing: raw bytes, the rate really met, the colors unspoiled, the same twice."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from coordflow_mini.measure import baselines, metrics
from coordflow_mini.video.clip import Video

H26X = ("x264", "x265")
START_CODE = b"\x00\x00\x01"


def moving_waves(height: int, width: int, frames: int = 12) -> Video:
    """Smooth, gray-ish, moving: easy for any codec."""
    time, row, column = np.ogrid[:frames, :height, :width]
    wave = np.sin((column + 2 * time) / 9) * np.cos((row - time) / 7)
    frames_ = 128 + wave[..., None] * np.array([90, 80, 70]) + np.array([0, 8, -8])
    return Video(np.round(frames_).astype(np.uint8), fps=Fraction(25), name="waves")


def mean_color(frames: np.ndarray) -> np.ndarray:
    """Mean of R, G and B."""
    return frames.mean((0, 1, 2))


CLIP = moving_waves(64, 96)
codecs = pytest.mark.parametrize("codec", baselines.available())


def nal_types(data: bytes, codec: str) -> set[int]:
    """Kinds of the units of an Annex B stream."""
    heads = [unit[0] for unit in data.split(START_CODE)[1:]]
    return {head & 31 if codec == "x264" else head >> 1 & 63 for head in heads}


def test_the_usual_codecs_are_there():
    assert set(H26X) <= set(baselines.available())


@codecs
def test_a_fine_stream_gives_back_the_frames(codec):
    stream = baselines.encode(CLIP, codec, 8)
    decoded = baselines.decode(stream)
    assert decoded.shape == CLIP.frames.shape and decoded.dtype == np.uint8
    assert metrics.psnr_db(CLIP.frames, decoded) > 38
    bias = np.abs(mean_color(decoded) - mean_color(CLIP.frames)).max()
    assert bias < 2, "a wrong matrix or range shifts the mean color by more"


@codecs
def test_the_stream_is_raw(codec):
    data = baselines.encode(CLIP, codec, 30).data
    assert b"ftyp" not in data and b"x26" not in data and b"options:" not in data
    if codec in H26X:
        assert data.startswith((START_CODE, b"\x00" + START_CODE))
        assert not {"x264": {6}, "x265": {39, 40}}[codec] & nal_types(data, codec), "no SEI"
    else:
        assert data[0] >> 3 & 15 == 2, "AV1 starts with a temporal delimiter"


@codecs
@pytest.mark.parametrize(("height", "width"), [(51, 33), (32, 51), (96, 64), (9, 7), (1, 1)])
def test_odd_and_tiny_sizes_are_padded_and_cropped(codec, height, width):
    clip = moving_waves(height, width, frames=3)
    decoded = baselines.decode(baselines.encode(clip, codec, 10))
    assert decoded.shape == clip.frames.shape
    assert metrics.psnr_db(clip.frames, decoded) > 34


@codecs
def test_one_frame(codec):
    clip = moving_waves(64, 96, frames=1)
    assert metrics.psnr_db(clip.frames, baselines.decode(baselines.encode(clip, codec, 10))) > 34


@codecs
@pytest.mark.parametrize("bpp", [0.15, 0.5])
def test_the_rate_is_met_from_below(codec, bpp):
    tried = []
    point = baselines.measure(CLIP, codec, bpp=bpp, on_try=tried.append)
    target = int(bpp * CLIP.pixels / 8)
    fitting = [len(stream.data) for stream in tried if len(stream.data) <= target]
    assert point.bytes == max(fitting)
    assert 0.93 * target <= point.bytes <= target
    assert point.bpp == 8 * point.bytes / CLIP.pixels
    assert point.measured and point.clip == "waves" and point.codec == codec
    assert point.encode_seconds > 0 and point.decode_seconds > 0


@codecs
def test_the_same_twice_whatever_memory_holds(codec):
    first = baselines.encode(CLIP, codec, 30)
    for value in range(3):
        baselines.decode(first)
        junk = [np.full(20_000 + 64 * size, 85 * value, np.uint8) for size in range(200)]
        del junk
        assert baselines.encode(CLIP, codec, 30).data == first.data


def test_tune_psnr_and_a_slow_preset_help():
    noise = np.random.default_rng(0).normal(0, 12, (1, 64, 160, 1))
    rolled = np.concatenate([np.roll(noise, 3 * shift, 2) for shift in range(12)])[:, :, :96]
    clip = Video(np.clip(CLIP.frames + rolled, 0, 255).astype(np.uint8))

    def quality(**settings):
        return baselines.measure(clip, "x264", target_bytes=4000, **settings).psnr_db

    assert quality(tune="psnr") > quality()
    assert quality(tune="psnr", preset="veryslow") > quality(tune="psnr", preset="ultrafast")


def test_full_chroma_keeps_saturated_colors():
    frames = np.zeros((4, 64, 96, 3), np.uint8)
    frames[:, ::2, :, 0] = frames[:, 1::2, :, 2] = 255  # red and blue lines

    def quality(pix_fmt):
        stream = baselines.encode(Video(frames), "x264", 1, pix_fmt=pix_fmt)
        return metrics.psnr_db(frames, baselines.decode(stream))

    assert quality("yuv420p") < 15 and quality("yuv444p") > 40


@codecs
def test_accurate_rgb_is_better_and_unbiased(codec):
    stream = baselines.encode(CLIP, codec, 8)
    fast, accurate = (baselines.decode(stream, accurate_rgb=way) for way in (False, True))
    assert metrics.psnr_db(CLIP.frames, accurate) > metrics.psnr_db(CLIP.frames, fast) + 0.1
    assert np.abs(mean_color(accurate) - mean_color(CLIP.frames)).max() < 0.4


def test_a_target_out_of_reach():
    with pytest.raises(ValueError, match=r"its smallest stream has \d+; ask for a higher rate"):
        baselines.encode_at(CLIP, "x264", 20)
    huge = baselines.encode_at(CLIP, "x264", 10**7)
    assert huge.crf == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"codec": "vp9"}, "codec must be one of"),
        ({"codec": "x264", "preset": "6"}, "preset of x264 must be one of"),
        ({"codec": "x265", "tune": "film"}, "tune must be None or 'psnr'"),
        ({"codec": "x265", "pix_fmt": "rgb24"}, "pix_fmt of x265 must be one of"),
    ],
)
def test_unknown_settings(settings, said):
    with pytest.raises(ValueError, match=said):
        baselines.encode_at(CLIP, target_bytes=3000, **settings)
    with pytest.raises(ValueError, match="either target_bytes or bpp"):
        baselines.measure(CLIP, "x264")


def test_damage_is_one_line():
    stream = baselines.encode(CLIP, "x265", 30)
    for cut in (0, 10, len(stream.data) // 2):
        with pytest.raises(ValueError, match="damaged x265 stream") as error:
            baselines.decode(replace(stream, data=stream.data[:cut]))
        assert "\n" not in str(error.value)
