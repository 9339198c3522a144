"""What the separator counts, as requests on a socket make it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc import aio

from tests.integration.separator.conftest import Bench, Gate, running_separator
from tests.integration.separator.test_api import until
from tests.metrics import growth, value


async def separate(bench: Bench, track: str) -> None:
    async for _ in bench.stub.Separate(bench.request(track)):
        pass


async def test_a_separation_is_counted_with_its_music_its_segments_and_its_speed(bench: Bench):
    completed = growth("mixdown_separator_separations_total", model="tiny", outcome="completed")
    audio = growth("mixdown_separator_audio_seconds_total", model="tiny")
    segments = growth("mixdown_separator_segments_total", backend="torch-cpu")
    batches = growth("mixdown_separator_batch_occupancy_ratio_count", backend="torch-cpu")
    busy = growth("mixdown_separator_busy_seconds_total", backend="torch-cpu")
    seconds = growth("mixdown_separator_separation_seconds_sum", model="tiny")
    first = growth("mixdown_separator_first_audio_seconds_sum", model="tiny")
    waits = growth("mixdown_separator_queue_seconds_count")
    speeds = growth("mixdown_separator_real_time_factor_count", model="tiny")
    await separate(bench, bench.put_music(3.0))
    assert audio() == pytest.approx(3.0)
    assert segments() == bench.service.scheduler.statistics.segments
    assert batches() == bench.service.scheduler.statistics.batches
    assert 0 < busy() < seconds()
    assert 0 < first() < seconds()
    assert (completed(), waits(), speeds()) == (1, 1, 1)
    assert value("mixdown_separator_model_load_seconds_count", model="tiny") >= 1


async def test_requests_are_told_apart_by_where_their_stems_come_from(bench: Bench, gate: Gate):
    counts = {
        source: growth("mixdown_separator_requests_total", source=source)
        for source in ("computed", "shared", "store")
    }
    track = bench.put_music(5.0)
    await gate.shut(bench)
    both = [asyncio.create_task(separate(bench, track)) for _ in range(2)]
    await until(lambda: counts["shared"]() == 1)
    gate.open()
    await asyncio.gather(*both)
    await separate(bench, track)
    assert {source: count() for source, count in counts.items()} == {
        "computed": 1,
        "shared": 1,
        "store": 1,
    }


async def test_segments_for_who_listens_are_counted_in_time_or_late(bench: Bench):
    """But for the first ones, until the first audio was sent."""
    live = [
        growth("mixdown_separator_live_segments_total", outcome=outcome)
        for outcome in ("in_time", "late")
    ]
    segments = growth("mixdown_separator_segments_total", backend="torch-cpu")
    await separate(bench, bench.put_music(4.0, seed=1))
    before = sum(count() for count in live)
    assert 0 < before < segments()
    track = bench.put_music(4.0, seed=2)
    async for _ in bench.stub.Separate(bench.request(track, background=True)):
        pass
    assert sum(count() for count in live) == before


async def test_the_queue_and_what_it_refuses_can_be_seen(tmp_path: Path, gate: Gate):
    refused = growth("mixdown_separator_refused_total")
    cancelled = growth("mixdown_separator_separations_total", model="tiny", outcome="cancelled")
    async with running_separator(tmp_path, running_tracks=1, queue_limit=1) as bench:
        await gate.shut(bench)
        calls = []
        for seed in (1, 2):  # one is computed, one waits
            call = bench.stub.Separate(bench.request(bench.put_music(60.0, seed=seed)))
            await anext(aiter(call))
            calls.append(call)
        assert value("mixdown_separator_running_tracks") == 1
        assert value("mixdown_separator_waiting_tracks") == 1
        with pytest.raises(aio.AioRpcError):
            await separate(bench, bench.put_music(60.0, seed=3))
        assert refused() == 1
        for call in calls:
            call.cancel()
        gate.open()
    assert cancelled() == 2
    assert value("mixdown_separator_waiting_tracks") == 0
    assert value("mixdown_separator_running_tracks") == 0
