"""Reading, writing, selecting and resizing: laws, round trips, and one line for every refusal."""

import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video.clip import Video, area_resize
from coordflow_mini.video.raw import RawFormat, VideoError
from coordflow_mini.video.read import load
from coordflow_mini.video.write import write


def smooth_clip(time: int, height: int, width: int) -> np.ndarray:
    """Slow gradients that move: what lossy codecs and 4:2:0 keep well."""
    frame, row, column = np.ogrid[0:time, 0:height, 0:width]
    waves = [
        np.sin(0.02 * (channel + 2) * (row + column * (channel - 1)) + 0.2 * frame) for channel in range(3)
    ]
    return np.stack([60 * wave + 127 for wave in waves], -1).astype(np.uint8)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def largest_difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


# --- the record ---------------------------------------------------------------------------------------


def test_video_knows_its_size_and_by_default_is_its_own_source() -> None:
    clip = Video(noise(3, 4, 6, 3)[:, ::-1], Fraction(30000, 1001), "x")
    assert (clip.time, clip.height, clip.width, clip.pixels) == (3, 4, 6, 72)
    assert clip.frames.flags.c_contiguous
    assert clip.selection == Selection(0, 3, 1, 6, 4)
    assert repr(clip) == "Video('x', 3 frames of 6x4, 29.97 fps, rgb)"


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((2, 3, 4, 3)),
        np.zeros((2, 3, 4, 4), np.uint8),
        [[[[1, 2, 3]]]],
        None,
    ],
)
def test_video_refuses_other_arrays_and_says_what_to_do(frames: object) -> None:
    with pytest.raises(
        ValueError, match=r"must be uint8 \[time, height, width, 3\], got .*Video\.from_float"
    ):
        Video(frames)  # type: ignore[arg-type]


def test_video_refuses_no_frames_unknown_matrix_and_no_rate() -> None:
    for arguments in [
        (noise(0, 2, 2, 3),),
        (noise(1, 2, 2, 3), 0),
        (noise(1, 2, 2, 3), 25, "x", Selection(), "yuv"),
    ]:
        with pytest.raises(ValueError, match="must"):
            Video(*arguments)


def test_from_float_undoes_division_by_255_and_refuses_what_is_no_color() -> None:
    frames = noise(2, 5, 4, 3)
    for kind in (np.float32, np.float64):
        assert np.array_equal(Video.from_float((frames / 255).astype(kind)).frames, frames)
    for wrong in (frames.astype(float), np.full((1, 1, 1, 3), -0.1), np.full((1, 1, 1, 3), np.nan)):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            Video.from_float(wrong)


def test_select_of_a_selection_speaks_of_the_source() -> None:
    clip = Video(noise(20, 4, 6, 3), Fraction(24))
    once = clip.select(Selection(2, 18, 2)).select(Selection(1, 6, 3, 3, 2))
    assert once.selection == Selection(4, 14, 6, 3, 2) and once.fps == 4
    assert np.array_equal(once.frames, clip.select(once.selection).frames)
    with pytest.raises(VideoError, match="frames 0:21 of video do not exist: it has 20 frames"):
        clip.select(Selection(0, 21))


# --- size ---------------------------------------------------------------------------------------------


def test_area_resize_is_the_mean_over_each_area() -> None:
    frame = noise(6, 9, 3)
    blocks = frame.reshape(3, 2, 3, 3, 3).mean((1, 3))
    assert np.abs(area_resize(frame, 3, 3) - blocks).max() <= 0.5
    for height, width in [(4, 5), (5, 2), (13, 20), (1, 1)]:  # repeat each pixel so that blocks come out even
        fine = frame.repeat(height, 0).repeat(width, 1).reshape(height, 6, width, 9, 3)
        assert np.abs(area_resize(frame, height, width) - fine.mean((1, 3))).max() <= 0.5


