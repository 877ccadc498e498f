"""Bytes back to pictures: any frame, any size, any layer, from nothing but the file."""

import subprocess
import sys
from types import GeneratorType

import numpy as np
import pytest
import torch

from coordflow_mini import decoder, render
from coordflow_mini.bitstream import BitstreamError
from coordflow_mini.decoder import (
    decode,
    decode_frames,
    decode_renderings,
    fast_dtype,
    read_model,
    tensor_shapes,
)
from coordflow_mini.model import parameter_shapes
from coordflow_mini.quantize import QuantizedTensor


def gray_levels(left: np.ndarray, right: np.ndarray) -> int:
    """The largest difference."""
    assert left.shape == right.shape
    return int(np.abs(left.astype(int) - right).max())


def test_a_decoded_video_is_what_the_header_says(encoded, clip):
    """decode gives the declared shape, rate, matrix and selection."""
    video = decode(encoded.data)
    assert video.frames.shape == clip.frames.shape and video.fps == clip.fps
    assert video.selection == clip.selection and video.matrix == clip.matrix


def test_a_model_is_its_integers(encoded):
    """read_model: every weight is an integer times the step of its tensor, in the order of the file."""
    header, model = read_model(encoded.data)
    assert header == encoded.header and model.config == header.model
    assert model.parameter_count == encoded.parameters
    assert [tuple(layer.shape) for parameter in model.parameters() for layer in parameter] == tensor_shapes(
        header
    )


def test_building_a_model_inverts_listing_its_tensors(encoded):
    """build_model puts tensor number n where tensor number n came from."""
    header = encoded.header
    tensors = [
        QuantizedTensor(np.full(shape, number, np.int32), 0)
        for number, shape in enumerate(tensor_shapes(header))
    ]
    model = decoder.build_model(header, tensors)
    found = [layer.unique().tolist() for parameter in model.parameters() for layer in parameter]
    assert found == [[float(number)] for number in range(len(tensors))]
    assert sum(np.prod(shape) for shape in tensor_shapes(header)) == sum(
        np.prod(shape) for shape in parameter_shapes(header.model)
    )


def test_frames_are_those_of_the_video(encoded):
    """decode_frames gives the video's frames, all in order, or those asked for, in any order, repeated."""
    video = decode(encoded.data)
    assert np.array_equal(np.stack(list(decode_frames(encoded.data))), video.frames)
    some = list(decode_frames(encoded.data, [4, 0, 4]))
    assert np.array_equal(np.stack(some), video.frames[[4, 0, 4]])
    assert list(decode_frames(encoded.data, [])) == []
    for indices in (range(2), np.array([0, 1]), torch.tensor([0, 1]), (i for i in (0, 1))):
        assert np.array_equal(np.stack(list(decode_frames(encoded.data, indices))), video.frames[:2])


def test_frames_between_frames(encoded):
    """A frame between two frames is new, and comes close to either as its time does."""
    before, close, middle, after = decode_frames(encoded.data, [2, 2.02, 2.5, 3])
    near = np.abs(close.astype(int) - before).mean()
    far = np.abs(middle.astype(int) - before).mean()
    whole = np.abs(after.astype(int) - before).mean()
    assert near < 0.2 * far and 0 < far < 1.2 * whole
    assert not np.array_equal(middle, after)


@pytest.mark.parametrize("frames", [[-1], [6], [5.01], [-0.01], [0, 99], [float("nan")]])
def test_frames_beyond_the_ends_are_refused(frames, encoded):
    """Frames before the first or after the last are refused with the range."""
    with pytest.raises(ValueError, match="frames must lie in 0 to 5"):
        list(decode_frames(encoded.data, frames))


@pytest.mark.parametrize(
    ("scale", "height", "width"), [(1, 24, 32), (2, 48, 64), (0.5, 12, 16), (1.5, 36, 48)]
)
def test_scale(scale, height, width, encoded):
    """Decoded at a scale: round(scale * side) pixels, of the same picture."""
    (picture,) = decode_frames(encoded.data, [3], scale=scale)
    assert picture.shape == (height, width, 3) and picture.dtype == np.uint8


def test_a_larger_picture_is_the_same_picture(encoded):
    """At scale 2, means of 2x2 pixels are nearly the picture at scale 1."""
    (small,), (large,) = decode_frames(encoded.data, [3]), decode_frames(encoded.data, [3], scale=2)
    means = large.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(means - small).mean() < 3


@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_alone(layer, encoded):
    """layer=i shows that layer's own colors, as decode_renderings lists them."""
    shown = list(decode_frames(encoded.data, [1, 2], layer=layer))
    for picture, rendering in zip(shown, decode_renderings(encoded.data, [1, 2]), strict=True):
        assert np.array_equal(picture, rendering.layer_rgb[layer, 0].numpy())
        assert not np.array_equal(picture, rendering.rgb[0].numpy())


