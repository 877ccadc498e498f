"""Seeds, device and scale of a chapter, chosen once by `setup`."""

import os
import platform
import random
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from coordflow_mini import __version__
from coordflow_mini.course.lesson.announce import announce

SCALES = ("cpu", "gpu", "full")  # seconds on two CPU cores, minutes on one GPU, the paper's size
_FAST = (8, 0)  # compute capability of GPUs that are worth more steps; Colab's T4 has 7.5
T = TypeVar("T")


@dataclass(frozen=True)
class Environment:
    """The choices made by `setup`: pass `device` to training functions and choose sizes with `pick`."""

    chapter: int
    scale: str
    device: torch.device
    seed: int

    def pick(self, cpu: T, gpu: T, full: T | None = None) -> T:
        """The value for this scale; "full" defaults to the value for "gpu".

        >>> Environment(4, "cpu", torch.device("cpu"), seed=0).pick(cpu=600, gpu=5000)
        600
        """
        return {"cpu": cpu, "gpu": gpu, "full": gpu if full is None else full}[self.scale]

    def __str__(self) -> str:
        device = f"{self.device}, {torch.get_num_threads()} threads"
        if self.device.type == "cuda":
            device = f"{self.device}, {torch.cuda.get_device_name(self.device)}"
        return (
            f"Chapter {self.chapter:02d} at scale {self.scale!r} on {device}; seed {self.seed}.\n"
            f"coordflow_mini {__version__}, torch {torch.__version__}, numpy {np.__version__}, "
            f"Python {platform.python_version()}."
        )


def setup(chapter: int, seed: int = 0) -> Environment:
    """Seed all random generators, choose device and scale, and print the choices; safe to repeat.

    A GPU is used if CUDA is available.  The scale is "gpu" on one of 2020 or later and "cpu" otherwise, also
    on a T4, unless the environment variable COORDFLOW_SCALE is set to gpu or full, or to cpu, which also
    chooses the CPU.  Apple's MPS is not used: its results differ.
    Raises ValueError for any other COORDFLOW_SCALE.
    """
    has_gpu = torch.cuda.is_available()
    wanted = os.environ.get("COORDFLOW_SCALE", "").strip().lower()
    if wanted not in ("", *SCALES):
        raise ValueError(f"COORDFLOW_SCALE must be cpu, gpu, full or unset, got {wanted!r}")
    scale = wanted or ("gpu" if has_gpu and torch.cuda.get_device_capability() >= _FAST else "cpu")
    device = torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - learners' experiments may use the legacy interface
    torch.manual_seed(seed)
    environment = Environment(chapter, scale, device, seed)
    announce(str(environment))
    if scale != "cpu" and not has_gpu:
        announce(f"Scale {scale!r} is slow without a GPU; set COORDFLOW_SCALE=cpu on this machine.")
    return environment
