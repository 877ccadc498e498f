"""Raw YUV by memory map: the colors of ffmpeg, of any pixel, without a copy of the clip."""

import pickle
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Colorspace, Interpolation

from coordflow_mini.config import FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.draws import key_of
from coordflow_mini.encoder import compress
from coordflow_mini.measure import baselines, evaluate
from coordflow_mini.measure.metrics import psnr_db
from coordflow_mini.ops.compiling import compiled
from coordflow_mini.ops.run import fit
from coordflow_mini.sampling import Sampler, pixel_terms, random_patches, random_pixels
from coordflow_mini.video.clip import Video, area_resize
from coordflow_mini.video.device import YuvClip, clip_on
from coordflow_mini.video.raw import RawFormat, VideoError, YuvFrames, format_of
from coordflow_mini.video.read import load

LAYOUTS = ("yuv420p", "yuv422p", "yuv444p")
layouts = pytest.mark.parametrize("pix_fmt", LAYOUTS)
matrices = pytest.mark.parametrize("matrix", ["bt601", "bt709"])


def raw_file(path: Path, raw: RawFormat, frames: int = 3, *, natural: bool = False) -> Path:
    """A file of random bytes, or of smooth planes of colors that a camera sees."""
    random = np.random.default_rng(frames)
    data = random.integers(0, 256, (frames, raw.frame_bytes), np.uint8)
    if natural:
        ramp = np.linspace(0, 6, raw.frame_bytes) + np.arange(frames)[:, None]
        data = (128 + 60 * np.sin(ramp) + data % 20).astype(np.uint8)
    path.write_bytes(data.tobytes())
    return path


def pyav_frame(frames: YuvFrames, index: int) -> np.ndarray:
    """What PyAV, with ffmpeg's defaults, makes of the same planes."""
    picture = av.VideoFrame(frames.raw.width, frames.raw.height, frames.raw.pix_fmt)
    for plane, own in zip(picture.planes, frames.planes(index), strict=True):
        target = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        target[: own.shape[0], : own.shape[1]] = own
    matrix = {"bt601": None, "bt709": Colorspace.ITU709}[frames.raw.matrix]
    return picture.reformat(
        format="rgb24", src_colorspace=matrix, interpolation=Interpolation.BICUBIC
    ).to_ndarray()


def light(frames: YuvFrames, index: int) -> np.ndarray:
    """The largest color of each pixel by the plain formula, before it is cut to 255."""
    columns, rows = frames.raw.subsampling
    y, u, v = (plane.astype(float) for plane in frames.planes(index))
    u, v = (plane.repeat(rows, 0).repeat(columns, 1)[: y.shape[0], : y.shape[1]] - 128 for plane in (u, v))
    return (y - 16) * 255 / 219 + np.maximum(1.8 * v, 2.2 * u)


# --- colors -------------------------------------------------------------------------------------------


@layouts
@matrices
@pytest.mark.parametrize("size", [(48, 32), (63, 34), (8, 2), (1, 2)])
@pytest.mark.parametrize("natural", [True, False])
def test_colors_are_those_that_pyav_makes(tmp_path, pix_fmt, matrix, size, natural):
    """Within one gray level everywhere, and in all but one value of a hundred the same."""
    raw = RawFormat(*size, pix_fmt, matrix=matrix)
    frames = YuvFrames.open(raw_file(tmp_path / "a.yuv", raw, natural=natural), raw)
    for index, frame in enumerate(frames):
        difference = np.abs(frame.astype(int) - pyav_frame(frames, index))
        if pix_fmt == "yuv444p" and not natural:  # ffmpeg's own sums overflow there: see `raw`
            difference = difference[light(frames, index) < 500]
        assert difference.size and difference.max() <= 1
        assert (difference > 0).mean() < 0.01 or difference.size < 300


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
@pytest.mark.parametrize("selection", [Selection(), Selection(1, 3, 1, 20, 10)])
def test_odd_heights_and_other_sizes_are_read_as_rgb(tmp_path, pix_fmt, selection):
    """There ffmpeg interpolates chroma, and so does PyAV for us."""
    raw = RawFormat(48, 33, pix_fmt)
    clip = load(raw_file(tmp_path / "a.yuv", raw, natural=True), selection, raw)
    assert isinstance(clip.frames, np.ndarray) and clip.matrix == "bt601"
    with pytest.raises(VideoError, match="load"):
        YuvFrames.open(tmp_path / "a.yuv", raw)