def test_area_resize_keeps_flat_colors_of_any_size() -> None:
    flat = np.full((1, 5000, 1), 255, np.uint8)
    assert (area_resize(flat, 3, 777) == 255).all()
    assert (area_resize(np.full((2200, 4000, 1), 254, np.uint8), 7, 3) == 254).all()  # beyond int32


# --- round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(3, 32, 48), (2, 48, 30), (1, 16, 16), (2, 17, 31), (2, 1, 1)])
@pytest.mark.parametrize(("suffix", "bound"), [(".npy", 0), ("", 0), (".y4m", 3), (".mp4", 12)])
def test_what_is_written_is_read(tmp_path: Path, size: tuple[int, int, int], suffix: str, bound: int) -> None:
    clip = smooth_clip(*size)
    path = tmp_path / f"clip{suffix}"
    write(path, clip, Fraction(30000, 1001))
    back = load(path)
    assert largest_difference(back.frames, clip) <= bound
    assert back.name == "clip" and back.selection == Selection(0, size[0], 1, size[2], size[1])
    if suffix in (".y4m", ".mp4"):
        assert back.fps == Fraction(30000, 1001) and back.matrix == "bt601"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_gray_frames_stay_gray_in_a_folder_and_become_rgb_elsewhere(tmp_path: Path) -> None:
    masks = (noise(2, 5, 7) > 127) * np.uint8(255)
    write(tmp_path / "masks", masks)
    with av.open(str(tmp_path / "masks" / "frame_00001.png")) as container:
        assert next(container.decode(video=0)).format.name == "gray"
    write(tmp_path / "masks.npy", masks)
    for path in (tmp_path / "masks", tmp_path / "masks.npy"):
        assert np.array_equal(load(path).frames, masks[..., None].repeat(3, 3))


def test_npy_is_what_numpy_writes(tmp_path: Path) -> None:
    frames = noise(3, 4, 5, 3)
    write(tmp_path / "ours.npy", frames[:, :, ::-1])
    np.save(tmp_path / "theirs.npy", np.ascontiguousarray(frames[:, :, ::-1]))
    assert np.array_equal(np.load(tmp_path / "ours.npy"), np.load(tmp_path / "theirs.npy"))
    assert np.array_equal(load(tmp_path / "theirs.npy").frames, frames[:, :, ::-1])


# --- color --------------------------------------------------------------------------------------------


