"""The command line, `coordflow`.

Every command first looks at its arguments, then at its files, and only then imports PyTorch: what is
wrong is said at once, in one line, with exit code 2.  Results go to stdout, progress to stderr.
"""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from coordflow_mini import __version__
from coordflow_mini.config import CodecConfig, FitConfig, ModelConfig
from coordflow_mini.console import Console, duration, table

if TYPE_CHECKING:
    import torch

    from coordflow_mini.budget import Budget
    from coordflow_mini.encoder import Encoding, Plan
    from coordflow_mini.video import Video

__all__ = [
    "app",
    "baseline",
    "clips",
    "decode",
    "demo",
    "encode",
    "evaluate",
    "export",
    "info",
    "main",
]


# --- errors -------------------------------------------------------------------------------------------


class _Group(TyperGroup):
    """All commands, with one way to fail: one line on stderr and exit code 2, with --debug a traceback."""

    def main(  # type: ignore[override]  # its parameters differ between versions
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        self.debug = "--debug" in words
        words = [word for word in words if word != "--debug"] or ["--help"]
        try:
            code = super().main(words, prog_name or "coordflow", **{**more, "standalone_mode": False})
        except Exception as error:
            if not hasattr(error, "format_message"):  # usage errors have it, in every version of typer
                raise
            context = getattr(error, "ctx", None)
            hint = f"; see {context.command_path} --help" if context else ""
            code = self._fail(error, error.format_message().rstrip(".") + hint)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ValueError, OSError, MemoryError) as error:
            raise typer.Exit(self._fail(error, _reason(error))) from None
        except RuntimeError as error:
            fit = sys.modules.get("coordflow_mini.fit")
            if fit is None or not isinstance(error, fit.DivergenceError):
                raise
            raise typer.Exit(self._fail(error, _reason(error))) from None
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; nothing was written", err=True)
            raise typer.Exit(130) from None

    def _fail(self, error: Exception, reason: str) -> int:
        if self.debug:
            traceback.print_exception(error)
        typer.echo(f"error: {' '.join(reason.split())}", err=True)
        return 2


def _reason(error: Exception) -> str:
    """What went wrong, without numbers that only systems understand."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); try fewer --frames or a smaller --size"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Add --debug to any command to see where an error comes from.  "
    "Exit codes: 0 done, 2 bad input (the reason is one line on stderr), 130 interrupted.",
)


def main() -> None:
    """Run the command that the process was called with.

    Threads wait for each other by spinning.  That long a spin as is usual makes a training step on two
    cores 10 to 40 times slower as soon as another process wants one of them (14 ms become 150 to 900);
    a short one makes it 37 ms then, and 17 ms when nothing else runs.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # read when PyTorch is loaded
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coordflow-mini {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Videos as a few small networks: encode, decode, look inside, compare.

    \b
    coordflow demo                                  see it work, in three minutes
    coordflow encode clip:cutout cutout.cfv         a generated clip, half a minute
    coordflow decode cutout.cfv cutout.mp4
    coordflow evaluate clip:cutout cutout.cfv
    """


# --- options ------------------------------------------------------------------------------------------

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="A clip of `coordflow clips`, a video file, a folder of PNGs, a .npy, or raw .yuv.",
        show_default=False,
    ),
]
Coded = Annotated[Path, typer.Argument(metavar="IN.cfv", help="An encoded file.", show_default=False)]
ToCoded = Annotated[Path, typer.Argument(metavar="OUT.cfv", help="The file to write.", show_default=False)]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="OUT.mp4, .y4m, .npy or a folder for PNGs.", show_default=False)
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", show_default=False)]
Bpp = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        help="Bits per pixel that the file may have; it ends within 5 % below.  "
        "[default: 0.1, and more for short clips: up to 15 kB or 0.8]",
    ),
]
Layers = Annotated[int, typer.Option(metavar="N", help="How many layers.")]
Gamma = Annotated[
    float, typer.Option(metavar="G", help="Weight of the layer loss: how strongly layers specialize.")
]
Steps = Annotated[
    int | None, typer.Option(metavar="N", help=f"Training steps.  [default: {FitConfig.steps}]")
]
Minutes = Annotated[
    float | None,
    typer.Option(metavar="M", help="Instead of --steps: as many as take so long, timed at the start."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Another seed is another try.")]
Frames = Annotated[
    str | None,
    typer.Option(
        metavar="A:B[:STEP]", help="Frames A to B-1, every STEP-th, counted from 0.  [default: all]"
    ),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Resize by an area filter.  [default: as the input is]")
]
Raw = Annotated[
    str | None,
    typer.Option(
        metavar="WxH:FORMAT:FPS",
        help="Layout of raw YUV, such as 1920x1080:yuv420p:120.  [default: what the file's name says]",
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Hidden units per layer.  Without --bpp, the rate then follows from it.  "
        "[default: what the rate has room for]",
    ),
]
Depth = Annotated[int, typer.Option(metavar="N", help="Hidden layers of each layer's network.")]
Motion = Annotated[
    Literal["similarity", "none"],
    typer.Option(help="How layers move: shift, turn and zoom; or not, as in a plain (x, y, t) network."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto: on a GPU where there is one.")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="CPU threads.  [default: PyTorch's choice]")
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


# --- commands -----------------------------------------------------------------------------------------


@app.command()
def encode(
    source: Input,
    output: ToCoded,
    bpp: Bpp = None,
    steps: Steps = None,
    minutes: Minutes = None,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    layers: Layers = ModelConfig.layers,
    gamma: Gamma = FitConfig.gamma,
    motion: Motion = "similarity",
    width: Width = None,
    depth: Depth = ModelConfig.depth,
    seed: Seed = FitConfig.seed,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Encode a video into a .cfv file.

    Fits layered networks to the clip, fine-tunes them for few bits, writes their weights.  The same
    steps, seed and threads give the same file.

    Ctrl-C stops the fit and fine-tunes what there is; Ctrl-C again stops that, too.  The file is
    written either way, with exit code 0.

    \b
    coordflow encode clip:cutout cutout.cfv
    coordflow encode clip:bunny bunny.cfv --frames 0:96 --size 192x108 --bpp 0.075
    coordflow encode video.mp4 video.cfv --minutes 10 --layers 3
    coordflow encode X_1920x1080_120fps_420_8bit_YUV.yuv x.cfv --frames 0:60 --json
    """
    from coordflow_mini import arguments

    console = Console(quiet=quiet)
    arguments.check_rate(bpp)
    arguments.check_training(steps, minutes, gamma, seed)
    wanted: dict[str, Any] = {"layers": layers, "depth": depth, "motion": motion}
    wanted |= {} if width is None else {"width": width}
    ModelConfig(**wanted)  # refuses what is out of bounds
    fit, codec = FitConfig(gamma=gamma, seed=seed), CodecConfig(choose_width=width is None)
    arguments.check_coded_output(output, source)
    video = _load(source, frames, size, raw)

    from coordflow_mini import budget, encoder
    from coordflow_mini.fit import default_model

    place = _device(device, threads)
    plan = encoder.plan(video, bpp=bpp, model=replace(default_model(video), **wanted), codec=codec)
    chosen = budget.Budget(fit, codec) if steps is None else budget.steps_for(steps, fit, codec)
    if minutes is not None:
        chosen = budget.steps_within(60 * minutes, video, plan.model, fit, codec, device=place)
    console.say(_intention(video, plan, chosen))
    with console.training() as on_step:
        encoding = encoder.compress(
            video,
            bpp=bpp,
            model=plan.model,
            fit=chosen.fit,
            codec=chosen.codec,
            device=place,
            on_step=on_step,
        )
    _write(output, encoding.data)
    if as_json:
        _print_json(_figures(output, encoding))
    elif not quiet:
        typer.echo(_summary(output, encoding))


@app.command()
def decode(
    source: Coded,
    output: Out,
    layer: Annotated[
        int | None, typer.Option(metavar="I", help="Show one layer alone; 0 is the first.  [default: all]")
    ] = None,
    alpha: Annotated[
        bool, typer.Option("--alpha", help="Write alpha maps instead: OUT/layer_I/frame_00000.png, 8 bit.")
    ] = False,
    scale: Annotated[float, typer.Option(metavar="S", help="Times the width and height.")] = 1.0,
    fps_scale: Annotated[float, typer.Option(metavar="S", help="Times the frame rate.")] = 1.0,
    frames: Frames = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Compute in bfloat16: less exact; prints by how much.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Decode a .cfv file into a video.

    .npy and PNGs hold the exact frames (.npy: uint8 [time, height, width, 3]), .y4m is uncompressed,
    .mp4 is for watching.  Frames appear when all of them are written.

    \b
    coordflow decode bunny.cfv bunny.mp4
    coordflow decode bunny.cfv slow.mp4 --fps-scale 2 --scale 2
    coordflow decode cutout.cfv foreground/ --layer 1
    coordflow decode cutout.cfv alpha/ --alpha
    """
    from coordflow_mini import arguments, video
    from coordflow_mini import evaluate as evaluation

    coded = arguments.read_coded(source)
    chosen = arguments.selected(coded.header, frames)
    arguments.check_scales(coded.header, scale, fps_scale)
    layers = arguments.chosen_layers(coded.header, layer)
    if alpha:
        arguments.check_folder(output, source, r"layer_\d+")
    else:
        arguments.check_video_output(output, source)

    import torch

    from coordflow_mini import decoder, export
    from coordflow_mini.timeline import timeline

    place, dtype = _device(device, threads), torch.bfloat16 if fast else torch.float32
    line = timeline(chosen, coded.header.fps, fps_scale)
    pictures = decoder.decode_renderings(coded.data, line.positions, scale=scale, device=place, dtype=dtype)
    shown = Console(quiet=quiet).counted("decode", pictures, len(line.positions))
    if alpha:
        export.write_alpha(output, shown, layers)
    else:
        show = (picture.rgb if layer is None else picture.layer_rgb[layer] for picture in shown)
        video.write(output, (frame[0].numpy() for frame in show), line.fps)
    if not quiet:
        typer.echo(f"{output}: {len(line.positions)} frames, {float(line.fps):g} fps")
        if fast:
            loss = evaluation.loss_of_fast(coded.data, line.positions, device=place)
            typer.echo(f"--fast: {loss:.1f} dB from the exact frames")


@app.command()
def info(source: Coded, as_json: Json = False) -> None:
    """Show what a .cfv file says about itself, and where its bytes go.

    \b
    coordflow info bunny.cfv
    coordflow info bunny.cfv --json
    """
    from coordflow_mini import arguments

    coded = arguments.read_coded(source)

    from coordflow_mini import evaluate as evaluation

    figures = evaluation.describe(coded.data)
    if as_json:
        _print_json(figures)
        return
    header = coded.header
    part, model = header.selection, header.model
    rows = [
        ["video", f"{header.time} frames of {header.width}x{header.height}, {float(header.fps):g} fps"],
        ["source", f"frames {part.start}:{part.stop}:{part.step}, colors {header.matrix}"],
        ["model", f"{model.layers} layers, width {model.width}, depth {model.depth}, motion {model.motion}"],
        ["fit", f"gamma {header.gamma:g}, seed {header.seed}, coordflow-mini {header.version}"],
        ["rate", f"{figures['bytes']:,} bytes, {figures['bpp']:.4f} bits per pixel"],
        ["weights", f"{figures['params']:,} at {figures['bits_per_weight']:.2f} bits, all told"],
        *([f"  {name}", f"{value:,} bytes"] for name, value in figures["sections"].items()),
    ]
    typer.echo(table(rows, left=2))


@app.command()
def evaluate(
    source: Input,
    coded: Coded,
    raw: Raw = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure a .cfv file against the frames it was made of.

    The file says which frames of INPUT it holds and at which size.  PSNR is in RGB, per frame, then the
    mean; the rate counts the whole file.

    \b
    coordflow evaluate clip:bunny bunny.cfv
    coordflow evaluate video.mp4 video.cfv --json
    """
    from coordflow_mini import arguments
    from coordflow_mini import evaluate as evaluation

    arguments.check_source(source)
    file = arguments.read_coded(coded)
    original = evaluation.source_of(file.data, source, arguments.raw_format(raw))
    place = _device(device, threads)
    figures = evaluation.evaluate(file.data, original, device=place).to_json()
    if as_json:
        _print_json(figures)
    else:
        typer.echo(
            table([[name, _figure(value)] for name, value in figures.items() if value is not None], left=2)
        )


@app.command()
def clips(as_json: Json = False) -> None:
    """List the clips that have a name.

    \b
    coordflow clips
    """
    from coordflow_mini.clips import catalog

    if as_json:
        _print_json([{**asdict(clip), "fps": str(clip.fps)} for clip in catalog()])
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


@app.command()
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
        video = _load(source, frames, size, raw)
        folders.write_clip(output, video)
    if not quiet:
        typer.echo(f"{output}: {video.time} frames of {video.width}x{video.height}")


@app.command()
def baseline(
    source: Input,
    codec: Annotated[Literal["x264", "x265", "av1"], typer.Option(help="The encoder.")] = "x265",
    bpp: Bpp = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="The encoder's preset.  [default: medium; av1: 6]")
    ] = None,
    tune: Annotated[
        Literal["psnr"] | None, typer.Option(help="Tune for PSNR.  [default: the encoder's own tuning]")
    ] = None,
    frames: Frames = None,
    size: Size = None,
    raw: Raw = None,
    as_json: Json = False,
) -> None:
    """Measure x264, x265 or SVT-AV1 at the same rate.

    The largest raw stream within the rate, found by a search over CRF, decoded and scored in RGB.

    \b
    coordflow baseline clip:bunny --codec x265 --bpp 0.075 --frames 0:96 --size 192x108
    coordflow baseline video.mp4 --codec x264 --preset veryslow --tune psnr --json
    """
    from coordflow_mini import arguments, baselines

    arguments.check_rate(bpp)
    if preset is not None and preset not in (known := baselines.CODECS[codec].presets):
        raise ValueError(f"--preset of {codec} must be one of {', '.join(known)}, got {preset!r}")
    video = _load(source, frames, size, raw)

    from coordflow_mini import encoder

    rate = encoder.default_bpp(video) if bpp is None else bpp
    point = baselines.measure(video, codec, bpp=rate, preset=preset, tune=tune)
    if as_json:
        _print_json(point.to_json())
    else:
        rows = [[name, _figure(value)] for name, value in point.to_json().items() if value not in (None, "")]
        typer.echo(table(rows, left=2))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path("runs/demo"),
    minutes: Minutes = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the training: worse, but soon.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show all of it on a real clip, in about three minutes.

    Encodes 96 frames of Big Buck Bunny, decodes the file in a fresh process, measures it, compares with
    x264 and x265 at the same bytes, and writes a report to open in a browser.

    \b
    coordflow demo
    coordflow demo --quick --out /tmp/demo
    """
    from coordflow_mini import arguments
    from coordflow_mini.clips import bunny_path

    if quick and minutes is not None:
        raise ValueError("give --quick or --minutes, not both")
    arguments.check_training(None, minutes, FitConfig.gamma, FitConfig.seed)
    arguments.check_folder(out, "", ".*")
    bunny_path()

    from coordflow_mini import demo as show

    place = _device(device, threads)
    plan = show.Demo().shortened(0.1) if quick else show.Demo()
    seconds = None if minutes is None else 60 * minutes
    result = show.run(out, plan, Console(quiet=quiet), seconds=seconds, device=place)
    if as_json:
        _print_json(result.to_json())
    elif not quiet:
        typer.echo(f"\n{show.comparison(result)}\n\nopen {out / show.REPORT} in a browser")


# --- what commands share ------------------------------------------------------------------------------


def _load(source: str, frames: str | None, size: str | None, raw: str | None) -> "Video":
    """The frames that the arguments select."""
    from coordflow_mini import arguments
    from coordflow_mini import clips as library

    selection, raw_format = arguments.selection(frames, size), arguments.raw_format(raw)
    arguments.check_source(source)
    return library.load(source, selection, raw_format)


def _device(name: str, threads: int | None) -> "torch.device":
    """The device of that name; sets the number of threads on the way."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _write(output: Path, data: bytes) -> None:
    """The bytes as a file, all of them or nothing."""
    from coordflow_mini.video import replacing

    with replacing(output) as temporary:
        temporary.write_bytes(data)


def _intention(video: "Video", plan: "Plan", chosen: "Budget") -> str:
    """What an encode is about to do, in one line."""
    return (
        f"{video.name}: {video.time} frames of {video.width}x{video.height} into at most "
        f"{plan.target_bytes:,} bytes; {plan.model.layers} layers of width {plan.model.width}, "
        f"{chosen.fit.steps:,} steps and {chosen.codec.steps:,} of fine-tuning"
    )


def _figures(output: Path, encoding: "Encoding") -> dict[str, Any]:
    """What `encode --json` prints."""
    from coordflow_mini.metrics import bits_per_pixel

    header = encoding.header
    model = header.model
    return {
        "file": str(output),
        "bytes": len(encoding.data),
        "target_bytes": encoding.target_bytes,
        "bpp": bits_per_pixel(len(encoding.data), header.time * header.height * header.width),
        "psnr_db": encoding.psnr_db,
        "unquantized_psnr_db": encoding.unquantized_psnr_db,
        "bits_per_weight": encoding.bits_per_weight,
        "params": encoding.parameters,
        "layers": model.layers,
        "width": model.width,
        "depth": model.depth,
        "seconds": encoding.seconds,
        "interrupted": encoding.interrupted,
    }


def _summary(output: Path, encoding: "Encoding") -> str:
    """What `encode` prints."""
    figures = _figures(output, encoding)
    lines = [
        f"{output}: {len(encoding.data):,} bytes, {figures['bpp']:.4f} bits per pixel",
        f"{encoding.psnr_db:.2f} dB ({encoding.unquantized_psnr_db:.2f} dB before quantization), "
        f"{encoding.parameters:,} weights at {encoding.bits_per_weight:.2f} bits, "
        f"{duration(encoding.seconds)}",
    ]
    if encoding.interrupted:
        over = len(encoding.data) - encoding.target_bytes
        lines.append("interrupted: the file is whole, but worse than it could be; encode again for the rest")
        lines += [f"it has {over:,} bytes more than asked for"] if over > 0 else []
    return "\n".join(lines)


def _figure(value: Any) -> str:
    """A figure for a reader."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _print_json(figures: Any) -> None:
    typer.echo(json.dumps(figures, indent=2))
