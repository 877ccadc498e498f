"""Connections that are watched below HTTP, where also what is no part of a file takes time.

http.client reads interim answers, headers, chunk sizes and trailers for as long as they come, and hands over
nothing meanwhile.  So every read from the socket is preceded by a look at the clock, whatever it is for.
"""

import io
import time
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

__all__ = ["Paced", "TooSlowError"]


class TooSlowError(HTTPError):
    """Too little of the file came; requests and urllib3 let it through as it is."""


class Paced(HTTPAdapter):
    """Asks of every answer, also of a proxy's, that it keeps the pace, and that its headers come in time.

    seconds: for all headers, and after them between two looks at the pace.
    slowest: bytes of the file per second.
    """

    def __init__(self, seconds: float, slowest: float) -> None:
        self.response = type("Response", (_Response,), {"seconds": seconds, "slowest": slowest})
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """The connections without a proxy."""
        super().init_poolmanager(*args, **more)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """The connections through one."""
        fresh = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **more)
        if fresh:
            self._watch(manager)
        return manager

    def _watch(self, manager: Any) -> None:
        """Has the manager's connections make answers of our kind."""
        pools = {}
        for scheme, pool in manager.pool_classes_by_scheme.items():
            connection = type("Connection", (pool.ConnectionCls,), {"response_class": self.response})
            pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
        manager.pool_classes_by_scheme = pools


class _Response(HTTPResponse):
    """An answer that counts the bytes of the file in it."""

    seconds: float
    slowest: float

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.pace = _Pace(self.seconds, self.slowest)
        self.fp = io.BufferedReader(_Wire(self.fp.detach(), self.pace))

    def begin(self) -> None:
        super().begin()
        self.pace.begin()  # headers are no part of the file: its time begins behind them

    def read1(self, n: int = -1) -> bytes:
        data = super().read1(n)
        self.pace.came += len(data)
        return data


class _Wire(io.RawIOBase):
    """What comes through a socket, as long as the pace is kept."""

    def __init__(self, raw: io.RawIOBase, pace: "_Pace") -> None:
        self.raw, self.pace = raw, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self.pace.check()
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Pace:
    """Whether enough comes."""

    def __init__(self, seconds: float, slowest: float) -> None:
        self.seconds, self.slowest = seconds, slowest
        self.begin()

    def begin(self) -> None:
        """Counts from here."""
        self.since, self.came = time.monotonic(), 0

    def check(self) -> None:
        """Raises TooSlowError if too little came in the time that has passed."""
        passed = time.monotonic() - self.since
        if passed < self.seconds:
            return
        if self.came < self.slowest * passed:
            raise TooSlowError(f"the server sends fewer than {self.slowest:,.0f} bytes of the file a second")
        self.begin()
