"""A stream that is made while it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

_T = TypeVar("_T")


async def ahead(items: AsyncGenerator[_T, None], count: int) -> AsyncGenerator[_T, None]:
    """Yields what `items` yields, and has the next ones made while one is taken.

    An asynchronous generator stands still while its reader is busy: a render would not go on while
    what it made is being sent.

    Args:
        items: The stream; closed with this one, whose task it does not share.
        count: How many items may wait at most; a slow reader makes `items` wait beyond that.

    Raises:
        Exception: what `items` raised, after everything that came before it.
    """
    made: asyncio.Queue[_T | None] = asyncio.Queue()
    room = asyncio.Semaphore(count)

    async def make() -> None:
        async with aclosing(items):
            async for item in items:
                await room.acquire()
                made.put_nowait(item)

    making = asyncio.create_task(make())
    making.add_done_callback(lambda _: made.put_nowait(None))
    try:
        while (item := await made.get()) is not None:
            room.release()
            yield item
        await making
    finally:
        making.cancel()
        await asyncio.wait({making})
        if not making.cancelled():
            making.exception()  # taken note of: it was raised above, or nobody is left to hear it
