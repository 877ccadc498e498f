"""Damaged, strange and hostile inputs and outputs: each command handles them, or says in one line why not.

    python -m campaigns.inputs [WORD]

runs every case (or those with WORD in their name) as a process of its own. A case fails on a traceback, an
unexpected exit code, more than one line, more than two seconds beyond the start of the interpreter, more than
a gigabyte, a changed file or a leftover one. `tests/video/test_hostile_inputs.py` runs some of these cases.
"""

import hashlib
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

SEED = 7
SECONDS, MEGABYTES = 2.0, 1024  # beyond the bare start; in all
PATIENCE = 30.0  # seconds until a process counts as hanging
FOLDER = Path("runs/campaigns/inputs")
BRIEF = ("--steps", "1", "--width", "4", "--threads", "1", "-q")

Make = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """A command, run in a folder of its own, and its expected outcome.

    words: the command line.  make: prepares the folder, which holds only `good.cfv` and `good.npy`.
    says: a pattern for the one line of a refusal; None: it must succeed.  new: names that a success changes.
    shape: of the frames that a success writes, if known.  alone: only as a process of its own.
    """

    name: str
    words: tuple[str, ...]
    make: Make = field(repr=False)
    says: str | None = None
    new: frozenset[str] = frozenset()
    shape: tuple[int, ...] | None = None
    alone: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case.  seconds: beyond the start of the interpreter.  findings: one line each."""

    case: Case
    seconds: float
    megabytes: float
    findings: tuple[str, ...]


# --- pictures and films -------------------------------------------------------------------------------


def pictures(time: int = 6, height: int = 16, width: int = 24, channels: int = 3) -> np.ndarray[Any, Any]:
    """Seeded noise over a ramp: frames in which any damage would show."""
    noise = np.random.default_rng(SEED).integers(0, 64, (time, height, width, channels))
    return (noise + np.linspace(0, 190, width).astype(int)[:, None]).astype(np.uint8)


def film(
    path: Path,
    codec: str = "libx264",
    layout: str = "yuv420p",
    frames: np.ndarray[Any, Any] | None = None,
    kind: str | None = None,
    times: Iterable[int] = (),
    turned: int = 0,
    coder: Mapping[str, str] | None = None,
    **options: str,
) -> None:
    """Write a video file with PyAV.  times: of each frame [1/25 s].  turned: degrees.

    coder, options: settings of the codec and of the file format.
    """
    frames = pictures() if frames is None else frames
    with av.open(str(path), "w", format=kind, options=options) as container:
        quality = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream: Any = container.add_stream(codec, rate=25, options={**quality, **(coder or {})})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], layout
        if turned:
            stream.set_display_rotation(turned)
        source = "rgba" if frames.shape[3] == 4 else "rgb24"
        for frame, now in zip(frames, times or range(len(frames)), strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format=source).reformat(format=layout)
            picture.pts, picture.time_base = now, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def png(height: int, width: int, rows: Iterable[bytes], depth: int = 8, color: int = 2) -> bytes:
    """A PNG of these rows of samples."""
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(b"\0" + row) for row in rows), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def picture(height: int = 16, width: int = 24) -> bytes:
    """A PNG of the first picture of that size."""
    return png(height, width, (row.tobytes() for row in pictures(1, height, width)[0]))


def npy(header: str, data: bytes = b"") -> bytes:
    """A NumPy file with this header."""
    text = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def shaped(*shape: int, kind: str = "|u1") -> bytes:
    """The header of a NumPy file that holds nothing more."""
    return npy(str({"descr": kind, "fortran_order": False, "shape": shape}))


# --- how to make things -------------------------------------------------------------------------------


def data(name: str, content: bytes | str) -> Make:
    """A file of these bytes."""
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: _write(folder / name, content)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def movie(name: str, codec: str = "libx264", layout: str = "yuv420p", **how: Any) -> Make:
    """A film under this name."""
    return lambda folder: film(folder / name, codec, layout, **how)


def cut(name: str, part: float, *how: str, **more: Any) -> Make:
    """The first part of a film."""

    def make(folder: Path) -> None:
        film(folder / name, *how, **more)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(part * len(whole))])

    return make


def wrong(name: str, find: bytes, offset: int, content: bytes, *how: str, **more: Any) -> Make:
    """A film with bytes overwritten, `offset` after the first occurrence of `find`."""

    def make(folder: Path) -> None:
        film(folder / name, *how, **more)
        whole = bytearray((folder / name).read_bytes())
        place = whole.index(find) + offset
        whole[place : place + len(content)] = content
        (folder / name).write_bytes(whole)

    return make


def array(name: str, values: Any) -> Make:
    """An array that NumPy saves, pickles included."""

    def make(folder: Path) -> None:
        with open(folder / name, "wb") as file:
            np.save(file, values, allow_pickle=True)  # trusted: makes what must be refused

    return make


def archive(name: str) -> Make:
    """A ZIP archive of arrays."""

    def make(folder: Path) -> None:
        with open(folder / name, "wb") as file:
            np.savez(file, pictures())

    return make


def sparse(name: str, size: int, start: bytes = b"") -> Make:
    """A file of zeros, or of holes, behind a few bytes."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(start)
        os.truncate(folder / name, size)

    return make


