"""An evaluation is of the very frames that the file says, however source and file are given."""

from dataclasses import replace

import numpy as np
import pytest

import coordflow_mini as cf
from coordflow_mini.config import Recipe
from coordflow_mini.measure.metrics import frame_psnr_db

MODEL = cf.ModelConfig(width=4, depth=1, space_frequencies=4)


@pytest.fixture(scope="module")
def data(one_thread) -> bytes:
    clip = cf.load("clip:cutout", cf.Selection(2, 6, 2, 32, 24))
    fit, codec = cf.FitConfig(steps=5, batch=64), cf.CodecConfig(steps=5, choose_width=False)
    return cf.encode(clip, Recipe(bpp=5, model=MODEL, fit=fit, codec=codec))


def test_a_name_and_a_path_are_as_good_as_frames_and_bytes(data, tmp_path):
    file = tmp_path / "cutout.cfv"
    file.write_bytes(data)
    found = cf.evaluate("clip:cutout", file)
    decoded = cf.decode(data)
    original = cf.load("clip:cutout", decoded.selection)
    again = cf.evaluate(original, data)
    assert found.shape == (2, 24, 32) and 0 <= found.mask_iou <= 1 and again.mask_iou is None
    assert found.point.psnr_db == pytest.approx(frame_psnr_db(original.frames, decoded.frames).mean())
    assert replace(found.point, decode_seconds=0) == replace(again.point, decode_seconds=0)
    assert found.to_json()["bytes"] == len(data)


def test_other_frames_and_no_files_are_refused(data):
    with pytest.raises(ValueError, match="the file holds"):
        cf.evaluate(cf.Video(np.zeros((3, 24, 32, 3), np.uint8)), data)
    with pytest.raises(cf.BitstreamError):
        cf.evaluate("clip:cutout", data[:-1])
