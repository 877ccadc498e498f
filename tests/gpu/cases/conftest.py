"""Shared fixtures: the pretend GPU, its counters, and a clip on which training takes a second."""

from collections.abc import Iterator

import pytest
import torch

from tests.gpu import card
from tests.gpu.counting import Counting


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """At these sizes, one thread is fastest."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The pretend GPU."""
    return torch.device("cuda")


@pytest.fixture
def counting() -> type[Counting]:
    """A context manager with .kernels, .syncs and .copies, and .where() for the lines."""
    return Counting


@pytest.fixture
def t4() -> Iterator[None]:
    """The card is a T4: tensor cores for float16, none for bfloat16."""
    card.be("T4")
    yield
    card.be("H200")