def frames(name: str, *contents: bytes) -> Make:
    """A folder of PNGs."""
    return together(
        *(data(f"{name}/frame_{number:05d}.png", content) for number, content in enumerate(contents))
    )


def crowd(name: str, count: int, suffix: str) -> Make:
    """A folder of many empty files."""

    def make(folder: Path) -> None:
        (folder / name).mkdir()
        for number in range(count):
            os.close(os.open(folder / name / f"x{number}{suffix}", os.O_CREAT | os.O_WRONLY))

    return make


def link(name: str, target: str) -> Make:
    """A symbolic link."""
    return lambda folder: os.symlink(target, folder / name)


def hard_link(name: str, target: str) -> Make:
    """Another name of the same file."""
    return lambda folder: os.link(folder / target, folder / name)


def pipe(name: str) -> Make:
    """A pipe without a writer."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        os.mkfifo(folder / name)

    return make


def sound(name: str, codec: str = "aac") -> Make:
    """A file of sound alone."""

    def make(folder: Path) -> None:
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=48000)
            samples = np.zeros((1, 4096), np.float32 if codec == "aac" else np.int16)
            frame = av.AudioFrame.from_ndarray(
                samples, format="fltp" if codec == "aac" else "s16", layout="mono"
            )
            frame.rate = 48000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    return make


def together(*makes: Make) -> Make:
    """All of these."""

    def make(folder: Path) -> None:
        for one in makes:
            one(folder)

    return make


def nothing(folder: Path) -> None:
    """The folder is right as it is."""


# --- inputs that no command takes -----------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """An input, and a pattern for the reason it is refused.

    alone: it could hang.  late: its first frames are intact, so a command that needs only those succeeds.
    """

    path: str
    make: Make
    says: str
    options: tuple[str, ...] = ()
    alone: bool = False
    late: bool = False


LONG = "é" * 150  # 300 bytes
LIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT1S"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>other.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
GARBAGE = bytes(range(256)) * 2
UNKNOWN, NOT_READ, DAMAGED = (
    "of no known kind",
    "cannot be read as video",
    "is damaged after frame|cannot be read",
)
OTHER = together(movie("other.mp4"), movie("other.ts"))  # what playlists would open
FAST = {"movflags": "faststart"}

BAD = (
    *(
        Bad(f"empty{kind}", data(f"empty{kind}", b""), NOT_READ)
        for kind in (".mp4", ".mkv", ".y4m", ".png", "")
    ),
    Bad("empty.npy", data("empty.npy", b""), "not a NumPy file"),
    Bad("empty_8x8_25fps.yuv", data("empty_8x8_25fps.yuv", b""), "0 bytes, not a multiple"),
    # cut off
    Bad("no index.mp4", cut("no index.mp4", 0.6), NOT_READ + "|no video stream"),
    *(
        Bad(f"{part}.mp4", cut(f"{part}.mp4", part, **FAST), "is cut off: at least|" + DAMAGED, late=late)
        for part, late in ((0.7, False), (0.9, False), (0.995, True))
    ),
    Bad("cut.mkv", cut("cut.mkv", 0.8), "is cut off: at least", late=True),
    Bad("cut.webm", cut("cut.webm", 0.8, "libvpx-vp9"), "is cut off: at least", late=True),
    Bad("cut.avi", cut("cut.avi", 0.7, "mpeg4"), "is cut off|" + NOT_READ),
    Bad("cut.gif", cut("cut.gif", 0.7, "gif", "rgb8"), "is cut off: at least 1 bytes", late=True),
    Bad("cut.y4m", cut("cut.y4m", 0.7, "rawvideo"), "is cut off: at least", late=True),
    Bad("cut.png", data("cut.png", picture()[:-90]), DAMAGED),
    # damaged
    Bad("blocks.mp4", wrong("blocks.mp4", b"mdat", 1500, GARBAGE), DAMAGED),
    Bad("blocks.mkv", wrong("blocks.mkv", b"\x1f\x43\xb6\x75", 300, GARBAGE), DAMAGED + "|cut off"),
    Bad("codec.mp4", wrong("codec.mp4", b"stsd", 16, b"zzzz"), "PyAV does not know|" + NOT_READ),
    Bad("fast.mp4", wrong("fast.mp4", b"mdhd", 16, b"\x7f\xff\xff\xff"), "claims 4.* frames per second"),
    Bad("many.mp4", wrong("many.mp4", b"stsz", 8, b"\0\0\0\1\x20\0\0\0"), DAMAGED + "|holds no frames"),
    Bad("text.mp4", data("text.mp4", "hello\n" * 200), NOT_READ),
    Bad(
        "page.mp4", data("page.mp4", "<!DOCTYPE html><html><body>404 not found</body></html>\n" * 9), NOT_READ
    ),
    Bad("zeros.mp4", sparse("zeros.mp4", 2**40), NOT_READ),
    Bad("zeros.mkv", sparse("zeros.mkv", 2**40, b"\x1a\x45\xdf\xa3"), NOT_READ),
    # folders
    Bad("none", lambda folder: (folder / "none").mkdir(), "holds no PNG"),
    Bad("crowd", crowd("crowd", 100_000, ".txt"), "holds no PNG"),
    Bad("blank", crowd("blank", 100_000, ".png"), "not a readable PNG"),
    Bad(
        "one bad",
        frames("one bad", picture(), picture()[:200], picture()),
        "frame_00001.png is not a readable PNG",
    ),
    Bad("flip", frames("flip", picture(), picture()[:99] + b"?" + picture()[100:]), "frame_00001.png is not"),
    Bad("sizes", frames("sizes", picture(), picture(17)), "frame 1 of sizes is 24x17"),
    Bad(
        "pipes",
        together(frames("pipes", picture()), pipe("pipes/x.png")),
        "x.png is no ordinary file",
        alone=True,
    ),
    # numbers
    *(
        Bad(f"{name}.npy", array(f"{name}.npy", values), "must hold uint8|not a NumPy file of numbers")
        for name, values in {
            "float": np.zeros((2, 4, 4, 3)),
            "nan": np.full((2, 4, 4, 3), np.nan, np.float32),
            "inf": np.full((2, 4, 4, 3), np.inf),
            "flat": np.zeros((4, 4, 3), np.uint8),
            "scalar": np.uint8(3),
            "code": np.array([{}, len]),
            "names": np.zeros(3, [("a", "u1"), ("b", "f4")]),
            "none": np.zeros((0, 4, 4, 3), np.uint8),
        }.items()
    ),
    *(
        Bad(f"{name}.npy", data(f"{name}.npy", content), "must hold uint8|not a NumPy file of numbers")
        for name, content in {
            "huge": shaped(10**9, 1080, 1920, 3),
            "beyond": shaped(10**30, 10**30, 2, 3),
            "below": shaped(-1, 4, 4, 3),
            "hollow": shaped(10**9, 0, 4, 3),
            "script": npy("__import__('os').system('touch hacked')"),
            "deep": npy("(" * 100),
            "odd": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2"),
            "short": shaped(3, 4, 4, 3) + bytes(99),
            "future": b"\x93NUMPY\x09\x00" + bytes(200),
        }.items()
    ),
    Bad("zip.npy", archive("zip.npy"), "not a NumPy file of numbers"),
    Bad(
        "holes.npy",
        sparse("holes.npy", 128 + 10**12 * 3, shaped(10**6, 1000, 1000, 3)),
        "GB of memory",
        late=True,
    ),
    # raw
    Bad("raw_8x8_25fps.yuv", data("raw_8x8_25fps.yuv", bytes(97)), "97 bytes, not a multiple of the 96"),
    Bad("nameless.yuv", data("nameless.yuv", bytes(96)), "no size in its name"),
    Bad("raw_0x0_25fps.yuv", data("raw_0x0_25fps.yuv", bytes(96)), "cannot read raw frames as 0x0"),
    Bad(
        "deep_1000x1000_25fps_444_10bit.yuv",
        sparse("deep_1000x1000_25fps_444_10bit.yuv", 6 * 10**12),
        "GB of memory",
        late=True,
    ),
    *(
        Bad(
            "x.yuv",
            data("x.yuv", bytes(96)),
            "raw format .* not understood|cannot read raw frames",
            ("--raw", text),
        )
        for text in (
            *(
                "8x8:yuv420p:1e300000000",
                "8x8:yuv420p:1/0",
                "8x8:yuv420p:0",
                "8x8:yuv420p:nan",
                "8x8:rgb24",
                "8",
            ),
            *("٨x٨", "8x8:yuv420p:-1", f"{10**30}x8", "0x0", "-8x8", "8x8:yuv420p:" + "9" * 5000, "8_0x8"),
        )
    ),
    # what would fill the memory
    Bad("bomb.png", data("bomb.png", png(30000, 30000, (bytes(9) for _ in range(9)))), NOT_READ),
    Bad(
        "bombs",
        frames("bombs", png(30000, 30000, (bytes(9) for _ in range(9)))),
        "not a readable PNG|it has 1 frames",
    ),
    Bad("wide.y4m", data("wide.y4m", "YUV4MPEG2 W1000000 H1000000 F25:1 C420\nFRAME\n"), NOT_READ),
    Bad("zero.y4m", data("zero.y4m", "YUV4MPEG2 W0 H0 F25:1 C420\nFRAME\n"), NOT_READ),
    Bad(
        "wide.gif",
        data("wide.gif", b"GIF89a" + b"\xff" * 4 + bytes(3) + b"," + bytes(4) + b"\xff" * 4 + bytes(99)),
        "cut off|" + NOT_READ,
    ),
    # what would open other files, or the net
    Bad("list.mp4", together(OTHER, data("list.mp4", "ffconcat version 1.0\nfile other.mp4\n")), NOT_READ),
    Bad(
        "list.ffconcat",
        together(OTHER, data("list.ffconcat", "ffconcat version 1.0\nfile other.mp4\n")),
        NOT_READ,
    ),
    *(
        Bad(f"{place}{kind}", together(OTHER, data(f"{place}{kind}", LIST.format(uri))), NOT_READ)
        for kind in (".m3u8", ".mp4")
        for place, uri in (
            ("near", "other.ts"),
            ("far", "http://127.0.0.1:9/x.ts"),
            ("password", "/etc/passwd"),
        )
    ),
    Bad("net.sdp", data("net.sdp", SDP), NOT_READ, alone=True),
    Bad("net.mpd", together(OTHER, data("net.mpd", DASH)), NOT_READ),
    Bad("script.avs", data("script.avs", 'Import("other.mp4")\n'), NOT_READ),
    Bad("words.srt", data("words.srt", "1\n00:00:00,000 --> 00:00:01,000\nhello\n"), NOT_READ),
    Bad("words.ass", data("words.ass", "[Script Info]\nScriptType: v4.00+\n"), NOT_READ),
    Bad("sound.m4a", sound("sound.m4a"), "no video stream"),
    Bad("sound.mp4", sound("sound.mp4"), "no video stream"),
    Bad("sound.wav", sound("sound.wav", "pcm_s16le"), NOT_READ),
    # no files at all
    Bad("pipe", pipe("pipe"), "is no ordinary file", alone=True),
    Bad("pipe.npy", pipe("pipe.npy"), "is no ordinary file", alone=True),
    Bad("pipe_8x8_25fps.yuv", pipe("pipe_8x8_25fps.yuv"), "is no ordinary file", alone=True),
    Bad("/dev/zero", nothing, "is no ordinary file", alone=True),
    Bad("zero.mp4", link("zero.mp4", "/dev/zero"), "is no ordinary file", alone=True),
    Bad("/dev/zero", nothing, "is no ordinary file", ("--raw", "8x8"), alone=True),
    Bad("/dev/stdin", nothing, "is no ordinary file", alone=True),
    Bad("loop.mp4", link("loop.mp4", "loop.mp4"), "symbolic link"),
    Bad("dangling.mp4", link("dangling.mp4", "nowhere.mp4"), "does not exist"),
    Bad(f"{LONG}.mp4", nothing, "name too long"),
    Bad("x/" * 2500 + "x.mp4", nothing, "name too long"),
    Bad("", nothing, "does not exist|holds no PNG"),
    Bad("http://127.0.0.1:9/x.mp4", nothing, "does not exist"),
    Bad("concat:a.mp4|b.mp4", nothing, "does not exist"),
    Bad("\x1b[31mred\nline.mp4", nothing, r"\[31mred line.mp4 does not exist"),
    Bad("\udcff.mp4", nothing, r".mp4 does not exist"),
)

TAKERS: dict[str, tuple[str, ...]] = {  # commands that take an input; {} is where it stands
    "encode": ("encode", "{}", "new.cfv", *BRIEF),
    "evaluate": ("evaluate", "{}", "good.cfv"),
    "baseline": ("baseline", "{}", "--codec", "x264"),
    "export": ("export", "{}", "new", "-q"),
    "denoise": ("denoise", "{}", "new.mp4", *BRIEF),
    "segment": ("segment", "{}", "new", *BRIEF),
    "mask": ("inpaint", "good.npy", "new.npy", "--mask", "{}", *BRIEF),
}


def refused() -> Iterator[Case]:
    """Every bad input, with every command."""
    for place, bad in enumerate(BAD):
        for name, words in TAKERS.items():
            if name == "mask" and (bad.options or not bad.path):
                continue
            if name == "evaluate" and bad.late:
                continue
            if bad.path in ("crowd", "blank") and name not in ("export", "mask"):
                continue  # it takes longer to make than to refuse
            filled = tuple(bad.path if word == "{}" else word for word in words)
            title = f"{name} {' '.join((bad.path[:40], *bad.options))[:60]!r} {place}"
            yield Case(title, (*filled, *bad.options), bad.make, bad.says, alone=bad.alone)


# --- inputs that look odd and are right ------------------------------------------------------------------


NORMAL = (6, 16, 24, 3)
FILMS = (  # name, codec, layout
    ("a.mp4", "libx264", "yuv420p"),
    ("a.mov", "libx264", "yuv444p"),
    ("a.mkv", "libx265", "yuv420p10le"),
    ("deep.mkv", "ffv1", "yuv444p12le"),
    ("a.webm", "libvpx-vp9", "yuv420p"),
    ("a.avi", "mpeg4", "yuv420p"),
    ("a.gif", "gif", "rgb8"),
    ("a.ts", "libx264", "yuv420p"),
    ("deep.y4m", "rawvideo", "yuv444p"),
    ("prores.mov", "prores_ks", "yuv422p10le"),
    ("jpeg.avi", "mjpeg", "yuvj420p"),
    ("a.flv", "flv", "yuv420p"),
    ("without suffix", "libx264", "yuv420p"),
    ("wrong.npx", "ffv1", "bgr0"),
)
STRANGE = (  # names that mean something else to a shell, to FFmpeg or to a terminal
    "ünïcödé 视频 🎬.mp4",
    "-dash.mp4",
    "--help",
    "line\nbreak.mp4",
    "a b [1] *?.mp4",
    "$(touch x);'\".mp4",
    "clip_%03d.png",
    "concat:a.mp4|b.mp4",
    "file:a.mp4",
    "%s%n.mp4",
    "é" * 125 + ".mp4",
    "\x1b[31m.mp4",
    "pipe:0",
    "x.m3u8",
    "\udcff.mp4",
)


def _read(path: str, make: Make, shape: tuple[int, ...] = NORMAL, *options: str) -> Case:
    """An input whose frames are written, by `export`; the other commands read in the same way."""
    words = ("export", *options, "-q", "--", path, "new")
    return Case(f"export {path[:40]!r}", words, make, None, frozenset({"new"}), shape)


def right() -> Iterator[Case]:
    """Inputs that look odd and are read."""
    for name, codec, layout in FILMS:
        kind = {"without suffix": "mp4", "wrong.npx": "matroska"}.get(name)
        yield _read(name, movie(name, codec, layout, kind=kind))
    for name in STRANGE:
        yield _read(name, partial(_hidden, name=name))
    yield _read("parts.mp4", movie("parts.mp4", movflags="frag_keyframe+empty_moov"))
    yield _read("one.mp4", movie("one.mp4", frames=pictures(1)), (1, 16, 24, 3))
    part = cut("part.mp4", 0.9, frames=pictures(90), **FAST)
    yield _read("part.mp4", part, (2, 16, 24, 3), "--frames", "0:2")
    yield _read("alpha.mov", movie("alpha.mov", "qtrle", "argb", frames=pictures(channels=4)))
    yield _read("turned.mp4", movie("turned.mp4", turned=90), (6, 24, 16, 3))
    yield _read("uneven.mkv", movie("uneven.mkv", times=(0, 1, 5, 6, 30, 31)))
    yield _read("dot", data("dot/x.png", picture(1, 1)), (1, 1, 1, 3))
    yield _read("dot.png", data("dot.png", picture(1, 1)), (1, 1, 1, 3))
    yield _read("row.png", data("row.png", picture(1, 8192)), (1, 1, 8192, 3))
    yield _read("column.npy", array("column.npy", pictures(1, 8192, 1)), (1, 8192, 1, 3))
    yield _read("fortran.npy", array("fortran.npy", np.asfortranarray(pictures())))
    yield _read("2x2_1x1_25fps.yuv", data("2x2_1x1_25fps.yuv", bytes(6)), (2, 1, 1, 3))
    yield _read("dim.png", data("dim.png", png(4, 4, [bytes(range(8))] * 4, 16, 0)), (1, 4, 4, 3))
    yield _read("linked.mp4", together(movie("real.mp4"), link("linked.mp4", "real.mp4")))
    yield _read("tail.mp4", _with_tail)
    yield _read("many", partial(_hundred, count=3000), (2, 16, 24, 3), "--frames", "2998:")


def _hidden(folder: Path, name: str) -> None:
    """A film under a name that PyAV would misread."""
    film(folder / "x.tmp", kind="mp4")
    os.rename(folder / "x.tmp", folder / name)


def _with_tail(folder: Path) -> None:
    """A whole film, and something behind it."""
    film(folder / "tail.mp4")
    with open(folder / "tail.mp4", "ab") as file:
        file.write(b"something else, for instance a signature")


def _hundred(folder: Path, count: int) -> None:
    """Many links to one frame."""
    _write(folder / "many/x0.png", picture())
    for number in range(1, count):
        os.link(folder / "many/x0.png", folder / f"many/x{number}.png")


# --- outputs ------------------------------------------------------------------------------------------


def decode(
    output: str,
    make: Make = nothing,
    says: str | None = None,
    new: Iterable[str] = (),
    title: str = "",
    alone: bool = False,
) -> Case:
    """A file that is decoded to `output`."""
    words = ("decode", "-q", "--threads", "1", "--", "good.cfv", output)
    return Case(f"decode to {title or output[:30]!r}", words, make, says, frozenset(new), None, alone=alone)


def names() -> Iterator[Case]:
    """Odd names of outputs."""
    name = "é" * 125 + ".npy"
    yield decode(name, new={name})
    yield decode("é" * 125 + ".mp4", new={"é" * 125 + ".mp4"})
    yield decode("y" * 255, new={"y" * 255})
    yield decode("y" * 256, says="name too long")
    yield decode("x/" * 2500 + "x.npy", says="name too long|there is no folder")
    for odd in ("-.npy", "a b\n[1]*.npy", "视频.mp4", "\udcff.npy", "concat:x.mp4", "x_%03d.mp4", "%03d"):
        yield decode(odd, new={odd})
    yield decode("", says="holds other things")
    yield decode("/proc/x.npy", says="cannot be written")
    yield decode("file/x.npy", data("file", b"x"), says="no folder")
    yield decode("x.npy\n.exe", says="cannot write")
    long = "y" * 230 + ".cfv"
    yield Case("encode long name", ("encode", "good.npy", long, *BRIEF), nothing, "too long")
    fits = "y" * 217 + ".cfv"
    yield Case("encode longest", ("encode", "good.npy", fits, *BRIEF), nothing, None, frozenset({fits}))


def outputs() -> Iterator[Case]:
    """Links, devices, pipes and folders in the place of an output."""
    yield decode("link.npy", together(data("x.bin", b"x"), link("link.npy", "x.bin")), new={"x.bin"})
    yield decode("link.npy", link("link.npy", "x.npy"), new={"x.npy"}, title="dangling link")
    yield decode("link.npy", link("link.npy", "no/x.npy"), says="there is no folder", title="far link")
    yield decode("link.npy", link("link.npy", "link.npy"), says="symbolic link", title="loop")
    yield decode(
        "link", together(frames("real", picture()), link("link", "real")), new={"real"}, title="folder"
    )
    yield decode("null.npy", link("null.npy", "/dev/null"), says="no ordinary file", title="device")
    yield decode("full.mp4", link("full.mp4", "/dev/full"), says="no ordinary file", title="device, mp4")
    for place in ("/dev/full", "/dev/null", "/dev/zero"):
        yield decode(place, says="no ordinary file")
    yield decode("pipe.npy", pipe("pipe.npy"), says="no ordinary file", alone=True)
    yield decode("pipe", pipe("pipe"), says="no ordinary file", alone=True)
    yield decode("dir.npy", lambda folder: (folder / "dir.npy").mkdir(), says="is a folder")
    yield decode("photos", data("photos/me.png", picture()), says="other things")
    yield decode("crowd", crowd("crowd", 100_000, ".txt"), says="other things")
    yield decode("file", data("file", b"x"), says="is a file")


def inputs_as_outputs() -> Iterator[Case]:
    """An output that is the input, under whatever name."""
    clip, folder = data("a.npy", shaped(2, 8, 8, 3) + bytes(384)), frames("f/frames", picture(), picture())
    lost = "the input"
    for title, make, words in (
        ("itself", clip, ("denoise", "a.npy", "a.npy")),
        ("spelled otherwise", clip, ("denoise", "a.npy", "./x/../a.npy")),
        ("through a link", together(clip, link("b.npy", "a.npy")), ("denoise", "a.npy", "b.npy")),
        ("as a link", together(clip, link("b.npy", "a.npy")), ("denoise", "b.npy", "a.npy")),
        ("hard link", together(clip, hard_link("b.npy", "a.npy")), ("denoise", "a.npy", "b.npy")),
        ("mask", clip, ("inpaint", "good.npy", "a.npy", "--mask", "a.npy")),
        ("folder", folder, ("denoise", "f/frames", "f/frames")),
        ("folder around it", folder, ("export", "f/frames", "f")),
        ("layers around it", frames("m/layer_0", picture()), ("segment", "m/layer_0", "m")),
        ("file", together(clip, link("b.cfv", "a.npy")), ("encode", "a.npy", "b.cfv")),
    ):
        made = together(make, lambda folder: (folder / "x").mkdir())
        yield Case(f"output is input: {title}", (*words, "-q"), made, lost)


def too_large() -> Iterator[Case]:
    """Clips that no file can hold, refused before training."""
    for wide, shape in (("wide", (1, 4, 20000, 3)), ("tall", (1, 20000, 4, 3))):
        make = array("x.npy", np.zeros(shape, np.uint8))
        yield Case(f"encode {wide}", ("encode", "x.npy", "x.cfv", "--steps", "100000"), make, "1..16384")
    make = sparse("long_2x2_25fps.yuv", 6 * (2**20 + 1))
    words = ("encode", "long_2x2_25fps.yuv", "x.cfv", "--steps", "100000")
    yield Case("encode long", words, make, "time must be")


NUMBERS = {  # that are none
    "--frames": (
        f"0:{10**30}",
        "-5:",
        "٣:٤",
        "0:1_0",
        "0:999999999999",
        "::0",
        "1e3:",
        "0:" + "9" * 5000,
        "5",
    ),
    "--size": (
        *(f"{10**30}x4", "0x0", "-4x4", "٨x٨", "4", "8_0x8", "axb", "8x8x8", "9" * 5000 + "x4", "999999x1"),
    ),
}


def numbers() -> Iterator[Case]:
    """Numbers that are none."""
    for option, texts in NUMBERS.items():
        for text in texts:
            words = ("export", "good.npy", "new", option, text)
            yield Case(f"export {option} {text[:20]!r}", words, nothing, "frames|size|width|height")


def cases() -> list[Case]:
    """All of them."""
    return [*refused(), *right(), *names(), *outputs(), *inputs_as_outputs(), *too_large(), *numbers()]


# --- running them -------------------------------------------------------------------------------------


def good(folder: Path) -> None:
    """`good.npy`, two frames, and `good.cfv`, which holds them."""
    from coordflow_mini import encoder
    from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
    from coordflow_mini.video.clip import Video

    video = Video(pictures(2, 8, 12))
    np.save(folder / "good.npy", video.frames)
    recipe = Recipe(
        model=ModelConfig(width=4, depth=1),
        fit=FitConfig(steps=1),
        codec=CodecConfig(steps=1, choose_width=False),
    )
    encoded = encoder.encode(video, recipe)
    (folder / "good.cfv").write_bytes(encoded)


def tree(folder: Path) -> dict[str, str]:
    """Kind and content of everything in a folder, by name."""
    found: dict[str, str] = {}
    for entry in os.scandir(folder):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            inner = tree(Path(entry.path)) if entry.name not in ("crowd", "blank", "many") else {}
            content = "folder " + repr(sorted(inner.items())) + str(len(os.listdir(entry.path)))
        elif stat.S_ISLNK(mode):
            content = "link to " + os.readlink(entry.path)
        else:
            content = _content(Path(entry.path)) if stat.S_ISREG(mode) else f"kind {stat.S_IFMT(mode)}"
        found[entry.name] = content
    return found


def _content(path: Path) -> str:
    """The size of a file, and a checksum of its first megabyte."""
    with open(path, "rb") as file:
        return f"{path.stat().st_size} bytes {hashlib.sha256(file.read(2**20)).hexdigest()}"


def findings(
    case: Case, code: int, out: str, err: str, before: dict[str, str], folder: Path
) -> tuple[str, ...]:
    """Everything wrong with a command's exit, output and leftovers, one line each."""
    found, after = [], tree(folder)
    if "Traceback" in err:
        found.append(f"traceback: {err.splitlines()[-1]}")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if case.says is None:
        if code != 0:
            found.append(f"exit code {code}: {err.strip()[-200:]}")
        elif changed != case.new:
            found.append(f"changed {sorted(changed)}, expected {sorted(case.new)}")
        elif case.shape and (shape := written(folder)) != case.shape:
            found.append(f"wrote {shape}, expected {case.shape}")
        return tuple(found)
    if code != 2 or out:
        found.append(f"exit code {code}, expected 2; {out[:60]!r} on stdout")
    if not re.fullmatch(r"error: [^\n]+\n", err):
        found.append(f"more or less than one line: {err[-300:]!r}")
    elif not re.search(case.says, err, re.IGNORECASE):
        found.append(f"says {err[:200]!r}, expected {case.says}")
    if changed:
        found.append(f"left or changed {sorted(changed)}")
    return tuple(found)


