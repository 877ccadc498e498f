"""Footage from the network: the UVG sequences, a few free clips, any address; checked, resumable.

A file takes its name only when it is whole, so whatever lies under its name can be used: what has come so
far is `NAME.part`, what is being unpacked `NAME.unpacking`.  Beside every file a small record, `NAME.json`,
keeps its SHA-256 of the first download, and later ones are compared with it.

pooch decides what to download and checks it, py7zr reads archives, and resuming is ours, as pooch has none.
Both come with `pip install "coordflow-mini[fetch]"`.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urljoin, urlsplit

from coordflow_mini import __version__
from coordflow_mini.results import data_file
from coordflow_mini.video import RawFormat, replacing

if TYPE_CHECKING:
    import requests
    from py7zr import FileInfo

__all__ = [
    "UVG",
    "FetchError",
    "Fetched",
    "Patience",
    "Sequence1080p",
    "Source",
    "address",
    "check_space",
    "fetch",
    "footage",
    "missing",
    "uvg",
]

OnBytes = Callable[[str, int, int | None], None]  # "download" or "unpack", bytes done, bytes in all if known

_SPARE = 1 << 24  # bytes: what an archive may hold beside its clip, and what stays free on the disk
_CHUNK = 1 << 16  # bytes at a time; at most so many are lost when a connection breaks
_CURE = 'pip install "pooch>=1.8" "py7zr>=1.1"'


class FetchError(ValueError):
    """A clip cannot be brought here; the message is one line: what came, what was expected, what to do."""


@dataclass(frozen=True)
class Source:
    """Where a clip comes from and what it must be.  Sizes in bytes; None: not known beforehand."""

    name: str
    url: str  # of the file itself, or of a .7z archive that holds it
    file: str  # the name it has in the end
    size: int | None = None  # of that file
    frames: int | None = None
    sha256: str | None = None  # of that file
    license: str = "not known: ask who made it"
    attribution: str = ""
    download: int | None = None  # size of the archive, about: for plans, not for checks
    redirects: tuple[str, ...] = ()  # other origins, "https://host", that the address may lead to

    @property
    def packed(self) -> bool:
        """Whether the address is that of an archive."""
        return urlsplit(self.url).path.lower().endswith(".7z")


@dataclass(frozen=True)
class Sequence1080p:
    """A UVG sequence: its name, the size of its archive, what the file inside is called and holds."""

    name: str
    archive: int  # bytes
    frames: int = 600
    inner: str = ""  # where it differs from the name
    width: int = 1920
    height: int = 1080


# Sizes of archives as public scripts check them; no checksum of them is published.
UVG: tuple[Sequence1080p, ...] = (
    Sequence1080p("Beauty", 925_430_047),
    Sequence1080p("Bosphorus", 680_772_328),
    Sequence1080p("HoneyBee", 906_770_507),
    Sequence1080p("Jockey", 770_631_599),
    Sequence1080p("ReadySetGo", 832_143_797, inner="ReadySteadyGo"),
    Sequence1080p("ShakeNDry", 460_046_003, frames=300),
    Sequence1080p("YachtRide", 724_220_168),
)
_UVG_ADDRESS = "https://ultravideo.fi/video/"
_UVG_LICENSE = "CC BY-NC (non-commercial), https://ultravideo.fi/dataset.html"
_UVG_CREDIT = (
    'A. Mercat, M. Viitanen, J. Vanne, "UVG dataset: 50/120fps 4K sequences for video codec analysis '
    'and development", ACM MMSys 2020'
)


def uvg(
    names: Sequence[str] = (), *, table: Sequence[Sequence1080p] = UVG, site: str = _UVG_ADDRESS
) -> tuple[Source, ...]:
    """The UVG sequences of these names, 1080p in 8 bits; without names all of them.

    Raises FetchError if there is no such sequence.

    >>> uvg(["ReadySetGo"])[0].file
    'ReadySteadyGo_1920x1080_120fps_420_8bit_YUV.yuv'
    """
    known = {sequence.name.lower(): sequence for sequence in table}
    for name in names:
        if name.lower() not in known:
            listed = ", ".join(sequence.name for sequence in table)
            raise FetchError(f"UVG has no sequence {name!r}; there are {listed}")
    chosen = dict.fromkeys(name.lower() for name in names) or known
    return tuple(_uvg_source(known[name], site) for name in chosen)


def _uvg_source(sequence: Sequence1080p, site: str) -> Source:
    layout = f"{sequence.width}x{sequence.height}_120fps_420_8bit_YUV"
    return Source(
        name=f"uvg:{sequence.name}",
        url=f"{site}{sequence.name}_{layout}_RAW.7z",
        file=f"{sequence.inner or sequence.name}_{layout}.yuv",
        size=RawFormat(sequence.width, sequence.height).frame_bytes * sequence.frames,
        frames=sequence.frames,
        license=_UVG_LICENSE,
        attribution=_UVG_CREDIT,
        download=sequence.archive,
        redirects=("https://ultravideo.fi", "https://www.ultravideo.fi"),
    )


def footage() -> tuple[Source, ...]:
    """The free clips of the manifest that ships, `data/footage.json`.

    >>> [source.name for source in footage()]
    ['car', 'flower']
    """
    listed = json.loads(data_file("footage.json").read_text(encoding="utf-8"))
    return tuple(Source(**{**clip, "redirects": tuple(clip["redirects"])}) for clip in listed["clips"])


def address(url: str, sha256: str | None = None) -> Source:
    """Any video file by its address; nothing is known about it but, perhaps, its SHA-256.

    Raises FetchError if the address is none, or names no file.

    >>> address("https://example.org/films/boat.mp4").file
    'boat.mp4'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    file = unquote(parts.path).rpartition("/")[2]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{url!r} is no address; expected https://HOST/PATH/FILE.mp4")
    if not re.fullmatch(r"\w[\w .()+-]*\.\w+", file) or file.endswith((".part", ".json", ".unpacking")):
        raise FetchError(f"{url!r} does not end in the name of a video file, such as boat.mp4")
    if file.lower().endswith((".7z", ".zip", ".gz", ".tar", ".rar", ".xz")):
        raise FetchError(
            f"{file} is an archive; only those of UVG are unpacked: give the address of the clip"
        )
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise FetchError(f"a SHA-256 has 64 hexadecimal digits, got {sha256!r}")
    return Source(file, url, file, sha256=sha256.lower() if sha256 else None)


