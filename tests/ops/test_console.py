"""Progress and messages: rewritten on a terminal, sparse in a log, absent if quiet."""

import sys

import pytest

from coordflow_mini.ops.console import Console
from coordflow_mini.train import Progress


class Screen:
    """A stderr that says whether it is a terminal, and remembers."""

    encoding = "utf-8"

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.text = terminal, ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_quality_rate_and_time_left(monkeypatch, terminal):
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Console().training() as on_step:
        on_step(Progress("fit", 50, 50, 31.257, 10.0))
        on_step(Progress("fine-tune", 20, 20, 30.5, 5.0, 4.625))
    for words in ("fit", "50/50", "31.26 dB", "fine-tune", "30.50 dB", "4.62 bits/weight"):
        assert words in screen.text
    assert ("\r" in screen.text) == terminal, "control characters are for terminals"


def test_a_terminal_sees_the_time_left(monkeypatch):
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Console().training() as on_step:
        on_step(Progress("fit", 100, 1000, 31.257, 10.0))
    assert "1 min 30 s left" in screen.text


def test_many_segments_do_not_push_the_last_one_off_the_screen(monkeypatch):
    screen = Screen(True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "24")
    with Console().training() as on_step:
        for number in range(1, 41):
            on_step(Progress(f"segment {number} of 40, fit", 50, 100, 31.0, 1.0))
        assert "segment 40 of 40, fit" in screen.text


def test_a_log_gets_few_lines(capsys):
    with Console().training() as on_step:
        for step in range(50, 2001, 50):
            on_step(Progress("fit", step, 2000, 30.0, step / 20))
    assert len(capsys.readouterr().err.splitlines()) == 1, "40 reports in no time need one line"


def test_quiet_is_quiet(capsys):
    console = Console(quiet=True)
    console.say("nothing")
    with console.training() as on_step:
        on_step(Progress("fit", 50, 50, 31.0, 1.0))
    assert list(console.counted("decode", [1, 2], 2)) == [1, 2]
    assert capsys.readouterr() == ("", "")
