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


def follow(folder: Path, monkeypatch, capsys) -> tuple[float, float]:
    """Run the lines in a folder; the rate and the quality that they print."""
    monkeypatch.chdir(folder)
    exec(compile(tour(), "tour", "exec"), {})
    assert (folder / "decoded.mp4").stat().st_size > 0
    rate, quality = capsys.readouterr().out.replace("bpp,", "").split()[:2]
    return float(rate), float(quality)


def test_the_tour_runs(tmp_path, monkeypatch, capsys):
    """Encode, save, decode and show, with a training of seconds: the rate is met."""
    brief = cf.Recipe(fit=cf.FitConfig(steps=20, batch=512), codec=cf.CodecConfig(steps=10))
    whole = cf.encode
    monkeypatch.setattr(cf, "encode", lambda video, bpp: whole(video, brief, bpp=bpp), raising=False)
    rate, quality = follow(tmp_path, monkeypatch, capsys)
    assert 0.76 <= rate <= 0.8
    assert quality >= 15


@pytest.mark.nightly
def test_the_tour_keeps_its_word(tmp_path, monkeypatch, capsys):
    """At default settings, the quality holds, too."""
    rate, quality = follow(tmp_path, monkeypatch, capsys)
    assert 0.76 <= rate <= 0.8
    assert quality >= 36
