"""The device that is checked, what a check may say of it, and the trainings that it is given."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.finetune import Quantizer, RateControl, Tuning
from coordflow_mini.model import CoordFlow
from coordflow_mini.muon import learning_rate
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import FitResult, Training
from coordflow_mini.video import scenes
from coordflow_mini.video.clip import Video

Figures = dict[str, Any]  # of a check, for its JSON


class CheckError(AssertionError):
    """A check has failed; the message has the figures."""


class LeftOutError(RuntimeError):
    """A check makes no sense here; the message says why."""


def must(holds: bool, otherwise: str) -> None:
    """Raises CheckError unless it holds."""
    if not holds:
        raise CheckError(otherwise)


@dataclass(frozen=True)
class Card:
    """A device.  On one that is no real GPU, checks are short and speeds mean nothing."""

    device: torch.device

    @property
    def real(self) -> bool:
        """False for a CPU, and for a GPU that a PyTorch without CUDA only pretends to have."""
        return self.device.type == "cuda" and bool(torch.version.cuda or torch.version.hip)

    @property
    def name(self) -> str:
        """In words."""
        if self.device.type == "cpu":
            return "a CPU in place of a GPU"
        name = torch.cuda.get_device_name(self.device)
        return name if self.real else f"a pretended {name}"

    def wait(self) -> None:
        """Wait until it has computed everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, action: Callable[[], object], times: int = 1) -> float:
        """Seconds until it has done all that an action asks for, so many times."""
        self.wait()
        began = time.perf_counter()
        for _ in range(times):
            action()
        self.wait()
        return time.perf_counter() - began


def small_clip() -> Video:
    """Eight frames of 48x32 of the generated scene."""
    return scenes.cutout(32, 48, 8).video


def fitting(
    device: torch.device,
    video: Video | None = None,
    model: ModelConfig | None = None,
    batch: int = 512,
) -> Training:
    """A fit at its beginning, whose every step is like the others: all frames, all weights move."""
    model, video = model or ModelConfig(), video or small_clip()
    config = FitConfig(steps=10**6, batch=batch, grow=1, static=1)
    network = CoordFlow(model, torch.Generator().manual_seed(0)).to(device)
    return Training(Sampler(video, config, device), network, config, learning_rate(config, model))


def tuning(fit: Training) -> Tuning:
    """Fine-tuning of a fit's model; the size of the file is made up."""
    codec, size = CodecConfig(steps=10**6), round(0.7 * fit.model.parameter_count)
    control = RateControl(Quantizer(fit.model), codec, size, lambda tensors: size)
    return Tuning(FitResult(fit.model, fit.config, ()), fit.sampler, control)
