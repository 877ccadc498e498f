"""Checks in processes of their own, which run this module: compiled code from empty caches, two GPUs."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from zlib import crc32

import torch

from coordflow_mini.config import FitConfig
from coordflow_mini.measure.gpu.card import Card, Figures, LeftOutError, must, small_clip
from coordflow_mini.ops import distributed
from coordflow_mini.ops.run import fit
from coordflow_mini.train import Progress


def compiling(card: Card) -> Figures:
    """A compiled fit, twice at the same time from empty caches: the same weights."""
    if not card.real:
        raise LeftOutError("code is compiled for real GPUs only")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        children = [_started("compiled", [], TORCHINDUCTOR_CACHE_DIR=cache) for cache in (one, other)]
        try:
            ended = [child.communicate(timeout=300) for child in children]
        finally:
            for child in children:
                child.kill()
    errors = ended[0][1] + ended[1][1]
    must(not any(child.returncode for child in children) and "uncompiled" not in errors, errors[-300:])
    (sum_of_weights, seconds), (other_sum, _) = (said.split() for said, _ in ended)
    must(sum_of_weights == other_sum, "two compiled fits with the same settings differ")
    return {"compiling and 30 steps [s]": float(seconds)}


def pair(card: Card) -> Figures:
    """Two GPUs fit together; one process is killed, and the other one says so and ends."""
    if torch.cuda.device_count() < 2:
        raise LeftOutError("there are not two GPUs")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    said, errors = _started("pair", torchrun).communicate(timeout=120)
    must("200 steps" in said and "another one of this job is gone" in errors, errors[-300:])
    return {}


def _started(task: str, launcher: list[str], **environment: str) -> "subprocess.Popen[str]":
    """A process that runs this module."""
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "coordflow_mini.measure.gpu.processes", task],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _compiled(device: str = "cuda") -> str:
    """Thirty steps of a compiled fit: a checksum of the weights, and seconds."""
    began, config = time.perf_counter(), FitConfig(steps=30, batch=2048, compile=True)
    model = fit(small_clip(), None, config, device=device).model
    weights = b"".join(p.detach().cpu().numpy().tobytes() for p in model.parameters())
    return f"{crc32(weights)} {time.perf_counter() - began}"


def _pair(device: str = "cuda") -> str:
    """A fit of several processes, of which the second one is killed after 200 steps."""

    def on_step(progress: Progress) -> None:
        if progress.step == 200:
            sys.stdout.write("200 steps\n")
            sys.stdout.flush()
            if distributed.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    with distributed.joined(device):
        fit(small_clip(), None, FitConfig(steps=100_000, batch=2048), device=device, on_step=on_step)
    return "no one was killed"


if __name__ == "__main__":
    sys.stdout.write({"compiled": _compiled, "pair": _pair}[sys.argv[1]](*sys.argv[2:]) + "\n")
