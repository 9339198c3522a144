"""How soon a caller sees and hears something."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import mixdown
from benchmarks.machine import Figures
from benchmarks.turn.bench import RATE_HZ, Bench, keep_stems, open_session, write_song
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2

_FRAME_BYTES = 4  # the outputs are WAV of 16 bits, as the songs are
_SEGMENT_HOP_SECONDS = 7.8 * 0.75
_SEGMENTS_WATCHED = 3


@dataclass
class FirstSigns:
    """When a caller saw and heard something, in seconds after its prompt.

    Args:
        event: The first event.
        audio: The first bytes of audio.
        segment: Seconds that one more segment took; 0 where none was waited for.
    """

    event: float = 0.0
    audio: float = 0.0
    segment: float = 0.0


async def measure_cached(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures a remix whose stem is in the store, again and again with another level."""
    path = write_song(folder / "cached.wav", seconds)
    session = await open_session(bench, path)
    client = mixdown.connect(bench.address)
    track = await anext(aiter(client.tracks()))
    await keep_stems(bench, track, path, ("vocals",))
    path.unlink()
    # The first one opens what stays open.
    await _first_signs(bench, session, "vocals 1 dB louder", 0)
    signs = [
        await _first_signs(bench, session, f"vocals {0.1 + number / 100:g} dB louder", 0)
        for number in range(repeats)
    ]
    await client.delete_track(track.track_id)
    return _told(signs)


async def measure_live(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures a stem of a new track, which is computed while it is sent."""
    signs, uploads = [], []
    for number in range(repeats):
        path = write_song(folder / "live.wav", seconds, skip_seconds=0.5 + number)
        began = time.perf_counter()
        session = await open_session(bench, path)
        uploads.append(time.perf_counter() - began)
        path.unlink()
        signs.append(await _first_signs(bench, session, "only the vocals", _SEGMENTS_WATCHED))
    figures = _told(signs)
    segment = statistics.median(sign.segment for sign in signs)
    figures["upload_seconds"] = round(statistics.median(uploads), 2)
    figures["segment_ms"] = round(1000 * segment)
    figures["first_audio_segments"] = round(statistics.median(s.audio for s in signs) / segment, 2)
    return figures


async def _first_signs(
    bench: Bench, session: mixdown.Session, prompt: str, segments: int
) -> FirstSigns:
    """Says something, waits for the first audio and some segments more, and cancels the turn."""
    signs = FirstSigns()
    stub = bench.caller()
    request = gateway_pb2.ConverseRequest(session_id=session.session_id, prompt=prompt)
    began = time.perf_counter()
    heard_bytes, turn_id = 0, ""
    call = stub.Converse(request)
    async for event in call:
        now = time.perf_counter() - began
        turn_id = event.turn_id
        signs.event = signs.event or now
        _check(event, live=segments > 0)
        heard_bytes += len(event.audio.data)
        # A header comes before anything is computed, and nobody can hear it.
        if not signs.audio and heard_bytes > 100:
            signs.audio, first_bytes = now, heard_bytes
        if signs.audio:
            watched = (heard_bytes - first_bytes) / _FRAME_BYTES / RATE_HZ / _SEGMENT_HOP_SECONDS
            if watched >= segments:
                signs.segment = (now - signs.audio) / watched if watched else 0.0
                break
    call.cancel()
    await stub.CancelTurn(gateway_pb2.CancelTurnRequest(turn_id=turn_id))
    return signs


def _check(event: conversation_pb2.TurnEvent, *, live: bool) -> None:
    """Ends the benchmark where the turn is not what is to be measured."""
    if event.HasField("failed"):
        raise RuntimeError(f"the turn failed: {event.failed.error.message}")
    separates = event.progress.stage == conversation_pb2.Progress.STAGE_SEPARATING
    if separates and not live:
        raise RuntimeError("the stem was not found in the store")


def _told(signs: list[FirstSigns]) -> Figures:
    events = [1000 * sign.event for sign in signs]
    audio = [1000 * sign.audio for sign in signs]
    return {
        "repeats": len(signs),
        "first_event_ms": round(statistics.median(events), 1),
        "first_event_longest_ms": round(max(events), 1),
        "first_audio_ms": round(statistics.median(audio), 1),
        "first_audio_longest_ms": round(max(audio), 1),
    }