@pytest.mark.parametrize("layer", [-1, 2, 99])
def test_a_layer_that_is_not_there_is_refused(layer, encoded):
    """A layer out of range is refused with the range."""
    with pytest.raises(ValueError, match="layer must be 0 to 1"):
        next(decode_frames(encoded.data, layer=layer))


def test_a_layer_is_refused_before_anything_is_rendered(encoded, monkeypatch):
    """A layer out of range is refused from the header alone, also when no frame is asked for."""
    monkeypatch.setattr(render, "still", lambda *_: pytest.fail("rendered"))
    with pytest.raises(ValueError, match="layer must be 0 to 1"):
        list(decode_frames(encoded.data, layer=2))
    with pytest.raises(ValueError, match="layer must be 0 to 1"):
        list(decode_frames(encoded.data, [], layer=2))


def test_renderings_are_blends(encoded):
    """decode_renderings: alpha sums to 1, and weighs the layers' colors to the blend, to 8 bits."""
    (rendering,) = decode_renderings(encoded.data, [2.5])
    torch.testing.assert_close(rendering.alpha.sum(0), torch.ones(1, 24, 32))
    inside = ((rendering.layer_rgb > 0) & (rendering.layer_rgb < 255)).all(0)  # clipped layers say less
    blended = (rendering.alpha[..., None] * rendering.layer_rgb).sum(0)
    assert inside.any() and ((blended - rendering.rgb).abs()[inside] <= 1.01).all()


def test_decoding_streams(encoded, monkeypatch):
    """A frame is rendered when it is asked for, not before: memory holds one."""
    rendered, still = [], render.still

    def counting(*arguments: object) -> object:
        rendered.append(1)
        return still(*arguments)

    monkeypatch.setattr(render, "still", counting)
    frames = decode_frames(encoded.data)
    assert isinstance(frames, GeneratorType) and not rendered
    next(frames)
    assert len(rendered) == 1
    next(frames)
    assert len(rendered) == 2


def test_threads_change_a_gray_level_at_most(encoded):
    """Decoding by one thread and by two differs by at most one gray level."""
    pictures, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            pictures.append(decode(encoded.data).frames)
    finally:
        torch.set_num_threads(before)
    assert gray_levels(*pictures) <= 1


def test_decoding_twice_gives_the_same(encoded):
    """No chance is involved: two decodes are equal, and leave the global random state alone."""
    state = torch.get_rng_state()
    first = decode(encoded.data)
    torch.manual_seed(123)
    assert np.array_equal(decode(encoded.data).frames, first.frames)
    torch.set_rng_state(state)


@pytest.mark.parametrize(("dtype", "levels"), [(torch.bfloat16, 8), (torch.float16, 1)])
def test_half_precision_is_roughly_the_same(encoded, dtype, levels):
    """Less exact decodes show the same picture to within a few gray levels, float16 to within one."""
    (exact,), (fast,) = (decode_frames(encoded.data, [2], dtype=kind) for kind in (torch.float32, dtype))
    assert 0 < np.abs(exact.astype(int) - fast).max() <= levels


def test_the_fastest_dtype_is_one_that_the_device_multiplies(monkeypatch):
    assert fast_dtype("cuda") == torch.float16
    for multiplies, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("coordflow_mini.model._multiplies_bfloat16", lambda does=multiplies: does)
        assert fast_dtype("cpu") == dtype


def test_a_fresh_process_needs_the_bytes_alone(encoded, tmp_path):
    """Another process decodes the same frames and loads nothing that fits, tunes or encodes."""
    file, result = tmp_path / "clip.cfv", tmp_path / "frames.npy"
    file.write_bytes(encoded.data)
    code = f"""
import pathlib, sys
import numpy as np
from coordflow_mini.decoder import decode
np.save({str(result)!r}, decode(pathlib.Path({str(file)!r}).read_bytes()).frames)
print(*sorted(sys.modules))
"""
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(process.stdout.split())
    assert "coordflow_mini.decoder" in loaded
    training = {f"coordflow_mini.{name}" for name in ("train", "loss", "finetune", "encoder", "muon")}
    assert not training & loaded
    assert gray_levels(np.load(result), decode(encoded.data).frames) <= 1


@pytest.mark.parametrize("read", [decode, lambda data: list(decode_frames(data)), read_model])
def test_damage_is_one_kind_of_error(read, encoded):
    """Empty, foreign, cut, flipped and prolonged bytes are each refused by BitstreamError, in one line."""
    data = encoded.data
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 16
    for bad in (b"", b"RIFF....", data[:3], data[: len(data) // 2], data[:-1], bytes(flipped), data + b"\0"):
        with pytest.raises(BitstreamError) as error:
            read(bad)
        assert str(error.value) and "\n" not in str(error.value)


# --- other frame rates ----------------------------------------------------------------------------
