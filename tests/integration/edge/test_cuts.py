"""A line that breaks at any byte: what arrives in the end is what arrives over a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import mixdown
from tests.integration.edge.conftest import LEASE_SECONDS, OpenEdge
from tests.integration.gateway.comparing import heard
from tests.integration.gateway.conftest import noise_wav

CUTS = 4
"""Breaks of one line, at most: a client that gets nowhere gives up at the sixth in a row."""

AT_ONCE = 5


class BreakingLine:
    """A TCP proxy whose connections break after a random number of bytes, the first few of them."""

    def __init__(self, target: str, chance: random.Random, most_bytes: int) -> None:
        self._host, port = target.split(":")
        self._port = int(port)
        self._chance = chance
        self._most_bytes = most_bytes
        self.cuts = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        breaks = self.cuts < CUTS
        left = self._chance.randrange(self._most_bytes) if breaks else None

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            nonlocal left
            while data := await source.read(1 << 16):
                if left is not None:
                    data, left = data[:left], left - len(data)
                target.write(data)
                await target.drain()
                if left is not None and left <= 0:
                    self.cuts += 1
                    return

        pumps = {
            asyncio.create_task(pump(reader, far_writer)),
            asyncio.create_task(pump(far_reader, writer)),
        }
        done, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(*done, *pending, return_exceptions=True)
        for one in (writer, far_writer):
            one.transport.abort()  # no farewell, as when a cable is drawn


async def repeat(times: int, run: Callable[[int], Coroutine[Any, Any, int]]) -> int:
    """Runs many, a few at once; returns how often their lines broke.

    None may take as long as a lease: a turn whose lease was lost on the way would wait for its end.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> int:
        async with places, asyncio.timeout(LEASE_SECONDS - 10):
            return await run(number)

    return sum(await asyncio.gather(*(one(number) for number in range(times))))


def many(times: int) -> pytest.MarkDecorator:
    hundred = pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])
    return pytest.mark.parametrize("times", [times, hundred])


@many(10)
async def test_an_upload_over_a_breaking_line_is_the_same_file(
    open_edge: OpenEdge, tmp_path, times
):
    async def run(number: int) -> int:
        content = noise_wav(4.0, seed=1000 * times + number)
        path = tmp_path / f"{number}.wav"
        path.write_bytes(content)
        line = BreakingLine(open_edge.address, random.Random(number), len(content))
        async with line.open() as address, mixdown.connect(address) as client:
            track = await client.upload(path)
            assert track.blob.sha256 == hashlib.sha256(content).hexdigest()
        return line.cuts

    assert await repeat(times, run) >= times


@many(30)
async def test_a_turn_over_a_breaking_line_brings_the_same_files(
    open_edge: OpenEdge, tmp_path, times
):
    song = tmp_path / "song.wav"
    song.write_bytes(noise_wav(3.0, seed=77))
    prompt = "give me the vocals and the drums"

    async with mixdown.connect(open_edge.address) as client:
        track = await client.upload(song)
        whole = await (await client.create_session(track)).ask(prompt, folder=tmp_path / "whole")
    expected = heard(contents(whole))
    size = sum(file.artifact.blob.size_bytes for file in whole.files)

    async def run(number: int) -> int:
        # Every other one is computed while the line breaks; the others' files are there already.
        model = ("shares", "slow")[number % 2]
        line = BreakingLine(open_edge.address, random.Random(number), size)
        async with mixdown.connect(open_edge.address) as safe:
            session_id = (await safe.create_session(track, model=model)).session_id
        async with line.open() as address, mixdown.connect(address) as client:
            session = await client.session(session_id)
            turn = await session.ask(prompt, folder=tmp_path / str(number))
            turns = [item async for item in session.turns()]
        assert [item.turn_id for item in turns] == [turn.turn_id]
        assert heard(contents(turn)) == expected
        return line.cuts

    assert await repeat(times, run) >= times


def contents(turn: mixdown.Turn) -> dict[str, bytes]:
    return {file.name: Path(file.path).read_bytes() for file in turn.files}
