"""`coordflow course`: what a teacher needs on the command line."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app", "report"]

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def _course() -> None:
    """For teachers: how a class is doing.

    \b
    coordflow course report handed_in/
    """


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder with what was handed in.", show_default=False)
    ],
    to_csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Also write a table for a spreadsheet: FILE.csv."),
    ] = None,
    to_html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page for a browser: FILE.html."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON instead.")] = False,
) -> None:
    """Show what a class has done, from the files that students saved.

    Reads every .json file in DIR and below that a student wrote by progress().save("answers.json",
    name="..."); several files of one student are merged.  Who is who: the name in the file, else the
    folder below DIR, else the file's name.  Prints exercises passed per chapter, predictions right of those
    committed to, and what the class got wrong most.  Files that cannot be used are named on stderr.

    \b
    coordflow course report handed_in/
    coordflow course report handed_in/ --html class.html --csv class.csv
    """
    from coordflow_mini.course.teacher import classbook, submissions

    _check_target("--csv", to_csv, ".csv")
    _check_target("--html", to_html, ".html")
    students, warnings = submissions.read_folder(folder)
    for warning in warnings:
        typer.echo(_printable(f"warning: {warning}", sys.stderr.encoding), err=True)
    if not students:
        raise ValueError(f"there is no usable file in {submissions.plain_text(str(folder), 200)}")
    book = classbook.Classbook(students)
    if to_csv is not None:
        _write(to_csv, classbook.to_csv(book), "utf-8-sig")  # with a mark, or Excel takes it for Latin-1
    if to_html is not None:
        _write(to_html, classbook.to_html(book, warnings), "utf-8")
    if as_json:
        typer.echo(json.dumps(classbook.to_json(book, warnings), indent=2))
    else:
        typer.echo(_printable(classbook.to_text(book), sys.stdout.encoding))


def _check_target(option: str, target: Path | None, suffix: str) -> None:
    """Refuse what cannot be written, before anything is read; so no file of a student can be the target."""
    if target is None:
        return
    if target.suffix.lower() != suffix:
        raise ValueError(f"{option} must end in {suffix}, got {target}")
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(
            f"{option} {target}: there is {'a folder' if target.is_dir() else 'no folder'} there"
        )


def _write(target: Path, text: str, encoding: str) -> None:
    """The text as a file, all of it or nothing."""
    from coordflow_mini.ops.files import replacing

    with replacing(target) as temporary:
        temporary.write_text(text, encoding=encoding, newline="\n")


def _printable(text: str, encoding: str | None) -> str:
    """What an output of this encoding can show of a text: nobody's name may stop the report."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
