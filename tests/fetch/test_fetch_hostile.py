"""Servers and archives that mean harm: one line each, within bounds of time, disk and memory."""

import gc
import io
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace

import py7zr
import pytest
from test_fetch import (
    INNER,
    Page,
    archive,
    clip,
    frames,
    get,
    listening,
    packed,
    page_of,
    refused,
    sequence,
    server,
)
from typer.testing import CliRunner

from coordflow_mini import cli, fetch
from coordflow_mini.fetch import FetchError, Patience, downloading, storage, unpacking
from coordflow_mini.video.catalog import Source

__all__ = ["archive", "clip", "frames", "listening", "sequence", "server"]  # fixtures


# --- without end --------------------------------------------------------------------------------------


class Talker:
    """A server that says what a test wants, byte by byte, for as long as anybody listens."""

    def __init__(self, answer):
        self.answer, self.socket, self.sent = answer, socket.create_server(("127.0.0.1", 0)), 0
        self.origin = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                try:
                    peer.recv(65536)
                    for part in self.answer():
                        peer.sendall(part)
                        self.sent += len(part)
                except OSError:
                    pass

    def close(self):
        self.socket.close()


@pytest.fixture
def talk(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    talkers = []

    def begin(answer):
        talkers.append(Talker(answer))
        return talkers[-1]

    yield begin
    for talker in talkers:
        talker.close()


def endless():
    yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    while True:
        yield bytes(1 << 16)


def chunked():
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + bytes(1 << 16) + b"\r\n"


@pytest.mark.promise("Downloads", "A download without a stated length ends at a bound.")
@pytest.mark.parametrize("answer", [endless, chunked])
def test_an_answer_without_length_and_end_stops_at_a_bound(answer, talk, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "_LONGEST", 1 << 20)
    talker = talk(answer)
    text = refused(Source("a.mp4", f"{talker.origin}/a.mp4", "a.mp4"), tmp_path)
    assert "sends more than the 1,048,576 bytes" in text and list(tmp_path.iterdir()) == []
    assert talker.sent < 1 << 24


def test_an_answer_without_length_takes_half_of_the_disk_at_most(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: (1, 1, 40_000_000))
    monkeypatch.setattr(storage, "free_space", lambda _: 40_000_000)
    monkeypatch.setattr(downloading, "free_space", lambda _: 40_000_000)
    source = Source("a.mp4", f"{talk(endless).origin}/a.mp4", "a.mp4")
    assert "sends more than the 20,000,000 bytes" in refused(source, tmp_path)
    monkeypatch.setattr(storage, "free_space", lambda _: 1000)
    assert "make room" in refused(source, tmp_path)


def after(start, bit):
    """A start at once, then a byte now and then, without end."""
    yield start
    while True:
        yield bit
        time.sleep(0.02)


def dripping():
    return after(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")


def interim():
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1000


def one_header():
    return after(b"HTTP/1.1 200 OK\r\nX-A: ", b"a")


def one_chunk():
    return after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a")


def trailers():
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n"
    while True:
        yield b"X-T: a\r\n" * 10000


@pytest.mark.parametrize("answer", [dripping, interim, one_header, one_chunk, trailers])
def test_no_server_is_waited_for_that_never_falls_silent(answer, talk, tmp_path):
    """Whatever it sends, at any speed, it brings too little of the file in the time."""
    source = Source("a.mp4", f"{talk(answer).origin}/a.mp4", "a.mp4")
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"fewer than 1,000 bytes of the file a second, 2 times in a row"):
        fetch.fetch(source, tmp_path, patience=Patience(2, 0.001, 0.3))
    assert 0.5 < time.monotonic() - began < 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nor_is_a_proxy(scheme, talk, tmp_path, monkeypatch):
    monkeypatch.setenv(f"{scheme}_proxy", talk(one_header).origin)
    with pytest.raises(FetchError, match=r"fewer than 1,000 bytes of the file a second, 2 times in a row"):
        fetch.fetch(
            Source("a.mp4", f"{scheme}://host.test/a.mp4", "a.mp4"),
            tmp_path,
            patience=Patience(2, 0.001, 0.3),
        )


def test_a_server_that_thinks_before_it_sends_is_waited_for(talk, tmp_path):
    """The pace is that of the file: the time before its first byte is not counted."""

    def answer():
        time.sleep(0.6)
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 2100\r\n\r\n"
        for _ in range(6):
            yield bytes(350)
            time.sleep(0.12)

    talker = talk(answer)
    source = Source("a.mp4", f"{talker.origin}/a.mp4", "a.mp4")
    assert fetch.fetch(source, tmp_path, patience=Patience(3, 0.001, 1.0, 2000)).size == 2100


def test_a_bad_moment_does_not_end_a_download(talk, tmp_path):
    """Too slow once, then as fast as ever: the next attempt goes on, as it does after silence."""
    answers = [dripping(), iter([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"])]
    source = Source("a.mp4", f"{talk(lambda: answers.pop(0)).origin}/a.mp4", "a.mp4")
    assert fetch.fetch(source, tmp_path, patience=Patience(3, 0.001, 0.3)).size == 5


def test_what_comes_below_the_slowest_pace_is_no_progress(server, clip, tmp_path):
    """Or a server that drips half of it would be asked again and again, for days."""
    server.pages["/boat.mp4"].drops = [8_000] * 1000  # 9,000 would be progress
    assert "3 times in a row; 24,000 bytes have come" in refused(clip, tmp_path)
    server.pages["/boat.mp4"].drops = [8_000, 9_000, 8_000, 8_000]
    assert get(clip, tmp_path).fresh


def test_a_byte_an_attempt_is_no_progress(server, clip, tmp_path):
    server.pages["/boat.mp4"].drops = [1] * 1000
    assert "3 times in a row" in refused(replace(clip, sha256=None), tmp_path)
    assert len(server.asked) <= 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_headers_without_end_are_refused(talk, tmp_path):
    def answer():
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X-More: " + b"x" * 1000 + b"\r\n"

    source = Source("a.mp4", f"{talk(answer).origin}/a.mp4", "a.mp4")
    assert "3 times in a row" in refused(source, tmp_path)
    gc.collect()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/1.1 999999 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 7\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\n\r\nabcde",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 99999999999999999999-1/1\r\n\r\nabcde",
        b"HTTP/1.1 416 No\r\nContent-Range: bytes */0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 200 \x1b[2J\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 \x1b[2JForbidden\r\n\r\n",
    ],
    ids=range(15),
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_answers_that_are_no_http_are_one_line(answer, talk, tmp_path):
    talker = talk(lambda: iter([answer]))
    wanted = Source("a.mp4", f"{talker.origin}/a.mp4", "a.mp4", sha256="0" * 64)
    assert len(refused(wanted, tmp_path)) < 400
    gc.collect()  # urllib3 leaves a socket to it where it cannot read the header


@pytest.mark.parametrize("length", ["5, 9", "9" * 400, "9" * 5000])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nonsense_is_not_taken_for_a_bad_address_or_checksum(length, talk, tmp_path):
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabcde".encode()
    source = Source("a.mp4", f"{talk(lambda: iter([answer])).origin}/a.mp4", "a.mp4")
    text = refused(source, tmp_path)
    assert "answer makes no sense: " in text and "no address" not in text and len(text) < 300
    gc.collect()


def test_a_proxy_that_is_none_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://[")
    text = refused(Source("a.mp4", "http://host.test/a.mp4", "a.mp4"), tmp_path)
    assert "or the proxy that is set, is no address" in text


# --- led away -----------------------------------------------------------------------------------------

ELSEWHERE = [
    "http://localhost:{port}/boat.mp4",
    "https://127.0.0.1:{port}/boat.mp4",
    "http://127.0.0.1/boat.mp4",
    "http://127.1:{port}/boat.mp4",
    "http://2130706433:{port}/boat.mp4",
    "http://[::1]:{port}/boat.mp4",
    "//localhost:{port}/boat.mp4",
    "http://127.0.0.1:{port}@localhost:{port}/boat.mp4",
    "http://user:secret@127.0.0.1:{port}/boat.mp4",
    "http://localhost:{port}\\@127.0.0.1:{port}/boat.mp4",
    "http://127.0.0.1:{port}.evil.test/boat.mp4",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/boat.mp4",
    "data:video/mp4,abc",
    "javascript:alert(1)",
    "gopher://127.0.0.1:{port}/",
]


@pytest.mark.promise("Downloads", "Redirects to another host or scheme are refused unless they are listed.")
@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_redirect_to_elsewhere_is_not_followed(target, server, clip, tmp_path):
    target = target.format(port=server.server_port)
    server.pages["/a.mp4"] = Page(status=302, location=target)
    text = refused(replace(clip, url=f"{server.origin}/a.mp4"), tmp_path)
    assert ("was not followed" in text or "leads to no address" in text) and len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_looked_at(status, server, clip, tmp_path):
    server.pages["/a.mp4"] = Page(status=status, location=f"http://localhost:{server.server_port}/boat.mp4")
    assert "was not followed" in refused(replace(clip, url=f"{server.origin}/a.mp4"), tmp_path)


def test_a_redirect_after_an_allowed_one_is_looked_at_too(server, clip, tmp_path):
    server.pages["/a.mp4"] = Page(status=302, location="/b.mp4")
    server.pages["/b.mp4"] = Page(status=302, location="file:///etc/passwd")
    assert "was not followed" in refused(replace(clip, url=f"{server.origin}/a.mp4"), tmp_path)


@pytest.mark.parametrize("kind", ["", "Content-Encoding: gzip\r\n"])
def test_what_a_redirect_says_beside_its_address_is_not_read(kind, talk, tmp_path):
    """requests would read all of it into memory, also where it is told not to follow."""

    def answer():
        yield f"HTTP/1.1 302 Found\r\nLocation: /a.mp4\r\n{kind}\r\n".encode()
        for _ in range(2000):  # 128 MB
            yield bytes(1 << 16)

    talker = talk(answer)
    assert "in circles" in refused(Source("a.mp4", f"{talker.origin}/a.mp4", "a.mp4"), tmp_path)
    assert talker.sent < 50 << 20


def test_redirects_in_circles_end(server, clip, tmp_path):
    server.pages["/a.mp4"] = Page(status=302, location="/b.mp4")
    server.pages["/b.mp4"] = Page(status=302, location="/a.mp4")
    assert "in circles" in refused(replace(clip, url=f"{server.origin}/a.mp4"), tmp_path)
    assert len(server.asked) == 5


BAD_ADDRESSES = [
    "https://user:secret@host/a.mp4",
    "https://secret@host/a.mp4",
    "https://user:secret@host:99999/a.mp4",
    "https://user:secret@/a.mp4",
    "http://host:0/a.mp4",
    "http://host:port/a.mp4",
    "https://host\\@secret/a.mp4",
    "https://host/\x1b[2J/a.mp4",
    "https://host/a\n.mp4",
    "https://host/\u202ea.mp4",
    "https://host/..%5ca.mp4",
    "https://host/%00.mp4",
    "https://host/" + "a" * 300 + "/.mp4",
    "file:///a.mp4",
]


@pytest.mark.promise("Downloads", "Passwords in addresses are neither stored nor shown.")
@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_no_bad_address_is_asked_and_no_password_shown(url, tmp_path):
    result = CliRunner().invoke(cli.app, ["fetch", url, "--to", str(tmp_path)])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "user:secret" not in result.output and "secret@" not in result.output
    assert result.output.rstrip("\n").isprintable() and list(tmp_path.iterdir()) == []


def test_a_source_with_a_password_is_refused_as_well(server, clip, tmp_path):
    evil = replace(clip, url=clip.url.replace("http://", "http://user:secret@"))
    text = refused(evil, tmp_path)
    assert "~/.netrc" in text and "secret" not in text and not server.asked


def test_http_is_followed_and_said(server, clip, tmp_path):
    words = ["fetch", clip.url, "--to", str(tmp_path)]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0 and "only --sha256" in result.stderr
    assert "only --sha256" not in CliRunner().invoke(cli.app, [*words, "--sha256", clip.sha256]).stderr


# --- what lies there already --------------------------------------------------------------------------

RECORDS = {
    "huge": b'{"url": "' + b"x" * 10_000_000 + b'"}',
    "deep": b"[" * 100_000,
    "digits": b'{"size": ' + b"9" * 10_000 + b"}",
    "types": b'{"url": 1, "file": 2, "size": "x", "sha256": 3}',
    "size of truth": b'{"url": "u", "file": "f", "size": true, "sha256": "%s"}' % (b"0" * 64),
    "a negative size": b'{"url": "u", "file": "f", "size": -1, "sha256": "%s"}' % (b"0" * 64),
    "a list as a digest": b'{"url": "u", "file": "f", "size": 1, "sha256": ["%s"]}' % (b"0" * 64),
    "more fields": b'{"url": "u", "file": "f", "size": 1, "sha256": "%s", "x": 1}' % (b"0" * 64),
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_hostile_record_is_one_line(case, server, clip, tmp_path):
    (tmp_path / "boat.mp4.json").write_bytes(RECORDS[case])
    assert "is no record of a download; remove it" in refused(clip, tmp_path)
    (tmp_path / "boat.mp4").write_bytes(server.pages["/boat.mp4"].body)
    with pytest.raises(FetchError, match="no record of a download"):
        get(clip, tmp_path)


def test_a_record_leads_nowhere(server, clip, tmp_path):
    """Its paths and addresses are compared and shown, never used."""
    source = replace(clip, sha256=None)
    get(source, tmp_path)
    record = tmp_path / "boat.mp4.json"
    text = record.read_text().replace(clip.url, "file:///etc/passwd\\u001b[2J")
    record.write_text(text.replace('"boat.mp4"', '"../../evil"'))
    with pytest.raises(FetchError, match=r"came from 'file:///etc/passwd\\x1b\[2J'"):
        get(source, tmp_path)
    (tmp_path / "boat.mp4").unlink()
    server.asked.clear()
    assert get(source, tmp_path).path == tmp_path / "boat.mp4" and server.asked[0][0] == "/boat.mp4"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_somebody_laid_are_not_written_through(server, clip, tmp_path):
    outside = tmp_path / "precious"
    outside.write_bytes(b"mine")
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("boat.mp4", "boat.mp4.json"):
        (folder / name).symlink_to(outside)
    with pytest.raises(FetchError):
        get(clip, folder)
    (folder / "boat.mp4").unlink()
    with pytest.raises(FetchError, match="no record"):
        get(clip, folder)
    (folder / "boat.mp4.json").unlink()
    (folder / "boat.mp4").symlink_to(tmp_path / "not there")
    with pytest.raises(FetchError, match="no ordinary file"):
        get(clip, folder)
    assert outside.read_bytes() == b"mine" and not (tmp_path / "not there").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", ["part", "part.json", "whole", "unpacked"])
def test_nor_those_in_the_folder_of_what_is_unfinished(name, server, clip, tmp_path):
    outside = tmp_path / "precious"
    outside.write_bytes(b"mine")
    work = tmp_path / "data" / "boat.mp4.fetching"
    work.mkdir(parents=True)
    (work / name).symlink_to(outside)
    try:
        get(clip, tmp_path / "data")
    except FetchError as error:
        assert "\n" not in str(error)
    assert outside.read_bytes() == b"mine"


# --- archives -----------------------------------------------------------------------------------------


def sealed7z(table: bytes, body: bytes = b"", *, size: int | None = None) -> bytes:
    """A .7z around any table of contents, under good checksums."""
    start = struct.pack("<QQI", len(body), len(table) if size is None else size, zlib.crc32(table))
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<I", zlib.crc32(start)) + start + body + table


def packed_table(content: int, packed_size: int, dictionary: int = 1 << 16) -> bytes:
    """A table of contents that is packed itself: so many bytes, by LZMA with such a dictionary."""
    number = lambda value: b"\xff" + struct.pack("<Q", value)  # noqa: E731
    coder = b"\x01\x23\x03\x01\x01\x05\x5d" + struct.pack("<I", dictionary)
    return (
        b"\x17\x06" + number(0) + b"\x01\x09" + number(packed_size) + b"\x00"
        + b"\x07\x0b\x01\x00" + coder + b"\x0c" + number(content) + b"\x00\x00"
    )  # fmt: skip


def bombs(frames: bytes) -> dict[str, bytes]:
    import lzma

    zeros = lzma.compress(
        bytes(1 << 26), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}]
    )
    inner = packed({"zeros": bytes(1 << 22)})
    return {
        "a table that unpacks to 64 MB": sealed7z(packed_table(1 << 26, len(zeros)), zeros),
        "a table that says 16 EB": sealed7z(packed_table((1 << 63) - 1, len(zeros)), zeros),
        "a table by a dictionary of 4 GB": sealed7z(packed_table(1000, len(zeros), 0xFFFFFFFF), zeros),
        "a table of 8 MB": sealed7z(bytes(1 << 23)),
        "a table that is not there": sealed7z(b"\x01", size=1 << 40),
        "a million empty files": sealed7z(b"\x01\x05\xe0\x40\x42\x0f" + b"\x00" * 200),
        "2^63 files": sealed7z(b"\x01\x05\xff" + b"\xff" * 8 + b"\x00" * 200),
        "archives in archives": packed({"a.7z": inner, "b.7z": inner}),
        "no table": sealed7z(b""),
        "a zip": b"PK\x03\x04" + bytes(1000),
        "a very long name": packed({"x" * 100_000: b"", INNER: frames}),
        "5,000 files": packed({f"{n}": b"" for n in range(5000)}),
    }


CASES = [
    "a table that unpacks to 64 MB", "a table that says 16 EB", "a table by a dictionary of 4 GB",
    "a table of 8 MB", "a table that is not there", "a million empty files", "2^63 files",
    "archives in archives", "no table", "a zip", "a very long name", "5,000 files",
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_no_archive_takes_more_memory_than_is_stated(frames, tmp_path):
    """All of them in one process that may take 500 MB beyond what it has at the start."""
    found = bombs(frames)
    assert list(found) == CASES
    for number, data in enumerate(found.values()):
        (tmp_path / f"{number}.7z").write_bytes(data)
    code = f"""
import resource, time
from pathlib import Path
import py7zr
from coordflow_mini.fetch import FetchError, unpacking
from coordflow_mini.fetch.storage import Place
from coordflow_mini.video.catalog import Source
folder = Path({str(tmp_path)!r})
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 500_000_000,) * 2)
for number in range({len(CASES)}):
    place = Place(Source("x", f"http://host/{{number}}.7z", {INNER!r}, {len(frames)}, 6), folder)
    place.work.mkdir(exist_ok=True)
    (folder / f"{{number}}.7z").rename(place.whole)
    began = time.perf_counter()
    try:
        unpacking.unpack(place, lambda *_: None)
        text = "unpacked"
    except FetchError as error:
        text = str(error)
    assert "\\n" not in text and len(text) < 500 and time.perf_counter() - began < 10, (number, text)
    print(number, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, text[:300])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = dict(zip(CASES, done.stdout.splitlines(), strict=True))
    for case in CASES[:4]:
        assert "at most" in said[case], said
    assert not [case for case, text in said.items() if "MemoryError" in text], said


def test_the_settings_of_real_archives_are_let_through(frames):
    """7-Zip's strongest setting has a dictionary of 64 MB, and 1.5 GB where one asks for it."""
    for size, fine in ((1 << 26, True), (1 << 30, True), (3 << 29, False)):
        wanted = unpacking._dictionary(unpacking._LZMA, b"\x5d" + struct.pack("<I", size))
        assert (wanted <= unpacking._DICTIONARY) is fine


@pytest.mark.parametrize(
    "filters", [[{"id": py7zr.FILTER_LZMA2, "preset": 9}], [{"id": py7zr.FILTER_LZMA, "preset": 9}]]
)
def test_archives_of_either_kind_are_unpacked(filters, server, sequence, frames, tmp_path):
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", filters=filters) as opened:
        opened._writestr(frames, INNER)
    server.pages[page_of(sequence)].body = buffer.getvalue()
    assert get(sequence, tmp_path).path.read_bytes() == frames


@pytest.mark.promise("Downloads", "Unpacking stops at the size that was announced.")
def test_a_file_that_unpacks_to_more_than_it_says_is_cut_off(server, sequence, frames, tmp_path):
    """The size in the table is that of a frame sequence; the stream behind it goes on."""
    data = bytearray(packed({INNER: frames + bytes(50_000_000)}))
    server.pages[page_of(sequence)] = Page(bytes(data), etag="")
    assert "expected 4,608" in refused(sequence, tmp_path)
