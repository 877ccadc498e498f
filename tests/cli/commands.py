"""Run commands of `coordflow` in this process."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from coordflow_mini import cli
from coordflow_mini.config import FitConfig


@dataclass(frozen=True)
class SmallBatch(FitConfig):
    """A step takes a millisecond."""

    batch: int = 256


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def good(*words: object) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


def bad(*words: object) -> str:
    """The one line with which a command is refused."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and re.fullmatch(r"error: .+\n", result.stderr), result.output
    return result.stderr


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("frame_*.png"))])
