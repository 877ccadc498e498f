"""Whole training steps as CUDA graphs, which are started by a single call."""

from collections.abc import Callable

import torch
from torch import Tensor

from coordflow_mini.measure.gpu.card import Card, Figures, LeftOutError, fitting, must, tuning
from coordflow_mini.train import Training, advance, descend

_WARM, _STEPS = 3, 20


def captured(training: Training) -> Callable[[], Tensor]:
    """A function that makes a training step by replaying a graph; the mean squared error of its batch.

    The first steps, which create what the others use, run on a stream of their own, as PyTorch wants it.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in descend(training, training.step + _WARM):
            pass
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        squared = advance(training)

    def step() -> Tensor:
        training.aim()
        graph.replay()
        training.step += 1
        return squared

    return step


def capturing(card: Card) -> Figures:
    """Steps of a fit and of fine-tuning as a graph: the weights of as many ordinary steps, to the bit."""
    if card.device.type != "cuda":
        raise LeftOutError("a CPU has no graphs")
    for stage in ("fit", "fine-tune"):
        plain, replayed = (fitting(card.device) for _ in range(2))
        if stage == "fine-tune":
            plain, replayed = tuning(plain), tuning(replayed)
        errors = [squared.clone() for squared in descend(plain, _WARM + _STEPS)][_WARM:]
        step = captured(replayed)
        again = [step().clone() for _ in range(_STEPS)]
        apart = float((torch.stack(errors) - torch.stack(again)).abs().max())
        pairs = zip(plain.model.parameters(), replayed.model.parameters(), strict=True)
        must(
            all(torch.equal(a, b) for a, b in pairs),
            f"{stage}: a replayed graph leaves other weights; errors are up to {apart:.2g} apart",
        )
    return {}