def test_resizing_takes_the_same_colors(tmp_path):
    raw = RawFormat(48, 32)
    path = raw_file(tmp_path / "a.yuv", raw, natural=True)
    small, whole = load(path, Selection(0, 2, 1, 24, 16), raw), load(path, raw=raw)
    assert isinstance(small.frames, np.ndarray)
    expected = np.stack([area_resize(frame, 16, 24) for frame in whole.frames[:2]])
    assert np.array_equal(small.frames, expected)
    assert np.array_equal(whole.select(Selection(0, 2, 1, 24, 16)).frames, expected)


def test_raw_formats_are_parsed() -> None:
    assert RawFormat.parse("352x288") == RawFormat(352, 288)
    assert RawFormat.parse("8X4:yuv444p:30000/1001") == RawFormat(8, 4, "yuv444p", Fraction(30000, 1001))
    assert RawFormat.from_name("/a/Jockey_3840x2160_120fps_420_10bit_YUV.yuv") == RawFormat(
        3840, 2160, "yuv420p10le", Fraction(120)
    )
    assert RawFormat.from_name("clip.yuv") is None
    for text in [
        "",
        "12",
        "0x4",
        "4x4:rgb24",
        "4x4:yuv420p9",
        "4x4:yuv420p:0",
        "4x4:yuv420p:x",
        "1x1:yuv420p:1:1",
    ]:
        with pytest.raises(VideoError, match="WIDTHxHEIGHT:LAYOUT:FPS"):
            RawFormat.parse(text)


# --- like an array ------------------------------------------------------------------------------------


@pytest.fixture
def frames(tmp_path) -> YuvFrames:
    raw = RawFormat(12, 8)
    return YuvFrames.open(raw_file(tmp_path / "a.yuv", raw, 11), raw)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(2, 9, 3),
        slice(None, None, -2),
        slice(5, 5),
        [4, 0, 4],
        [],
        [-1],
    ],
)
def test_indexing_is_that_of_an_array(frames, key):
    """Any index of the frames is that index of all of them as RGB; a slice of a slice, too."""
    everything = np.asarray(frames)
    found, expected = frames[key], everything[key]
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.array_equal(np.asarray(found), expected)
    if isinstance(key, slice):
        assert isinstance(found, YuvFrames) and found.file is frames.file
        assert np.array_equal(np.asarray(found[::-1]), expected[::-1])
        assert len(list(found)) == len(expected)


def test_wrong_indices_say_so(frames):
    for wrong in (11, -12):
        with pytest.raises(IndexError):
            frames[wrong]
    for wrong in ((0, 1), "x", 1.5):
        with pytest.raises(TypeError):
            frames[wrong]


def test_a_worker_gets_the_path_not_the_bytes(frames):
    part = frames[3:9:2]
    sent = pickle.dumps(part)
    assert len(sent) < 1000
    assert np.array_equal(np.asarray(pickle.loads(sent)), np.asarray(part))


def test_selections_speak_of_the_file(tmp_path):
    """Reading a part is reading all and selecting; a part of a part still names frames of the file."""
    raw = RawFormat(12, 8)
    path = raw_file(tmp_path / "a.yuv", raw, 11)
    whole = load(path, raw=raw)
    for selection in (Selection(3, 4), Selection(2, None, 3), Selection(0, 11, 5, 12, 8)):
        part, other = load(path, selection, raw), whole.select(selection)
        assert isinstance(part.frames, YuvFrames) and isinstance(other.frames, YuvFrames)
        assert np.array_equal(np.asarray(part.frames), np.asarray(other.frames))
        assert (part.selection, part.fps, part.matrix) == (other.selection, other.fps, "bt601")
    assert whole.select(Selection(2, None, 3)).select(Selection(1, 3)).selection.start == 5
    with pytest.raises(VideoError, match="it has 11 frames"):
        load(path, Selection(4, 12), raw)


def test_a_file_of_half_a_frame_is_refused(tmp_path):
    for size in (0, 100):
        (tmp_path / "a.yuv").write_bytes(bytes(size))
        with pytest.raises(VideoError, match=f"has {size} bytes, not a multiple of the 144 bytes") as caught:
            load(tmp_path / "a.yuv", raw=RawFormat(12, 8))
        assert "\n" not in str(caught.value)


