"""Lines of several threads come out whole."""

from __future__ import annotations

import io
import threading
import time

from services.local.whole_lines import WholeLines


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
