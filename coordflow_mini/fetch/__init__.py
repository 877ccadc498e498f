"""Footage from the network: the UVG sequences, a few free clips, any address; checked, resumable.

`sources` says what there is, `storage` where it lies, `records` what is remembered of a first download and
compared later; `downloading` and `unpacking` do what their names say, by pooch, requests and py7zr.  These
come with `pip install "coordflow-mini[fetch]"`, and are imported when something is fetched.
"""

import os
from importlib import import_module
from pathlib import Path

from coordflow_mini.fetch import downloading, records, unpacking
from coordflow_mini.fetch.downloading import Patience
from coordflow_mini.fetch.records import Fetched, OnBytes, OnRetry, Record
from coordflow_mini.fetch.sources import FetchError, address
from coordflow_mini.fetch.storage import Place, check_space, missing
from coordflow_mini.video.catalog import Source, data_folder

__all__ = [
    "FetchError",
    "Fetched",
    "OnBytes",
    "OnRetry",
    "Patience",
    "address",
    "check_space",
    "fetch",
    "missing",
]

_PACKAGES = ("pooch", "py7zr", "requests")
_CURE = 'pip install "pooch>=1.8" "py7zr>=1.1.4" requests "urllib3>=2.2"'


def fetch(
    source: Source,
    folder: Path | None = None,
    *,
    on_bytes: OnBytes | None = None,
    on_retry: OnRetry | None = None,
    patience: Patience | None = None,
) -> Fetched:
    """The clip in the folder (`data_folder`); downloaded if it is not there, checked in either case.

    An interrupted download goes on where it stopped.  What is there already is never overwritten.
    on_retry is told why an attempt failed, and when the next one begins.
    Raises FetchError, in one line, for whatever is wrong with the server, the file, or the disk.
    """
    place, on_bytes = Place(source, folder or data_folder()), on_bytes or (lambda *_: None)
    on_retry, patience = on_retry or (lambda _: None), patience or Patience()
    if os.path.lexists(place.target) and not place.is_unfinished:
        return records.check_present(place, on_bytes)
    _require_packages()
    check_space([source], place.folder)
    with place.locked():
        if os.path.lexists(place.target):  # another process has just finished, or was killed as it did
            place.clear()
            return records.check_present(place, on_bytes)
        return _bring(place, on_bytes, on_retry, patience)


def _require_packages() -> None:
    """Refuses to begin what would end for want of a package."""
    for package in _PACKAGES:
        try:
            import_module(package)  # trusted: named above
        except ImportError:
            raise FetchError(f"downloads need the package {package}; get it with: {_CURE}") from None


def _bring(place: Place, on_bytes: OnBytes, on_retry: OnRetry, patience: Patience) -> Fetched:
    """Downloads, unpacks, checks and remembers; the clip gets its name last of all."""
    before = records.read(place)
    downloading.download(place, before, on_bytes, on_retry, patience)
    try:
        archive = records.checksum(place.whole, on_bytes) if place.source.packed else None
        ready = place.unpacked if archive else place.whole
        sha256 = unpacking.unpack(place, on_bytes) if archive else records.checksum(ready, on_bytes)
        record = Record(place.source.url, place.source.file, ready.stat().st_size, sha256, archive)
        records.check_size(place.source, record.size, f"{place.source.url} brought")
        if before is not None and sha256 != before.sha256:
            raise downloading.changed(place)
    except FetchError:
        place.clear()
        raise
    records.write(place, record)
    os.replace(ready, place.target)
    place.clear()
    return record.result(place, fresh=True)
