"""Files and folders that appear whole or not at all, each written by one process at a time."""

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
from coordflow_mini.ops.lazy import lazily

with lazily():
    import filelock

_LONGEST_NAME = 255  # bytes, on all common file systems
_OWNER = r"(?P<here>[0-9a-f]{1,8})-(?P<process>\d{1,9})-[0-9a-f]{6}"  # in names by `_beside`
_TRIES = 100  # at moving a folder while other processes move theirs
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT)  # another process moved its folder first
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux' renameat2


class InUseError(ValueError):
    """Another process is writing the same output."""


def lock_file(output: Path) -> Path:
    """The file beside an output that `locked` holds."""
    return output.with_name(f".{output.name}.lock")


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keeps other processes from writing an output, by an operating system lock on its `lock_file`.

    A killed process loses its lock; the file it leaves keeps nobody out.
    Raises InUseError at once if another process holds the lock.
    """
    lock = filelock.FileLock(lock_file(output), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InUseError(
            f"{output} is being written by another process; wait until it ends, or give another output"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock_file(output).unlink()  # while held: whoever opened it finds it unlinked, and starts over
        lock.release()


def destination(path: Path) -> Path:
    """The absolute path with all links resolved, whether or not it exists: writing replaces a link's target.

    Raises OSError for circular links, devices and pipes.
    """
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if real.exists() and not (real.is_file() or real.is_dir()):
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    return real


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary name beside a file or folder; what is written there replaces the target at the end.

    At every moment, also after a kill or power failure, the target is the old file or folder or the whole
    new one.  Of several concurrent writers, the last one wins.  An exception leaves the target unchanged.
    Leftovers of killed processes are removed by the next writer, see `tidy`.
    Folders need a file system that exchanges two names atomically, as Linux' own do.  On others, a kill
    between two renames leaves no folder; on Linux the next writer restores the old one.
    """
    target = destination(target)
    tidy(target)
    temporary = _beside(target, "part")
    try:
        yield temporary
        _flush(temporary)
        with undisturbed():
            _move(temporary, target)
            _remove(temporary)  # now the old folder, if there was one
        _sync(target.parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error  # name the file
    finally:
        _remove(temporary)


def tidy(target: Path) -> None:
    """Removes what killed processes left beside a target, or beside names that extend it by a suffix.

    Only if the process is known to be dead: names carry machine, boot, container and process.  Leftovers of
    other machines, of earlier boots, and on systems other than Linux stay.
    """
    stepped_aside = re.compile(rf"\.{re.escape(_shortened(target.name))}\.{_OWNER}\.old")
    for left in _abandoned(target):
        mine = stepped_aside.fullmatch(left.name)
        with suppress(OSError):  # another process tidies as well
            if mine and not os.path.lexists(target):
                os.rename(left, target)  # killed between two renames
            elif mine or left.name.endswith(".part"):  # an .old of another name may be all that is left of it
                _remove(left)


# --- names --------------------------------------------------------------------------------------------


def _beside(target: Path, end: str) -> Path:
    """A unique name that carries its owner."""
    return target.with_name(f".{_shortened(target.name)}.{_here()}-{os.getpid()}-{token_hex(3)}.{end}")


def _shortened(name: str) -> str:
    """A name cut to leave room for the leading dot, owner and ending of `_beside`."""
    while len(os.fsencode(name)) > _LONGEST_NAME - len(".") - len(".01234567-012345678-012345.part"):
        name = name[:-1]
    return name


@lru_cache
def _here() -> str:
    """Identifies this machine, boot and container; "0" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        text = f"{node()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except (OSError, ValueError):
        return "0"
    return blake2b(text.encode(), digest_size=4).hexdigest()


def _abandoned(target: Path) -> list[Path]:
    name = re.compile(rf"\.{re.escape(_shortened(target.name))}\.(?:.*\.)?{_OWNER}\.(?:part|old)")
    try:
        names = os.listdir(target.parent)
    except OSError:
        return []
    found = [match for match in map(name.fullmatch, names) if match and match["here"] == _here() != "0"]
    return [target.with_name(match[0]) for match in found if _is_dead(int(match["process"]))]


def _is_dead(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's
        return False
    return False


# --- moves --------------------------------------------------------------------------------------------


def _move(temporary: Path, target: Path) -> None:
    """Moves a file or folder to its target; an old folder may end up at `temporary`."""
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
        except OSError as error:
            if left == 0 or error.errno not in _TAKEN:
                raise


def _move_in_two_steps(temporary: Path, target: Path) -> None:
    """Renames the old folder out of the way, and back if the new one cannot take its place."""
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
    """Exchanges two names atomically; False where the system cannot."""
    call = _renameat2()
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):  # not on this file system
        return False
    raise OSError(number, os.strerror(number), str(second))


@lru_cache
def _renameat2() -> Any:
    """The C library's renameat2, which only Linux has; else None."""
    call = None if os.name == "nt" else getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        text = ctypes.c_char_p
        call.argtypes = [ctypes.c_int, text, ctypes.c_int, text, ctypes.c_uint]
    return call


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# --- flushing to disk ---------------------------------------------------------------------------------


def _flush(path: Path) -> None:
    """Flushes contents before the rename: else a power failure could leave an empty file under the name."""
    if path.is_file():
        with open(path, "r+b") as file:  # Windows flushes writable files only
            os.fsync(file.fileno())
    elif path.is_dir():
        for inner in path.iterdir():
            _flush(inner)
        _sync(path)


def _sync(folder: Path) -> None:
    """Flushes a folder's entries, where the system supports it."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
