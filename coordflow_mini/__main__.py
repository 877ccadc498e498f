"""`python -m coordflow_mini` is `coordflow`."""

import signal
import sys

from coordflow_mini.ops.lazy import lazily

with lazily():
    from coordflow_mini import cli

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C is quiet even while it loads or exits."""
    try:
        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt


if __name__ == "__main__":
    main()
