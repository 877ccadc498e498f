"""Dask workers for a sweep: of a cluster, or of this machine."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from coordflow_mini.ops.lazy import lazily

with lazily():  # belongs to the extra [scale]
    import distributed  # trusted: an address that the user gives, and its network; see docs/trust.md

_DASK = "dask://"
_PATIENCE = 20  # seconds for a scheduler to answer


def check(where: str, workers: int) -> None:
    """Raises ValueError, with the cure, unless `connected` could use these."""
    if workers < 1:
        raise ValueError(f"--workers must be 1 or more, got {workers}")
    host, colon, port = where.removeprefix(_DASK).rpartition(":")
    if where != "local" and not (where.startswith(_DASK) and host and colon and port.isdecimal()):
        raise ValueError(f"--executor must be local or dask://HOST:PORT, got {where!r}")
    if where != "local" or workers > 1:
        try:
            distributed.Client  # noqa: B018 - imports it
        except ImportError:
            raise ValueError(
                "--executor and --workers need Dask; get it with: pip install 'coordflow-mini[scale]'"
            ) from None


@contextmanager
def connected(where: str = "local", workers: int = 1) -> Iterator[Executor | None]:
    """An executor on Dask's workers: of the cluster "dask://HOST:PORT", or so many local processes.

    None for a single local one: the sweep's own process.  Dask gives the tasks of a dead worker to another
    one.  Raises ValueError as `check` does, or if no scheduler answers.
    """
    check(where, workers)
    if where == "local" and workers == 1:
        yield None
        return
    if where == "local":
        client = distributed.Client(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", set_as_default=False
        )
    else:
        try:
            address = where.removeprefix(_DASK)
            client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, TimeoutError):
            raise ValueError(
                f"--executor {where}: no scheduler answers there; start one with `dask scheduler`, "
                f"and workers with `dask worker`"
            ) from None
    with client:
        yield client.get_executor(pure=False)  # not pure: a task given again is to run again
