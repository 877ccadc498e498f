"""What can be encoded, and the frames and truth of it: `clips`, `export`."""

from dataclasses import asdict

from coordflow_mini.cli.figures import print_json, say
from coordflow_mini.cli.options import Folder, Frames, Input, Json, Matrix, Quiet, Raw, Size, load
from coordflow_mini.ops.console import table

__all__ = ["clips", "export"]


def clips(as_json: Json = False) -> None:
    """List the clips that have a name.

    \b
    coordflow clips
    """
    from coordflow_mini.video import catalog

    listed = (*catalog.builtin(), *catalog.downloadable())
    if as_json:
        print_json([{**asdict(clip), "fps": str(clip.fps)} for clip in listed])
        return
    rows = [["name", "here", "frames", "size", "fps", "what", "license"]]
    for clip in listed:
        figures = [str(clip.frames), f"{clip.width}x{clip.height}", f"{float(clip.fps):g}"]
        here = "yes" if clip.available else "no"
        rows.append([clip.name, here, *figures, clip.description, clip.license])
    say(table(rows, left=7) + "\n")
    credits_ = {clip.attribution: clip for clip in listed if clip.attribution != "none needed"}
    for text, clip in credits_.items():
        kind = clip.name if clip.name.startswith("clip:") else "uvg"
        say(f"{kind}: {text}; {clip.source if kind == clip.name else clip.source.rpartition('/')[0]}")
    say("clip:cutout:3 and clip:pan:3 are drawn with seed 3.  Any path to a video will do, too.")
    say("What is not here: coordflow fetch --help.")


def export(
    source: Input,
    output: Folder,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    matrix: Matrix = None,
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
    from coordflow_mini.cli import arguments
    from coordflow_mini.video import scenes, write

    arguments.check_folder(output, source, write.PARTS)
    if source.startswith(("clip:cutout", "clip:pan")):
        arguments.raw_format(source, raw, matrix)  # refuses them
        scene = scenes.scene(source, arguments.selection(frames, size))
        write.write_scene(output, scene)
        video = scene.video
    else:
        video = load(source, frames, size, raw, matrix)
        write.write_clip(output, video)
    if not quiet:
        say(f"{output}: {video.time} frames of {video.width}x{video.height}")
