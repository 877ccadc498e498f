"""`--help` is complete and grouped; options become records."""

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from coordflow_mini import __version__, cli
from coordflow_mini.cli.options import expand
from tests.cli.commands import good, run

COMMANDS = typer.main.get_command(cli.app).commands


def test_help_names_every_command():
    text = good("--help").stdout
    assert len(COMMANDS) == 19
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in COMMANDS)
    assert not any(line.endswith("...") for line in text.splitlines()[1:]), "a summary is cut off"
    assert run().output.splitlines()[1:] == text.splitlines()[1:]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_and_explains_its_options(command):
    text = good(command, "--help").stdout
    assert re.search(rf"^  coordflow {command}\b", text, re.MULTILINE)
    for option in COMMANDS[command].params:
        assert option.help, option
        assert max(option.opts, key=len) in text or option.param_type_name == "argument"


def test_help_groups_options_that_belong_together():
    headings = re.findall(r"^(\w.*):$", good("encode", "--help").stdout, re.MULTILINE)
    expected = ["Arguments", "Options", "Model", "Training", "Frames", "Checkpoints", "Computing", "Output"]
    assert headings == expected


def test_the_version_is_the_packages():
    assert __version__ in good("--version").stdout


def test_a_record_becomes_options_and_back():
    """Each field is a parameter of its own for typer; the command gets the record."""

    @dataclass(frozen=True)
    class Point:
        """Where"""

        x: Annotated[int, typer.Option(help="Across.")]
        y: Annotated[int, typer.Option(help="Down.")] = 2

    given = []

    def command(name: str, *, point: Point, loud: bool = False) -> None:
        given.append((name, point, loud))

    expanded = expand(command)
    assert list(expanded.__annotations__) == ["name", "x", "y", "loud"]
    assert expanded.__annotations__["y"].__metadata__[0].rich_help_panel == "Where"
    expanded(name="a", x=1, y=2, loud=True)
    assert given == [("a", Point(1, 2), True)]


def test_no_help_loads_a_heavy_package():
    code = """
import contextlib, io, sys
from coordflow_mini import cli
for words in ([], *([command] for command in sys.argv[1:])):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.app([*words, "--help"])
print(*({"torch", "av", "matplotlib", "PIL", "coordflow_mini.encoder"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