@dataclass(frozen=True)
class Patience:
    """How long to bear with a bad connection; seconds."""

    attempts: int = 6  # in a row that bring nothing new
    pause: float = 1.0  # before the second attempt, twice as long before each further one
    timeout: float = 30.0  # without a byte


@dataclass(frozen=True)
class Fetched:
    """A clip that is here: checked, whole.  fresh: it was downloaded just now."""

    path: Path
    size: int
    sha256: str
    frames: int | None
    fresh: bool


@dataclass(frozen=True)
class _Record:
    """What is remembered of a first download."""

    url: str
    file: str
    size: int
    sha256: str
    archive_sha256: str | None = None


def fetch(
    source: Source, folder: Path, *, on_bytes: OnBytes | None = None, patience: Patience | None = None
) -> Fetched:
    """The clip in the folder; downloaded if it is not there, checked in either case.

    An interrupted download goes on where it stopped.  What is there already is never overwritten.
    Raises FetchError, in one line, for whatever is wrong with the server, the file, or the disk.
    """
    on_bytes = on_bytes or (lambda *_: None)
    target, remembered = folder / source.file, folder / f"{source.file}.json"
    record = _read_record(remembered)
    if os.path.lexists(target):
        return _checked(source, target, remembered, record)
    _require_packages()
    check_space([source], folder)
    folder.mkdir(parents=True, exist_ok=True)
    whole = _download(source, folder, record, on_bytes, patience or Patience())
    temporary = folder / f"{source.file}.unpacking"
    try:
        if source.packed:
            archive_sha256 = _sha256(whole)
            sha256 = _unpack(whole, source, temporary, on_bytes)
        else:
            archive_sha256, sha256 = None, _sha256(whole)
            os.replace(whole, temporary)
        size = temporary.stat().st_size
        _check_size(source, size, f"{source.url} brought")
        if record is not None and sha256 != record.sha256:
            raise FetchError(_changed(source, remembered, record.sha256, sha256))
        _write_record(remembered, _Record(source.url, source.file, size, sha256, archive_sha256))
        os.replace(temporary, target)
    except FetchError:
        whole.unlink(missing_ok=True)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    whole.unlink(missing_ok=True)
    return Fetched(target, size, sha256, _frames(source, size), fresh=True)


