"""Several processes that train one model, as torchrun starts them: each takes its share of every batch.

    torchrun --nproc-per-node=2 -m coordflow_mini encode clip.mp4 clip.cfv

All of them hold the same clip, draw the same batch and compute on their own part of its pixels; gradients are
averaged, so every process makes the same step, and the result is, up to rounding, that of one process with
the whole batch.  One sum over all gradients at once takes the place of DistributedDataParallel: it needs
nothing of the model, so that compiled losses and the bits of fine-tuning work alike; there is nothing to hide
behind a backward pass of milliseconds (LOG.md).
Alone, without torchrun, every function here does nothing and costs nothing.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = [
    "PeerLostError",
    "agreed",
    "average",
    "first",
    "joined",
    "rank",
    "same_weights",
    "share",
    "started",
    "world_size",
]

_PATIENCE = timedelta(minutes=10)  # for who is busy with something else, such as a first compilation
_LONGEST_TEXT = 160  # bytes of what processes tell each other


class PeerLostError(RuntimeError):
    """Another process of the job has ended, and so must this one; the message says how to go on."""


def started() -> bool:
    """Whether torchrun started this process, with others."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Meet the other processes of the job, and part from them at the end.

    When one is gone, torchrun tells the others to stop (SIGTERM): they, too, raise PeerLostError.
    device: "cpu" or "cuda"; on GPUs, the one of this process's number becomes the current one.
    """
    if not started():
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    before = signal.signal(signal.SIGTERM, _told_to_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process; 0 writes files and speaks."""
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _together() else 1


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def share(batch: Tensor) -> Tensor:
    """This process's part of a batch, [rows, n / world size]; all parts have one size.

    batch: [rows, n], the same in all processes.
    """
    size = world_size()
    length = batch.shape[1] // size
    if size == 1 or not length:
        return batch
    return batch[:, rank() * length : (rank() + 1) * length]


def average(parameters: Iterable[nn.Parameter], value: Tensor) -> Tensor:
    """The mean of a value over all processes; the gradients of the parameters become theirs, too.

    Raises PeerLostError if another process is gone.
    """
    if not _together():
        return value
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([value.detach().reshape(1), *(gradient.reshape(-1) for gradient in gradients)])
    _all(dist.all_reduce, flat)
    mean, *parts = (flat / world_size()).split([1, *(gradient.numel() for gradient in gradients)])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return mean[0]


@torch.no_grad()
def same_weights(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the weights of the first: different machines round differently.

    Raises PeerLostError if another process is gone.
    """
    if _together():
        for parameter in parameters:
            _all(dist.broadcast, parameter.data, src=0)


def agreed(value: int) -> int:
    """What the first process says, for decisions that depend on a clock."""
    if not _together():
        return value
    said = torch.tensor([value], dtype=torch.int64, device=_device())
    _all(dist.broadcast, said, src=0)
    return int(said)


def first(text: str) -> str:
    """A text of the first process that has one, for all, in ASCII and cut; empty where nobody has.

    It travels as numbers: PyTorch would pickle a string.
    """
    if not _together():
        return text
    letters = text.encode("ascii", "replace")[:_LONGEST_TEXT]
    rows = torch.zeros(world_size(), _LONGEST_TEXT, dtype=torch.uint8, device=_device())
    rows[rank(), : len(letters)] = torch.tensor(list(letters), dtype=torch.uint8)
    _all(dist.all_reduce, rows)
    said = (bytes(row.tolist()).rstrip(b"\0").decode("ascii") for row in rows)
    return next(filter(None, said), "")


def _device() -> str:
    """Where the tensors of this job's messages live."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def _all(operation: Callable[..., Any], tensor: Tensor, **arguments: int) -> None:
    """An operation of all processes.  Raises PeerLostError where one of them does not answer."""
    try:
        operation(tensor, **arguments)
    except RuntimeError as error:
        raise _lost() from error


def _told_to_stop(number: int, frame: object) -> None:
    raise _lost()


def _lost() -> PeerLostError:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # not again, while the last checkpoint is written
    return PeerLostError(
        f"process {rank()} of {world_size()} stops, because another one of this job is gone; start the job "
        f"again with --resume to go on from the last checkpoint"
    )
