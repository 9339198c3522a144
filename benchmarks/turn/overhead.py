"""What the way through Envoy and the gateway adds to the same work without it."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from pathlib import Path

import grpc

from benchmarks.machine import Figures
from benchmarks.turn.bench import Bench
from benchmarks.turn.prepared import Prepared, drain
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix.v1 import mix_pb2
from mixdown.remixer.v1 import remixer_pb2_grpc
from mixdown.session.v1 import session_pb2, session_pb2_grpc

_SHORT_CALLS = 200
_NEW_TRACK_SECONDS = 60.0
_NEW_TRACK_REPEATS = 3
_NOBODY = "nobody"
_LARGE = (("grpc.max_receive_message_length", 8 << 20),)


async def measure_overhead(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures remixes of one stem, and of two, by both ways in turn.

    And of one stem of new tracks, which is separated meanwhile.
    """
    prepared = await Prepared.open(bench, folder, seconds)
    number = itertools.count()

    async def known() -> Prepared:
        return prepared

    async def new() -> Prepared:
        skip_seconds = 0.375 + next(number)
        return await Prepared.open_new(bench, folder, _NEW_TRACK_SECONDS, skip_seconds)

    return {
        "repeats": repeats,
        "one_stem": await _both_ways(bench, known, Prepared.next_mix, repeats),
        "two_stems": await _both_ways(bench, known, Prepared.next_mix_of_two, repeats),
        "one_stem_of_a_new_track": await _both_ways(
            bench, new, Prepared.next_mix, _NEW_TRACK_REPEATS
        ),
    }


async def _both_ways(
    bench: Bench,
    next_song: Callable[[], Awaitable[Prepared]],
    next_mix: Callable[[Prepared], mix_pb2.Mix],
    repeats: int,
) -> Figures:
    """Renders mixes by the remixer itself and through Envoy and the gateway, every one anew."""
    stub = bench.caller()
    direct, through = _Way(bench), _Way(bench)
    async with _connect(bench.address_of("remixer")) as channel:
        remixer = _remixer(channel)
        for _ in range(repeats + 1):
            song = await next_song()
            await direct.take(remixer.Render(song.request(next_mix(song))))
            song = await next_song()
            session_id = song.session.session_id
            said = gateway_pb2.RenderRequest(session_id=session_id, mix=next_mix(song))
            await through.take(stub.Render(said))
    return {
        "remixer_seconds": round(min(direct.took), 3),
        "through_envoy_and_gateway_seconds": round(min(through.took), 3),
        "overhead_percent": _percent_more(min(through.took), min(direct.took)),
        # A machine that others use is slower for a while: then it is so for both of a pair.
        "overhead_percent_of_pairs": round(
            statistics.median(map(_percent_more, through.took, direct.took)), 1
        ),
        "cpu_seconds_of_the_remixer_itself": direct.cpu_seconds(),
        "cpu_seconds_through_envoy_and_gateway": through.cpu_seconds(),
    }


async def measure_internal(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures calls from service to service, without and with Envoy's internal listener.

    A stream: a file that the remixer has in the store. A short call: a list of sessions.
    """
    prepared = await Prepared.open(bench, folder, seconds)
    request = prepared.request(prepared.next_mix())
    listing = session_pb2.ListSessionsRequest(user_id=_NOBODY)
    places = {
        "directly": (bench.address_of("remixer"), bench.address_of("session")),
        "through_envoy": (bench.internal_address, bench.internal_address),
    }
    streams = {name: _Way(bench) for name in places}
    short: dict[str, list[float]] = {name: [] for name in places}
    async with contextlib.AsyncExitStack() as stack:
        remixers, sessions = {}, {}
        for name, (remixer, session) in places.items():
            remixers[name] = _remixer(await stack.enter_async_context(_connect(remixer)))
            sessions[name] = _session(await stack.enter_async_context(_connect(session)))
        for _ in range(repeats + 1):  # the first one of all renders the file
            for name in places:
                await streams[name].take(remixers[name].Render(request))
        for _ in range(_SHORT_CALLS):
            for name in places:
                began = time.perf_counter()
                await sessions[name].ListSessions(listing)
                short[name].append(time.perf_counter() - began)
    told = {
        name: {
            "stream_seconds": round(min(streams[name].took), 3),
            "stream_cpu_seconds": streams[name].cpu_seconds(),
            "short_call_ms": round(1000 * statistics.median(short[name]), 2),
        }
        for name in places
    }
    return {"repeats": repeats, **told}


class _Way:
    """Streams of one kind: their seconds, and the CPU seconds of every process meanwhile."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._cpu_seconds: list[dict[str, float]] = []
        self._took: list[float] = []

    @property
    def took(self) -> list[float]:
        """The seconds of each stream, without the first one, which opens what stays open."""
        return self._took[1:]

    async def take(self, call: AsyncIterable[object]) -> None:
        """Reads a stream to its end."""
        before = self._bench.cpu_seconds()
        self._took.append(await drain(call))
        after = self._bench.cpu_seconds()
        self._cpu_seconds.append({name: after[name] - before[name] for name in before})

    def cpu_seconds(self) -> Figures:
        """Returns the mean of each process and of their sums."""
        runs = self._cpu_seconds[1:]
        means = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
        means["all"] = sum(means.values())
        return {name: round(seconds, 3) for name, seconds in means.items()}


def _percent_more(one: float, other: float) -> float:
    return round(100 * (one / other - 1), 1)


def _connect(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=_LARGE)


def _remixer(channel: grpc.aio.Channel) -> remixer_pb2_grpc.RemixerServiceAsyncStub:
    stub: remixer_pb2_grpc.RemixerServiceAsyncStub = remixer_pb2_grpc.RemixerServiceStub(channel)
    return stub


def _session(channel: grpc.aio.Channel) -> session_pb2_grpc.SessionServiceAsyncStub:
    stub: session_pb2_grpc.SessionServiceAsyncStub = session_pb2_grpc.SessionServiceStub(channel)
    return stub
