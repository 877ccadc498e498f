"""Files and folders that are there whole or not at all."""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from platform import node
from secrets import token_hex
from typing import Any

from coordflow_mini.ops.interrupts import undisturbed

__all__ = ["destination", "replacing", "tidy"]

_LONGEST_NAME = 255  # bytes, on all file systems that matter
_OURS = r"(?P<here>[0-9a-f]{1,8})-(?P<process>\d{1,9})-[0-9a-f]{6}"  # the end of a name of `_beside`
_TRIES = 100  # to put a folder in its place, while others do the same
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)  # another one has just put its folder there


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
    """A name beside a file or folder to write to; it takes the target's place at the end, or disappears.

    At every moment, also after a kill or a power cut, the target is what was there before or the whole new
    one.  Of several that write at once, each has a name of its own, and the last one wins.  What a killed
    process left is removed by the next that writes to the same target, see `tidy`.
    A folder needs a system that exchanges two names in one step, as Linux does on its own disks.  On others
    a kill between two renames leaves no folder there; on Linux, the next to write puts the old one back.
    """
    target = destination(target)
    tidy(target)
    temporary = _beside(target, "part")
    try:
        yield temporary
        _flush(temporary)
        with undisturbed():
            _move(temporary, target)
            _remove(temporary)  # of a folder, it is the old one by now
        _sync(target.parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error  # says where
    finally:
        _remove(temporary)


def tidy(target: Path) -> None:
    """Removes what killed processes left beside a target, or beside names that are its own and a suffix.

    Only of processes that are known to be dead: names tell machine, boot, container and process.  What was
    written by another machine, before the last boot, or on another system than Linux stays where it is.
    """
    stepped_aside = re.compile(rf"\.{re.escape(_shortened(target.name))}\.{_OURS}\.old")
    for left in _abandoned(target):
        mine = stepped_aside.fullmatch(left.name)
        with suppress(OSError):  # another process is as tidy
            if mine and not os.path.lexists(target):
                os.rename(left, target)  # killed between two renames
            elif mine or left.name.endswith(".part"):  # what stepped aside for another name may be all of it
                _remove(left)


# --- names --------------------------------------------------------------------------------------------


def _beside(target: Path, end: str) -> Path:
    """A name that nobody else uses, and that tells whose it is."""
    return target.with_name(f".{_shortened(target.name)}.{_here()}-{os.getpid()}-{token_hex(3)}.{end}")


def _shortened(name: str) -> str:
    """As much of a name as leaves room for a dot before it, and a token and an ending after it."""
    while len(os.fsencode(name)) > _LONGEST_NAME - len(".") - len(".01234567-012345678-012345.part"):
        name = name[:-1]
    return name


@lru_cache
def _here() -> str:
    """What tells this machine, since its last boot, and this container from all others; "0" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        text = f"{node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except (OSError, ValueError):
        return "0"
    return blake2b(text.encode(), digest_size=4).hexdigest()


def _abandoned(target: Path) -> list[Path]:
    """What dead processes left beside a target."""
    name = re.compile(rf"\.{re.escape(_shortened(target.name))}\.(?:.*\.)?{_OURS}\.(?:part|old)")
    try:
        names = os.listdir(target.parent)
    except OSError:
        return []
    found = [match for match in map(name.fullmatch, names) if match and match["here"] == _here() != "0"]
    return [target.with_name(match[0]) for match in found if _is_dead(int(match["process"]))]


def _is_dead(process: int) -> bool:
    """Whether no process of this machine has that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's
        return False
    return False


# --- moves --------------------------------------------------------------------------------------------


def _move(temporary: Path, target: Path) -> None:
    """Puts a file or folder in its place; where there was a folder, that may be `temporary` afterwards."""
    if not temporary.is_dir() or temporary.is_symlink():
        os.replace(temporary, target)
        return
    for left in reversed(range(_TRIES)):
        try:
            if not target.is_dir():
                os.rename(temporary, target)
            elif not _exchanged(temporary, target):
                _move_in_two_steps(temporary, target)
            return
        except OSError as error:  # another process was faster
            if left == 0 or not (error.errno in _TAKEN or isinstance(error, FileNotFoundError)):
                raise


def _move_in_two_steps(temporary: Path, target: Path) -> None:
    """A folder in the place of another: the old one steps aside, and comes back if the new one cannot."""
    old = _beside(target, "old")
    try:
        os.rename(target, old)
        os.rename(temporary, target)
    finally:
        if os.path.lexists(target):
            _remove(old)
        elif os.path.lexists(old):
            os.rename(old, target)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchanges two names in one step; False where the system cannot."""
    call = _renameat2()
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):  # so file systems say no
        return False
    raise OSError(number, os.strerror(number), str(second))


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@lru_cache
def _renameat2() -> Any:
    """Linux' call that exchanges names; None elsewhere."""
    if os.uname().sysname != "Linux" if hasattr(os, "uname") else True:
        return None
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        text = ctypes.c_char_p
        call.argtypes = [ctypes.c_int, text, ctypes.c_int, text, ctypes.c_uint]
    return call


def _remove(path: Path) -> None:
    """Removes a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# --- the disk -----------------------------------------------------------------------------------------


def _flush(path: Path) -> None:
    """Contents to the disk, or a power cut could leave the new name with nothing in it."""
    if path.is_file():
        with open(path, "r+b") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
    elif path.is_dir():
        for inner in path.iterdir():
            _flush(inner)
        _sync(path)


def _sync(folder: Path) -> None:
    """The names in a folder to the disk, where the system knows such a thing."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
