"""Compiled functions, and memory that the process keeps."""

import ctypes
import logging
import os
import platform
import signal
from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

import torch

from coordflow_mini.ops.interrupts import undisturbed

__all__ = ["compiled", "device_named", "keep_memory"]

Function = TypeVar("Function", bound=Callable[..., Any])
_log = logging.getLogger("coordflow_mini")


def device_named(name: str) -> torch.device:
    """The device "cpu" or "cuda"; "auto" is a GPU where there is one.  Raises ValueError if there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def keep_memory() -> None:
    """Let the process keep what it frees, up to half a gigabyte, for its next tensors.

    glibc would give blocks of this size back to the system and fetch them again in every training step, page
    by page, which can take as long as the arithmetic (LOG.md).  Elsewhere nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest it takes
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)


_COMPILER: dict[str, str | int | bool | Callable[..., Any]] = {
    "cpp.enable_floating_point_contract_flag": "fast"
}  # x·y + z in one instruction
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def compiled(function: Function, use: Hashable) -> Function:
    """The function, compiled by `torch.compile` at its first call; as it is where that fails.

    use: what the shapes of its arguments follow from; what was compiled for a use serves the next one, too.
    Compiling takes about ten seconds, and about two once the user's cache has the result
    (XDG_CACHE_HOME, or TORCHINDUCTOR_CACHE_DIR).  Without a C++ compiler, or on a Python or a platform that
    PyTorch does not compile for, one line in the log says so, and all goes on as before.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coordflow" / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    fast: Callable[..., Any] | None = None
    works = True

    def call(*arguments: Any) -> Any:
        nonlocal fast, works
        if works:
            try:
                fast = fast or torch.compile(_twin(function, use), dynamic=False, options=_COMPILER)
                with undisturbed(signal.SIGINT):  # PyTorch swallows one while it looks whether the code fits
                    return fast(*arguments)
            except (RuntimeError, ImportError, OSError) as error:
                _log.warning("not compiled, goes on without: %s", str(error).strip().partition("\n")[0])
                works = False
        return function(*arguments)

    return cast(Function, call)


@lru_cache(maxsize=8)
def _twin(function: FunctionType, use: Hashable) -> FunctionType:
    """The same function with code of its own, for one use.

    PyTorch compiles one code at most eight times, then runs it as it is, slower and rounded differently: the
    ninth model of a process would come out other than alone.  And what was compiled goes with its code.
    """
    twin = FunctionType(  # trusted: a copy of a function of ours
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin
