"""What the machine does fast gives what it does slowly."""

import logging
import math
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from coordflow_mini.config import FitConfig
from coordflow_mini.ops import compiling
from coordflow_mini.ops.compiling import compiled, keep_memory, worth_compiling
from coordflow_mini.ops.interrupts import undisturbed
from coordflow_mini.ops.run import fit

pytestmark = pytest.mark.usefixtures("one_thread")
compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache for compiled functions, and nothing kept from other tests."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    yield tmp_path
    torch._dynamo.reset()


def test_keeping_memory_can_be_asked_for_anywhere():
    """On any platform, any number of times, and what is allocated afterwards is sound."""
    keep_memory()
    keep_memory()
    assert torch.ones(3 << 20).sum() == 3 << 20


@compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch about torch
def test_a_compiled_function_gives_the_same(cache):
    """Compiled, a function has the same results and gradients, and the next process finds it in the cache."""

    def length(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x.square() + y.square()).sqrt().sum()

    x, y = torch.rand(2, 50) + 0.1
    x.requires_grad_()
    fast = compiled(length, None)
    (gradient,) = torch.autograd.grad(fast(x, y), x)
    torch.testing.assert_close(fast(x, y), length(x, y))
    torch.testing.assert_close(gradient, torch.autograd.grad(length(x, y), x)[0])
    assert any(cache.rglob("*.so"))


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch, caplog):
    """One line in the log, then the function itself, without asking the compiler again."""
    asked = []

    def broken(function, **_):
        asked.append(function)
        raise RuntimeError("no compiler\nand more that nobody wants to read")

    monkeypatch.setattr(torch, "compile", broken)
    with caplog.at_level(logging.WARNING, logger="coordflow_mini"):
        twice = compiled(lambda x: 2 * x, None)
        assert [twice(1), twice(4)] == [2, 8]
    assert len(asked) == 1
    assert [record.getMessage() for record in caplog.records] == ["training runs uncompiled: no compiler"]


@compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch about torch
def test_a_compiled_fit_learns_the_same(cache, clip, small_model, short_fit):
    """Compiled or not, a fit ends with the same quality, within what rounding does."""
    config = replace(short_fit, steps=150)
    plain = fit(clip, small_model, replace(config, compile=False)).history[-1].psnr_db
    fast = fit(clip, small_model, replace(config, compile=True)).history[-1].psnr_db
    assert any(cache.rglob("*.so")) and math.isclose(plain, fast, abs_tol=0.7)


@pytest.mark.promise("Diverging training", "A fit does not depend on what its process did before.")
def test_the_tenth_model_of_a_process_is_compiled_like_the_first(monkeypatch):
    """PyTorch gives up on a code after eight shapes; what is compiled anew has a code of its own."""
    counter, usual = CompileCounter(), torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, dynamic, options: usual(f, dynamic=dynamic, backend=counter)
    )
    scale = torch.tensor(3.0)

    def scaled(x, *, by=scale):
        return by * x

    for size in range(2, 12):
        assert compiled(scaled, size)(torch.ones(size)).tolist() == [3.0] * size
    assert counter.frame_count == 10
    compiled(scaled, size)(torch.ones(size))  # the next start or segment
    assert counter.frame_count == 10


def test_only_long_training_is_compiled():
    """The amount of work decides, the configuration has the last word, more graphs want more work."""
    assert not worth_compiling(FitConfig(), 25_000, steps=1200)
    assert worth_compiling(FitConfig(), 25_000, steps=3000)
    assert not worth_compiling(FitConfig(), 25_000, steps=3000, graphs=2)
    assert worth_compiling(FitConfig(compile=True), 1, steps=1)
    assert not worth_compiling(FitConfig(compile=False), 10**6, steps=10**6)
    for weights in (1, 10**7):  # a GPU waits for launches, of which any model has as many
        assert not worth_compiling(FitConfig(), weights, steps=15_000, on_gpu=True)
        assert worth_compiling(FitConfig(), weights, steps=20_000, on_gpu=True)
        assert not worth_compiling(FitConfig(), weights, steps=30_000, graphs=2, on_gpu=True)


def test_a_full_gpu_is_not_taken_for_a_missing_compiler(monkeypatch):
    """The error comes through, and the function is not run again in the memory that is left."""
    ran = []

    def full(function, **_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "compile", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        compiled(lambda: ran.append(1), None)()
    assert not ran


@pytest.mark.parametrize("newer", [False, True])
def test_products_are_rounded_only_while_a_gpu_trains(newer):
    """TF32 factors and full sums between two reports; at reports, and after an error, all is as it was."""
    products, names = torch.backends.cuda.matmul, compiling._SUMS

    def state() -> tuple:
        factors = products.fp32_precision if hasattr(products, "fp32_precision") else products.allow_tf32
        return (factors, *(getattr(products, name) for name in names))

    def reports():
        seen.append(state())
        yield "progress"
        seen.append(state())
        raise KeyboardInterrupt

    if newer and not hasattr(products, "fp32_precision"):
        pytest.skip("this PyTorch has no newer switch")
    training = SimpleNamespace(sampler=SimpleNamespace(device=torch.device("cuda")))
    torch.set_float32_matmul_precision("highest")
    if newer:
        products.fp32_precision = "tf32"
    before, seen = state(), []
    passed = compiling.on_tensor_cores(training, reports())
    try:
        assert next(passed) == "progress" and state() == before
        with pytest.raises(KeyboardInterrupt):
            next(passed)
        assert state() == before
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [("tf32" if hasattr(products, "fp32_precision") else True, False, False)] * 2


def test_ctrl_c_in_compiled_code_is_heard_after_it():
    """Not within, where it could get lost."""
    before, done = signal.signal(signal.SIGINT, signal.default_int_handler), []

    def work() -> None:
        with undisturbed(signal.SIGINT):
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of it")

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
