"""Inputs and outputs that should not be: the right result, or one line and exit code 2, and nothing is lost.

The cases are those of `campaigns/inputs.py`, which runs all of them as processes of their own.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from campaigns import inputs
from campaigns.inputs import Case, film, picture, pictures
from coordflow_mini import cli
from coordflow_mini.config import Selection
from coordflow_mini.ops.files import destination, replacing
from coordflow_mini.video import scenes
from coordflow_mini.video.raw import RawFormat, VideoError
from coordflow_mini.video.read import load
from coordflow_mini.video.truncation import bytes_missing

QUICK = [case for case in inputs.cases() if not case.alone]
SHORT = [
    case
    for place, case in enumerate(QUICK)
    if case.says is None or case.words[0] == "encode" or " --" in case.name or place % 12 == 0
]
ALONE = [case for case in inputs.cases() if case.alone and case.words[0] in ("export", "decode")][::2]


@pytest.fixture(scope="module")
def master(tmp_path_factory, one_thread) -> Path:
    """A folder with one encoded file."""
    folder = tmp_path_factory.mktemp("master")
    inputs.good(folder)
    return folder


@pytest.fixture
def folder(master, tmp_path, monkeypatch) -> Path:
    """A copy of it, which is where commands run."""
    shutil.copytree(master, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.promise(
    "Videos that are read",
    "Damaged, strange or hostile input (empty, cut, mixed sizes, bombs, devices, playlists) gives the "
    "right frames, or one line and exit code 2. Existing outputs survive. No other file and no address "
    "is opened.",
)
@pytest.mark.parametrize("case", SHORT, ids=str)
def test_commands_do_it_right_or_say_why_not(case: Case, folder: Path) -> None:
    case.make(folder)
    before = inputs.tree(folder)
    result = CliRunner().invoke(cli.app, list(case.words))
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    assert not inputs.findings(case, result.exit_code, result.stdout, result.stderr, before, folder)


@pytest.mark.promise(
    "Videos that are read",
    "Pipes and other inputs that never end are refused, not waited for.",
)
@pytest.mark.parametrize("case", ALONE, ids=str)
def test_nothing_hangs(case: Case, folder: Path) -> None:
    assert not inputs.alone(case, folder).findings


def test_a_finding_would_be_found(folder: Path) -> None:
    """The campaign's own eyes: what it must see, it sees."""
    case = Case("x", ("x",), inputs.nothing, "reason")
    before = inputs.tree(folder)
    assert not inputs.findings(case, 2, "", "error: the reason\n", before, folder)
    for code, out, err in (
        (0, "", "error: the reason\n"),
        (2, "x", "error: the reason\n"),
        (2, "", "Traceback\nerror: the reason\n"),
        (2, "", "error: the reason\nmore\n"),
        (2, "", "error: else\n"),
    ):
        assert inputs.findings(case, code, out, err, before, folder)
    (folder / ".x.part").write_bytes(b"")
    assert inputs.findings(case, 2, "", "error: the reason\n", before, folder)
    good = Case("x", ("x",), inputs.nothing, None, frozenset({".x.part"}))
    assert not inputs.findings(good, 0, "", "", before, folder)
    (folder / "good.npy").write_bytes(b"changed")
    assert inputs.findings(good, 0, "", "", before, folder)


# --- damage at random ---------------------------------------------------------------------------------

KINDS = {  # what is damaged, and whether damage that is not refused leaves the frames right
    "x.png": (lambda path: path.write_bytes(picture()), True),
    "x.mp4": (film, False),
    "x.mkv": (film, False),
    "x.avi": (lambda path: film(path, "mpeg4"), False),
    "x.gif": (lambda path: film(path, "gif", "rgb8"), False),
    "x.y4m": (lambda path: film(path, "rawvideo", "yuv444p"), False),
    "x.npy": (lambda path: np.save(path, pictures()), False),
}


@pytest.mark.promise(
    "Videos that are read",
    "A truncated mp4, mkv, avi, gif, y4m, npy or png never passes for a shorter clip.",
)
@pytest.mark.parametrize("name", KINDS)
def test_every_shorter_file_is_refused_or_has_its_frames(name: str, tmp_path: Path) -> None:
    """A file that was cut anywhere never passes for a shorter one."""
    path = tmp_path / name
    KINDS[name][0](path)
    whole, data = load(path).frames, path.read_bytes()
    for length in np.random.default_rng(inputs.SEED).integers(0, len(data), 40):
        path.write_bytes(data[:length])
        with contextlib.suppress(VideoError):
            np.testing.assert_array_equal(load(path).frames, whole, f"first {length} bytes")


