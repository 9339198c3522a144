"""Lines of several threads come out whole."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

from services.local.whole_lines import WholeLines
from tests.patience import PATIENCE_SECONDS


class SlowOutput(io.StringIO):
    """Lets other threads go first after each write."""

    def write(self, text: str) -> int:
        written = super().write(text)
        time.sleep(0.0005)
        return written


def test_lines_of_two_threads_do_not_mix() -> None:
    output = SlowOutput()
    stream = WholeLines(output)
    both = threading.Barrier(2)

    def write(name: str) -> None:
        both.wait()
        for number in range(50):
            print(name, number, file=stream, flush=True)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = output.getvalue().splitlines()
    for name in ("one", "two"):
        expected = [f"{name} {number}" for number in range(50)]
        assert [line for line in lines if line.startswith(name)] == expected
    assert len(lines) == 100


def test_the_parts_of_a_line_and_several_lines_at_once_are_kept_in_order() -> None:
    output = io.StringIO()
    stream = WholeLines(output)
    stream.write("a")
    assert not output.getvalue()
    stream.write("b\nc\nd")
    assert output.getvalue() == "ab\nc\n"
    stream.write("\n")
    assert output.getvalue() == "ab\nc\nd\n"


class Interrupted(io.StringIO):
    """Is interrupted by a signal, whose handler prints, while it writes its first line."""

    def __init__(self) -> None:
        super().__init__()
        self.handler: Callable[[], object] | None = None

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.handler is not None:
            handler, self.handler = self.handler, None
            handler()
        return written


def test_a_signals_handler_may_print_while_the_thread_that_it_interrupts_writes() -> None:
    output = Interrupted()
    stream = WholeLines(output)
    output.handler = lambda: print("SIGTERM received", file=stream, flush=True)
    printing = threading.Thread(
        target=lambda: print("a line", file=stream, flush=True), daemon=True
    )
    printing.start()
    printing.join(PATIENCE_SECONDS)
    assert not printing.is_alive()
    print("another", file=stream)
    assert output.getvalue() == "a line\nSIGTERM received\nanother\n"
