"""`setup`: the same seeds and sizes every time, and a word about them."""

import random

import numpy as np
import pytest
import torch

from coordflow_mini import course


@pytest.fixture(autouse=True)
def without_a_choice(monkeypatch):
    monkeypatch.delenv("COORDFLOW_SCALE", raising=False)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_running_it_again_starts_the_random_numbers_again():
    course.setup(3)
    first = draw()
    course.setup(3)
    assert draw() == first
    course.setup(3, seed=1)
    assert draw() != first


def test_it_says_what_it_chose(capsys):
    here = course.setup(7)
    said = capsys.readouterr().out
    assert "Chapter 07" in said and here.scale in said and torch.__version__ in said


@pytest.mark.parametrize(("scale", "size"), [("cpu", 1), ("gpu", 2), ("full", 3), (" FULL", 3)])
def test_the_scale_picks_sizes(scale, size, monkeypatch):
    monkeypatch.setenv("COORDFLOW_SCALE", scale)
    assert course.setup(3).pick(cpu=1, gpu=2, full=3) == size


def test_full_is_gpu_where_nothing_else_is_said(monkeypatch):
    monkeypatch.setenv("COORDFLOW_SCALE", "full")
    assert course.setup(3).pick(cpu=1, gpu=2) == 2


def test_a_large_scale_without_a_gpu_warns(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("COORDFLOW_SCALE", "full")
    assert course.setup(3).device.type == "cpu"
    assert "without a GPU" in capsys.readouterr().out


@pytest.fixture
def card(monkeypatch):
    """Pretends to have a GPU of this name and compute capability."""

    def be(name, *capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)

    return be


@pytest.mark.parametrize(
    ("name", "capability", "scale"),
    [("Tesla T4", (7, 5), "cpu"), ("NVIDIA L4", (8, 9), "gpu"), ("NVIDIA H200", (9, 0), "gpu")],
)
def test_the_card_chooses_the_scale(name, capability, scale, card, capsys):
    """All of them are used; a T4 for as many steps as a CPU."""
    card(name, *capability)
    here = course.setup(3)
    assert (here.scale, here.device.type) == (scale, "cuda")
    assert name in capsys.readouterr().out


def test_a_scale_that_is_asked_for_counts_more_than_the_card(card, monkeypatch):
    card("Tesla T4", 7, 5)
    monkeypatch.setenv("COORDFLOW_SCALE", "gpu")
    assert course.setup(3).scale == "gpu"


def test_cpu_means_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("COORDFLOW_SCALE", "cpu")
    assert course.setup(3).device.type == "cpu"


def test_an_unknown_scale_is_refused(monkeypatch):
    monkeypatch.setenv("COORDFLOW_SCALE", "huge")
    with pytest.raises(ValueError, match="huge"):
        course.setup(3)
