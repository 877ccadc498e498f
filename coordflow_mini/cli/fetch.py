"""Real footage from the network: `fetch`."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from coordflow_mini.cli.figures import print_json, say
from coordflow_mini.cli.options import Json, Quiet
from coordflow_mini.ops.console import Console

if TYPE_CHECKING:
    from coordflow_mini.fetch import Fetched
    from coordflow_mini.video.catalog import Source

__all__ = ["fetch"]


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="uvg, car, flower, or an address.", show_default=False)
    ],
    sequences: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Of uvg, only these: Beauty,Jockey.  [default: all seven]"),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where to put them.  [default: $COORDFLOW_DATA, else ~/.cache/coordflow_mini]"
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="What the SHA-256 of the file at an address must be.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download real clips: UVG, two free ones, any address.

    uvg: the seven 1080p sequences that the field measures on, 5.3 GB to download and 12.1 GB on the disk,
    for non-commercial use.  Interrupted, the same command goes on where it stopped; run again, it checks
    what is there.  If one fails, the others still come.

    What is fetched has a name, uvg:Beauty or clip:car, for `coordflow encode` and the other commands, which
    look where --to puts it by default.  The paper also reports a clip called Boat, which cannot be
    identified with certainty: whatever you take for it, give its path to `encode`, or its address here.

    \b
    coordflow fetch uvg --sequences Beauty,Jockey
    coordflow fetch car
    coordflow fetch https://example.org/boat.mp4 --to films
    """
    from coordflow_mini import fetch as library
    from coordflow_mini.video import catalog

    sources, folder = _sources(name, sequences, sha256), to or catalog.data_folder()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder by --to")
    library.check_space(sources, folder)
    for line in _terms(library.missing(sources, folder), folder):
        say(line, err=True)  # also when quiet: who downloads has seen the license
    failures: list[Exception] = []
    done = []
    for clip in _fetched(sources, folder, Console(quiet=quiet), failures):
        done.append(clip)
        if not quiet and not as_json:
            say(_line(clip))
    if as_json:
        print_json([{**asdict(clip), "path": str(clip.path)} for clip in done])
    for failure in failures:
        say(f"error: {' '.join(str(failure).split())}", err=True)
    if failures:
        raise typer.Exit(2)


def _sources(name: str, sequences: str | None, sha256: str | None) -> "tuple[Source, ...]":
    """What a name means to `fetch`."""
    from coordflow_mini import fetch as library
    from coordflow_mini.video import catalog

    if sequences is not None and name != "uvg":
        raise ValueError(f"--sequences are parts of uvg, got {name}")
    if sha256 is not None and "://" not in name:
        raise ValueError(f"--sha256 is for an address; that of {name} is known or recorded")
    if name == "uvg":
        return catalog.uvg([part.strip() for part in sequences.split(",")] if sequences is not None else ())
    if "://" in name:
        return (library.address(name, sha256),)
    source = catalog.named(name if ":" in name else f"clip:{name}")
    if source is None:
        known = ", ".join(source.name.removeprefix("clip:") for source in catalog.footage())
        raise ValueError(f"there is no clip {name!r} to fetch; expected uvg, {known}, or an address")
    return (source,)


def _terms(wanted: "list[Source]", folder: Path) -> list[str]:
    """What is said before anything is downloaded: how much, from where, under which license."""
    lines = []
    for license_ in dict.fromkeys(source.license for source in wanted):
        here = [source for source in wanted if source.license == license_]
        size = sum(source.download or source.size or 0 for source in here)
        much = f", {size / 1e6:,.0f} MB" if size else ""
        names = ", ".join(source.name for source in here)
        lines.append(f"to download into {folder}: {names}{much}, from {urlsplit(here[0].url).hostname}")
        if any(urlsplit(source.url).scheme == "http" and not source.sha256 for source in here):
            lines.append("http, not https: only --sha256 tells that what comes is what was meant")
        lines.append(f"license: {license_}")
        credit = dict.fromkeys(clip.attribution for clip in here if clip.attribution)
        lines += [f"credit: {text}" for text in credit]
    return lines


def _fetched(
    sources: "tuple[Source, ...]", folder: Path, console: Console, failures: list[Exception]
) -> "Iterator[Fetched]":
    """The clips that come, one after the other; what fails is kept for the end."""
    from coordflow_mini import fetch as library

    for source in sources:

        def retried(text: str, name: str = source.name) -> None:
            console.say(f"{name}: {text}")

        try:
            with console.bytes_moved(source.name) as on_bytes:
                clip = library.fetch(source, folder, on_bytes=on_bytes, on_retry=retried)
        except KeyboardInterrupt:
            say("\ninterrupted; what has come is kept, the same command goes on from there", err=True)
            raise typer.Exit(130) from None
        except library.FetchError as error:
            failures.append(error)
        except OSError as error:
            failures.append(OSError(f"{source.name}: {error.strerror or error}; {error.filename or folder}"))
        else:
            yield clip


def _line(clip: "Fetched") -> str:
    """What is said of a clip that is here."""
    frames = f", {clip.frames} frames" if clip.frames else ""
    state = "downloaded" if clip.fresh else "was here, unchanged"
    return f"{clip.path}: {clip.size:,} bytes{frames}, {state}"
