"""Small models of every kind, for tests of the model and of rendering."""

from dataclasses import replace

import pytest
import torch

from coordflow_mini.config import ModelConfig
from coordflow_mini.model import CoordFlow

SMALL = ModelConfig(layers=3, width=6, depth=2, space_frequencies=4, highest_frequency=4.0, flow_width=5)
CONFIGS = {
    "three layers": SMALL,
    "one layer": replace(SMALL, layers=1),
    "no motion": replace(SMALL, motion="none"),
    "one plain network": replace(SMALL, motion="none", layers=1),
    "shallow": replace(SMALL, depth=1),
    "deep": replace(SMALL, depth=4, width=9),
    "no octaves": replace(SMALL, time_frequencies=0, flow_frequencies=0, space_frequencies=1),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def trained(config: ModelConfig, seed: int = 0) -> CoordFlow:
    """A model in which every weight is at work: as after training, without the wait."""
    source = torch.Generator().manual_seed(seed)
    model = CoordFlow(config, source)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=source)
    return model
