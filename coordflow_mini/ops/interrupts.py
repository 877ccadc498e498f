"""Ctrl-C, where it must wait for a moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["undisturbed"]


@contextmanager
def undisturbed(*signals: int) -> Iterator[None]:
    """Ctrl-C and a request to end (SIGTERM) wait until this is over; no other thread ever hears of them.

    signals: which; both if none is given.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {}
    for number in signals or (signal.SIGINT, signal.SIGTERM):
        if callable(handler := signal.getsignal(number)):
            before[number] = handler
            signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