@pytest.mark.parametrize("name", KINDS)
def test_every_changed_file_is_refused_or_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    KINDS[name][0](path)
    whole, data = load(path).frames, path.read_bytes()

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(place=st.integers(0, len(data) - 1), content=st.binary(min_size=1, max_size=40))
    @example(place=0, content=b"\0")
    def check(place: int, content: bytes) -> None:
        changed = bytearray(data)
        changed[place : place + len(content)] = content
        path.write_bytes(changed[: len(data)])
        try:
            found = load(path)
        except VideoError as error:
            assert "\n" not in str(error)
            return
        assert found.frames.dtype == np.uint8 and found.frames.ndim == 4 and found.fps > 0
        if KINDS[name][1]:
            np.testing.assert_array_equal(found.frames, whole)

    check()


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=30) | st.from_regex(r"\A[0-9eE.:x/-]{1,20}\Z"))
def test_any_text_for_numbers_is_understood_or_refused(text: str) -> None:
    for parse in (
        RawFormat.parse,
        lambda size: Selection.parse(None, size),
        lambda frames: Selection.parse(frames, None),
    ):
        with contextlib.suppress(ValueError):
            parse(text)


# --- what files say about themselves ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("x.mp4", "libx264", "yuv420p"),
        ("x.mov", "qtrle", "rgb24"),
        ("x.mkv", "libx264", "yuv420p"),
        ("x.webm", "libvpx-vp9", "yuv420p"),
        ("x.avi", "mpeg4", "yuv420p"),
        ("x.gif", "gif", "rgb8"),
        *((f"{layout}.y4m", "rawvideo", layout) for layout in ("yuv420p", "yuv422p", "yuv444p", "gray")),
    ],
)
def test_whole_files_miss_nothing_and_cut_ones_miss_what_was_cut(
    name: str, codec: str, layout: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    film(path, codec, layout, **({"movflags": "faststart"} if name == "x.mp4" else {}))
    assert bytes_missing(path) == 0
    os.truncate(path, path.stat().st_size - 10)
    assert 1 <= bytes_missing(path) <= 10
    with pytest.raises(VideoError, match=r"cut off|cannot be read|no video stream"):
        load(path)


def test_a_variable_frame_rate_becomes_its_mean_and_frames_stay_as_they_come(tmp_path: Path) -> None:
    times = (0, 1, 5, 6, 30, 49)
    film(tmp_path / "uneven.mp4", times=times)
    film(tmp_path / "even.mp4")
    uneven, even = (load(tmp_path / name) for name in ("uneven.mp4", "even.mp4"))
    assert abs(uneven.fps - 5 / (49 / 25)) < 0.01 and even.fps == 25
    assert np.abs(uneven.frames.astype(int) - even.frames).mean() < 10


def copied(source: Path, target: Path, first: int, spoil: bool = False) -> None:
    """The stream of a file from the first key packet on that is not before packet `first`, as it is coded.

    spoil: put noise into the last packet.
    """
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(video=0) if packet.size]
        start = next(place for place in range(first, len(packets)) if packets[place].is_keyframe)
        for packet in packets[start:]:
            if spoil and packet is packets[-1]:
                noise = np.random.default_rng(0).bytes(packet.size)
                packet = with_data(packet, noise)
            packet.stream = stream
            made.mux(packet)


def with_data(packet: av.Packet, data: bytes) -> av.Packet:
    other = av.Packet(data)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    return other


SCENE = scenes.cutout(48, 64, 40).video.frames
OPEN = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0"}


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_what_is_cut_out_of_a_longer_file_begins_where_it_can(kind: str, tmp_path: Path) -> None:
    """Its first packets refer to frames before the cut; all others are frames of the whole, at its rate."""
    whole, part = tmp_path / "whole.mp4", tmp_path / f"part.{kind}"
    film(whole, frames=SCENE, coder=OPEN)
    copied(whole, part, first=5)
    frames = load(whole).frames
    cut = load(part)
    assert 25 <= cut.time <= 30 and cut.fps == 25
    np.testing.assert_array_equal(cut.frames, frames[40 - cut.time :])


def test_frames_beyond_the_end_are_refused(tmp_path: Path) -> None:
    film(tmp_path / "x.mp4")
    with pytest.raises(VideoError, match=r"frames 0:7 of x.mp4 do not exist"):
        load(tmp_path / "x.mp4", Selection(0, 7))


