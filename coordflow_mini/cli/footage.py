"""What can be encoded, and the frames and truth of it: `clips`, `fetch`, `export`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coordflow_mini.cli.figures import print_json
from coordflow_mini.cli.options import Folder, Frames, Input, Json, Quiet, Raw, Size, load
from coordflow_mini.console import Console, table

if TYPE_CHECKING:
    from coordflow_mini.fetch import Source

__all__ = ["clips", "export", "fetch"]


def clips(as_json: Json = False) -> None:
    """List the clips that have a name.

    \b
    coordflow clips
    """
    from coordflow_mini.clips import catalog

    if as_json:
        print_json([{**asdict(clip), "fps": str(clip.fps)} for clip in catalog()])
        return
    rows = [["name", "frames", "size", "fps", "what", "license"]]
    for clip in catalog():
        figures = [str(clip.frames), f"{clip.width}x{clip.height}", f"{float(clip.fps):g}"]
        rows.append([clip.name, *figures, clip.description, clip.license])
    typer.echo(table(rows, left=6))
    credit = (
        f"{clip.name}: {clip.attribution}; {clip.source}"
        for clip in catalog()
        if clip.attribution != "none needed"
    )
    typer.echo("\n" + "\n".join(credit))
    typer.echo("clip:cutout:3 and clip:pan:3 are drawn with seed 3.  Any path to a video will do, too.")
    typer.echo("More real clips: coordflow fetch --help.")


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="uvg, car, flower, or an address.", show_default=False)
    ],
    sequences: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Of uvg, only these: Beauty,Jockey.  [default: all seven]"),
    ] = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to put them in.")] = Path("clips"),
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="What the SHA-256 of the file at an address must be.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download real clips: UVG, two free ones, any address.

    uvg: the seven 1080p sequences that the field measures on, 5.3 GB to download and 12.1 GB on the disk,
    for non-commercial use.  Interrupted, the same command goes on where it stopped; run again, it checks
    what is there.  The paper also reports a clip called Boat, which cannot be identified with certainty:
    whatever you take for it, give its path to `coordflow encode`, or its address here.

    \b
    coordflow fetch uvg --sequences Beauty,Jockey
    coordflow fetch car --to films
    coordflow fetch https://example.org/boat.mp4
    """
    from coordflow_mini import fetch as library

    sources = _sources(name, sequences, sha256)
    if to.exists() and not to.is_dir():
        raise ValueError(f"--to {to} is a file; give a folder")
    library.check_space(sources, to)
    console = Console(quiet=quiet)
    for line in _terms(library.missing(sources, to), to):
        typer.echo(line, err=True)  # also when quiet: who downloads has seen the license
    done = []
    try:
        for source in sources:
            with console.bytes_moved(source.name.removeprefix("uvg:")) as on_bytes:
                done.append(library.fetch(source, to, on_bytes=on_bytes))
            if not quiet and not as_json:
                frames = f", {done[-1].frames} frames" if done[-1].frames else ""
                state = "downloaded" if done[-1].fresh else "was here, unchanged"
                typer.echo(f"{done[-1].path}: {done[-1].size:,} bytes{frames}, {state}")
    except KeyboardInterrupt:
        typer.echo("\ninterrupted; what has come is kept, the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    if as_json:
        print_json([{**asdict(clip), "path": str(clip.path)} for clip in done])


def _sources(name: str, sequences: str | None, sha256: str | None) -> "tuple[Source, ...]":
    """What a name means to `fetch`."""
    from coordflow_mini import fetch as library

    if sequences is not None and name != "uvg":
        raise ValueError(f"--sequences are parts of uvg, got {name}")
    if sha256 is not None and "://" not in name:
        raise ValueError(f"--sha256 is for an address; that of {name} is known or recorded")
    if name == "uvg":
        return library.uvg([part.strip() for part in sequences.split(",")] if sequences is not None else ())
    if "://" in name:
        return (library.address(name, sha256),)
    known = {source.name: source for source in library.footage()}
    if name not in known:
        raise ValueError(
            f"there is no clip {name!r} to fetch; expected uvg, {', '.join(known)}, or an address"
        )
    return (known[name],)


def _terms(wanted: "list[Source]", folder: Path) -> list[str]:
    """What is said before anything is downloaded: how much, from where, under which license."""
    lines = []
    for license_ in dict.fromkeys(source.license for source in wanted):
        here = [source for source in wanted if source.license == license_]
        size = sum(source.download or source.size or 0 for source in here)
        much = f", {size / 1e6:,.0f} MB" if size else ""
        names = ", ".join(source.name.removeprefix("uvg:") for source in here)
        lines.append(f"to download into {folder}: {names}{much}, from {here[0].url.rpartition('/')[0]}")
        lines.append(f"license: {license_}")
        lines += [
            f"credit: {credit}" for credit in dict.fromkeys(clip.attribution for clip in here) if credit
        ]
    return lines


def export(
    source: Input,
    output: Folder,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    quiet: Quiet = False,
) -> None:
    """Write the frames of a clip as PNGs, with its truth.

    DIR/frames/frame_00000.png: the very pixels that would be encoded.  Of generated clips also the
    truth: DIR/layers/layer_I/, DIR/motion.json (which explains itself), and of clip:cutout DIR/masks/
    (foreground: 255, background: 0).

    \b
    coordflow export clip:cutout cutout/
    coordflow export clip:bunny bunny/ --frames 0:96 --size 192x108
    """
    from coordflow_mini import arguments
    from coordflow_mini import clips as library
    from coordflow_mini import export as folders

    arguments.check_folder(output, source, folders.PARTS)
    if source.startswith(("clip:cutout", "clip:pan")):
        scene = library.scene(source, arguments.selection(frames, size))
        folders.write_scene(output, scene)
        video = scene.video
    else:
        video = load(source, frames, size, raw)
        folders.write_clip(output, video)
    if not quiet:
        typer.echo(f"{output}: {video.time} frames of {video.width}x{video.height}")
