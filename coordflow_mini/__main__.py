"""`python -m coordflow_mini` is `coordflow`."""

import signal
import sys

from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import cli
    from coordflow_mini.measure.gpu import checks


def main() -> None:
    """Run the command line; Ctrl-C is quiet even while it loads or exits."""
    try:
        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name != "typer" or "gpu-check" not in sys.argv:
            raise
        sys.exit(_bare())
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt


def _bare() -> int:
    """`coordflow gpu-check` on a machine that has PyTorch and nothing else; the exit code."""
    try:
        device = "cpu" if "cpu" in sys.argv else "cuda"
        good = checks.report(device, "--quick" in sys.argv, lambda line: print(line, flush=True))  # noqa: T201
    except (ValueError, ModuleNotFoundError) as error:  # without PyTorch, nothing can be checked
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0 if good else 1


if __name__ == "__main__":
    main()
