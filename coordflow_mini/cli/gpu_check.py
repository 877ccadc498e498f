"""`coordflow gpu-check`: is this GPU right, and how fast is it?"""

from typing import Annotated, Literal

import typer

from coordflow_mini.cli.output import say
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.measure.gpu import checks


def gpu_check(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Stop before compiling and speeds: one minute instead of five.")
    ] = False,
    device: Annotated[
        Literal["cuda", "cpu"], typer.Option(help="cpu: a rehearsal in small; its speeds mean nothing.")
    ] = "cuda",
) -> None:
    """Check a GPU against the CPU, and time it.

    Prints a line for each check to stderr and the same as JSON to stdout; ends with a table of speeds, also
    of a naive version.  Exit code 1 if a check fails.

    \b
    coordflow gpu-check
    coordflow gpu-check --quick > gpu.jsonl
    """
    if not checks.report(device, quick, say):
        raise typer.Exit(1)
