"""Downloads footage: the UVG sequences, two free clips, any address; resumed and checked.

`video.catalog` lists what there is.  `store` knows where clips lie and what is remembered of their first
download; `download` and `archive` bring and unpack them with requests and py7zr, which come with
`pip install "coordflow-mini[fetch]"`.
"""

import os
from importlib import import_module
from pathlib import Path

from coordflow_mini.fetch import archive, download, store
from coordflow_mini.fetch.download import OnRetry, Patience
from coordflow_mini.fetch.download import address as address
from coordflow_mini.fetch.store import Fetched as Fetched
from coordflow_mini.fetch.store import FetchError as FetchError
from coordflow_mini.fetch.store import OnBytes, Place, Record
from coordflow_mini.fetch.store import check_space as check_space
from coordflow_mini.fetch.store import missing as missing
from coordflow_mini.video.catalog import Source, data_folder

_PACKAGES = ("py7zr", "requests")
_CURE = 'pip install "py7zr>=1.1.4" requests "urllib3>=2.2"'


def fetch(
    source: Source,
    folder: Path | None = None,
    *,
    on_bytes: OnBytes | None = None,
    on_retry: OnRetry | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """The clip in `folder` (default: `data_folder`), downloaded if it is missing, and checked in any case.

    Resumes an interrupted download.  Never overwrites a file.
    on_bytes: receives progress.  on_retry: receives a line before each new attempt.
    Raises FetchError, in one line, for any fault of server, file or disk space.
    """
    place, on_bytes = Place(source, folder or data_folder()), on_bytes or (lambda *_: None)
    if os.path.lexists(place.target) and not place.is_unfinished:
        return store.check_present(place, on_bytes)
    _require_packages()
    check_space([source], place.folder)
    with place.locked():
        if os.path.lexists(place.target):  # another process just finished, or was killed as it did
            place.clear()
            return store.check_present(place, on_bytes)
        download.download(place, on_bytes, on_retry or (lambda _: None), patience or Patience())
        return _install(place, on_bytes)


def _require_packages() -> None:
    """Checks the optional packages before anything is downloaded."""
    for package in _PACKAGES:
        try:
            import_module(package)  # trusted: named above
        except ImportError:
            raise FetchError(f"downloads need the package {package}; get it with: {_CURE}") from None


def _install(place: Place, on_bytes: OnBytes) -> Fetched:
    """Checks, unpacks and records what was downloaded; only then does the clip get its name."""
    source, before = place.source, store.read_record(place)
    try:
        arrived = store.checksum(place.part, on_bytes)
        if source.packed:
            ready = archive.unpack(place, on_bytes)
            sha256 = store.checksum(ready, on_bytes)
            record = Record(source.url, source.file, ready.stat().st_size, sha256, arrived)
        else:
            ready = place.part
            record = Record(source.url, source.file, ready.stat().st_size, arrived)
            if source.sha256 not in (None, arrived):
                raise FetchError(
                    f"{source.url} brought another file than the one whose SHA-256 is "
                    f"{str(source.sha256)[:12]}…; it was removed: try again, or look for the clip elsewhere"
                )
        store.check_size(source, record.size, f"{source.url} brought")
        if before is not None and record.sha256 != before.sha256:
            raise FetchError(
                f"{source.url} has changed: its SHA-256 is not that of the first download; try again, "
                f"or remove {place.record} if the new file is the one you want"
            )
    except FetchError:
        place.clear()
        raise
    store.write_record(place, record)
    os.replace(ready, place.target)
    place.clear()
    return record.result(place, fresh=True)
