"""Round trips, outputs that appear whole or not at all, and one line for every refusal."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video.raw import VideoError
from coordflow_mini.video.read import load
from coordflow_mini.video.write import write
from tests.video.frames import largest_difference, noise, smooth_clip


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
