"""`coordflow export`: a clip as PNGs, with its ground truth."""

from coordflow_mini.cli.options import Folder, Footage, Input, Quiet
from coordflow_mini.cli.output import say
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.cli import checks
    from coordflow_mini.video import scenes, write


def export(source: Input, output: Folder, footage: Footage, quiet: Quiet = False) -> None:
    """Write the frames of a clip as PNGs, and their ground truth.

    DIR/frames/frame_00000.png holds exactly the pixels that would be encoded.  Generated clips add
    DIR/layers/layer_I/ and DIR/motion.json (which explains itself); clip:cutout also adds DIR/masks/
    (foreground 255, background 0).

    \b
    coordflow export clip:cutout cutout/
    coordflow export clip:bunny bunny/ --frames 0:96 --size 192x108
    """
    checks.folder(output, source, write.PARTS)
    if source.startswith(("clip:cutout", "clip:pan")):
        footage.check(source)
        scene = scenes.scene(source, footage.selection())
        write.write_scene(output, scene)
        video = scene.video
    else:
        video = footage.load(source)
        write.write_clip(output, video)
    if not quiet:
        say(f"{output}: {video.time} frames of {video.width}x{video.height}")