def test_the_format_comes_from_the_option_or_the_name(tmp_path):
    named = Path("Beauty_8x4_120fps_420_8bit_YUV.yuv")
    assert format_of(named).fps == 120 and format_of(named, RawFormat(2, 2)).width == 2
    assert format_of(named, matrix="bt709") == replace(format_of(named), matrix="bt709")
    assert format_of("a.mp4") is None
    with pytest.raises(VideoError, match="leave out --matrix"):
        format_of("a.mp4", matrix="bt709")
    with pytest.raises(VideoError, match="no size in its name"):
        format_of("a.yuv")
    with pytest.raises(VideoError, match="must be bt601 or bt709, got 'rgb'"):
        RawFormat(2, 2, matrix="rgb")


# --- training -----------------------------------------------------------------------------------------


def both(path: Path, raw: RawFormat, selection: Selection | None = None) -> tuple[Video, Video]:
    """A raw clip as it is read, and the same as RGB in memory."""
    lazy = load(path, selection, raw)
    return lazy, replace(lazy, frames=np.asarray(lazy.frames))


@layouts
@pytest.mark.parametrize("size", [(30, 20), (31, 20)])
def test_a_pixel_has_the_color_of_its_frame(tmp_path, pix_fmt, size):
    """Batches and patches of a mapped file are, draw for draw, those of its frames as RGB."""
    raw = RawFormat(*size, pix_fmt)
    lazy, rgb = both(raw_file(tmp_path / "a.yuv", raw, 9), raw, Selection(1, 8, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped, clip = clip_on(lazy.frames, "cpu"), clip_on(rgb.frames, "cpu")
    assert isinstance(mapped, YuvClip) and mapped.shape == tuple(clip.shape)
    assert mapped.data.data_ptr() == lazy.frames.file.ctypes.data, "no copy"
    copied = clip_on(lazy.frames, "meta")
    assert len(copied.data) == 4 * raw.frame_bytes and (copied.first, copied.stride) == (0, raw.frame_bytes)

    def drawn(clip: YuvClip | torch.Tensor) -> list[torch.Tensor]:
        batch = random_pixels(clip, 500, key_of(1, 0), torch.arange(4))
        patches = random_patches(clip, key_of(1, 1), torch.arange(4), side=7)
        return [*batch, *patches[:3]]

    for ours, theirs in zip(drawn(mapped), drawn(clip), strict=True):
        assert torch.equal(ours, theirs)


def test_a_copy_on_another_device_is_the_selected_frames(tmp_path, monkeypatch):
    """What a GPU gets, made here on the CPU: the same colors from bytes that lie one after the other."""
    from coordflow_mini.video import device

    raw = RawFormat(12, 8)
    lazy, rgb = both(raw_file(tmp_path / "a.yuv", raw, 9), raw, Selection(2, 9, 3))
    copied = device._copied(lazy.frames, "cpu")
    assert len(copied.data) == 3 * raw.frame_bytes
    indices = torch.arange(96)
    colors = device.colors_at(copied, torch.arange(3)[:, None], indices)
    assert torch.equal((255 * colors).round().byte(), torch.from_numpy(rgb.frames).flatten(1, 2))


def test_a_fit_to_the_file_is_a_fit_to_its_frames(one_thread, tmp_path):
    """The same steps give the same weights, to the bit."""
    raw = RawFormat(32, 24)
    config = FitConfig(steps=6, batch=200, compile=False)
    results = [
        fit(clip, ModelConfig(width=4, depth=1), config).model.parameters()
        for clip in both(raw_file(tmp_path / "a.yuv", raw, 5, natural=True), raw)
    ]
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, about itself
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float32, marks=pytest.mark.nightly)])
def test_compiled_training_reads_the_file(one_thread, tmp_path, caplog, dtype):
    """Compiled and not compiled, the loss is the same but for rounding, and nothing falls back."""
    raw = RawFormat(32, 24)
    lazy, _ = both(raw_file(tmp_path / "a.yuv", raw, 5, natural=True), raw)
    losses = []
    for compiling in (False, True):
        sampler = Sampler(lazy, FitConfig(batch=200), torch.device("cpu"))
        if compiling:
            sampler.pixel_terms = compiled(pixel_terms, raw)
        model = fit(lazy, ModelConfig(width=4, depth=1), FitConfig(steps=1, compile=False)).model
        losses.append(float(sampler.terms(model, dtype).total.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2 if dtype == torch.bfloat16 else 1e-4)
    assert "uncompiled" not in caplog.text


_CHILD = """
import sys
from pathlib import Path
from coordflow_mini.video.clip import area_resize
from coordflow_mini.video.read import load
from coordflow_mini.config import FitConfig, ModelConfig, Selection
from coordflow_mini.ops.run import fit
from coordflow_mini.video.raw import RawFormat

def own_memory(frames):
    clip = load(sys.argv[1], Selection(0, frames), RawFormat(640, 360))
    fit(clip, ModelConfig(width=4, depth=1), FitConfig(steps=5, batch=2048, compile=False))
    words = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(words["RssAnon"].split()[0]) / 2**10

print(-own_memory(2) + own_memory(400))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_long_clip_takes_no_memory(tmp_path):
    """A fit to 400 frames, 138 MB as planes and 276 MB as RGB, takes hardly more than one to 2 frames."""
    path = tmp_path / "long.yuv"
    with open(path, "wb") as file:
        file.truncate(400 * RawFormat(640, 360).frame_bytes)  # sparse: no disk is used
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 40  # MiB


# --- files and peers ----------------------------------------------------------------------------------


@matrices
def test_a_file_is_evaluated_by_its_own_matrix(one_thread, tmp_path, matrix, short_codec):
    """The header says how raw YUV became RGB; nobody has to repeat it."""
    raw = RawFormat(32, 24, matrix=matrix)
    path = raw_file(tmp_path / "a.yuv", raw, 6, natural=True)
    clip = load(path, Selection(1, 6, 2), raw)
    config = replace(short_codec, steps=5, choose_width=False)
    model = ModelConfig(width=8, depth=1, space_frequencies=6, flow_width=8)
    data = compress(clip, Recipe(model=model, fit=FitConfig(steps=5, batch=200), codec=config)).data
    found = evaluate.evaluate(path, data, raw=replace(raw, matrix="bt601"))
    assert found == replace(evaluate.evaluate(clip, data), point=found.point)
    assert found.point.psnr_db == evaluate.evaluate(clip, data).point.psnr_db


@pytest.mark.parametrize("codec", ["x264", "x265", "av1"])
def test_encoders_get_the_planes_of_the_file(tmp_path, monkeypatch, codec):
    """Every byte that goes in is the file's; the stream says so, and shows the frames."""
    if codec not in baselines.available():
        pytest.skip(f"no {codec} in this PyAV")
    raw, given = RawFormat(96, 64), []
    path = raw_file(tmp_path / "a.yuv", raw, 4, natural=True)
    picture_of = baselines.raw_picture

    def watched(data, raw):
        picture = picture_of(data, raw)
        given.append(picture.to_ndarray().tobytes())
        return picture

    monkeypatch.setattr(baselines, "raw_picture", watched)
    clip = load(path, raw=raw)
    stream = baselines.encode(clip, codec, 5)
    assert b"".join(given) == path.read_bytes()
    assert "source planes" in stream.settings
    assert psnr_db(clip.frames, baselines.decode(stream)) > 30


def test_what_is_not_the_encoders_layout_goes_through_rgb(tmp_path):
    """Another layout, another matrix, sides to be padded: as before, and nothing is claimed."""
    for raw in (RawFormat(96, 64, "yuv444p"), RawFormat(96, 64, matrix="bt709"), RawFormat(95, 64)):
        clip = load(raw_file(tmp_path / "a.yuv", raw, 3, natural=True), raw=raw)
        stream = baselines.encode(clip, "x264", 20)
        assert "source planes" not in stream.settings
        assert baselines.decode(stream).shape == clip.frames.shape


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("A_8x6_24fps_8bit_422_YUV.yuv", "yuv422p"),  # in another order
        ("A_8x6_24fps_420_10bit_YUV.yuv", "yuv420p10le"),
        ("A_8x6_24fps.yuv", "yuv420p"),
        ("A_8x6_24fps_420_14bit_YUV.yuv", None),  # a depth that is not read: ask
    ],
)
def test_a_name_is_understood_whole_or_not_at_all(name, layout):
    found = RawFormat.from_name(name)
    assert (found and found.pix_fmt) == layout
