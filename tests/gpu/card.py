"""What `torch.cuda` says and does on the pretend GPU: an H200 or a T4, with memory as a test wants it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from tests.gpu.library import loaded

__all__ = ["CARDS", "be", "install", "limited"]

_ALIKE = {
    "gcnArchName": "",
    "warp_size": 32,
    "regs_per_multiprocessor": 65536,
    "shared_memory_per_block": 49152,
}
_HOPPER = {"max_threads_per_multi_processor": 2048, "shared_memory_per_block_optin": 232448}
_TURING = {"max_threads_per_multi_processor": 1024, "shared_memory_per_block_optin": 65536}
CARDS = {
    "H200": SimpleNamespace(
        name="NVIDIA H200", major=9, minor=0, multi_processor_count=132, **_ALIKE, **_HOPPER
    ),
    "T4": SimpleNamespace(name="Tesla T4", major=7, minor=5, multi_processor_count=40, **_ALIKE, **_TURING),
}
_MEMORY = 8 << 30  # bytes, of either
_state = SimpleNamespace(card=CARDS["H200"], syncs="default")


def be(name: str) -> None:
    """Be another card from now on."""
    _state.card = CARDS[name]


@contextmanager
def limited(free: int) -> Iterator[None]:
    """Within the block, the card has so many free bytes."""
    card = loaded()
    card.pretend_limit(_memory()[0] + free)
    try:
        yield
    finally:
        card.pretend_limit(_MEMORY)


def _memory() -> tuple[int, int, int]:
    """Bytes in use, most bytes that were in use, and bytes of the card."""
    numbers = (ctypes.c_int64 * 3)()
    loaded().pretend_memory(numbers)
    return tuple(numbers)


def _properties(device: Any = None) -> SimpleNamespace:
    return SimpleNamespace(**vars(_state.card), total_memory=_memory()[2])


def _set_sync_debug_mode(mode: str | int) -> None:
    _state.syncs = mode
    loaded().pretend_refuse_syncs(mode in ("error", 2))


class _Stream(torch.Stream):
    """The one stream of the card, under any name."""

    def __new__(cls, device: Any = None, priority: int = 0) -> "_Stream":
        return super().__new__(cls, device="cuda")

    def wait_stream(self, other: torch.Stream) -> None:
        """Nothing: there is one stream."""


class _Event(torch.Event):
    def __new__(cls, enable_timing: bool = False, blocking: bool = False) -> "_Event":
        return super().__new__(cls, device="cuda", enable_timing=enable_timing)


class _Graph:
    """Recorded kernels, which `replay` runs again on the same memory."""

    def __init__(self, keep_graph: bool = False):
        self.recorded: int | None = None

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Record all kernels from here."""
        self.recorded = loaded().pretend_capture()

    def capture_end(self) -> None:
        """Record no more."""
        loaded().pretend_captured()

    def pool(self) -> tuple[int, int]:
        """Its memory's name, as CUDA has it."""
        return (0, 0)

    def replay(self) -> None:
        """Run what was recorded."""
        if error := loaded().pretend_replay(self.recorded):
            raise RuntimeError(error.decode())

    def reset(self) -> None:
        """Forget what was recorded."""
        if self.recorded:
            loaded().pretend_forget(self.recorded)
        self.recorded = None

    __del__ = reset


@contextmanager
def _graph(graph: _Graph, *_: Any, **__: Any) -> Iterator[None]:
    torch.cuda.synchronize()
    graph.capture_begin()
    try:
        yield
    finally:
        graph.capture_end()


@contextmanager
def _within(*_: Any) -> Iterator[None]:
    yield


_clone = torch.UntypedStorage.clone


def _cloned(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    """A copy of the storage, which `copy.deepcopy` asks for; a CPU build makes none for a GPU."""
    if storage.device.type != "cuda":
        return _clone(storage)
    empty = torch.empty(0, dtype=torch.uint8, device=storage.device)
    return empty.set_(storage, 0, (storage.nbytes(),), (1,)).clone().untyped_storage()


def install() -> None:
    """Let `torch.cuda` answer for the pretend GPU."""
    card = loaded()
    torch.UntypedStorage.clone = _cloned
    answers = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "device": _within,
        "get_device_properties": _properties,
        "get_device_name": lambda device=None: _state.card.name,
        "get_device_capability": lambda device=None: (_state.card.major, _state.card.minor),
        "is_bf16_supported": lambda including_emulation=True: including_emulation or _state.card.major >= 8,
        "synchronize": lambda device=None: torch.accelerator.synchronize(),
        "set_sync_debug_mode": _set_sync_debug_mode,
        "get_sync_debug_mode": lambda: _state.syncs,
        "mem_get_info": lambda device=None: (_memory()[2] - _memory()[0], _memory()[2]),
        "memory_allocated": lambda device=None: _memory()[0],
        "memory_reserved": lambda device=None: _memory()[0],
        "max_memory_allocated": lambda device=None: _memory()[1],
        "reset_peak_memory_stats": lambda device=None: card.pretend_limit(_memory()[2]),
        "empty_cache": lambda: None,
        "default_generators": (torch.Generator("cuda"),),
        "manual_seed": lambda seed: None,
        "manual_seed_all": lambda seed: None,
        "Stream": _Stream,
        "Event": _Event,
        "CUDAGraph": _Graph,
        "graph": _graph,
        "stream": _within,
        "current_stream": _Stream,
        "default_stream": _Stream,
        "is_current_stream_capturing": lambda: bool(card.pretend_capturing()),
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
        if hasattr(torch.cuda.random, name):
            setattr(torch.cuda.random, name, answer)
