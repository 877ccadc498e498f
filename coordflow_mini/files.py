"""Files and folders that are there whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

__all__ = ["destination", "replacing"]

_LONGEST_NAME = 255  # bytes, on all file systems that matter


def destination(path: Path) -> Path:
    """Where a path leads, absolute, through all links, also to what is not there yet.

    So what a link points to is replaced, as editors do it, and the link stays.
    Raises OSError for links in a circle, and for devices and pipes, which nothing may take the place of.
    """
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if real.exists() and not (real.is_file() or real.is_dir()):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    return real


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name beside a file or folder to write to; it takes the target's place at the end, or disappears."""
    target = destination(target)
    mine = f".{_shortened(target.name)}.{token_hex(4)}"  # others may write there, also from other machines
    temporary, old = (target.with_name(f"{mine}.{end}") for end in ("part", "old"))
    try:
        yield temporary
        if temporary.is_file():
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())  # or a power cut could leave the new name with nothing in it
        if target.is_dir():  # a folder cannot be replaced in one step
            os.rename(target, old)
        os.replace(temporary, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.rename(old, target)
        raise
    finally:
        for left in (temporary, old):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _shortened(name: str) -> str:
    """As much of a name as leaves room for a dot before it, and a token and an ending after it."""
    while len(os.fsencode(name)) > _LONGEST_NAME - len(".") - len(".01234567.part"):
        name = name[:-1]
    return name