def _require_packages() -> None:
    """Refuses to begin what would end for want of a package."""
    for package in ("pooch", "py7zr"):
        try:
            import_module(package)
        except ImportError:
            raise FetchError(f"downloads need the package {package}; get it with: {_CURE}") from None


def missing(sources: Iterable[Source], folder: Path) -> list[Source]:
    """Those that are to be downloaded still."""
    return [source for source in sources if not os.path.lexists(folder / source.file)]


def check_space(sources: Sequence[Source], folder: Path) -> None:
    """Refuses to begin what will not fit: all files, and the largest archive while it is unpacked.

    Raises FetchError if the disk of the folder has not that many bytes free.
    """
    wanted = missing(sources, folder)
    files = sum(source.size or 0 for source in wanted)
    here = [_size(_part(source, folder)) + _size(_whole(source, folder)) for source in wanted]
    archives = [max((source.download or 0) - size, 0) for source, size in zip(wanted, here, strict=True)]
    _check_free(folder, files + max(archives, default=0))


def _check_free(folder: Path, needed: int) -> None:
    disk = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(disk).free
    if needed and needed + _SPARE > free:
        raise FetchError(
            f"{folder} needs {_gigabytes(needed + _SPARE)} free, its disk has {_gigabytes(free)}; "
            "make room, choose fewer --sequences, or another folder by --to"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


# --- what is there ------------------------------------------------------------------------------------


def _checked(source: Source, target: Path, remembered: Path, record: _Record | None) -> Fetched:
    """A file that lies there, compared with what is known of it; without a record it gets one."""
    if (target.is_symlink() and not target.exists()) or not target.is_file():
        raise FetchError(f"{target} is no ordinary file; remove it, or choose another folder by --to")
    size = target.stat().st_size
    _check_size(source, size, f"{target} has")
    sha256, expected = _sha256(target), source.sha256 or (record.sha256 if record else None)
    if expected is not None and sha256 != expected:
        raise FetchError(
            f"{target} has changed: its SHA-256 is {sha256[:12]}…, expected {expected[:12]}…; "
            "remove it to download it again"
        )
    if record is None:
        _write_record(remembered, _Record(source.url, source.file, size, sha256))
    return Fetched(target, size, sha256, _frames(source, size), fresh=False)


def _check_size(source: Source, size: int, who: str) -> None:
    """Refuses another size than the expected one, or raw frames that are not whole."""
    if source.size is not None and size != source.size:
        frames = f", {source.frames} frames" if source.frames else ""
        raise FetchError(
            f"{who} {size:,} bytes of {source.file}, expected {source.size:,}{frames}; "
            "remove what is there, or choose another folder by --to, and try again"
        )
    layout = RawFormat.from_name(source.file) if source.file.endswith(".yuv") else None
    if size == 0 or (layout and size % layout.frame_bytes):
        raise FetchError(f"{who} {size:,} bytes of {source.file}: that is no whole number of frames")


def _frames(source: Source, size: int) -> int | None:
    """How many frames the file has, as far as its name or the source says."""
    layout = RawFormat.from_name(source.file) if source.file.endswith(".yuv") else None
    return size // layout.frame_bytes if layout else source.frames


def _changed(source: Source, remembered: Path, before: str, now: str) -> str:
    return (
        f"{source.url} is not what it was: its SHA-256 is {now[:12]}…, at the first download {before[:12]}…; "
        f"try again, or remove {remembered} if the new file is the one you want"
    )


def _read_record(path: Path) -> _Record | None:
    if not path.exists():
        return None
    try:
        record = _Record(**json.loads(path.read_text(encoding="utf-8")))
        if all(
            re.fullmatch("[0-9a-f]{64}", text) for text in (record.sha256, record.archive_sha256 or "0" * 64)
        ):
            return record
    except (ValueError, TypeError, RecursionError):
        pass
    raise FetchError(f"{path} is no record of a download; remove it, and checksums are recorded anew")


def _write_record(path: Path, record: _Record) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


# --- downloading --------------------------------------------------------------------------------------


def _whole(source: Source, folder: Path) -> Path:
    """Where a finished download lies until it is checked and unpacked."""
    return folder / (Path(urlsplit(source.url).path).name if source.packed else f"{source.file}.download")


def _part(source: Source, folder: Path) -> Path:
    whole = _whole(source, folder)
    return whole.with_name(f"{whole.name}.part")


def _download(
    source: Source, folder: Path, record: _Record | None, on_bytes: OnBytes, patience: Patience
) -> Path:
    """The whole file of the address, its SHA-256 as it is known or was the first time."""
    import pooch
    import requests

    before = None if record is None else record.archive_sha256 if source.packed else record.sha256
    known = before if source.packed else source.sha256 or before
    whole = _whole(source, folder)
    pooch.get_logger().setLevel("WARNING")
    with requests.Session() as session:
        downloader = _Resuming(source, folder, session, on_bytes, patience)
        try:
            pooch.retrieve(source.url, known, fname=whole.name, path=folder, downloader=downloader)
        except FetchError:
            raise
        except ValueError as error:  # so pooch says that the checksum is another
            now = re.search("but got '?([0-9a-f]{64})", str(error))
            if now is None or known is None:
                raise FetchError(f"{source.url}: {error}") from None
            if known != before:
                raise FetchError(
                    f"{source.url} brought a file whose SHA-256 is {now[1][:12]}…, expected {known[:12]}…; "
                    "it was removed: try again, or look for the clip elsewhere"
                ) from None
            raise FetchError(_changed(source, folder / f"{source.file}.json", known, now[1])) from None
    return whole


class _Resuming:
    """A downloader for pooch that goes on where the last attempt, also of another process, stopped."""

    def __init__(
        self, source: Source, folder: Path, session: "requests.Session", on_bytes: OnBytes, patience: Patience
    ) -> None:
        self.source, self.folder, self.session = source, folder, session
        self.on_bytes, self.patience = on_bytes, patience
        self.part = _part(source, folder)
        self.state = self.part.with_name(f"{self.part.name}.json")  # which version of the file the part is of

    def __call__(self, url: str, output: str, _pooch: Any = None) -> None:
        import requests

        idle, most = 0, _size(self.part)
        while True:
            try:
                reason = self._attempt(url)
            except requests.RequestException as error:
                reason = _plain(error)
            if not reason:
                break
            idle, most = (0, _size(self.part)) if _size(self.part) > most else (idle + 1, most)
            if idle >= self.patience.attempts:
                raise FetchError(
                    f"{url}: {reason}, {idle} times in a row; {most:,} bytes have come and are kept: "
                    "the same command goes on from there"
                )
            time.sleep(min(self.patience.pause * 2**idle, 30.0))
        os.replace(self.part, output)
        self.state.unlink(missing_ok=True)

    def _attempt(self, url: str) -> str:
        """Goes on with the part; empty when it is whole, else why it is not."""
        state = self._read_state()
        if not state:
            self._forget()  # whatever lies there, it is not known of what it is a part
        have = _size(self.part)
        if have and have == state.get("total"):
            return ""
        headers = {"Accept-Encoding": "identity", "User-Agent": f"coordflow-mini/{__version__}"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if tag := state.get("etag"):
                headers["If-Range"] = str(tag)
        with self._open(url, headers) as response:
            if response.status_code == 416 or response.status_code == 206:
                start, total = _content_range(response.headers.get("Content-Range", ""))
                if response.status_code == 416 and have and total == have:
                    return ""
                if start != have or (state.get("total") or total) != total:
                    self._forget()
                    return "what the server sent does not continue what had come"
                return self._append(response, have, total)
            if response.status_code in (408, 425, 429) or response.status_code >= 500:
                return f"the server answers {response.status_code} {response.reason}"
            if response.status_code != 200:
                raise FetchError(
                    f"{url}: the server answers {response.status_code} {response.reason}, expected the file; "
                    "check the address in a browser"
                )
            length = response.headers.get("Content-Length", "")
            return self._append(response, 0, int(length) if length.isdecimal() else None)

    def _open(self, url: str, headers: dict[str, str]) -> "requests.Response":
        """The server's answer, behind redirects that stay where they may."""
        allowed = {_origin(url), *self.source.redirects}
        for _ in range(5):
            response = self.session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=self.patience.timeout
            )
            if not response.is_redirect:
                return response
            response.close()
            url = urljoin(url, response.headers["Location"])
            if _origin(url) not in allowed:
                raise FetchError(
                    f"{self.source.url} leads to {url!r}, on another server or by another scheme, and "
                    "was not followed; if you trust it, fetch that address"
                )
        raise FetchError(f"{self.source.url} leads in circles: five redirects; check it in a browser")

    def _append(self, response: "requests.Response", have: int, total: int | None) -> str:
        """Writes what comes behind the first `have` bytes."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise FetchError(f"{self.source.url} comes encoded as {encoding!r}, expected it as it is")
        limit = self._check_total(have, total)
        tag = response.headers.get("ETag", "")
        if not have:
            self._write_state({"etag": tag if tag.startswith('"') else "", "total": total})
        response.raw.enforce_content_length = False  # or the last bytes before an early end are lost
        with self.part.open("ab" if have else "wb") as file:
            for chunk in response.iter_content(_CHUNK):
                have += len(chunk)
                if limit is not None and have > limit:
                    file.close()
                    self._forget()
                    raise FetchError(
                        f"{self.source.url} sends more than the {limit:,} bytes expected; try again"
                    )
                file.write(chunk)
                self.on_bytes("download", have, total)
        if total is None or have == total:
            return ""
        return f"the connection ended at {have:,} of {total:,} bytes"

    def _check_total(self, have: int, total: int | None) -> int | None:
        """How many bytes may come at most; refuses a length that cannot be right or does not fit."""
        size = self.source.size
        if total is not None:
            wrong = size is not None and (total > size + _SPARE if self.source.packed else total != size)
            if wrong or total == 0:
                expected = f"{'at most ' if self.source.packed else ''}{size:,}" if size else "more"
                raise FetchError(
                    f"{self.source.url} is {total:,} bytes long, expected {expected}; "
                    "the file there is another one: check the address in a browser"
                )
            _check_free(self.folder, total - have + (size or 0) * self.source.packed)
            return total
        return None if size is None else size + _SPARE * self.source.packed

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def _read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) and state.get("url") == self.source.url else {}

    def _write_state(self, state: dict[str, Any]) -> None:
        with replacing(self.state) as temporary:
            temporary.write_text(json.dumps({"url": self.source.url, **state}), encoding="utf-8")


def _content_range(text: str) -> tuple[int | None, int | None]:
    """First byte and length of the whole of a Content-Range.

    >>> _content_range("bytes 500-999/1000"), _content_range("bytes */1000"), _content_range("bytes")
    ((500, 1000), (None, 1000), (None, None))
    """
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", text.strip())
    if not found:
        return None, None
    first, total = found.groups()
    return (int(first) if first else None), (int(total) if total != "*" else None)


def _origin(url: str) -> str:
    """Scheme, host and port.

    >>> _origin("https://Example.org/films/boat.mp4")
    'https://example.org'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _plain(error: Exception) -> str:
    """What went wrong with a connection, in a few words."""
    name = type(error).__name__
    known = {
        "ConnectTimeout": "the server does not answer",
        "ReadTimeout": "the server fell silent",
        "SSLError": "the server's certificate is not trusted",
        "ProxyError": "the proxy refuses",
        "ChunkedEncodingError": "the connection broke",
        "ConnectionError": "there is no connection",
    }
    return known.get(name, f"the download failed ({name})")


# --- unpacking ----------------------------------------------------------------------------------------


def _unpack(archive: Path, source: Source, target: Path, on_bytes: OnBytes) -> str:
    """Writes the one expected file of an archive to `target`; its SHA-256.

    No path of the archive is used for anything: py7zr hands over bytes, and `target` is ours.
    """
    import py7zr
    from py7zr.io import WriterFactory

    assert source.size is not None
    with target.open("wb") as file:
        sink = _sink(file, source, on_bytes)

        class Sinks(WriterFactory):
            def create(self, filename: str) -> Any:
                return sink

        try:
            with py7zr.SevenZipFile(archive) as opened:
                member = _member(opened.list(), archive, source)
                opened.extract(path=archive.parent, targets=[member], factory=Sinks())
        except FetchError:
            raise
        except Exception as error:  # py7zr meets damage with errors of every kind
            if sink.failure is not None:
                raise sink.failure from None
            raise FetchError(
                f"{archive.name} from {source.url} is damaged ({type(error).__name__}); "
                "it was removed: try again"
            ) from None
    return str(sink.digest.hexdigest())


def _member(members: "list[FileInfo]", archive: Path, source: Source) -> str:
    """The name of the expected file in an archive that holds nothing dangerous."""
    for member in members:
        path = PureWindowsPath(member.filename)  # knows both slashes, and drives
        if path.anchor or ".." in path.parts or not (member.is_file or member.is_directory):
            raise FetchError(
                f"{archive.name} from {source.url} holds {member.filename!r}, which leads out of its folder; "
                "nothing was unpacked and it was removed: do not trust that server"
            )
    found = [member for member in members if PureWindowsPath(member.filename).name == source.file]
    if len(found) != 1:
        names = ", ".join(sorted(member.filename for member in members)[:4]) or "nothing"
        raise FetchError(f"{archive.name} holds {names}, expected {source.file}; it was removed: try again")
    size = source.size or 0
    if found[0].uncompressed != size or sum(member.uncompressed for member in members) > size + _SPARE:
        raise FetchError(
            f"{archive.name} holds {found[0].uncompressed:,} bytes of {source.file}, expected {size:,} "
            f"({source.frames} frames), and little else; it was removed: try again"
        )
    return found[0].filename


def _sink(file: BinaryIO, source: Source, on_bytes: OnBytes) -> Any:
    """What py7zr writes to: into the file, summed up, and no more than there should be."""
    from py7zr.io import Py7zIO

    class Sink(Py7zIO):
        def __init__(self) -> None:
            self.digest, self.done = hashlib.sha256(), 0
            self.failure: Exception | None = None

        def write(self, s: bytes | bytearray) -> int:
            self.done += len(s)
            if self.done > (source.size or 0):
                self.failure = FetchError(f"{source.file} is longer than its archive says; it was removed")
                raise self.failure
            try:
                file.write(s)
            except OSError as error:  # a full disk is no damaged archive
                self.failure = error
                raise
            self.digest.update(s)
            on_bytes("unpack", self.done, source.size)
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self.done

    return Sink()