def written(folder: Path) -> tuple[int, ...]:
    """The shape of what `export` wrote."""
    from coordflow_mini.video.read import load

    return load(folder / "new" / "frames").frames.shape


def alone(case: Case, folder: Path, bare: float = 0.0) -> Outcome:
    """Run a case as a process, in a prepared folder.  bare: seconds that the interpreter takes to start."""
    case.make(folder)
    before = tree(folder)
    command = [sys.executable, "-m", "coordflow_mini", *(os.fsencode(word) for word in case.words)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=out, stderr=err)
        code, usage = _ended(process)
        seconds = time.perf_counter() - began - bare
        out.seek(0)
        err.seek(0)
        texts = [file.read().decode(errors="replace") for file in (out, err)]
    found = (
        findings(case, code, *texts, before, folder)
        if code is not None
        else (f"hangs: killed after {PATIENCE:g} s",)
    )
    return Outcome(case, seconds, usage, found)


def _ended(process: "subprocess.Popen[bytes]") -> tuple[int | None, float]:
    """Exit code (None: it had to be killed) and peak memory [MB]."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.stdin
            process.stdin.close()
            return process.returncode, usage.ru_maxrss / 1024
        time.sleep(0.005)
    process.kill()
    process.communicate()
    return None, 0.0


def measured(case: Case, master: Path, bare: float) -> Outcome:
    """Run a case in a fresh folder; a slow one is tried again, as the machine may have been busy."""
    outcomes = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as name:
            shutil.copytree(master, name, dirs_exist_ok=True)
            outcome = alone(case, Path(name), bare)
        outcomes.append(outcome)
        if outcome.findings or outcome.seconds < SECONDS or case.says is None:
            break
    best = min(outcomes, key=lambda outcome: outcome.seconds)
    slow = (f"took {best.seconds:.1f} s",) if case.says and best.seconds >= SECONDS else ()
    large = (f"took {best.megabytes:.0f} MB",) if case.says and best.megabytes > MEGABYTES else ()
    return Outcome(case, best.seconds, best.megabytes, best.findings + slow + large)


def bare_start(master: Path) -> float:
    """Seconds that `coordflow --version` takes."""
    case = Case("version", ("--version",), nothing)
    return sorted(alone(case, master).seconds for _ in range(5))[2]


def main(words: list[str]) -> int:
    """Run the cases, print their cost, keep the findings."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [case for case in cases() if all(word in case.name for word in words)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        master = Path(name)
        good(master)
        bare = bare_start(master)
        print(f"{len(chosen)} cases, seed {SEED}; `coordflow --version` takes {bare:.2f} s")
        outcomes = []
        for number, case in enumerate(chosen, start=1):
            outcomes.append(measured(case, master, bare))
            for finding in outcomes[-1].findings:
                print(f"FOUND {case.name}: {finding}", flush=True)
            if number % 50 == 0:
                print(f"{number}/{len(chosen)}", flush=True)
    return report(outcomes)


def report(outcomes: list[Outcome]) -> int:
    """Print the table; exit code 1 if anything was found."""
    print(
        f"{'command':12} {'cases':>6} {'refused':>8} {'found':>6} {'slowest refusal':>16} {'most memory':>12}"
    )
    for command in sorted({outcome.case.words[0] for outcome in outcomes}):
        mine = [outcome for outcome in outcomes if outcome.case.words[0] == command]
        no = [outcome for outcome in mine if outcome.case.says]
        slowest = max((outcome.seconds for outcome in no), default=0.0)
        memory = max((outcome.megabytes for outcome in no), default=0.0)
        bad = sum(bool(outcome.findings) for outcome in mine)
        print(f"{command:12} {len(mine):6} {len(no):8} {bad:6} {slowest:14.2f} s {memory:9.0f} MB")
    found = [f"{o.case.name}\t{o.case.words}\t{finding}" for o in outcomes for finding in o.findings]
    if found:
        (FOLDER / "findings.txt").write_text("\n".join(found), encoding="utf-8", errors="backslashreplace")
        print(f"{len(found)} findings, in {FOLDER}; one case alone: python -m campaigns.inputs NAME")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
