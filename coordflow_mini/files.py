"""Files and folders that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

__all__ = ["replacing"]


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name beside a file or folder to write to; it takes the target's place at the end, or disappears."""
    mine = f".{target.name}.{token_hex(4)}"  # others may write to the same place, also from other machines
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
