"""Work that blocks, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Runs a function in a thread and returns its result.

    A thread cannot be cancelled. When the caller is, this waits for the function's end before it
    says so: whatever the function works on may then be closed.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # taken note of: the cancellation is what counts
        raise


class Closeable(Protocol):
    """What holds files or memory until it is closed."""

    def close(self) -> None:
        """Lets go of everything."""
        ...


_C = TypeVar("_C", bound=Closeable)


async def open_in_thread(function: Callable[_P, _C], *args: _P.args, **kwargs: _P.kwargs) -> _C:
    """Makes something in a thread; when the caller is cancelled meanwhile, closes what was made."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled() and work.exception() is None:
            work.result().close()
        raise
