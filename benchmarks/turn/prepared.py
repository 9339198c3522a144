"""Songs to render, and the reading of what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable
from pathlib import Path

import mixdown
from benchmarks.turn.bench import Bench, keep_stems, open_session, write_song
from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix import MASTER, EqBand, Mix, TargetSettings
from mixdown.mix.protobuf import mix_to_message
from mixdown.mix.v1 import mix_pb2
from mixdown.remixer.v1 import remixer_pb2

LOUDER, DISTANT = "vocals", "drums"

_OUTPUT = mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)
_BRIGHT = EqBand("peak", 3000.0, 5.0)


class Prepared:
    """A song, and a conversation about it."""

    def __init__(self, session: mixdown.Session, track: conversation_pb2.Track) -> None:
        self.session = session
        self.track = track
        self._count = 0

    @classmethod
    async def open(cls, bench: Bench, folder: Path, seconds: float) -> Prepared:
        """Uploads a song of so many seconds, with two stems in the store."""
        path = write_song(folder / "prepared.wav", seconds, skip_seconds=0.25)
        prepared = await cls._upload(bench, path)
        await keep_stems(bench, prepared.track, path, (LOUDER, DISTANT))
        path.unlink()
        return prepared

    @classmethod
    async def open_new(
        cls, bench: Bench, folder: Path, seconds: float, skip_seconds: float
    ) -> Prepared:
        """Uploads a song of so many seconds of which no stem is known, from there on."""
        path = write_song(folder / "new.wav", seconds, skip_seconds)
        prepared = await cls._upload(bench, path)
        path.unlink()
        return prepared

    @classmethod
    async def _upload(cls, bench: Bench, path: Path) -> Prepared:
        session = await open_session(bench, path)
        return cls(session, await anext(aiter(mixdown.connect(bench.address).tracks())))

    async def again(self, bench: Bench) -> Prepared:
        """Begins another conversation about the same song."""
        client = mixdown.connect(bench.address)
        return Prepared(await client.create_session(self.track), self.track)

    def request(self, mix: mix_pb2.Mix) -> remixer_pb2.RenderRequest:
        """Returns what the gateway would ask of the remixer."""
        return remixer_pb2.RenderRequest(
            track=self.track.blob, mix=mix, outputs=[_OUTPUT], model=self.session.resource.model
        )

    def next_mix(self, number: int | None = None) -> mix_pb2.Mix:
        """Returns a mix of one stem that was not rendered before, since such are only fetched."""
        settings = TargetSettings(gain_db=self._next_gain_db(number), reverb=0.3, eq=(_BRIGHT,))
        return mix_to_message(Mix({LOUDER: settings}))

    def next_mix_of_two(self) -> mix_pb2.Mix:
        """Returns a new mix in which every part of the song is touched, by way of two stems.

        It is "make vocals louder, add reverb to drums, and boost 3 kHz by 5 dB".
        """
        return mix_to_message(
            Mix(
                {
                    LOUDER: TargetSettings(gain_db=self._next_gain_db()),
                    DISTANT: TargetSettings(reverb=0.3),
                    MASTER: TargetSettings(eq=(_BRIGHT,)),
                }
            )
        )

    def _next_gain_db(self, number: int | None = None) -> float:
        self._count += 1
        return 3.0 + (self._count if number is None else number) / 1000


async def drain(call: AsyncIterable[object], pause_seconds: float = 0.0) -> float:
    """Reads a stream to its end and returns the seconds; a slow reader pauses at each message."""
    began = time.perf_counter()
    async for _ in call:
        if pause_seconds:
            await asyncio.sleep(pause_seconds)
    return time.perf_counter() - began
