"""Blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, wait
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_thread(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Runs `call` in a thread. A cancellation arrives when it has ended, not in its midst.

    So what it works on can be closed safely afterwards. Calls should end within a moment.
    """
    return await _run(partial(call, *args, **kwargs), threading.Event())


async def in_stoppable_thread(call: Callable[[Callable[[], bool]], _T]) -> _T:
    """Runs a long `call` in a thread, which asks what it is given whether it should end early.

    It should once the caller is cancelled; only when it has ended is the caller told.
    """
    stop = threading.Event()
    return await _run(partial(call, stop.is_set), stop)


def side_by_side(threads: Executor, calls: Iterable[Callable[[], _T]]) -> list[_T]:
    """Runs `calls` at once and returns what they return, in their order.

    All have ended before one that failed is told: what they work on can be closed then.
    """
    running = [threads.submit(call) for call in calls]
    wait(running)
    return [call.result() for call in running]


async def _run(call: Callable[[], _T], stop: threading.Event) -> _T:
    # A future, not a task: a loop that shuts down cancels its tasks while their threads go on.
    context = contextvars.copy_context()
    running = asyncio.get_running_loop().run_in_executor(None, context.run, call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        while not running.done():
            try:
                await asyncio.wait({running})
            except asyncio.CancelledError:
                continue  # told once is enough
        if not running.cancelled():
            running.exception()  # it is of no interest any more
        raise
