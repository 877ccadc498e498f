"""Servers and archives that mean harm: one line each, within bounds of time, disk and memory."""

import gc
import io
import socket
import sys
import threading
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

from coordflow_mini import cli
from coordflow_mini.fetch import FetchError, download
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
    monkeypatch.setattr(download, "_LONGEST", 1 << 20)
    talker = talk(answer)
    text = refused(Source("a.mp4", f"{talker.origin}/a.mp4", "a.mp4"), tmp_path)
    assert "sends more than the 1,048,576 bytes" in text and list(tmp_path.iterdir()) == []
    assert talker.sent < 1 << 24


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/1.1 999999 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 7\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\nabcde",
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
    ids=range(16),
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_answers_that_are_no_http_are_one_line(answer, talk, tmp_path):
    talker = talk(lambda: iter([answer]))
    wanted = Source("a.mp4", f"{talker.origin}/a.mp4", "a.mp4", sha256="0" * 64)
    assert len(refused(wanted, tmp_path)) < 400
    gc.collect()  # urllib3 leaves a socket to it where it cannot read the header


def test_a_proxy_that_is_none_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://[")
    text = refused(Source("a.mp4", "http://host.test/a.mp4", "a.mp4"), tmp_path)
    assert "check the address and the proxy settings" in text


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
@pytest.mark.parametrize("name", ["part", "part.json"])
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
    assert "4,608 bytes (6 frames) and little else" in refused(sequence, tmp_path)
