"""An evaluation is of the very frames that the file says, however source and file are given."""

from dataclasses import replace

import numpy as np
import pytest

import coordflow_mini as cf


def test_a_name_and_a_path_are_as_good_as_frames_and_bytes(encoded, clip, tmp_path):
    source, file = tmp_path / "clip.npy", tmp_path / "clip.cfv"
    np.save(source, clip.frames)
    file.write_bytes(encoded.data)
    found, again = cf.evaluate(source, file), cf.evaluate(clip, encoded.data)
    assert found.shape == (6, 24, 32) and found.mask_iou is None
    decoded = cf.decode(encoded.data)
    assert found.point.psnr_db == pytest.approx(cf.psnr_db(clip.frames, decoded.frames))
    same = {"clip": "clip", "decode_seconds": 0}
    assert replace(found.point, **same) == replace(again.point, **same)
    assert found.to_json()["bytes"] == len(encoded.data)


def test_other_frames_and_no_files_are_refused(encoded, clip):
    with pytest.raises(ValueError, match="the file holds"):
        cf.evaluate(cf.Video(clip.frames[:3]), encoded.data)
    with pytest.raises(cf.BitstreamError):
        cf.evaluate(clip, encoded.data[:-1])
