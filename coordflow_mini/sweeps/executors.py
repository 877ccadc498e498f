"""Where many jobs run: processes of this machine, or the workers of a Dask cluster.

Both are a `concurrent.futures.Executor`, and so is whatever else you bring along.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Any

__all__ = ["check", "opened"]

_DASK = "dask://"
_PATIENCE = 20  # seconds for a scheduler to answer
_GRACE = 2.0  # seconds for a process to end by itself


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

    Left by an exception, such as Ctrl-C, local processes get two seconds to write what they have reached,
    and are ended; on a cluster, tasks that did not begin are canceled, and the others go on to their end.
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
    """A pool of spawned processes that is renewed when one of them dies, and that dies with this process.

    The others of the old pool are ended, too, before the new one begins: they get the same two seconds.
    Each leads a group of its own, so that the compilers that PyTorch starts there end with it.
    """

    def __init__(self, count: int):
        self._count = count
        self._before = set(multiprocessing.active_children())
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks of PyTorch's threads
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_begin)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """As `ProcessPoolExecutor.submit`."""
        with _interrupts_ignored():  # what is spawned inherits that: Ctrl-C is for this process alone
            try:
                future = self._pool.submit(_task, fn, *args, **kwargs)
            except BrokenExecutor:
                self.end()  # a process that was just loading PyTorch may have missed that it is to end
                self._pool = self._new()
                future = self._pool.submit(_task, fn, *args, **kwargs)
            self._watch_all()
            return future

    def _watch_all(self) -> None:
        """Lets the pool list its processes anew.

        It does so before it starts another one for a task, and would not hear of the death of the last one
        until something else happens; `concurrent.futures` of 3.10 to 3.13 at least.
        """
        pool: Any = self._pool
        with suppress(AttributeError, OSError), pool._shutdown_lock:
            pool._executor_manager_thread_wakeup.wakeup()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `ProcessPoolExecutor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def end(self) -> None:
        """End the processes, whatever they do, with all that they have started."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        processes = set(multiprocessing.active_children()) - self._before
        until = time.monotonic() + _GRACE
        try:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(max(0.0, until - time.monotonic()))
        finally:  # also of somebody who cannot wait even so long
            for process in processes:
                _kill_group(process.pid)
                process.kill()


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


def _begin() -> None:
    """What a new process does first: it leads a group, ends when it is told to, or when its parent dies."""
    if hasattr(os, "setsid"):
        with suppress(OSError):
            os.setsid()
    signal.signal(signal.SIGTERM, _end)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a pool's processes would wait forever
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _end(*_: object) -> None:
    raise SystemExit  # a training that is under way writes its checkpoint


def _task(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What the function returns; a process that is told to end ends here, and begins nothing more."""
    try:
        return fn(*args, **kwargs)
    except SystemExit:
        os._exit(1)


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    _kill_group(os.getpid())
    os._exit(1)


def _kill_group(leader: int | None) -> None:
    """End a process with all that it has started, if it leads a group."""
    if leader is not None and hasattr(os, "killpg"):
        with suppress(OSError):  # it leads none, or it is gone
            os.killpg(leader, signal.SIGKILL)
