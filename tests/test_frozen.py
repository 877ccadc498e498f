"""Version-1 files, frozen with their integers and pictures: whatever changes, they decode the same.

`frozen/v1` holds three files, the digests of their integers, and two frames of each, as the library decoded
them when the first release was made. A reader of version 1 must agree for good; do not regenerate them.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coordflow_mini import bitstream
from coordflow_mini.decoder import decode_frames, tensor_shapes

FROZEN = Path(__file__).parent / "frozen" / "v1"
FILES = json.loads((FROZEN / "integers.json").read_text(encoding="utf-8"))

each = pytest.mark.parametrize("name", FILES)


@pytest.mark.promise("Encoded files", "Files of version 1 give the same integers, always and everywhere.")
@each
def test_version_1_gives_the_same_integers(name):
    header, tensors = bitstream.read((FROZEN / name).read_bytes(), tensor_shapes)
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(np.int32(tensor.step_index).astype("<i4").tobytes())
        digest.update(tensor.integers.astype("<i4").tobytes())
    assert digest.hexdigest() == FILES[name]["integers_sha256"]
    shape = {"time": header.time, "height": header.height, "width": header.width}
    assert shape.items() <= FILES[name].items()


@pytest.mark.promise("Encoded files", "Their pictures stay the same within one level of 255.")
@each
def test_version_1_gives_the_same_pictures(name):
    frames = FILES[name]["frames"]
    for frame, picture in zip(frames, decode_frames((FROZEN / name).read_bytes(), frames), strict=True):
        expected = np.asarray(Image.open(FROZEN / f"{Path(name).stem}_{frame}.png"))
        assert np.abs(picture.astype(int) - expected).max() <= 1, f"frame {frame}"


@each
def test_version_1_is_written_the_same(name):
    data = (FROZEN / name).read_bytes()
    assert bitstream.write(*bitstream.read(data, tensor_shapes)) == data
