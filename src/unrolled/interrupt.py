"""Ctrl-C during training: noted at once, obeyed between two batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class CtrlC:
    """While entered, the first Ctrl-C makes `check` raise KeyboardInterrupt; a second one raises it where it comes.

    In the main thread only, and only where Ctrl-C has Python's own meaning; otherwise nothing changes.
    """

    def __init__(self) -> None:
        self._installed = self._hit = self._whole = False

    def __enter__(self) -> CtrlC:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._hit:
            raise KeyboardInterrupt

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A piece of work that no Ctrl-C cuts in two, not even a second one."""
        self._whole = True
        try:
            yield
        finally:
            self._whole = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._hit and not self._whole:
            raise KeyboardInterrupt
        self._hit = True
