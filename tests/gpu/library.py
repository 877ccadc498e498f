"""The pretend GPU as a shared library, to be loaded before torch, which asks for its hooks only once."""

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

__all__ = ["SUPPORTED", "compiler", "library", "loaded"]

SOURCE = Path(__file__).parent / "pretend.cpp"
BUILD = Path(__file__).parents[2] / "build" / "gpu"
SUPPORTED = "2.13."  # PyTorch's C++ interfaces change with every version: that of requirements.lock


def compiler() -> str | None:
    """Path of g++, if there is one."""
    return shutil.which("g++")


def library() -> Path:
    """The compiled library: 15 seconds for each version of its source and of PyTorch, then none."""
    spec = importlib.util.find_spec("torch")  # does not import it
    assert spec and spec.origin
    torch = Path(spec.origin).parent
    version = (torch / "version.py").read_bytes()
    name = hashlib.sha256(SOURCE.read_bytes() + version).hexdigest()[:12]
    path = BUILD / f"pretend_{name}.so"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        flags = ["-std=c++20", "-O1", "-shared", "-fPIC", f"-I{torch / 'include'}"]
        libraries = [f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu", "-ltorch", f"-Wl,-rpath,{torch / 'lib'}"]
        subprocess.run(["g++", *flags, str(SOURCE), *libraries, "-o", str(fresh)], check=True)
        fresh.replace(path)
    return path


@lru_cache(maxsize=1)
def loaded() -> ctypes.CDLL:
    """The library in this process."""
    assert "torch" not in sys.modules, "torch is imported already, and has looked for GPUs"
    card = ctypes.CDLL(str(library()))
    card.pretend_counts.restype = card.pretend_replay.restype = ctypes.c_char_p
    card.pretend_limit.argtypes = [ctypes.c_int64]
    card.pretend_capture.restype = ctypes.c_void_p
    card.pretend_replay.argtypes = card.pretend_forget.argtypes = [ctypes.c_void_p]
    return card
