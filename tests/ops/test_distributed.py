"""Several processes on one fit: the same result as one process with the whole batch."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.ops import distributed
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.ops.run import fit
from coordflow_mini.sampling import Sampler
from coordflow_mini.train import Progress
from coordflow_mini.video import scenes

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="no gloo here"
)

# Fits and fine-tunes the small clip; the first process leaves the weights.
WORKER = """
import sys, torch
from coordflow_mini import entropy
from coordflow_mini.video import scenes
from coordflow_mini.ops import distributed
from coordflow_mini.ops.checkpoint import Checkpoint
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.ops.run import finetune
from coordflow_mini.ops.run import fit

torch.set_num_threads(1)
out, steps, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
model = ModelConfig(width=8, depth=2, space_frequencies=6, highest_frequency=4.0, flow_width=8)
config = FitConfig(steps=steps, batch=504, warm_up=10, grow=10, static=10)
video = scenes.cutout(24, 32, 6).video

def on_step(progress):
    if pause:
        print(progress.stage, progress.step, flush=True)
        import time
        time.sleep(pause)

with distributed.joined("cpu"):
    checkpoint = Checkpoint(out + ".checkpoint", every=0) if pause else None
    fitted = fit(video, model, config, on_step=on_step, checkpoint=checkpoint)
    fit_weights = [parameter.detach().clone() for parameter in fitted.model.parameters()]
    size = lambda tensors: len(entropy.encode([tensor.integers for tensor in tensors]))
    tuned = finetune(fitted, video, CodecConfig(steps=50, rounds=1), 1200, size, on_step=on_step)
    integers = [torch.from_numpy(tensor.integers) for tensor in tuned.tensors]
    torch.save([fit_weights, integers], f"{out}.{distributed.rank()}")
"""


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def start(folder: Path, ranks: int, steps: int = 100, pause: float = 0.0) -> "subprocess.Popen[str]":
    script = folder / "worker.py"
    script.write_text(WORKER)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [sys.executable, *(torchrun if ranks > 1 else []), str(script), str(folder / f"of{ranks}")]
    return subprocess.Popen(
        [*command, str(steps), str(pause)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def weights(path: Path) -> list[list[torch.Tensor]]:
    return torch.load(path, weights_only=True)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_their_batch(tmp_path):
    """504 pixels a step, in one process or shared by two; rounding apart, the same weights."""
    for ranks in (1, 2):
        process = start(tmp_path, ranks)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    (alone, alone_integers), (first, integers), (second, other) = (
        weights(tmp_path / name) for name in ("of1.0", "of2.0", "of2.1")
    )
    assert all(torch.equal(a, b) for a, b in zip(first + integers, second + other, strict=True))
    for ours, theirs in zip(alone, first, strict=True):
        distance = (ours - theirs).norm() / ours.norm().clamp_min(0.01)
        assert distance < 0.05  # of another seed: above 1
    assert [len(a) for a in alone_integers] == [len(b) for b in integers]


@pytest.mark.slow
def test_a_killed_process_ends_the_job_and_leaves_a_checkpoint(tmp_path):
    """The other one says what to do, the job fails, and one process goes on from where two had come to."""
    process = start(tmp_path, 2, steps=100_000, pause=0.05)
    checkpoint = tmp_path / "of2.checkpoint"
    deadline = time.monotonic() + 90
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = subprocess.run(
        ["pgrep", "-f", f"{tmp_path}/worker.py {tmp_path}/of2"], capture_output=True, text=True, check=True
    ).stdout.split()
    children = [int(pid) for pid in workers if int(pid) != process.pid]
    os.kill(max(children), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "another one of this job is gone" in errors and "--resume" in errors
    seen: list[int] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.step)
        raise KeyboardInterrupt

    config = FitConfig(steps=100_000, batch=504, warm_up=10, grow=10, static=10)
    model = ModelConfig(width=8, depth=2, space_frequencies=6, highest_frequency=4.0, flow_width=8)
    fit(scenes.cutout(24, 32, 6).video, model, config, checkpoint=Checkpoint(checkpoint), on_step=stop)
    assert seen[0] >= 100


def test_alone_nothing_happens():
    """One process: no waiting, and its own answers."""
    with distributed.joined("cpu"):
        assert distributed.agreed(7) == 7 and distributed.anywhere(True)
        assert (distributed.rank(), distributed.world_size()) == (0, 1)


def test_a_thread_hears_sigterm_while_the_main_one_waits():
    """No handler of Python runs while C computes, or waits for a GPU; the thread acts meanwhile."""
    told: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("the main thread"))
    try:
        with distributed._at_sigterm(lambda: told.append("a thread")):
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)  # a second or more
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == ["a thread", "the main thread"]


def test_shares_are_equal_and_cover_the_batch():
    """Of 3 processes: every pixel of an even batch once; of an odd one, at most 2 are left out."""
    video = scenes.cutout(24, 32, 2).video
    samplers = [Sampler(video, FitConfig(batch=14), torch.device("cpu")) for _ in range(4)]
    for number, sampler in enumerate(samplers[1:]):
        sampler.share = (number, 3)
    whole, *parts = (sampler.pixels().indices for sampler in samplers)
    assert {part.shape for part in parts} == {(2, 2)}
    assert torch.equal(torch.cat(parts, dim=1), whole[:, :6])


# A fit in which one of the processes finds a NaN, in a weight of its own or in what it remembers of one.
FAULT = """
import sys, torch
from coordflow_mini.video import scenes
from coordflow_mini.ops import distributed
from coordflow_mini.config import FitConfig, ModelConfig
from coordflow_mini.ops.run import fit
from coordflow_mini.train import Training

torch.set_num_threads(1)
model = ModelConfig(width=8, depth=2, space_frequencies=6, highest_frequency=4.0, flow_width=8)
config = FitConfig(steps=100, batch=504, warm_up=10, grow=10, static=10)
video, observe, left = scenes.cutout(24, 32, 6).video, Training.observe, 1

def spoiled(training, squared):
    global left
    observe(training, squared)
    if training.step == int(sys.argv[2]) and left and distributed.rank() == 1:
        left = 0
        state = next(state for state in training.optimizers[0].state.values() if "square" in state)
        state["square"].fill_(float("inf"))

with distributed.joined("cpu"):
    whole = fit(video, model, config)
    Training.observe = spoiled
    again = fit(video, model, config)
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    same = all(torch.equal(a, b) for a, b in pairs)
    open(f"{sys.argv[1]}.{distributed.rank()}", "w").write(f"{same} {left}")
"""


@pytest.mark.promise("Diverging training", "All processes of `torchrun` roll back together.")
@pytest.mark.slow
@pytest.mark.parametrize("step", [50, 73])
def test_a_fault_of_one_process_leads_all_of_them_back(step, tmp_path):
    """All go back together, and end with the weights of an undisturbed job."""
    script = tmp_path / "fault.py"
    script.write_text(FAULT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, str(script), str(tmp_path / "of"), str(step)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"of.{rank}").read_text() for rank in (0, 1)] == ["True 1", "True 0"]
    assert done.stderr.count("once more") == 1