def flat_yuv(matrix_tag: int | None, path: Path, yuv: tuple[int, int, int] = (120, 90, 180)) -> Path:
    """A lossless video of one color, tagged or not."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        if matrix_tag is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix_tag, 1
        frame = av.VideoFrame(16, 16, "yuv420p")
        for plane, value in zip(frame.planes, yuv, strict=True):
            np.frombuffer(memoryview(plane), np.uint8)[:] = value
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("tag", "matrix", "rgb"),
    [
        (None, "bt601", (203, 92, 44)),
        (6, "bt601", (203, 92, 44)),
        (1, "bt709", (214, 101, 40)),
    ],
)
def test_yuv_becomes_rgb_by_the_tag_and_by_bt601_without_one(
    tmp_path: Path, tag: int | None, matrix: str, rgb: tuple[int, int, int]
) -> None:
    clip = load(flat_yuv(tag, tmp_path / "flat.mkv"))
    assert clip.matrix == matrix
    assert largest_difference(clip.frames, np.broadcast_to(np.array(rgb), clip.frames.shape)) <= 1


def test_bt2020_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"flat\.mkv .*convert it to BT\.709"):
        load(flat_yuv(9, tmp_path / "flat.mkv"))


def test_raw_yuv_is_bt601(tmp_path: Path) -> None:
    path = tmp_path / "Flat_6x4_50fps_420_8bit_YUV.yuv"
    frame = bytes([120] * 24 + [90] * 6 + [180] * 6)
    path.write_bytes(frame * 3)
    clip = load(path, Selection(1, 3))
    assert (np.asarray(clip.frames) == (203, 92, 44)).all()
    assert (clip.matrix, clip.fps, clip.frames.shape) == ("bt601", 50, (2, 4, 6, 3))
    by_bt709 = load(path, raw=RawFormat(6, 4, matrix="bt709"))
    assert by_bt709.matrix == "bt709"
    assert largest_difference(np.asarray(by_bt709.frames), np.full((3, 4, 6, 3), (214, 101, 40))) <= 1


# --- raw ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le"])
@pytest.mark.parametrize("size", [(48, 32), (31, 17)])
def test_raw_frames_are_what_pyav_makes_of_the_same_planes(
    tmp_path: Path, pix_fmt: str, size: tuple[int, int]
) -> None:
    raw = RawFormat(*size, pix_fmt)
    frames, data = [], b""
    for rgb in smooth_clip(3, size[1], size[0]):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
        frames.append(frame.reformat(format="rgb24", interpolation="BICUBIC").to_ndarray())
        for plane, (rows, row_bytes) in zip(frame.planes, raw.plane_shapes, strict=True):
            data += (
                np.frombuffer(memoryview(plane), np.uint8)
                .reshape(-1, plane.line_size)[:rows, :row_bytes]
                .tobytes()
            )
    path = tmp_path / "clip.yuv"
    path.write_bytes(data)
    assert len(data) == 3 * raw.frame_bytes
    assert largest_difference(np.asarray(load(path, raw=raw).frames), np.stack(frames)) <= 1


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


# --- selections ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", "", ".y4m", ".mp4"])
def test_reading_a_part_is_reading_all_and_selecting(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    write(path, smooth_clip(11, 30, 44), 24)
    whole = load(path)
    for selection in [
        Selection(3, 4),
        Selection(2, None, 3),
        Selection(0, 11, 5, 16, 9),
        Selection(10, None, 2, 60, 40),
    ]:
        part = load(path, selection)
        assert np.array_equal(part.frames, whole.select(selection).frames)
        assert part.selection == whole.select(selection).selection and part.fps == whole.fps / selection.step
    for selection in [Selection(0, 12), Selection(11, None), Selection(40, 50)]:
        with pytest.raises(VideoError, match=f"frames {selection.start}:.* it has 11 frames"):
            load(path, selection)


def test_decoding_stops_after_the_last_wanted_frame(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    write(folder, noise(4, 6, 6, 3))
    (folder / "frame_00003.png").write_bytes(b"not a picture")
    assert load(folder, Selection(0, 3)).time == 3
    with pytest.raises(VideoError, match=r"frame_00003\.png is not a readable PNG"):
        load(folder)


def test_rotation_tags_are_applied(tmp_path: Path) -> None:
    upright = smooth_clip(2, 24, 40)
    for degrees, turns in [(90, 1), (180, 2), (-90, 3)]:
        path = tmp_path / f"{degrees}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 40, 24, "yuv420p"
            stream.set_display_rotation(degrees)
            for frame in upright:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        assert largest_difference(load(path).frames, np.rot90(upright, turns, (1, 2))) <= 14


# --- pictures -----------------------------------------------------------------------------------------


def save_png(path: Path, pixels: np.ndarray, layout: str) -> None:
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = layout, Fraction(1, 25)
    packets = encoder.encode(av.VideoFrame.from_ndarray(pixels, format=layout)) + encoder.encode(None)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def test_deep_gray_and_transparent_pngs(tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    save_png(tmp_path / "deep" / "a.png", deep, "gray16be")
    assert largest_difference(load(tmp_path / "deep").frames[0], (deep // 257)[..., None].repeat(3, 2)) <= 1
    save_png(tmp_path / "gray" / "a.png", noise(5, 6), "gray")
    assert np.array_equal(load(tmp_path / "gray").frames[0, ..., 1], noise(5, 6))
    clear = noise(5, 6, 4)
    save_png(tmp_path / "clear" / "a.png", clear, "rgba")
    on_black = clear[..., :3] * (clear[..., 3:] / 255)
    assert np.abs(load(tmp_path / "clear").frames[0] - on_black).max() <= 0.51
    assert load(tmp_path / "clear" / "a.png").matrix == "rgb"  # one picture is a video of one frame


def test_pngs_come_in_natural_order_and_in_one_size(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    for number in (10, 2, 1):
        save_png(folder / f"shot_{number}.PNG", np.full((4, 4), number, np.uint8), "gray")
    (folder / "notes.txt").write_text("not a frame")
    assert load(folder).frames[:, 0, 0, 0].tolist() == [1, 2, 10]
    save_png(folder / "shot_3.png", noise(5, 4), "gray")
    with pytest.raises(VideoError, match=r"frame 2 of frames is 4x5, those before it are 4x4"):
        load(folder)


# --- refusals -----------------------------------------------------------------------------------------


def test_unreadable_sources_get_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(noise(5000).tobytes())
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.txt").write_text("hello\n" * 100)
    (tmp_path / "folder").mkdir()
    (tmp_path / "nameless.yuv").write_bytes(bytes(100))
    (tmp_path / "short_16x16_25fps.yuv").write_bytes(bytes(100))
    (tmp_path / "junk.npy").write_bytes(b"junk")
    np.save(tmp_path / "float.npy", np.zeros((2, 2, 2, 3)))
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "none.npy", noise(0, 2, 2, 3))
    write(tmp_path / "whole.mp4", smooth_clip(9, 32, 32))
    (tmp_path / "half.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:900])
    (tmp_path / "whole.mp4").unlink()
    for path in [*tmp_path.iterdir(), tmp_path / "missing.mp4", tmp_path / "missing" / "frames"]:
        with pytest.raises(VideoError) as caught:
            load(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", "", ".y4m", ".mp4"])
def test_a_failing_write_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    def breaks_off() -> object:
        yield from smooth_clip(3, 16, 16)
        raise KeyboardInterrupt

    path = tmp_path / f"clip{suffix}"
    with pytest.raises(KeyboardInterrupt):
        write(path, breaks_off())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    write(path, noise(5, 16, 16, 3))
    before = load(path).frames
    with pytest.raises(KeyboardInterrupt):
        write(path, breaks_off())  # type: ignore[arg-type]
    with pytest.raises(VideoError, match="all of one size"):
        write(path, [noise(4, 4, 3), noise(4, 5, 3)])
    with pytest.raises(VideoError, match="there are no frames"):
        write(path, [])
    assert np.array_equal(load(path).frames, before)
    write(path, noise(2, 16, 16, 3))  # and a good one replaces it
    assert load(path).time == 2
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_unwritable_outputs_are_named_before_any_frame_is_asked_for(tmp_path: Path) -> None:
    def never() -> object:
        pytest.fail("a frame was asked for")
        yield

    (tmp_path / "film.mp4").mkdir()
    (tmp_path / "file").write_text("precious")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.png").write_text("precious")
    for name in [
        "film.mp4",
        "file",
        "photos",
        "clip.avi",
        "nowhere/clip.mp4",
        "file/frames",
        "file/clip.npy",
    ]:
        with pytest.raises(VideoError) as caught:
            write(tmp_path / name, never())  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == (tmp_path / "photos" / "holiday.png").read_text() == "precious"


def test_frames_of_another_kind_are_not_written(tmp_path: Path) -> None:
    for wrong in [noise(4, 4, 4), noise(4), np.zeros((4, 4, 3))]:
        with pytest.raises(VideoError, match="must be uint8"):
            write(tmp_path / "clip.npy", [wrong])


def test_importing_video_does_not_import_torch() -> None:
    code = (
        "import sys, coordflow_mini.video.clip, coordflow_mini.video.read; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_nothing_warns(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "clip.mp4", smooth_clip(3, 16, 16))
        load(tmp_path / "clip.mp4")
