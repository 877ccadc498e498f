"""Colors, selections, pictures, and one line for every file that cannot be read."""

import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video.raw import RawFormat, VideoError
from coordflow_mini.video.read import load
from coordflow_mini.video.write import write
from tests.video.frames import largest_difference, noise, smooth_clip


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
