"""`coordflow fetch`: real footage from the network."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from coordflow_mini.cli.options import Messages
from coordflow_mini.cli.output import print_json, say
from coordflow_mini.ops.console import Console
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import fetch as fetching
    from coordflow_mini.video import catalog


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="uvg, car, flower, or a URL.", show_default=False)
    ],
    *,
    sequences: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Only these of uvg, for example Beauty,Jockey.  [default: all seven]"
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder to write.  [default: $COORDFLOW_DATA, else ~/.cache/coordflow_mini]",
        ),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="The SHA-256 that the file at a URL must have.")
    ] = None,
    messages: Messages,
) -> None:
    """Download real clips: UVG, two small free ones, or any URL.

    uvg is the seven 1080p sequences that the field measures on: a download of 5.3 GB, 12.1 GB on disk, for
    non-commercial use.  After an interruption, the same command continues where it stopped; run again, it
    verifies the files.  If one sequence fails, the others are still downloaded.

    `coordflow encode` and the other commands know what was fetched by name, uvg:Beauty or clip:car, as long
    as it lies in the default folder.  The paper also reports a clip called Boat, which cannot be identified
    with certainty; pass the path of your candidate to `encode`, or its URL here.

    \b
    coordflow fetch uvg --sequences Beauty,Jockey
    coordflow fetch car
    coordflow fetch https://example.org/boat.mp4 --to films
    """
    sources, folder = _sources(name, sequences, sha256), to or catalog.data_folder()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder by --to")
    fetching.check_space(sources, folder)
    for line in _terms(fetching.missing(sources, folder), folder):
        say(line, err=True)  # even if quiet: who downloads must see the license
    failures: list[Exception] = []
    done = []
    for clip in _fetched(sources, folder, messages.console(), failures):
        done.append(clip)
        if not messages.quiet and not messages.as_json:
            frames = f", {clip.frames} frames" if clip.frames else ""
            state = "downloaded" if clip.fresh else "already here, unchanged"
            say(f"{clip.path}: {clip.size:,} bytes{frames}, {state}")
    if messages.as_json:
        print_json([{**asdict(clip), "path": str(clip.path)} for clip in done])
    for failure in failures:
        say(f"error: {' '.join(str(failure).split())}", err=True)
    if failures:
        raise typer.Exit(2)


def _sources(name: str, sequences: str | None, sha256: str | None) -> "tuple[catalog.Source, ...]":
    if sequences is not None and name != "uvg":
        raise ValueError(f"--sequences selects from uvg, got {name}")
    if sha256 is not None and "://" not in name:
        raise ValueError(f"--sha256 is for a URL; the checksum of {name} is known or recorded")
    if name == "uvg":
        return catalog.uvg([part.strip() for part in sequences.split(",")] if sequences is not None else ())
    if "://" in name:
        return (fetching.address(name, sha256),)
    source = catalog.named(name if ":" in name else f"clip:{name}")
    if source is None:
        known = ", ".join(source.name.removeprefix("clip:") for source in catalog.footage())
        raise ValueError(f"there is no clip {name!r} to fetch; expected uvg, {known}, or a URL")
    return (source,)


def _terms(wanted: "list[catalog.Source]", folder: Path) -> list[str]:
    """What to announce before a download: size, host and license."""
    lines = []
    for license_ in dict.fromkeys(source.license for source in wanted):
        here = [source for source in wanted if source.license == license_]
        size = sum(source.download or source.size or 0 for source in here)
        much = f", {size / 1e6:,.0f} MB" if size else ""
        names = ", ".join(source.name for source in here)
        lines.append(f"to download into {folder}: {names}{much}, from {urlsplit(here[0].url).hostname}")
        if any(urlsplit(source.url).scheme == "http" and not source.sha256 for source in here):
            lines.append("http, not https: only --sha256 proves that the right file arrives")
        lines.append(f"license: {license_}")
        credit = dict.fromkeys(clip.attribution for clip in here if clip.attribution)
        lines += [f"credit: {text}" for text in credit]
    return lines


def _fetched(
    sources: "tuple[catalog.Source, ...]", folder: Path, console: Console, failures: list[Exception]
) -> "Iterator[fetching.Fetched]":
    for source in sources:

        def retried(text: str, name: str = source.name) -> None:
            console.say(f"{name}: {text}")

        try:
            with console.bytes_moved(source.name) as on_bytes:
                clip = fetching.fetch(source, folder, on_bytes=on_bytes, on_retry=retried)
        except KeyboardInterrupt:
            say("\ninterrupted; what has arrived is kept, the same command continues from there", err=True)
            raise typer.Exit(130) from None
        except fetching.FetchError as error:
            failures.append(error)
        except OSError as error:
            failures.append(OSError(f"{source.name}: {error.strerror or error}; {error.filename or folder}"))
        else:
            yield clip
