"""The command line, `coordflow`.

Every command first looks at its arguments, then at its files, and only then imports PyTorch: what is
wrong is said at once, in one line, with exit code 2.  Results go to stdout, progress to stderr.

The commands: `encoding`, `codec`, `applications`, `measuring`, `sweeping`, `surveying`, `footage`,
`fetching`, `course`.  What they share: `options`, `fitting`, `estimates`, `figures`.
"""

import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from coordflow_mini import __version__
from coordflow_mini.cli.applications import denoise, inpaint, interpolate, segment, stabilize, upscale
from coordflow_mini.cli.codec import decode, info
from coordflow_mini.cli.course import app as course
from coordflow_mini.cli.encode import encode
from coordflow_mini.cli.fetch import fetch
from coordflow_mini.cli.figures import say
from coordflow_mini.cli.footage import clips, export
from coordflow_mini.cli.measuring import baseline, demo, evaluate
from coordflow_mini.cli.report import report
from coordflow_mini.cli.sweep import sweep

__all__ = ["app", "main"]

_INTERRUPTED = 130  # the exit code


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
        except (KeyboardInterrupt, typer.Abort):  # between two commands' own words
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
            # their modules import PyTorch
            if type(error).__name__ not in ("DivergenceError", "PeerLostError") and not _out_of_memory(error):
                raise
            raise typer.Exit(self._fail(error, _reason(error))) from None
        except KeyboardInterrupt:
            say("\ninterrupted; nothing is left half written", err=True)
            raise typer.Exit(_INTERRUPTED) from None

    def _fail(self, error: Exception, reason: str) -> int:
        if self.debug:
            traceback.print_exception(error)
        say(f"error: {' '.join(reason.split())}", err=True)
        return 2


def _out_of_memory(error: Exception) -> bool:
    """Whether PyTorch got no memory: on a processor it says so by a plain RuntimeError."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _reason(error: Exception) -> str:
    """What went wrong, without numbers that only systems understand."""
    if isinstance(error, MemoryError) or _out_of_memory(error):
        return f"not enough memory ({str(error)[-120:]}); try fewer --frames or a smaller --size"
    if isinstance(error, OSError) and error.strerror:
        cure = "; make room, then try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return (f"{error.filename}: {error.strerror}" if error.filename else error.strerror) + cure
    if type(error).__name__ == "DivergenceError":  # its own cure is one for who writes Python
        return f"{getattr(error, 'what', error)}; try another --seed, or a smaller --width"
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # read when PyTorch is loaded
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
    """Videos as a few small networks: encode, decode, look inside, compare.

    \b
    coordflow demo                                  see it work, in three minutes
    coordflow encode clip:cutout cutout.cfv         a generated clip, half a minute
    coordflow decode cutout.cfv cutout.mp4
    coordflow evaluate clip:cutout cutout.cfv
    coordflow segment cutout.cfv masks/             which layer is where
    """


_COMMANDS: tuple[Callable[..., None], ...] = (
    *(encode, decode, info, evaluate),
    *(segment, inpaint, upscale, interpolate, stabilize, denoise),
    *(clips, fetch, export, baseline, sweep, demo, report),
)
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(course, name="course")
