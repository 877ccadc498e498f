"""`coordflow course`: how a class is doing."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from coordflow_mini.ops import files
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.course.teacher import classbook, submissions

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
        Path, typer.Argument(metavar="DIR", help="The folder of handed-in files.", show_default=False)
    ],
    to_csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Also write a table for a spreadsheet: FILE.csv."),
    ] = None,
    to_html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page for a browser: FILE.html."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead.")] = False,
) -> None:
    """Show the progress of a class, from the files that students handed in.

    Reads all .json files in DIR and its subfolders that progress().save("answers.json", name="...") wrote,
    and merges those of one student.  A student is the name in the file, else the subfolder of DIR, else the
    file name.  Prints the exercises passed in each chapter, how many predictions were right, and what
    the class got wrong most often.  Unusable files are listed on stderr.

    \b
    coordflow course report handed_in/
    coordflow course report handed_in/ --html class.html --csv class.csv
    """
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
    """Refuses what cannot be written before anything is read; the suffix protects the students' files."""
    if target is None:
        return
    if target.suffix.lower() != suffix:
        raise ValueError(f"{option} must end in {suffix}, got {target}")
    if target.is_dir() or not target.parent.is_dir():
        raise ValueError(
            f"{option} {target}: there is {'a folder' if target.is_dir() else 'no folder'} there"
        )


def _write(target: Path, text: str, encoding: str) -> None:
    with files.replacing(target) as temporary:
        temporary.write_text(text, encoding=encoding, newline="\n")


def _printable(text: str, encoding: str | None) -> str:
    """The text with question marks for what the encoding lacks: no name may stop the report."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
