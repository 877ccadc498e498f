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


def test_cpu_means_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("COORDFLOW_SCALE", "cpu")
    assert course.setup(3).device.type == "cpu"


def test_an_unknown_scale_is_refused(monkeypatch):
    monkeypatch.setenv("COORDFLOW_SCALE", "huge")
    with pytest.raises(ValueError, match="huge"):
        course.setup(3)
