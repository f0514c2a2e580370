"""A bar on a terminal, as long as somebody looks."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TextIO

_WIDTH = 40
_PERIOD_S = 0.1


class Bar:
    """Counts pixels of `total` and shows their share on `stream`; erased at the end. Threads may count together.

    Where `stream` is no terminal, or `shown` is false, nothing is written.
    """

    def __init__(self, total: int, stream: TextIO, *, shown: bool = True) -> None:
        self._total, self._stream = max(total, 1), stream
        self._shown = shown and stream.isatty()
        self._lock = threading.Lock()
        self._done, self._latest = 0, 0.0

    def __enter__(self) -> Bar:
        self.add(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write("\r\x1b[K")

    def add(self, pixels: int) -> None:
        """Count `pixels` more; draw, where the last drawing is some time ago."""
        with self._lock:
            self._done += pixels
            now = time.monotonic()
            if not self._shown or now - self._latest < _PERIOD_S:
                return
            self._latest = now
            share = min(self._done / self._total, 1.0)
            full = "#" * int(_WIDTH * share)
            self._write(f"\r{100 * share:3.0f} % [{full:<{_WIDTH}}] {self._done} of {self._total} pixels")

    def _write(self, text: str) -> None:
        if not self._shown:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # who looked has left
            self._shown = False