def test_a_recording_may_begin_anywhere(tmp_path: Path) -> None:
    """A transport stream is made to be entered in the middle."""
    film(tmp_path / "whole.ts", frames=SCENE, coder=OPEN)
    frames, data = load(tmp_path / "whole.ts").frames, (tmp_path / "whole.ts").read_bytes()
    start = data.index(b"\x47", len(data) // 3 // 188 * 188)
    (tmp_path / "part.ts").write_bytes(data[start:])
    cut = load(tmp_path / "part.ts").frames
    assert 10 <= len(cut) < 40
    np.testing.assert_array_equal(cut, frames[40 - len(cut) :])


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_noise_in_the_last_packet_is_no_shorter_clip(kind: str, tmp_path: Path) -> None:
    """Decoders of several threads would not say so."""
    film(tmp_path / "good.mp4", frames=SCENE)
    copied(tmp_path / "good.mp4", tmp_path / f"bad.{kind}", first=0, spoil=True)
    with pytest.raises(VideoError, match="damaged after frame"):
        load(tmp_path / f"bad.{kind}")


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (b"RIFF\xff\xff\xff\xffAVI " + bytes(100), 0),  # written to a pipe
        (b"RIFF\xff\xff\x00\x00AVI " + bytes(100), 65535 - 112),
        (b"YUV4MPEG2 W4 H4 XYSCSS=444\nFRAME\n" + bytes(48), 0),
        (b"YUV4MPEG2 W4 H4\nFRAME\n" + bytes(20), 4),
    ],
)
def test_lengths_that_nobody_knew(data: bytes, missing: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert bytes_missing(tmp_path / "x") == missing


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    """Its picture is marked as belonging to the sound."""
    import av

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 24, 16, "rgb24"
        stream.disposition = 0x400
        frame = av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        if not int(container.streams.video[0].disposition) & 0x400:
            pytest.skip("this PyAV does not write covers")
    with pytest.raises(VideoError, match="no video stream"):
        load(path)


# --- places to write to -------------------------------------------------------------------------------


@pytest.mark.promise("Videos that are read", "Output names may be as long as the file system allows.")
def test_the_longest_names_are_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "視" * 85):
        with replacing(tmp_path / name) as temporary:
            temporary.write_bytes(b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.promise(
    "Videos that are read",
    "Writing to a symbolic link replaces its target and keeps the link.",
)
def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to("real")
    for content in (b"new", b"newer"):  # first it dangles
        with replacing(link) as temporary:
            temporary.write_bytes(content)
        assert link.is_symlink() and real.read_bytes() == content
    assert destination(link) == real
    (tmp_path / "loop").symlink_to("loop")
    for wrong in (tmp_path / "loop", Path("/dev/null")):
        with pytest.raises(OSError, match="symbolic|ordinary"), replacing(wrong):
            pytest.fail("was begun")
    assert {entry.name for entry in tmp_path.iterdir()} == {"real", "link", "loop"}


def small_disk(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    """What a shell script says that runs where /mnt is a disk of 64 kB; skips where that is not permitted."""
    mount = "mount -t tmpfs -o size=64k,mode=777 none /mnt"
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False).returncode
    ):
        pytest.skip("mounting is not permitted here")
    command = ["unshare", "-m", "sh", "-c", f"{mount} && {script}", "sh", sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.promise("Videos that are read", "A full disk leaves the previous output intact.")
@pytest.mark.parametrize("name", ["x.npy", "x.mp4", "x.cfv"])
def test_a_full_disk_keeps_what_was_there(name: str, folder: Path) -> None:
    """One line, exit code 2, the old file, nothing beside it."""
    coded = name == "x.cfv"
    large = folder / "large.npy"
    np.save(large, pictures(2, 128, 128))
    words = (
        f"encode {large} /mnt/{name} --bpp 24 --width 400"
        if coded
        else f"decode good.cfv /mnt/{name} --scale 16"
    )
    old = "mkdir /mnt/x && cp frame.png /mnt/x/frame_00000.png" if name == "x" else f"echo old > /mnt/{name}"
    (folder / "frame.png").write_bytes(picture())
    fill = "head -c 65536 /dev/zero > /mnt/zeros 2> /dev/null"
    script = (
        f'{old}; {fill}; ls -R /mnt > before; "$1" -m coordflow_mini {words} -q --threads 1; code=$?; '
        f'ls -R /mnt | cmp - before && exit $code || exit 99'
    )  # fmt: skip
    result = small_disk(script)
    assert result.returncode == 2, result
    reason = "its disk has 0 free; make room" if coded else "No space left"
    assert result.stderr.count("\n") == 1 and reason in result.stderr, result.stderr


@pytest.mark.promise(
    "Videos that are read",
    "A read-only folder is reported in one line, and nothing in it changes.",
)
def test_a_folder_that_may_only_be_read(folder: Path) -> None:
    script = 'mount -o remount,ro /mnt; "$1" -m coordflow_mini decode good.cfv /mnt/x.npy'
    result = small_disk(script)
    assert result.returncode == 2 and "cannot be written" in result.stderr and result.stderr.count("\n") == 1
    script = 'mount -o remount,ro /mnt; "$1" -m coordflow_mini encode good.npy /mnt/x.cfv'
    result = small_disk(script)
    assert result.returncode == 2 and "cannot be written" in result.stderr and result.stderr.count("\n") == 1


def test_names_of_any_bytes_are_printed(folder: Path) -> None:
    """Also where the terminal is strict about what is text."""
    os.rename(folder / "good.cfv", folder / "\udcff.cfv")
    command = [sys.executable, "-m", "coordflow_mini", "decode", b"\xff.cfv", b"\xfe.npy"]
    result = subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    )
    assert result.returncode == 0, result.stderr
    assert b"?.npy" in result.stdout and (folder / "\udcfe.npy").is_file()


def test_nothing_is_printed_by_ffmpeg_or_left_open(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"junk")
    film(tmp_path / "y.mp4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(VideoError):
            load(tmp_path / "x.mp4")
        load(tmp_path / "y.mp4")
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list open files")
    open_files = {
        os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)
    }
    assert not [name for name in open_files if str(tmp_path) in name]
