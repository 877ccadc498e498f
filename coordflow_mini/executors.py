"""Where many jobs run: processes of this machine, or the workers of a Dask cluster.

Both are a `concurrent.futures.Executor`, and so is whatever else you bring along.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

__all__ = ["check", "opened"]

_DASK = "dask://"
_PATIENCE = 20  # seconds for a scheduler to answer


def check(where: str, workers: int) -> None:
    """Refuses what is no executor, without starting one; raises ValueError with the cure."""
    if workers < 1:
        raise ValueError(f"--workers must be 1 or more, got {workers}")
    if where == "local":
        return
    host, colon, port = where.removeprefix(_DASK).rpartition(":")
    if not where.startswith(_DASK) or not (host and colon and port.isdecimal()):
        raise ValueError(f"--executor must be local or dask://HOST:PORT, got {where!r}")
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ValueError(
            f"--executor {where} needs Dask; get it with: pip install 'coordflow-mini[scale]'"
        ) from None


@contextmanager
def opened(where: str = "local", workers: int = 1) -> Iterator[Executor]:
    """The executor "local", of so many processes, or "dask://HOST:PORT", with the workers that are there.

    Left by an exception, such as Ctrl-C, local processes are ended at once; on a cluster, tasks that did
    not begin are canceled, and the others go on to their end.
    Raises ValueError as `check` does, or if no scheduler answers.
    """
    check(where, workers)
    if where != "local":
        with _dask(where) as executor:
            yield executor
        return
    executor = _Processes(workers)
    try:
        yield executor
    except BaseException:
        executor.end()
        raise
    finally:
        executor.shutdown()


@contextmanager
def _dask(where: str) -> Iterator[Executor]:
    """The executor of a cluster."""
    from distributed import Client

    try:
        client = Client(where.removeprefix(_DASK), timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError):
        raise ValueError(
            f"--executor {where}: no scheduler answers there; start one with `dask scheduler`, "
            f"and workers with `dask worker`"
        ) from None
    with client:
        # not pure: the same task, given again, is to be run again
        yield client.get_executor(pure=False)


class _Processes(Executor):
    """A pool of spawned processes that is renewed when one of them dies, and that dies with this process."""

    def __init__(self, count: int):
        self._count = count
        self._before = set(multiprocessing.active_children())
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks of PyTorch's threads
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_end_with_parent)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """As `ProcessPoolExecutor.submit`."""
        with _interrupts_ignored():  # what is spawned inherits that: Ctrl-C is for this process alone
            try:
                return self._pool.submit(fn, *args, **kwargs)
            except BrokenExecutor:
                self._pool.shutdown(wait=True)
                self._pool = self._new()
                return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `ProcessPoolExecutor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def end(self) -> None:
        """End the processes, whatever they do."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - self._before:
            process.terminate()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C does nothing meanwhile; in other threads than the first it never does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_parent() -> None:
    """Let this process die when the one that spawned it does: a pool's processes would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
