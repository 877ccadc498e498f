"""Clips on a device, and the ways to it and back; what needs a GPU is in tests/gpu."""

import numpy as np
import torch

from coordflow_mini.video.device import arriving, clip_on, moved, uploaded

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)


def test_what_was_uploaded_is_shared_within_the_block_alone():
    """By all that ask for these frames on this device, also in a block within."""
    read_only = FRAMES.copy()
    read_only.flags.writeable = False  # copied where it is not shared
    with uploaded(read_only, "cpu"), uploaded(read_only, "cpu"):
        clip = clip_on(read_only, "cpu")
        assert clip_on(read_only, torch.device("cpu")) is clip
        assert clip_on(read_only.copy(), "cpu") is not clip
        assert clip_on(read_only, "meta") is not clip
    assert clip_on(read_only, "cpu") is not clip


def test_a_clip_that_would_crowd_the_gpu_stays_on_the_host(monkeypatch):
    """More than half of the free memory is too much."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * FRAMES.nbytes - 1, 1 << 40))
    clip = clip_on(FRAMES, "cuda")
    assert clip.device == torch.device("cpu") and clip.data_ptr() == FRAMES.ctypes.data


def test_on_a_cpu_everything_is_there_already():
    pairs = [(torch.arange(number), torch.ones(number)) for number in range(3)]
    assert all(a is b for a, b in zip(arriving(pairs), pairs, strict=True))
    assert moved(pairs[0][0], "cpu") is pairs[0][0]
