"""`python -m coordflow_mini` is `coordflow`."""

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """The command line; Ctrl-C while it is loaded or left is as quiet as in between."""
    try:
        from coordflow_mini import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process ends: there is nothing left to interrupt


if __name__ == "__main__":
    main()
