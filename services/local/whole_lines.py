"""A text stream that several threads write to."""

from __future__ import annotations

import threading
from collections import deque
from typing import TextIO


class WholeLines:
    """Passes on whole lines only, so that those of two threads never mix.

    `print` writes a line and its end apart; what another thread prints may come between. Here each
    thread's text waits until its line ends.

    Nobody waits for anybody: whoever finds another one writing leaves the line to it. So a signal's
    handler may print too, although the thread that it interrupts may be the one that writes. (What
    it interrupts in the midst of a line, it prints behind.)

    Args:
        output: Where the lines go, each at once.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._lines: deque[str] = deque()
        self._writes = threading.Lock()
        self._of_thread = threading.local()

    def write(self, text: str) -> int:
        """Takes text; passes on what ends with it. Returns its length, as text streams do."""
        begun = getattr(self._of_thread, "begun", "") + text
        lines, end, self._of_thread.begun = begun.rpartition("\n")
        if end:
            self._lines.append(lines + end)
            self._pass_on()
        return len(text)

    def flush(self) -> None:
        """Does nothing: lines never wait."""

    def isatty(self) -> bool:
        """Whether somebody looks: then names have colours."""
        return self._output.isatty()

    def _pass_on(self) -> None:
        # Looked at again when the lock is free: a line may have come, and its writer gone, between.
        while self._lines and self._writes.acquire(blocking=False):
            try:
                while self._lines:
                    self._output.write(self._lines.popleft())
                self._output.flush()
            finally:
                self._writes.release()
