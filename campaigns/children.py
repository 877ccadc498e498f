"""Child processes that start in milliseconds, with PyTorch loaded, and die on demand.

They are forks of a process with one thread. Each leads a process group and writes its output to a file;
kill -9 takes the group, as closing a terminal does.
"""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Action = Callable[[], None]

CRASHED = 70  # exit code after an uncaught error
STRUCK = 77  # exit code of a process that ended itself before a file operation


@dataclass
class Child:
    """A process that runs an action.  status: exit code, minus the signal, or None while it runs."""

    process: int
    log: Path
    status: int | None = None

    def wait(self, seconds: float) -> bool:
        """Wait; True if it ended within so many seconds."""
        if self.status is not None:
            return True
        handle = os.pidfd_open(self.process)
        try:
            ended = bool(select.select([handle], [], [], max(seconds, 0.0))[0])
        finally:
            os.close(handle)
        if ended:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return ended

    def send(self, number: int) -> None:
        """Send a signal to it and its children."""
        if self.status is None:
            os.killpg(self.process, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait(60)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


def born(action: Action, log: Path, strike: tuple[Path, int] | None = None) -> Child:
    """Start a process for the action.  strike: (folder, n), it dies before its n-th file operation there."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process = os.fork()
    if process:
        os.setpgid(process, process)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return Child(process, log)
    code = CRASHED
    try:
        _settle(log)
        if strike:
            _die_before(*strike)
        code = _outcome(action)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _settle(log: Path) -> None:
    """Lead a group, listen to Ctrl-C, and write to the log instead of the terminal."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    out, nothing = (
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666),
        os.open(os.devnull, os.O_RDONLY),
    )
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _outcome(action: Action) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            action()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return CRASHED
    return 0


_CHANGES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")


def _die_before(folder: Path, number: int) -> None:
    """End this process before its n-th change of the folder, without flushing or cleaning up.

    Found by Python's audit events; a removal inside a tree names files relative to an open folder.
    """
    calls, inside = 0, str(folder)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal calls
        if event in _CHANGES and _concerns(arguments, inside):
            calls += 1
            if calls == number:
                os._exit(STRUCK)

    sys.addaudithook(look)


def _concerns(arguments: tuple[object, ...], folder: str) -> bool:
    names = [os.fsdecode(name) for name in arguments[:2] if isinstance(name, (str, bytes, os.PathLike))]
    return any(name.startswith(folder) for name in names) or (
        bool(names) and not os.path.isabs(names[0]) and arguments[-1] not in (-1, None)
    )


def killed_after(action: Action, log: Path, seconds: float) -> Child:
    """Start an action and kill it after so many seconds, unless it ended before."""
    child = born(action, log)
    if not child.wait(seconds):
        child.kill()
    return child


def done(action: Action, log: Path) -> float:
    """Seconds that an undisturbed action takes.  Raises RuntimeError if it fails."""
    began = time.perf_counter()
    child = born(action, log)
    if not child.wait(600) or child.status:
        child.kill()
        raise RuntimeError(f"ended with {child.status}: {child.said()[-2000:]}")
    return time.perf_counter() - began
