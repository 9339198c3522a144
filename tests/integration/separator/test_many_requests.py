"""Many requests at once, bags of older networks, and what is known before work begins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from grpc import aio

from mixdown.separator.v1 import separator_pb2 as pb
from services.runtime.audio.level_store import LevelStore
from services.runtime.audio.levels import Levels
from tests.integration.separator.conftest import Bench, Gate, running_separator
from tests.integration.separator.test_api import collect, kinds, pcm, started, until
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import RATE_HZ, STEMS, write_bag


async def position_told(call: aio.UnaryStreamCall, position: int) -> None:
    """Reads until the request is told that `position` others are ahead of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            response = await call.read()
            if response.HasField("queued") and response.queued.position == position:
                return


async def test_everyone_in_the_line_is_told_each_step_forward(tmp_path: Path, gate: Gate) -> None:
    async with running_separator(tmp_path, running_tracks=1, queue_limit=3) as bench:
        await gate.shut(bench)
        tracks = [bench.put_music(60.0, seed=seed) for seed in range(4)]
        calls = []
        for track in tracks:
            call = bench.stub.Separate(bench.request(track))
            calls.append(call)
            await call.read()
        calls[1].cancel()  # who gives up makes room for those behind
        await position_told(calls[3], 1)
        calls[0].cancel()  # who was computed makes room for the first of the line
        gate.open()
        await position_told(calls[3], 0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await calls[2].read()).HasField("started"):
                pass
        for call in calls[2:]:
            call.cancel()


async def test_of_many_requests_those_that_leave_are_done_with_and_the_last_is_served(
    tmp_path: Path,
) -> None:
    async with running_separator(tmp_path, running_tracks=4, queue_limit=8) as bench:
        tracks = [bench.put_music(60.0, seed=seed) for seed in range(8)]
        last = bench.put_music(3.0, seed=99)
        before = bench.files()
        calls = [bench.stub.Separate(bench.request(track, *STEMS)) for track in tracks]
        for call in calls:
            await call.read()
        staying = asyncio.create_task(collect(bench, bench.request(last)))
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        responses = await asyncio.wait_for(staying, PATIENCE_SECONDS)
        assert len(pcm(responses, "vocals")) == 8 * 3 * RATE_HZ
        await until(lambda: bench.service.scheduler.waiting_segments == 0)
        segments = bench.service.scheduler.statistics.segments
        await asyncio.sleep(0.3)
        assert bench.service.scheduler.statistics.segments <= segments + 1
        await until(lambda: len(bench.files() - before) == len(STEMS))  # the last one's stems


async def test_known_levels_spare_the_pass_over_the_whole_track(bench: Bench) -> None:
    """Levels that are not the track's show by its length that nobody measured again."""
    track = bench.put_music(1.0)
    LevelStore(bench.blobs).keep(track, RATE_HZ, 2, Levels(7_000, 0.0, 0.1))
    responses = await collect(bench, bench.request(track))
    assert started(responses).frames == 7_000
    assert len(pcm(responses, "vocals")) == 8 * 7_000


async def test_a_bag_of_older_networks_is_separated_too(tmp_path: Path) -> None:
    """Hybrid Demucs and Demucs of the time domain, as in `mdx_extra`, from a local folder."""
    told = {"channels": 8, "samplerate": RATE_HZ, "segment": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {"dddd": HDemucs(STEMS, **told).eval(), "eeee": Demucs(STEMS, depth=4, **told)}
    write_bag(tmp_path / "models", "tiny", networks)  # type: ignore[arg-type]
    async with running_separator(tmp_path) as bench:
        responses = await collect(bench, bench.request(bench.put_music(2.3), *STEMS))
        again = await collect(bench, bench.request(bench.put_music(2.3), *STEMS))
    assert kinds(responses)[-1] == "finished"
    for stem in STEMS:
        samples = np.frombuffer(pcm(responses, stem), "<f4")
        assert samples.shape == (2 * round(2.3 * RATE_HZ),)
        assert np.isfinite(samples).all()
        assert pcm(again, stem) == pcm(responses, stem)


@pytest.mark.parametrize("stems", [("vocals",), ("drums", "bass"), tuple(STEMS)])
async def test_one_stem_several_or_all_are_the_same_stems(
    bench: Bench, stems: tuple[str, ...]
) -> None:
    track = bench.put_music(1.5)
    responses = await collect(bench, bench.request(track, *stems))
    whole = await collect(bench, bench.request(track, *STEMS))
    assert list(started(responses).stems) == list(stems)
    for stem in stems:
        assert pcm(responses, stem) == pcm(whole, stem)
    assert {r.audio.stem for r in responses if r.HasField("audio")} == set(stems)


async def test_a_request_that_was_refused_for_its_place_is_served_when_it_comes_again(
    tmp_path: Path, gate: Gate
) -> None:
    async with running_separator(tmp_path, running_tracks=1, queue_limit=0) as bench:
        await gate.shut(bench)
        running = bench.stub.Separate(bench.request(bench.put_music(60.0, seed=1)))
        await running.read()
        other: pb.SeparateRequest = bench.request(bench.put_music(1.0, seed=2))
        with pytest.raises(aio.AioRpcError):
            await collect(bench, other)
        running.cancel()
        gate.open()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    responses = await collect(bench, other)
                    break
                except aio.AioRpcError:
                    await asyncio.sleep(0.05)
        assert kinds(responses)[-1] == "finished"


async def test_work_in_the_background_holds_up_nobody_who_listens(tmp_path: Path) -> None:
    """Though it has the only place, and fills the line."""
    async with running_separator(tmp_path, running_tracks=1, queue_limit=1) as bench:
        await until(lambda: bench.service.engines.is_loaded("tiny"))
        calls = []
        for seed in (1, 2):
            track = bench.put_music(120.0, seed=seed)
            calls.append(bench.stub.Separate(bench.request(track, background=True)))
            await calls[-1].read()
        responses = await asyncio.wait_for(
            collect(bench, bench.request(bench.put_music(3.0, seed=3))), PATIENCE_SECONDS
        )
        assert kinds(responses)[0] == "started"
        assert len(pcm(responses, "vocals")) == 8 * 3 * RATE_HZ
        assert not calls[0].done()
        for call in calls:
            call.cancel()


async def test_work_in_the_background_that_somebody_asks_for_too_is_no_longer(
    tmp_path: Path, gate: Gate
) -> None:
    async with running_separator(tmp_path, running_tracks=1, queue_limit=2) as bench:
        await gate.shut(bench)
        running = bench.stub.Separate(bench.request(bench.put_music(120.0, seed=1)))
        await running.read()
        other, wanted = bench.put_music(2.0, seed=2), bench.put_music(2.0, seed=3)
        calls = []
        for track in (other, wanted):
            calls.append(bench.stub.Separate(bench.request(track, background=True)))
            await calls[-1].read()
        listening = bench.stub.Separate(bench.request(wanted))
        assert (await listening.read()).queued.position == 0
        await position_told(calls[0], 1)  # the other one is behind it now
        listening.cancel()
        await position_told(calls[0], 0)
        for call in (running, *calls):
            call.cancel()
        gate.open()
