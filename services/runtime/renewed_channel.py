"""A channel that shows its certificate anew when that has been replaced.

grpc reads credentials once for each channel. So this one is a channel of grpc's for as long as the
files stay as they are, and another one from the first call after they have changed; calls under way
end where they began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
import structlog
from grpc import aio

from services.runtime.tls import TlsFiles

_log = structlog.get_logger("mixdown.tls")


class RenewedChannel(aio.Channel):
    """A channel with the certificate of now.

    Args:
        tls: What we show and believe.
        open_with: Opens a channel of grpc's with credentials.

    Raises:
        OSError: the files cannot be read.
    """

    def __init__(
        self, tls: TlsFiles, open_with: Callable[[grpc.ChannelCredentials], aio.Channel]
    ) -> None:
        self._tls = tls
        self._open_with = open_with
        self._seen = tls.version()
        self._current = _Lane(open_with(tls.channel_credentials()))
        self._is_behind = False
        self._leaving: set[asyncio.Task[None]] = set()

    def lane(self) -> _Lane:
        """Returns where a call is made now."""
        try:
            version = self._tls.version()
            if version != self._seen:
                self._renew()
                self._seen = version
                self._is_behind = False
        except OSError as error:
            # Half of them may be replaced yet; those in use go on being good.
            if not self._is_behind:
                _log.warning("certificates_not_read", error=str(error))
            self._is_behind = True
        return self._current

    def _renew(self) -> None:
        self._tls.check()
        before = self._current
        self._current = _Lane(self._open_with(self._tls.channel_credentials()))
        leaving = asyncio.create_task(before.leave())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def unary_unary(self, method: str, *serializers: Any, **said: Any) -> Any:
        """Returns the call of a method, as grpc does."""
        return _Method(self, "unary_unary", method, *serializers, **said)

    def unary_stream(self, method: str, *serializers: Any, **said: Any) -> Any:
        """Returns the call of a method, as grpc does."""
        return _Method(self, "unary_stream", method, *serializers, **said)

    def stream_unary(self, method: str, *serializers: Any, **said: Any) -> Any:
        """Returns the call of a method, as grpc does."""
        return _Method(self, "stream_unary", method, *serializers, **said)

    def stream_stream(self, method: str, *serializers: Any, **said: Any) -> Any:
        """Returns the call of a method, as grpc does."""
        return _Method(self, "stream_stream", method, *serializers, **said)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Tells of the connection of now."""
        return self._current.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits for the connection of now."""
        await self._current.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits for the connection of now."""
        await self._current.channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Closes it, and what calls begun earlier go on with."""
        for leaving in list(self._leaving):
            leaving.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._current.channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class _Lane:
    """One channel of grpc's, and how many calls are under way on it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self._calls = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def entered(self, call: Any) -> None:
        self._calls += 1
        self._is_empty.clear()
        call.add_done_callback(self._left)

    def _left(self, _: object) -> None:
        self._calls -= 1
        if not self._calls:
            self._is_empty.set()

    async def leave(self) -> None:
        """Closes the channel when its last call has ended."""
        try:
            await self._is_empty.wait()
        finally:
            await self.channel.close()


class _Method:
    """A method of a service, called on whichever channel is the one of now."""

    def __init__(self, channel: RenewedChannel, kind: str, *said: Any, **named: Any) -> None:
        self._channel = channel
        self._kind = kind
        self._said = said
        self._named = named
        self._lane: _Lane | None = None
        self._call: Callable[..., Any]

    def __call__(self, *said: Any, **named: Any) -> Any:
        lane = self._channel.lane()
        if lane is not self._lane:
            self._lane = lane
            self._call = getattr(lane.channel, self._kind)(*self._said, **self._named)
        call = self._call(*said, **named)
        lane.entered(call)
        return call
