"""The lines that the package shows first, run as they stand."""

import re
import textwrap
from pathlib import Path

import pytest

import coordflow_mini as cf

ROOT = Path(__file__).parents[2]


def tour() -> str:
    """The code in the package's docstring."""
    (block,) = re.findall(r"(?m)^(?: {4}.*\n|\n)+^ {4}.*$", cf.__doc__ or "")
    return textwrap.dedent(block)


def test_the_readme_shows_the_same_lines():
    """A fact is said once, or at least the same way twice."""
    assert tour().strip() in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_tour_runs_and_keeps_its_word(tmp_path, monkeypatch, capsys):
    """Encode, save, decode and show, at default settings: the rate is met, and the quality holds."""
    monkeypatch.chdir(tmp_path)
    exec(compile(tour(), "tour", "exec"), {})
    rate, quality = (float(word) for word in capsys.readouterr().out.replace("bpp,", "").split()[:2])
    assert 0.76 <= rate <= 0.8
    assert quality >= 36
    assert (tmp_path / "decoded.mp4").stat().st_size > 0
