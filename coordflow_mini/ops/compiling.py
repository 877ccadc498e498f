"""Faster training where the platform allows it: compiled losses, tensor cores, memory that is kept."""

import ctypes
import logging
import os
import platform
import signal
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import torch

from coordflow_mini.config import FitConfig
from coordflow_mini.ops.interrupts import undisturbed
from coordflow_mini.ops.lazy import lazily
from coordflow_mini.sampling import pixel_terms
from coordflow_mini.train import Around, Progress, Training

with lazily():
    from torch._inductor import config as inductor

Function = TypeVar("Function", bound=Callable[..., Any])
_WORTH = 5e11  # weights x pixels: 2,500 steps of 8,192 pixels at width 64, 800 at width 128; LOG.md
_WORTH_ON_GPU = 20_000  # steps, which wait for launches: 0.7 to 2.5 ms less each, against half a minute
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_log = logging.getLogger("coordflow_mini")


def device_named(name: str) -> torch.device:
    """The device "cpu" or "cuda"; "auto" is a GPU if there is one.  Raises ValueError if there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def keep_memory() -> None:
    """Keep up to half a gigabyte of freed memory in the process, for its next tensors.

    glibc would return blocks of this size to the system and fetch them again in every training step, page by
    page, which can take as long as the arithmetic (LOG.md).  Does nothing without glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest that it accepts
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)


def worth_compiling(
    config: FitConfig, weights: int, steps: int, graphs: int = 1, on_gpu: bool = False
) -> bool:
    """True if training is long enough to win back what compiling costs: ten seconds a graph, or more.

    `config.compile` decides if it is set.  Otherwise the amount of work does, not a clock: compiled sums are
    rounded differently, and equal settings must give equal weights.
    """
    if config.compile is not None:
        return config.compile
    if on_gpu:
        return steps >= _WORTH_ON_GPU * graphs
    return weights * config.batch * steps >= _WORTH * graphs


def compiling(steps: int, graphs: int = 1) -> Around:
    """Compiles the loss of a training run of so many steps, if that is worth it."""

    def wrap(training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
        sampler, weights = training.sampler, training.model.parameter_count
        if worth_compiling(sampler.config, weights, steps, graphs, sampler.device.type == "cuda"):
            same = replace(sampler.config, seed=0)  # no loss depends on the seed
            clip = (type(sampler.video.frames), sampler.video.frames.shape, str(sampler.clip.device))
            given = sampler.weights is None, sampler.guide is None
            use = (training.model.config, same, clip, str(sampler.device), *given)
            sampler.pixel_terms = compiled(pixel_terms, use)
        return reports

    return wrap


def on_tensor_cores(training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
    """Lets a GPU round the factors of float32 products while it trains, to TF32, and never its sums.

    Only hidden layers are products of matrices, coordinates are not.  Between reports everything is as
    before: what is rendered or decoded there is exact.
    """
    if training.sampler.device.type != "cuda":
        yield from reports
        return
    while True:
        with rounded_factors():
            progress = next(reports, None)
        if progress is None:
            return
        yield progress


_SUMS = ("allow_bf16_reduced_precision_reduction", "allow_fp16_reduced_precision_reduction")


@contextmanager
def rounded_factors() -> Iterator[None]:
    """Within the block, float32 products round their factors to TF32, and no product rounds its sums."""
    products = torch.backends.cuda.matmul
    sums, factors = {name: getattr(products, name) for name in _SUMS}, None
    with suppress(RuntimeError):  # raised if PyTorch's newer switch is in use, which then stays as it is
        factors = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
    try:
        for name in _SUMS:
            setattr(products, name, False)
        yield
    finally:
        for name, value in sums.items():
            setattr(products, name, value)
        if factors:
            torch.set_float32_matmul_precision(factors)


def compiled(function: Function, use: Hashable) -> Function:
    """The function, compiled by `torch.compile` at its first call; unchanged if that fails.

    use: everything that the shapes of its arguments depend on; equal uses share the compiled code.
    Compiling takes about ten seconds, or two once the result is in the user's cache (XDG_CACHE_HOME, or
    TORCHINDUCTOR_CACHE_DIR).  Without a C++ compiler, or on a Python or platform that PyTorch does not
    compile for, a warning is logged and the function runs uncompiled.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coordflow" / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    fast: Callable[..., Any] | None = None
    works = True

    def call(*arguments: Any) -> Any:
        nonlocal fast, works
        if works:
            try:
                fast = fast or torch.compile(_twin(function, use), dynamic=False, options=_options())
                with undisturbed(signal.SIGINT):  # PyTorch loses one that comes while it checks guards
                    return fast(*arguments)
            except torch.cuda.OutOfMemoryError:
                raise
            except (RuntimeError, ImportError, OSError) as error:
                _log.warning("training runs uncompiled: %s", str(error).strip().partition("\n")[0])
                works = False
        return function(*arguments)

    return cast(Function, call)


def _options() -> dict[str, Any]:
    """x·y + z in one instruction, and no choice by a stopwatch, in the words of this PyTorch."""
    contract = "cpp.enable_floating_point_contract_flag"
    options = {contract: type(inductor.cpp.enable_floating_point_contract_flag)("fast")}  # str, or once bool
    return {**options, "deterministic": True} if hasattr(inductor, "deterministic") else options


@lru_cache(maxsize=8)
def _twin(function: FunctionType, use: Hashable) -> FunctionType:
    """The same function with a code object of its own.

    PyTorch compiles a code object at most eight times and then runs it uncompiled, which is slower and rounds
    differently: the ninth model of a process would come out other than alone.
    """
    code, names = function.__code__.replace(), (function.__globals__, function.__name__)
    twin = FunctionType(  # trusted: a copy of a function of ours
        code, *names, function.__defaults__, function.__closure__
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin
