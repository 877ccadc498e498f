"""The command line, `coordflow`: a module for each command or two that are alike.

Every command checks its arguments, then its files, and only then loads PyTorch: mistakes are reported at
once, in one line, with exit code 2.  Results go to stdout, progress to stderr.

Shared by the commands: `options`, `checks`, `output`, and `application` by those that fit a video.
"""

import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from coordflow_mini import __version__
from coordflow_mini.cli import (
    baseline,
    clips,
    decode,
    demo,
    denoise,
    encode,
    evaluate,
    export,
    fetch,
    gpu_check,
    info,
    inpaint,
    options,
    report,
    resample,
    segment,
    stabilize,
    sweep,
)
from coordflow_mini.cli.output import say
from coordflow_mini.course.teacher import command as course

_INTERRUPTED = 130  # the exit code
_GPU_FULL = re.compile(r"CUDA out of memory.+allocate ([\d.]+ \w+).+of which ([\d.]+ \w+) is free", re.DOTALL)


class _Group(TyperGroup):
    """All commands; an error is one line on stderr and exit code 2, with --debug also a traceback."""

    def main(  # type: ignore[override]  # its parameters differ between versions
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        self.debug = "--debug" in words
        words = [word for word in words if word != "--debug"] or ["--help"]
        try:
            code = super().main(words, prog_name or "coordflow", **{**more, "standalone_mode": False})
        except (KeyboardInterrupt, typer.Abort):  # outside of any command
            code = _INTERRUPTED
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
            # named by strings because their modules load PyTorch
            if type(error).__name__ not in ("DivergenceError", "PeerLostError") and not _out_of_memory(error):
                raise
            raise typer.Exit(self._fail(error, _reason(error))) from None
        except KeyboardInterrupt:
            say("\ninterrupted; no half-written file is left", err=True)
            raise typer.Exit(_INTERRUPTED) from None

    def _fail(self, error: Exception, reason: str) -> int:
        if self.debug:
            traceback.print_exception(error)
        say(f"error: {' '.join(reason.split())}", err=True)
        return 2


def _out_of_memory(error: Exception) -> bool:
    """True if PyTorch ran out of memory; on CPUs it raises a plain RuntimeError then."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _reason(error: Exception) -> str:
    """The error in words, without errno, and with a cure where there is one."""
    if found := _GPU_FULL.search(str(error)):
        asked, free = found.groups()
        return (
            f"the GPU's memory is full: {asked} were asked for, {free} are free; end other programs that use "
            f"it, choose a smaller --width or --size, or --device cpu"
        )
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return f"not enough memory ({str(error)[-120:]}); try fewer --frames or a smaller --size"
    if isinstance(error, OSError) and error.strerror:
        cure = "; make room, then try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return (f"{error.filename}: {error.strerror}" if error.filename else error.strerror) + cure
    if type(error).__name__ == "DivergenceError":  # whose own cure is for Python
        return f"{getattr(error, 'what', error)}; try another --seed, or a smaller --width"
    return str(error) or type(error).__name__


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Any command takes --debug, which adds a traceback to errors.  "
    "Exit codes: 0 done, 2 bad input (explained in one line on stderr), 130 interrupted.",
)


def main() -> None:
    """Run the command of this process.

    OpenMP threads wait for each other by spinning.  With the default spin, a training step on two cores takes
    10 to 40 times longer as soon as another process needs one of them (150 to 900 ms instead of 14); with a
    short spin, 37 ms, and 17 ms undisturbed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may be any bytes
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # read as PyTorch loads
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"coordflow-mini {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Videos as a few small networks: encode, decode, inspect, compare.

    \b
    coordflow demo                                  the whole way, in three minutes
    coordflow encode clip:cutout cutout.cfv         a generated clip, in half a minute
    coordflow decode cutout.cfv cutout.mp4
    coordflow evaluate clip:cutout cutout.cfv
    coordflow segment cutout.cfv masks/             the layers, as masks
    """


for _command in (
    *(encode.encode, decode.decode, info.info, evaluate.evaluate),
    *(segment.segment, inpaint.inpaint, resample.upscale),
    *(resample.interpolate, stabilize.stabilize, denoise.denoise),
    *(clips.clips, fetch.fetch, export.export),
    *(baseline.baseline, sweep.sweep, demo.demo, report.report, gpu_check.gpu_check),
):
    app.command(cls=options.Command)(options.expand(_command))
app.add_typer(course.app, name="course")
