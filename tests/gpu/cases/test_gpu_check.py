"""`coordflow gpu-check` on a pretend GPU: every check is made, and those that must can fail."""

import gc
from contextlib import contextmanager

import pytest
import torch

from coordflow_mini.measure.gpu import checks
from coordflow_mini.measure.gpu.card import Card
from coordflow_mini.train import Training

ELSEWHERE = {"compiling": "real GPUs", "pair": "two GPUs"}
LONG = {"decoding", "encoding", "applying", *list(checks.CHECKS)[-4:-1]}
NAMES = [pytest.param(name, marks=[pytest.mark.nightly] * (name in LONG)) for name in checks.CHECKS]


@pytest.fixture(autouse=True)
def captures_leave_everything_as_it_was(monkeypatch):
    """As on a real GPU; the pretended one computes what it captures."""
    capture = torch.cuda.graph

    @contextmanager
    def graph(*arguments):
        tensors = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, torch.nn.Parameter)]
        before = [(tensor, tensor.detach().clone()) for tensor in tensors if tensor.is_cuda]
        with capture(*arguments):
            yield
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)

    monkeypatch.setattr(torch.cuda, "graph", graph)


@pytest.mark.parametrize("name", NAMES)
def test_a_check(name, gpu):
    (result,) = checks.results(Card(gpu), {name: checks.CHECKS[name]})
    assert result.verdict == ("left out" if name in ELSEWHERE else "ok"), result
    assert ELSEWHERE.get(name, "") in result.reason


def test_a_step_that_reads_its_error_waits(gpu, monkeypatch):
    monkeypatch.setattr(Training, "observe", lambda self, squared: float(squared))
    (result,) = checks.results(Card(gpu), {"waits": checks.CHECKS["waits"]})
    assert result.verdict == "FAILED"
