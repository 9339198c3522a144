"""How a broken call is made again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from grpc import aio

from mixdown.errors import error_from_call, may_succeed_again, retry_delay_seconds
from mixdown.link import Link

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_ATTEMPTS = 6
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 60.0
"""What a server tells to wait longer, such as a quota of the day, is for the caller to decide."""


class Patience:
    """Counts failures in a row, and waits longer after each.

    Args:
        address: The address in use, for the error in the end.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._failures = 0

    def progressed(self) -> None:
        """Forgets earlier failures: something came through."""
        self._failures = 0

    async def after(self, error: aio.AioRpcError) -> None:
        """Waits, when the call may be made again.

        Raises:
            MixdownError: it may not, or it has failed too often.
        """
        self._failures += 1
        # Not before the server wants it, and not all callers at once.
        told = retry_delay_seconds(error) or 0.0
        spent = self._failures >= _ATTEMPTS or told > _LONGEST_WAIT_SECONDS
        if spent or not may_succeed_again(error):
            raise error_from_call(error, self._address) from error
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(told + pause * random.uniform(0.5, 1))  # noqa: S311 - no secret


async def call_again(
    link: Link, call: Callable[..., Awaitable[_Response]], request: _Request
) -> _Response:
    """Makes an idempotent call until it succeeds or cannot. Raises MixdownError."""
    patience = Patience(link.address)
    while True:
        try:
            return await call(request, metadata=link.metadata)
        except aio.AioRpcError as error:
            await patience.after(error)
