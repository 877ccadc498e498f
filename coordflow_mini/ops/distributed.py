"""Several processes that train one model, as torchrun starts them: each takes its share of every batch.

    torchrun --nproc-per-node=2 -m coordflow_mini encode clip.mp4 clip.cfv

All processes hold the same clip, draw the same batch and compute on their own part of its pixels; a hook of
the optimizer averages the gradients.  So all make the same steps, and the result is, up to rounding, that of
one process with the whole batch.  Unlike DistributedDataParallel, this also works for compiled losses and for
the bits of fine-tuning; a backward pass of milliseconds leaves nothing to overlap with (LOG.md).
Without torchrun, every function here does nothing and costs nothing.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from coordflow_mini.train import Progress, Training

_PATIENCE = timedelta(minutes=10)  # a first compilation may take that long


class PeerLostError(RuntimeError):
    """Another process of the job has ended, and so must this one; the message says how to resume."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Connects with the other processes of the job for the duration of the block.

    When one of them dies, torchrun sends SIGTERM to the others, which then raise PeerLostError, too.
    device: "cpu" or "cuda"; on GPUs, each process uses the one of its own number.  What is not on a GPU, such
    as decisions and messages, always goes by gloo, which notices at once that a process is gone.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:  # torchrun started no others
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "2")  # end what hangs, not the process
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        with _at_sigterm(_end_nccl if device == "cuda" else None):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
        dist.destroy_process_group()


@contextmanager
def _at_sigterm(act: Callable[[], None] | None) -> Iterator[None]:
    """Acts at SIGTERM in a thread of its own, since no handler runs while the main thread waits for a GPU."""
    if act is None:
        yield
        return
    hears, is_told = socket.socketpair()
    is_told.setblocking(False)

    def listen() -> None:
        with hears:
            while number := hears.recv(1):
                if number[0] == signal.SIGTERM:
                    act()

    threading.Thread(target=listen, daemon=True).start()
    before = signal.set_wakeup_fd(is_told.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        is_told.close()  # ends the thread


def _end_nccl() -> None:
    """End what waits on GPUs for a process that is gone; gloo stays."""
    group: Any = dist.group.WORLD
    group._get_backend(torch.device("cuda")).abort()


def rank() -> int:
    """Number of this process; 0 writes files and prints."""
    return dist.get_rank() if _connected() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if _connected() else 1


def _connected() -> bool:
    return dist.is_available() and dist.is_initialized()


def together(training: Training, reports: Iterator[Progress]) -> Iterator[Progress]:
    """Trains on this process's share of each batch; averages gradients, and PSNR at reports.

    At reports, all processes also get the weights of the first one: different machines round differently.
    Raises PeerLostError.
    """
    if world_size() == 1:
        yield from reports
        return
    training.sampler.share = (rank(), world_size())
    hooks = [optimizer.register_step_pre_hook(_average_gradients) for optimizer in training.optimizers]
    try:
        for progress in reports:
            for parameter in _parameters(*training.optimizers):
                _all(dist.broadcast, parameter.data, src=0)
            total = torch.tensor([progress.psnr_db], dtype=torch.float64)
            _all(dist.all_reduce, total)
            training.history[-1] = replace(progress, psnr_db=total.item() / world_size())
            yield training.history[-1]
    finally:
        for hook in hooks:
            hook.remove()


def _parameters(*optimizers: torch.optim.Optimizer) -> list[Tensor]:
    return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]


def _average_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    gradients = [parameter.grad for parameter in _parameters(optimizer) if parameter.grad is not None]
    if gradients:
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        _all(dist.all_reduce, flat)
        parts = (flat / world_size()).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def agreed(value: int) -> int:
    """The value of the first process, for decisions that depend on a clock."""
    if not _connected():
        return value
    said = torch.tensor([value], dtype=torch.int64)
    _all(dist.broadcast, said, src=0)
    return int(said)


def anywhere(holds: bool) -> bool:
    """True if it holds in any process."""
    if not _connected():
        return holds
    said = torch.tensor([holds], dtype=torch.int64)
    _all(dist.all_reduce, said)
    return bool(said.any())


def _all(operation: Callable[..., Any], tensor: Tensor, **arguments: int) -> None:
    """A collective operation.  Raises PeerLostError if a process does not answer."""
    try:
        operation(tensor, **arguments)
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise _lost() from error


def _terminated(number: int, frame: object) -> None:
    raise _lost()


def _lost() -> PeerLostError:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # let the last checkpoint be written
    return PeerLostError(
        f"process {rank()} of {world_size()} stops because another one of this job is gone; start the job "
        f"again with --resume to go on from the last checkpoint"
    )
