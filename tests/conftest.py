"""Shared fixtures: small clips, short training, and one encoded file."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig, Recipe
from coordflow_mini.video.clip import Video


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell ignores Ctrl-C for what it runs in the background, and so would the tests of it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: at these sizes a second one only costs time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clip() -> Video:
    """Six frames of 32x24 of the generated scene: texture and two motions."""
    from coordflow_mini.video import scenes

    return scenes.cutout(24, 32, 6).video


@pytest.fixture(scope="module")
def source(tmp_path_factory, one_thread) -> Path:
    """Five frames of 16x12, as a file in a folder of its own."""
    from coordflow_mini.video import scenes

    path = tmp_path_factory.mktemp("source") / "scene.npy"
    np.save(path, scenes.cutout(12, 16, 5).video.frames)
    return path


@pytest.fixture(scope="session")
def small_model() -> ModelConfig:
    """A few hundred weights in two layers."""
    return ModelConfig(width=8, depth=2, space_frequencies=6, highest_frequency=4.0, flow_width=8)


@pytest.fixture(scope="session")
def short_fit() -> FitConfig:
    """A fit of about a quarter of a second."""
    return FitConfig(steps=100, batch=512, warm_up=10, grow=10, static=10)


@pytest.fixture(scope="session")
def short_codec() -> CodecConfig:
    """Fine-tuning of about a second."""
    return CodecConfig(steps=60, bits_per_weight=5.3)


@pytest.fixture(scope="session")
def encoded(one_thread, clip, short_fit, short_codec):
    """The record of one finished file of `clip`."""
    from coordflow_mini.encoder import compress

    return compress(clip, Recipe(bpp=4, fit=short_fit, codec=short_codec))


@pytest.fixture(scope="session")
def odd_clips(clip) -> dict[str, Video]:
    """Clips of unusual shapes, by name."""
    tall = np.ascontiguousarray(clip.frames.swapaxes(1, 2))
    gray = np.repeat(clip.frames.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    return {
        "portrait": Video(tall, name="portrait"),
        "odd size": Video(clip.frames[:, :23, :31].copy(), name="odd"),
        "grayscale": Video(gray, name="gray"),
        "one frame": Video(clip.frames[:1].copy(), name="one"),
        "two frames": Video(clip.frames[:2].copy(), name="two"),
        "one row": Video(clip.frames[:, :1].copy(), name="row"),
    }
