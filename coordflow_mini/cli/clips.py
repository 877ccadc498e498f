"""`coordflow clips`: the clips that have a name."""

from coordflow_mini.cli.options import Json
from coordflow_mini.cli.output import print_json, say
from coordflow_mini.ops.console import table
from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini.video import catalog

_FIELDS = ("name", "description", "width", "height", "frames", "license", "attribution", "available")


def clips(as_json: Json = False) -> None:
    """List the clips that have a name.

    \b
    coordflow clips
    """
    listed = (*catalog.builtin(), *catalog.downloadable())
    if as_json:
        print_json(
            [
                {name: getattr(clip, name) for name in _FIELDS} | {"fps": str(clip.fps), "source": clip.url}
                for clip in listed
            ]
        )
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
        say(f"{kind}: {text}; {clip.url if kind == clip.name else clip.url.rpartition('/')[0]}")
    say("clip:cutout:3 and clip:pan:3 are drawn with seed 3.  The path of any video works, too.")
    say("To download the missing ones: coordflow fetch --help.")
