"""The options that commands share, each explained once.

Options that belong together are the fields of a record, and a record is one parameter of a command:

    def export(source: Input, output: Folder, footage: Footage, quiet: Quiet = False) -> None: ...

`expand` turns that into the flat signature that typer reads.  The first line of a record's docstring is its
heading in `--help`.
"""

import functools
import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from coordflow_mini.config import PRESETS, FitConfig, ModelConfig, Recipe, Selection
from coordflow_mini.ops.console import Console
from coordflow_mini.ops.lazy import lazily

with lazily():
    import torch

    from coordflow_mini.cli import checks
    from coordflow_mini.ops import compiling
    from coordflow_mini.video import clip, read

_SOURCES = "a clip listed by `coordflow clips`, a video file, a folder of PNGs, a .npy, or raw .yuv."
Input = Annotated[str, typer.Argument(metavar="INPUT", help=f"The video: {_SOURCES}", show_default=False)]
InputOrCoded = Annotated[
    str,
    typer.Argument(
        metavar="INPUT", help=f"A .cfv file, used as it is; or a video to fit: {_SOURCES}", show_default=False
    ),
]
Coded = Annotated[Path, typer.Argument(metavar="IN.cfv", help="The encoded file.", show_default=False)]
Out = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="OUT.mp4, .y4m or .npy, or a folder for PNGs.", show_default=False),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", show_default=False)]
Bpp = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        help="Bits per pixel: an upper bound, met within 5 %.  "
        "[default: 0.1; short clips get more, up to 15 kB per segment or 0.8]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no summary.")]
Frames = Annotated[
    str | None,
    typer.Option(
        metavar="A:B[:STEP]", help="Frames A to B-1, every STEP-th, counted from 0.  [default: all]"
    ),
]
Raw = Annotated[
    str | None,
    typer.Option(
        metavar="WxH:FORMAT:FPS",
        help="Layout of raw YUV, for example 1920x1080:yuv420p:120.  [default: read from the file name]",
    ),
]


@dataclass(frozen=True)
class Footage:
    """Frames"""

    frames: Frames = None
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Resize with an area filter.  [default: the size of the input]"),
    ] = None
    raw: Raw = None
    matrix: Annotated[
        Literal["bt601", "bt709"] | None,
        typer.Option(
            help="Matrix that converts raw YUV (limited range) to RGB.  [default: bt601, as in ffmpeg]"
        ),
    ] = None

    def selection(self) -> Selection:
        """What `--frames` and `--size` select."""
        return checks.selection(self.frames, self.size)

    def check(self, source: str) -> None:
        """Refuse a source that does not exist, or that is not raw YUV but described as such."""
        checks.source(source)
        checks.raw_format(source, self.raw, self.matrix)

    def load(self, source: str) -> "clip.Video":
        """The selected frames of a source."""
        selection = self.selection()
        checks.source(source)
        return read.load(source, selection, checks.raw_format(source, self.raw, self.matrix))


