"""Downloads, against a server of the test's own that behaves as badly as servers do."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import py7zr
import pytest
from typer.testing import CliRunner

from coordflow_mini import cli, fetch
from coordflow_mini.config import Selection
from coordflow_mini.fetch import FetchError, Patience
from coordflow_mini.fetch.store import SPARE, Place
from coordflow_mini.ops.files import lock_file
from coordflow_mini.video import catalog
from coordflow_mini.video.catalog import Source
from coordflow_mini.video.raw import RawFormat, VideoError
from coordflow_mini.video.read import load

HASTE = Patience(attempts=3, pause=0.001, timeout=30.0)
INNER = "ReadySteadyGo_32x16_120fps_420_8bit_YUV.yuv"
FRAMES = 6


@dataclass
class Page:
    """A file on the server, and how it is served."""

    body: bytes = b""
    ranges: bool = True
    etag: str = '"one"'
    drops: list[int] = field(default_factory=list)  # bytes sent before the connection ends, per request
    length: int | None = None  # what it claims
    status: int = 200
    location: str = ""
    range_start: int | None = None  # what it claims of a range
    encoding: str = ""
    no_length: bool = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        page = self.server.pages.get(self.path)
        self.server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        self.close_connection = True
        if page is None:
            page = Page(b"nothing here", status=404)
        start = self._start(page)
        self.send_response(page.status if page.status != 200 else 200 if start is None else 206)
        if page.location:
            self.send_header("Location", page.location)
        if start is not None:
            claimed = start if page.range_start is None else page.range_start
            self.send_header("Content-Range", f"bytes {claimed}-{len(page.body) - 1}/{len(page.body)}")
        body = page.body[start or 0 :]
        if not page.no_length:
            self.send_header("Content-Length", str(len(body) if page.length is None else page.length))
        if page.etag:
            self.send_header("ETag", page.etag)
        if page.encoding:
            self.send_header("Content-Encoding", page.encoding)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: page.drops.pop(0)] if page.drops else body)

    def _start(self, page):
        """First byte of the range asked for, if ranges are served."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not asked or not page.ranges or condition not in (None, page.etag) or page.status != 200:
            return None
        return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def listening():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(listening, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    listening.pages, listening.asked = {}, []
    listening.origin = f"http://127.0.0.1:{listening.server_port}"
    return listening


@pytest.fixture(scope="module")
def frames() -> bytes:
    """Raw frames that do not compress: archives are as long as what they hold."""
    return np.random.default_rng(0).integers(0, 256, 32 * 16 * 3 // 2 * FRAMES, np.uint8).tobytes()


def packed(members: dict[str, bytes]) -> bytes:
    """A .7z archive, also of names that py7zr would not write."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive._writestr(data, name)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def archive(frames) -> bytes:
    return packed({"Copyright.txt": b"non-commercial", INNER: frames})


@pytest.fixture
def sequence(server, archive) -> Source:
    """A UVG sequence in small, and its page."""
    (source,) = catalog.uvg(["ReadySetGo"])
    url, size = f"{server.origin}/ReadySetGo_RAW.7z", RawFormat(32, 16).frame_bytes * FRAMES
    source = replace(source, url=url, file=INNER, size=size, frames=FRAMES, download=5000)
    server.pages[page_of(source)] = Page(archive)
    return source


@pytest.fixture
def clip(server) -> Source:
    """A plain file, 50 kB."""
    body = np.random.default_rng(1).bytes(50_000)
    server.pages["/boat.mp4"] = Page(body)
    known = sha256(body).hexdigest()
    return Source("boat", f"{server.origin}/boat.mp4", "boat.mp4", len(body), sha256=known)


def page_of(source: Source) -> str:
    return "/" + source.url.split("/", 3)[3]


def get(source: Source, folder: Path, **more) -> fetch.Fetched:
    return fetch.fetch(source, folder, patience=HASTE, **more)


def refused(source: Source, folder: Path) -> str:
    """The one line with which a download is refused; nothing usable is left by it."""
    with pytest.raises(FetchError) as caught:
        get(source, folder)
    text = str(caught.value)
    assert "\n" not in text and not (folder / source.file).exists()
    assert not list(folder.rglob("unpacked")) and not list(folder.rglob("tmp*"))
    return text


# --- the whole way ------------------------------------------------------------------------------------


def test_a_sequence_is_downloaded_unpacked_and_read(server, sequence, frames, tmp_path):
    seen = []
    done = get(sequence, tmp_path / "new", on_bytes=lambda *news: seen.append(news))
    assert done.path == tmp_path / "new" / INNER and done.path.read_bytes() == frames
    assert (done.frames, done.size, done.fresh) == (FRAMES, len(frames), True)
    assert sorted(path.name for path in done.path.parent.iterdir()) == [INNER, f"{INNER}.json"]
    assert list(dict.fromkeys(stage for stage, *_ in seen)) == ["download", "check", "unpack"]
    assert all(done == total for _, done, total in (seen[-1],))
    assert load(done.path).frames.shape == (FRAMES, 16, 32, 3)


def test_the_second_time_it_is_checked_and_not_downloaded(server, sequence, tmp_path):
    get(sequence, tmp_path)
    server.asked.clear()
    assert not get(sequence, tmp_path).fresh and not server.asked
    path = tmp_path / INNER
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(FetchError, match="has changed.*remove it to download it again"):
        get(sequence, tmp_path)
    path.write_bytes(path.read_bytes()[:-768])
    with pytest.raises(FetchError, match=r"has 3,840 bytes.*expected 4,608, 6 frames"):
        get(sequence, tmp_path)


def test_a_file_that_was_there_is_taken_up_if_its_size_is_right(server, sequence, frames, tmp_path):
    (tmp_path / INNER).write_bytes(frames)
    assert not get(sequence, tmp_path).fresh and not server.asked
    assert json.loads((tmp_path / f"{INNER}.json").read_text())["sha256"] == sha256(frames).hexdigest()


def test_the_first_download_decides_what_later_ones_must_be(server, sequence, frames, tmp_path):
    get(sequence, tmp_path).path.unlink()
    server.pages[page_of(sequence)].body = packed({INNER: frames[::-1]})
    text = refused(sequence, tmp_path)
    assert "that of the first download" in text and f"{INNER}.json" in text
    (tmp_path / f"{INNER}.json").unlink()
    assert get(sequence, tmp_path).path.read_bytes() == frames[::-1]


def test_a_damaged_record_is_named(sequence, tmp_path):
    for text in ("{", "[]", '{"sha256": "x"}', '{"url":"","file":"","size":1,"sha256":"x"}'):
        (tmp_path / f"{INNER}.json").write_text(text)
        assert "is no record of a download; remove it" in refused(sequence, tmp_path)


def test_a_plain_clip_is_checked_by_its_known_sha256(server, clip, tmp_path):
    assert get(clip, tmp_path).sha256 == clip.sha256
    other = replace(clip, sha256="0" * 64)
    assert "whose SHA-256 is 000000000000" in refused(other, tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


# --- bad connections ----------------------------------------------------------------------------------


def test_a_broken_download_goes_on_where_it_stopped(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.drops = [20_000, 10_000, 0, 0]
    assert get(clip, tmp_path).path.read_bytes() == page.body
    assert [asked[1:] for asked in server.asked] == [
        (None, None),
        ("bytes=20000-", '"one"'),
        *[("bytes=30000-", '"one"')] * 3,
    ]


def test_another_process_goes_on_too_and_gives_up_in_between(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.drops = [20_000, 0, 0, 0]
    text = refused(clip, tmp_path)
    assert "3 times in a row" in text and "20,000 bytes have come and are kept" in text
    assert get(clip, tmp_path).fresh and server.asked[-1][1] == "bytes=20000-"


def test_a_server_without_ranges_begins_again(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.ranges, page.drops = False, [20_000, 30_000]
    assert get(clip, tmp_path).path.read_bytes() == page.body


def test_a_server_that_never_gets_far_is_given_up(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.ranges, page.drops = False, [20_000] * 99
    assert "3 times in a row" in refused(clip, tmp_path)
    assert len(server.asked) == 4


def test_a_file_that_changed_in_between_begins_again(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.drops = [20_000, 0, 0, 0]
    refused(replace(clip, sha256=None), tmp_path)
    page.body, page.etag = page.body[::-1], '"two"'
    done = get(replace(clip, sha256=None), tmp_path)
    assert done.path.read_bytes() == page.body


def test_a_range_that_is_not_the_one_asked_for_is_not_appended(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.drops, page.range_start = [20_000], 0
    assert get(clip, tmp_path).path.read_bytes() == page.body
    assert server.asked[-1][1] is None


def test_what_came_whole_before_a_kill_is_not_asked_for_again(server, clip, tmp_path):
    place = Place(clip, tmp_path)
    place.work.mkdir()
    place.part.write_bytes(server.pages["/boat.mp4"].body)
    place.state.write_text(json.dumps({"url": clip.url, "etag": "", "total": clip.size}))
    assert get(clip, tmp_path).fresh and not server.asked


def test_a_part_of_unknown_origin_is_not_continued(server, clip, tmp_path):
    place = Place(clip, tmp_path)
    place.work.mkdir()
    place.part.write_bytes(b"x" * 100)
    assert get(clip, tmp_path).fresh and server.asked[0][1] is None


def test_an_answer_without_a_length_will_do(server, clip, tmp_path):
    page = server.pages["/boat.mp4"]
    page.no_length, page.drops = True, [20_000]
    assert "SHA-256" in refused(clip, tmp_path), "the end of the connection is taken for that of the file"
    assert get(clip, tmp_path).path.read_bytes() == page.body
    page.body += b"more"
    assert "sends more than the 50,000 bytes" in refused(clip, tmp_path / "b")


def test_nobody_listening_is_said(server, clip, tmp_path):
    gone = replace(clip, url="http://127.0.0.1:9/boat.mp4")
    assert "the connection failed (ConnectionError), 3 times in a row" in refused(gone, tmp_path)


def test_every_retry_is_said_unless_quiet(server, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "Patience", lambda: HASTE)
    server.pages["/boat.mp4"].drops = [20_000, 0, 5]
    words = ("fetch", clip.url, "--to", str(tmp_path))
    lines = CliRunner().invoke(cli.app, words).stderr.splitlines()
    assert [line for line in lines if "again in" in line] == [
        "boat.mp4: the connection ended at 20,000 of 50,000 bytes; again in 0.001 s",
        "boat.mp4: the connection ended at 20,000 of 50,000 bytes; again in 0.002 s",
        "boat.mp4: the connection ended at 20,005 of 50,000 bytes; again in 0.001 s",
    ]
    server.pages["/b.mp4"] = Page(b"x" * 9, drops=[5])
    result = CliRunner().invoke(cli.app, ("fetch", f"{server.origin}/b.mp4", "--to", str(tmp_path), "-q"))
    assert result.exit_code == 0 and "again in" not in result.stderr


@pytest.mark.parametrize(("status", "says"), [(404, "answers 404"), (503, "3 times in a row"), (204, "204")])
def test_answers_that_are_no_file(server, clip, tmp_path, status, says):
    server.pages["/boat.mp4"] = Page(b"", status=status)
    assert says in refused(clip, tmp_path)


# --- lies ---------------------------------------------------------------------------------------------


def test_a_length_that_cannot_be_right_is_refused_before_anything_comes(server, clip, sequence, tmp_path):
    server.pages["/boat.mp4"].length = 60_000
    assert "is 60,000 bytes long, expected 50,000" in refused(clip, tmp_path)
    server.pages[page_of(sequence)].length = 10**12
    assert "expected at most 4,608" in refused(sequence, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_length_that_is_too_long_by_a_little_is_no_file(server, sequence, archive, tmp_path):
    server.pages[page_of(sequence)].length = len(archive) + 10
    assert "times in a row" in refused(sequence, tmp_path)


def test_a_length_that_is_too_short_makes_a_damaged_archive(server, sequence, archive, tmp_path):
    server.pages[page_of(sequence)].length = len(archive) - 10
    assert "is damaged" in refused(sequence, tmp_path)
    server.pages[page_of(sequence)].length = None
    assert get(sequence, tmp_path).fresh, "and does not stand in the way of the next try"


def test_encoded_answers_are_refused(server, clip, tmp_path):
    server.pages["/boat.mp4"].encoding = "gzip"
    assert "comes encoded as 'gzip'" in refused(clip, tmp_path)


def test_redirects_stay_where_they_may(server, clip, tmp_path):
    other = f"http://localhost:{server.server_port}"
    server.pages["/a.mp4"] = Page(status=302, location=f"{other}/boat.mp4")
    moved = replace(clip, url=f"{server.origin}/a.mp4")
    assert f"leads to '{other}/boat.mp4', on another server" in refused(moved, tmp_path)
    assert len(server.asked) == 1
    assert get(replace(moved, redirects=(other,)), tmp_path).fresh
    for target, says in (
        ("file:///etc/passwd", "was not followed"),
        ("http://[", "leads to no address"),
        ("/a.mp4", "in circles"),
    ):
        server.pages["/a.mp4"].location = target
        assert says in refused(moved, tmp_path / "b")
    server.pages["/a.mp4"].location = "/boat.mp4"
    assert get(moved, tmp_path / "b").fresh, "on the same server it may"


# --- archives -----------------------------------------------------------------------------------------


def test_a_corrupted_archive_is_removed_and_said(server, sequence, archive, tmp_path):
    for place in (0, 40, len(archive) // 2, len(archive) - 20, len(archive) - 1):
        body = bytearray(archive)
        body[place] ^= 0xFF
        server.pages[page_of(sequence)] = Page(bytes(body), etag=f'"{place}"')
        assert "is damaged" in refused(sequence, tmp_path), place
        assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("Downloads", "An archive that would write outside its folder is refused.")
@pytest.mark.parametrize(
    "name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil", r"..\evil", "C:/evil", r"\\a\b"]
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(server, sequence, frames, tmp_path, name):
    server.pages[page_of(sequence)].body = packed({name: b"evil", INNER: frames})
    folder = tmp_path / "in" / "here"
    assert "leads out of its folder" in refused(sequence, folder)
    assert [path.name for path in tmp_path.rglob("*")] in (["in", "here"], ["here", "in"])


def test_an_archive_with_a_link_is_refused(server, sequence, frames, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as opened:
        opened.write(link, "link")
        opened._writestr(frames, INNER)
    server.pages[page_of(sequence)].body = buffer.getvalue()
    assert "leads out of its folder" in refused(sequence, tmp_path / "here")


def test_only_the_expected_file_is_unpacked_wherever_it_lies(server, sequence, frames, tmp_path):
    members = {"a/readme.txt": b"text", f"a/b/{INNER}": frames, "other.yuv": b"12"}
    server.pages[page_of(sequence)].body = packed(members)
    assert get(sequence, tmp_path).path.read_bytes() == frames
    assert sorted(path.name for path in tmp_path.rglob("*")) == [INNER, f"{INNER}.json"]


def test_an_archive_of_something_else_is_refused(server, sequence, frames, tmp_path, monkeypatch):
    monkeypatch.setattr("coordflow_mini.fetch.archive.SPARE", 1 << 11)
    for members in (
        {"a.txt": b"text"},
        {INNER: frames, f"a/{INNER}": frames},
        {INNER: frames[:-768]},
        {INNER: frames, "zeros": bytes(1 << 12)},
    ):
        server.pages[page_of(sequence)] = Page(packed(members), etag="")
        assert "4,608 bytes (6 frames) and little else" in refused(sequence, tmp_path)


# --- the disk -----------------------------------------------------------------------------------------

Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_seen_before_the_download(server, sequence, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 20_000))
    assert "needs 0.02 GB free, its disk has 0.00 GB; make room" in refused(sequence, tmp_path / "new")
    assert not server.asked and not (tmp_path / "new").exists()


def test_a_disk_too_small_for_what_the_server_announces(server, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, SPARE + 1000))
    text = refused(replace(clip, size=None), tmp_path)
    assert "make room" in text and list(tmp_path.iterdir()) == []


def test_what_is_there_needs_no_room(server, sequence, tmp_path, monkeypatch):
    get(sequence, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 0))
    assert not get(sequence, tmp_path).fresh


def test_a_stop_while_unpacking_leaves_nothing_half(server, sequence, tmp_path):
    def stop(stage, *_):
        if stage == "unpack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(sequence, tmp_path, on_bytes=stop)
    assert {path.name for path in tmp_path.rglob("*")} == {f"{INNER}.fetching", "part", "part.json"}
    server.asked.clear()
    assert get(sequence, tmp_path).fresh and not server.asked, "and is not downloaded again"


def test_a_disk_that_fills_up_while_unpacking_is_no_damaged_archive(server, sequence, tmp_path):
    resource = pytest.importorskip("resource")

    def stop(stage, *_):
        if stage == "unpack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(sequence, tmp_path, on_bytes=stop)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OSError, match="large"):
            get(sequence, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    server.asked.clear()
    assert get(sequence, tmp_path).fresh and not server.asked


# --- kills, and two at a time -------------------------------------------------------------------------


def killed(source: Source, folder: Path, stage: str, after: int) -> None:
    """Fetches in another process, which is killed at once when so many bytes of a stage are done."""
    code = f"""
import os, pathlib, signal
from fractions import Fraction
from coordflow_mini.fetch import fetch
from coordflow_mini.video.catalog import Source
def on_bytes(stage, done, total):
    if stage == {stage!r} and done >= {after}:
        os.kill(os.getpid(), signal.SIGKILL)
fetch({source!r}, pathlib.Path({str(folder)!r}), on_bytes=on_bytes)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_kill_while_downloading_costs_little(server, clip, tmp_path):
    body = np.random.default_rng(2).bytes(400_000)
    clip = replace(clip, size=len(body), sha256=sha256(body).hexdigest())
    server.pages["/boat.mp4"].body = body
    killed(clip, tmp_path, "download", 200_000)
    assert not Place(clip, tmp_path).target.exists()
    assert get(clip, tmp_path).path.read_bytes() == body
    (begun,) = re.findall(r"bytes=(\d+)-", str(server.asked))
    assert int(begun) >= 100_000
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["boat.mp4", "boat.mp4.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_kill_while_unpacking_leaves_nothing_half(server, sequence, frames, tmp_path):
    killed(sequence, tmp_path, "unpack", 0)
    assert Place(sequence, tmp_path).part.exists() and not (tmp_path / INNER).exists()
    server.asked.clear()
    assert get(sequence, tmp_path).path.read_bytes() == frames and not server.asked
    assert sorted(path.name for path in tmp_path.rglob("*")) == [INNER, f"{INNER}.json"]


def test_what_a_kill_after_the_last_step_left_is_removed(server, clip, tmp_path):
    get(clip, tmp_path)
    place = Place(clip, tmp_path)
    place.work.mkdir()
    place.part.write_bytes(b"old")
    assert not get(clip, tmp_path).fresh and not place.work.exists()
    lock_file(place.target).touch()
    assert not get(clip, tmp_path).fresh and not place.is_unfinished


def test_two_at_the_same_time_do_not_meet(server, clip, tmp_path):
    with Place(clip, tmp_path).locked():
        assert "another process is fetching boat into" in refused(clip, tmp_path)
    assert get(clip, tmp_path).fresh


def test_many_at_the_same_time_bring_one_file(server, clip, tmp_path):
    results = []

    def one():
        try:
            results.append(get(clip, tmp_path).fresh)
        except FetchError as error:
            results.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(True) == 1 and len(results) == 6
    assert all(isinstance(result, bool) or "another process" in result for result in results), results
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["boat.mp4", "boat.mp4.json"]


# --- what there is ------------------------------------------------------------------------------------


def test_the_table_is_that_of_uvg():
    sources = catalog.uvg()
    assert sum(source.size for source in sources) == 12_130_560_000
    assert sum(source.download for source in sources) == 5_300_014_449
    assert sum(source.frames for source in sources) == 3900
    assert sources[0].url == "https://ultravideo.fi/video/Beauty_1920x1080_120fps_420_8bit_YUV_RAW.7z"
    assert [source.name for source in catalog.uvg(["jockey", "Beauty"])] == ["uvg:Jockey", "uvg:Beauty"]
    with pytest.raises(VideoError, match="no sequence 'Boat'; there are Beauty, "):
        catalog.uvg(["Boat"])


def test_what_was_fetched_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("COORDFLOW_DATA", str(tmp_path))
    with pytest.raises(VideoError, match="get it with: coordflow fetch uvg --sequences Beauty"):
        load("uvg:Beauty")
    with pytest.raises(VideoError, match="no sequence 'Boat'"):
        load("uvg:Boat")
    assert not any(clip.available for clip in catalog.downloadable())
    (source,) = catalog.uvg(["ShakeNDry"])
    with (tmp_path / source.file).open("wb") as file:
        file.truncate(source.size - 1)  # takes no room
        with pytest.raises(VideoError, match="has 933,119,999 bytes, expected 933,120,000; remove it"):
            load("uvg:ShakeNDry")
        file.truncate(source.size)
    raw = catalog.layout("uvg:ShakeNDry", None, "bt709")
    assert raw and (raw.width, raw.pix_fmt, raw.fps, raw.matrix) == (1920, "yuv420p", 120, "bt709")
    loaded = load("uvg:ShakeNDry", Selection(299, 300, 1, 32, 18))
    assert (loaded.name, loaded.fps, loaded.frames.shape) == ("uvg:ShakeNDry", 120, (1, 18, 32, 3))
    assert [clip.name for clip in catalog.downloadable() if clip.available] == ["uvg:ShakeNDry"]


def test_the_manifest_is_sound():
    for source in catalog.footage():
        assert source.url.startswith("https://") and re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.license.startswith("CC") and source.attribution and source.size


def test_addresses_that_are_none():
    bad = "boat.mp4 ftp://a/b.mp4 https://a https://a/ https://a/.. https://a/b.mp4%2f.. https://a/%5cx.mp4"
    for url in (
        *bad.split(),
        "https://a/.hidden.mp4",
        "https://a/b.zip",
        "https://a/b.7z",
        "https://[/b.mp4",
    ):
        with pytest.raises(FetchError):
            fetch.address(url)
    with pytest.raises(FetchError, match="64 hexadecimal"):
        fetch.address("https://a/b.mp4", "12")


# --- the command --------------------------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(cli.app, ["fetch", *map(str, words)])


def test_the_command_shows_the_license_before_it_downloads(server, sequence, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "uvg", lambda names: (sequence,))
    result = run("uvg", "--to", tmp_path / "clips")
    assert result.exit_code == 0, result.output
    assert result.stderr.index("CC BY-NC") < result.stderr.index("download uvg:ReadySetGo")
    assert "Mercat" in result.stderr and f"{FRAMES} frames, downloaded" in result.stdout
    again = run("uvg", "--to", tmp_path / "clips", "--json", "-q")
    assert json.loads(again.stdout)[0]["fresh"] is False and again.stderr == ""


def test_if_one_fails_the_others_still_come(server, sequence, clip, tmp_path, monkeypatch):
    lost = replace(clip, name="uvg:Lost", url=f"{server.origin}/lost.mp4", file="lost.mp4")
    monkeypatch.setattr(catalog, "uvg", lambda names: (lost, sequence, replace(lost, name="uvg:Too"), clip))
    result = run("uvg", "--to", tmp_path, "--json", "-q")
    assert result.exit_code == 2
    assert [Path(one["path"]).name for one in json.loads(result.stdout)] == [INNER, "boat.mp4"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and all("answers 404" in line for line in errors)


def test_a_disk_that_is_full_is_said_in_one_line(server, clip, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "fetch", full)
    result = run(clip.url, "--to", tmp_path, "-q")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"error: boat.mp4: No space left on device; {tmp_path}"


def test_the_command_fetches_an_address(server, clip, tmp_path):
    assert "boat.mp4" in run(clip.url, "--to", tmp_path, "--sha256", clip.sha256, "-q").stderr
    assert (tmp_path / "boat.mp4").stat().st_size == clip.size


def test_an_interrupt_says_that_what_came_is_kept(clip, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "fetch", stop)
    result = run(clip.url, "--to", tmp_path)
    assert result.exit_code == 130 and "continues from there" in result.stderr


def test_the_command_refuses_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    for words, says in (
        (("boat",), "expected uvg, car, flower"),
        (("uvg", "--sequences", "Boat"), "there are Beauty"),
        (("car", "--sequences", "Beauty"), "uvg"),
        (("car", "--sha256", "0"), "is for a URL"),
        (("car", "--to", tmp_path / "file"), "is a file; give a folder"),
    ):
        result = run(*words)
        assert result.exit_code == 2 and re.fullmatch(r"error: .+\n", result.stderr)
        assert says in result.stderr
    assert os.listdir(tmp_path) == ["file"]
