"""A stream is made while it is read: in order, bounded, and closed with its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.remixer.ahead import ahead


class Counting:
    """A stream of numbers that tells how far it came and whether it was closed."""

    def __init__(self, end: int, error: Exception | None = None) -> None:
        self.begun = 0
        self.closed = False
        self._end = end
        self._error = error

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self._end):
                self.begun = number + 1
                yield number
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_everything_arrives_in_order() -> None:
    source = Counting(100)
    assert [number async for number in ahead(source.items(), 3)] == list(range(100))
    assert source.closed


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_so_much_is_made_while_the_reader_is_busy_and_no_more(count: int) -> None:
    source = Counting(100)
    async with aclosing(ahead(source.items(), count)) as reader:
        assert await anext(reader) == 0
        await settle()
        # One is with the reader, `count` wait, and the next one waits for room.
        assert source.begun == 1 + count + 1
    assert source.closed


async def test_an_error_comes_after_what_was_made_before_it() -> None:
    source = Counting(3, ValueError("no more"))
    seen = []
    with pytest.raises(ValueError, match="no more"):
        async for number in ahead(source.items(), 2):
            seen.append(number)
    assert seen == [0, 1, 2]
    assert source.closed


async def test_a_reader_that_is_cancelled_ends_the_making() -> None:
    source = Counting(100)
    arrived = asyncio.Event()

    async def read() -> None:
        async with aclosing(ahead(source.items(), 2)) as reader:
            async for _ in reader:
                arrived.set()
                await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await arrived.wait()
    await settle()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.closed
