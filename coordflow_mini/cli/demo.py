"""`coordflow demo`: the whole way, on a real clip."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from coordflow_mini.cli.options import Computing, Messages
from coordflow_mini.cli.output import print_json, say
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.cli import checks
    from coordflow_mini.sweeps import demo as demos
    from coordflow_mini.video import catalog


def demo(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path("runs/demo"),
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Train for M minutes: steps are timed at the start."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Train a tenth as long, for lower quality.")] = False,
    computing: Computing,
    messages: Messages,
) -> None:
    """See the whole way on a real clip, in about three minutes.

    Encodes 96 frames of Big Buck Bunny, decodes the file in a fresh process, measures it, compares it with
    x264 and x265 at the same size, and writes a page to open in a browser.

    \b
    coordflow demo
    coordflow demo --quick --out /tmp/demo
    """
    if quick and minutes is not None:
        raise ValueError("give --quick or --minutes, not both")
    checks.training(None, minutes)
    checks.folder(out, "", ".*")
    catalog.bunny_path()

    plan = demos.Demo()
    recipe = replace(plan.recipe, minutes=minutes)
    recipe = recipe.with_steps(recipe.fit.steps // 10) if quick else recipe
    result = demos.run(out, replace(plan, recipe=recipe), messages.console(), device=computing.start())
    if messages.as_json:
        print_json(result.to_json())
    elif not messages.quiet:
        say(f"\n{demos.comparison(result)}\n\nopen {out / demos.PAGE} in a browser")
