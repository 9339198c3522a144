"""A text stream that several threads write to."""

from __future__ import annotations

import threading
from typing import TextIO


class WholeLines:
    """Passes on whole lines only, so that those of two threads never mix.

    `print` writes a line and its end apart; what another thread prints may come between. Here each
    thread's text waits until its line ends.

    Args:
        output: Where the lines go.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    def write(self, text: str) -> int:
        """Takes text; passes on what ends with it. Returns its length, as text streams do."""
        begun = getattr(self._of_thread, "begun", "") + text
        lines, end, self._of_thread.begun = begun.rpartition("\n")
        if end:
            with self._lock:
                self._output.write(lines + end)
        return len(text)

    def flush(self) -> None:
        """Has what was passed on written."""
        with self._lock:
            self._output.flush()

    def isatty(self) -> bool:
        """Whether somebody looks: then names have colours."""
        return self._output.isatty()