@dataclass(frozen=True)
class Computing:
    """Computing"""

    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto: the GPU if there is one, else the CPU.")
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1024, help="CPU threads.  [default: PyTorch's choice]"),
    ] = None

    def start(self) -> "torch.device":
        """Set the number of threads; returns the device."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return compiling.device_named(self.device)


@dataclass(frozen=True)
class Messages:
    """Output"""

    as_json: Json = False
    quiet: Quiet = False

    def console(self) -> Console:
        """Where progress goes."""
        return Console(quiet=self.quiet)


@dataclass(frozen=True)
class Training:
    """Training"""

    steps: Annotated[
        int | None, typer.Option(metavar="N", help=f"Training steps.  [default: {FitConfig.steps}]")
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Train for M minutes instead: steps are timed at the start."),
    ] = None
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all random numbers.")] = FitConfig.seed

    def __post_init__(self) -> None:
        checks.training(self.steps, self.minutes)
        checks.storable("seed", self.seed)


@dataclass(frozen=True)
class Fitting(Training):
    """Fitting the video"""

    layers: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"Number of layers.  [default: {ModelConfig.layers}]"),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Hidden units per layer: more hold more detail.  [default: {ModelConfig.width}]",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recipe()

    def recipe(self) -> Recipe:
        """The recipe of these options."""
        layers = ModelConfig.layers if self.layers is None else self.layers
        return recipe_for(self, layers=layers, width=self.width, flow="random")


@dataclass(frozen=True)
class Modeling:
    """Model"""

    preset: Annotated[
        Literal["uvg-s", "uvg-m", "uvg-l"] | None,
        typer.Option(
            help="Depth and training for hundreds of 1080p frames on a GPU; without --bpp also a width, of "
            "about 0.5, 1.5 or 3 million weights.",
            show_default=False,
        ),
    ] = None
    layers: Annotated[
        str,
        typer.Option(metavar="auto|N", help="Number of layers; auto: as many as motions are found, 1 to 4."),
    ] = "auto"
    segment_frames: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Divide the video into segments of at most N frames with networks and layers of their own: "
            "frames can then be decoded without the other segments.  Each segment is trained for all "
            "--steps; they share --minutes and the rate.  [default: one segment for each shot]",
        ),
    ] = None
    ignore_cuts: Annotated[
        bool,
        typer.Option(
            "--ignore-cuts",
            help="Take the video for one shot.  Otherwise a segment begins at each cut, unless the shot has "
            "less than a third of the frames of the longest segment: it then joins a neighbor.",
        ),
    ] = False


def recipe_for(
    training: Training,
    *,
    bpp: float | None = None,
    preset: str | None = None,
    segment_frames: int | None = None,
    ignore_cuts: bool = False,
    layers: str | int = "auto",
    width: int | None = None,
    depth: int | None = None,
    motion: str = ModelConfig.motion,
    gamma: float = FitConfig.gamma,
    flow: str = "measured",
) -> Recipe:
    """The recipe of a preset, changed by options; a width is kept from being chosen by the rate.

    layers: a number, or auto for as many as are found.
    """
    recipe = PRESETS[preset] if preset else Recipe(model=ModelConfig(), fit=FitConfig())
    recipe = recipe if training.steps is None else recipe.with_steps(training.steps)
    sizes = {"layers": _number(layers), "width": width, "depth": depth}
    given = {name: size for name, size in sizes.items() if size is not None}
    return replace(
        recipe,
        bpp=bpp,
        model=replace(recipe.model or ModelConfig(), motion=motion, **given),
        auto_layers=layers == "auto",
        fit=replace(recipe.fit, gamma=gamma, seed=training.seed, flow_start=flow),
        codec=replace(recipe.codec, choose_width=width is None),
        segment_frames=segment_frames,
        ignore_cuts=ignore_cuts,
        minutes=training.minutes,
    )


def _number(layers: str | int) -> int | None:
    """A number of layers; None for auto.  Raises ValueError."""
    if layers == "auto":
        return None
    try:
        return int(layers)
    except ValueError:
        raise ValueError(f"--layers must be auto or a number, got {layers!r:.40}") from None


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of its records as parameters of its own."""
    parameters: list[inspect.Parameter] = []
    records: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(parameter.annotation):
            records[name] = parameter.annotation
            parameters += [_option(field, records[name]) for field in fields(records[name])]
        else:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        filled = {
            name: record(**{field.name: given.pop(field.name) for field in fields(record)})
            for name, record in records.items()
        }
        command(**given, **filled)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


def _option(field: Field[Any], record: type) -> inspect.Parameter:
    """The parameter of a record's field, under the record's heading."""
    annotation: Any = field.type
    option = copy(annotation.__metadata__[0])  # records share some
    option.rich_help_panel = (inspect.getdoc(record) or "").partition("\n")[0]
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.default is MISSING else field.default,
        annotation=Annotated[annotation.__origin__, option],
    )


class Command(TyperCommand):
    """A command whose help shows its options under the headings of their records."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if line := parameter.get_help_record(ctx):
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or kind
                sections.setdefault(heading, []).append(line)
        for heading, lines in sections.items():
            with formatter.section(heading):
                formatter.write_dl(lines)
