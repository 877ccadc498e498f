"""One process at a time for an output that takes hours to make: the second one is told of the first.

    with occupied(Path("clip.cfv")):
        ...

The system frees the place when the process dies, whatever it dies of.  Between machines that share files it
works where the file system passes locks on, as NFS does unless it is told not to.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from platform import node

from coordflow_mini.ops.text import printable

try:
    import fcntl
except ImportError:  # Windows: there, nobody is kept out
    fcntl = None  # type: ignore[assignment]

__all__ = ["OccupiedError", "lock_file", "occupied"]

_DATE = "%Y-%m-%d %H:%M:%S"
_LONGEST = 300  # bytes of a lock file that are looked at


class OccupiedError(ValueError):
    """Another process is making the same output; one line says which, and since when."""


def lock_file(output: Path) -> Path:
    """What lies beside an output while somebody makes it, and after a kill."""
    return output.with_name(f".{output.name}.lock")


@contextmanager
def occupied(output: Path) -> Iterator[None]:
    """Keeps other processes away from an output, by a lock on its `lock_file`, removed at the end.

    A kill leaves that file, without its lock; the next process uses and removes it.
    Raises OccupiedError at once if another process is there.
    """
    path = lock_file(output)
    file = None if fcntl is None else _held(path, output)
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                path.unlink()  # while it is held: who has it open will see that it has no name any more
            os.close(file)


def _held(path: Path, output: Path) -> int:
    """The descriptor of the lock file, held; where there are no locks, it is only open."""
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(file, _LONGEST).decode("utf-8", "replace")
            os.close(file)
            raise OccupiedError(
                f"{output} is being made by {printable(' '.join(who.split())) or 'another process'}; "
                f"wait until it has ended, or give another output"
            ) from None
        except OSError:  # this file system has none
            return file
        if _is_named(path, file):
            with suppress(OSError):  # a full disk, or another user's file: it is held all the same
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {node()} since {time.strftime(_DATE)}".encode())
            return file
        os.close(file)  # its holder has just removed it


def _opened(path: Path) -> int:
    """The lock file, made if it is not there; through no link that somebody laid.

    Of another user's, left by a kill, reading is enough for a lock.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _is_named(path: Path, file: int) -> bool:
    """Whether a file that is open is still the one under this name."""
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(file))
    return False
