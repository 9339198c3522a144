"""The separator over a socket, with a small model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from mixdown.separator.v1 import separator_pb2 as pb
from services.runtime.errors import error_info_of
from tests.integration.separator.conftest import Bench, Gate, running_separator
from tests.metrics import growth
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import STEMS, tiny_htdemucs, write_bag

EMPTY_SHA256 = "0" * 64


async def collect(bench: Bench, request: pb.SeparateRequest) -> list[pb.SeparateResponse]:
    return [response async for response in bench.stub.Separate(request)]


def kinds(responses: Sequence[pb.SeparateResponse]) -> list[str]:
    return [response.WhichOneof("event") or "" for response in responses]


def started(responses: Sequence[pb.SeparateResponse]) -> pb.SeparationStarted:
    return next(response.started for response in responses if response.HasField("started"))


def pcm(responses: Sequence[pb.SeparateResponse], stem: str, start_frame: int = 0) -> bytes:
    """Joins the chunks of a stem, and holds them to be in order and without gaps."""
    data = b""
    for response in responses:
        if response.HasField("audio") and response.audio.stem == stem:
            assert response.audio.offset_frames == start_frame + len(data) // 8
            assert len(response.audio.pcm) <= 256 * 1024
            data += response.audio.pcm
    return data


async def refused(bench: Bench, request: pb.SeparateRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await collect(bench, request)
    assert "Traceback" not in (caught.value.details() or "")
    return caught.value.code(), error_info_of(caught.value).reason


async def until(condition: object) -> None:
    """Waits until `condition()` holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - states, not events
            await asyncio.sleep(0.01)


# What is sent


async def test_stems_arrive_in_order_and_whole(bench: Bench) -> None:
    track = bench.put_music(3.3)
    responses = await collect(bench, bench.request(track, "drums", "vocals"))
    told = kinds(responses)
    assert told[0] == "started"
    assert told[-1] == "finished"
    assert set(told[1:-1]) == {"progress", "audio"}
    assert started(responses).frames == 26_400
    assert started(responses).sample_rate_hz == 8_000
    assert not started(responses).cached
    for stem in ("drums", "vocals"):
        samples = np.frombuffer(pcm(responses, stem), "<f4")
        assert samples.shape == (2 * 26_400,)
        assert np.isfinite(samples).all()
        peak = responses[-1].finished.peaks[stem]
        assert peak == pytest.approx(float(np.abs(samples).max()))
    assert responses[-1].finished.backend == "torch-cpu"
    fractions = [r.progress.fraction for r in responses if r.HasField("progress")]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert [r.progress.eta_seconds for r in responses if r.HasField("progress")][-1] == 0


async def test_audio_comes_while_the_rest_is_still_computed(bench: Bench) -> None:
    track = bench.put_music(30.0)
    seen = []
    async for response in bench.stub.Separate(bench.request(track)):
        seen.append(response)
        if response.HasField("audio"):
            break
    before = [response.progress for response in seen if response.HasField("progress")]
    assert before[-1].fraction < 0.1
    assert before[-1].eta_seconds > 0


async def test_a_second_request_is_served_from_the_store_bit_for_bit(bench: Bench) -> None:
    track = bench.put_music(2.0)
    first = await collect(bench, bench.request(track, *STEMS))
    segments = bench.service.scheduler.statistics.segments
    second = await collect(bench, bench.request(track, *STEMS))
    assert bench.service.scheduler.statistics.segments == segments
    assert started(second).cached
    assert second[-1].finished.backend == "store"
    for stem in STEMS:
        assert pcm(first, stem) == pcm(second, stem)
        assert first[-1].finished.peaks[stem] == second[-1].finished.peaks[stem]


async def test_one_stem_asked_for_leaves_all_in_the_store(bench: Bench) -> None:
    track = bench.put_music(1.0)
    await collect(bench, bench.request(track, "bass"))
    assert started(await collect(bench, bench.request(track, "drums", "other", "vocals"))).cached


@pytest.mark.parametrize("start_frame", [0, 1, 9_999, 16_000])
async def test_any_first_frame_can_be_asked_for(bench: Bench, start_frame: int) -> None:
    track = bench.put_music(2.0)
    computed = await collect(bench, bench.request(track, start_frame=start_frame))
    stored = await collect(bench, bench.request(track, start_frame=start_frame))
    whole = pcm(await collect(bench, bench.request(track)), "vocals")
    assert pcm(computed, "vocals", start_frame) == whole[8 * start_frame :]
    assert pcm(stored, "vocals", start_frame) == whole[8 * start_frame :]


async def test_only_the_networks_of_the_stems_asked_for_are_run(bench: Bench) -> None:
    track = bench.put_music(1.0)
    before = bench.service.scheduler.statistics.segments
    await collect(bench, bench.request(track, "vocals", model="pair"))
    vocals = bench.service.scheduler.statistics.segments - before
    responses = await collect(bench, bench.request(track, "drums", "vocals", model="pair"))
    both = bench.service.scheduler.statistics.segments - before
    assert both == 2 * vocals  # the drums' network alone: the vocals were there
    assert not started(responses).cached
    assert len(pcm(responses, "drums")) == len(pcm(responses, "vocals")) == 8 * 8_000


async def test_shifts_give_the_same_bytes_every_time_and_other_bytes_than_none(
    tmp_path: Path,
) -> None:
    results = []
    for number in range(2):
        async with running_separator(tmp_path / str(number)) as bench:
            track = bench.put_music(1.5)
            responses = await collect(bench, bench.request(track, shifts=2))
            results.append(pcm(responses, "vocals"))
            plain = pcm(await collect(bench, bench.request(track)), "vocals")
    assert results[0] == results[1]
    assert len(results[0]) == len(plain)
    assert results[0] != plain


async def test_a_track_of_another_rate_gives_stems_at_the_models(bench: Bench) -> None:
    track = bench.put_music(1.0, rate_hz=11_025)
    responses = await collect(bench, bench.request(track))
    assert started(responses).frames == 8_000
    assert len(pcm(responses, "vocals")) == 8 * 8_000


async def test_models_are_listed_with_what_is_known(bench: Bench) -> None:
    await until(lambda: bench.service.engines.is_loaded("tiny"))
    answer = await bench.stub.ListModels(pb.ListModelsRequest())
    models = {model.name: model for model in answer.models}
    assert answer.default_model == "tiny"
    assert models["tiny"].loaded
    assert len(models["tiny"].weights_sha256) == 64
    assert models["htdemucs_6s"].weights_sha256 == ""
    assert list(models["tiny"].stems) == STEMS
    assert models["tiny"].segment_seconds == 0.5
    assert not models["htdemucs_6s"].loaded
    assert "piano" in models["htdemucs_6s"].stems
    assert "research" in models["htdemucs"].description


async def test_a_model_of_the_folder_is_listed_with_its_stems_before_it_is_loaded(
    bench: Bench,
) -> None:
    answer = await bench.stub.ListModels(pb.ListModelsRequest())
    (pair,) = (model for model in answer.models if model.name == "pair")
    assert not pair.loaded
    assert list(pair.stems) == STEMS
    assert (pair.sample_rate_hz, pair.channels, pair.segment_seconds) == (8_000, 2, 0.5)
    assert pair.weights_bytes > 100_000
    assert pair.tier == "balanced"


async def test_a_model_put_into_the_folder_while_it_runs_can_be_asked_for(bench: Bench) -> None:
    request = bench.request(bench.put_music(1.0), model="new")
    assert await refused(bench, request) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_MODEL")
    write_bag(bench.folder / "models", "new", {"dddd": tiny_htdemucs(4)})
    answer = await bench.stub.ListModels(pb.ListModelsRequest())
    assert "new" in {model.name for model in answer.models}
    assert kinds(await collect(bench, request))[-1] == "finished"


# Sharing, waiting, leaving


async def test_equal_requests_in_flight_share_one_computation(bench: Bench, gate: Gate) -> None:
    track = bench.put_music(4.0)
    alone = bench.put_music(4.0, seed=2)
    await collect(bench, bench.request(alone))
    one = bench.service.scheduler.statistics.segments
    shared = growth("mixdown_separator_requests_total", source="shared")
    await gate.shut(bench)
    requests = [bench.request(track, stem) for stem in ("drums", "vocals", "vocals")]
    collecting = [asyncio.create_task(collect(bench, request)) for request in requests]
    await until(lambda: shared() == 2)
    gate.open()
    answers = await asyncio.gather(*collecting)
    assert bench.service.scheduler.statistics.segments == 2 * one
    assert pcm(answers[1], "vocals") == pcm(answers[2], "vocals")


async def test_who_waits_is_told_the_position_and_past_the_limit_when_to_come_again(
    tmp_path: Path, gate: Gate
) -> None:
    async with running_separator(tmp_path, running_tracks=1, queue_limit=1) as bench:
        await gate.shut(bench)
        tracks = [bench.put_music(20.0, seed=seed) for seed in range(3)]
        running = bench.stub.Separate(bench.request(tracks[0]))
        await running.read()
        waiting = bench.stub.Separate(bench.request(tracks[1]))
        first = await waiting.read()
        assert first.queued.position == 0
        with pytest.raises(aio.AioRpcError) as caught:
            await collect(bench, bench.request(tracks[2]))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info_of(caught.value).reason == "QUEUE_FULL"
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.seconds >= 1
        running.cancel()
        gate.open()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await waiting.read()).HasField("started"):
                pass
        waiting.cancel()


async def test_a_client_that_leaves_stops_the_work_and_leaves_nothing(bench: Bench) -> None:
    track = bench.put_music(60.0)
    before = bench.files()
    call = bench.stub.Separate(bench.request(track))
    while not (await call.read()).HasField("audio"):
        pass
    call.cancel()
    await until(lambda: bench.files() == before)
    stopped_at = bench.service.scheduler.statistics.segments
    await asyncio.sleep(0.3)
    assert bench.service.scheduler.statistics.segments <= stopped_at + 1
    assert stopped_at < 60
    assert bench.service.scheduler.waiting_segments == 0


async def test_work_goes_on_while_one_of_two_is_still_there(bench: Bench) -> None:
    track = bench.put_music(6.0)
    leaver = bench.stub.Separate(bench.request(track))
    stayer = asyncio.create_task(collect(bench, bench.request(track)))
    while not (await leaver.read()).HasField("audio"):
        pass
    leaver.cancel()
    assert len(pcm(await stayer, "vocals")) == 8 * 48_000


async def test_after_a_cancelled_request_the_same_can_be_asked_again(bench: Bench) -> None:
    track = bench.put_music(20.0)
    call = bench.stub.Separate(bench.request(track))
    await call.read()
    call.cancel()
    responses = await collect(bench, bench.request(track))
    assert len(pcm(responses, "vocals")) == 8 * 160_000


async def test_a_slow_reader_does_not_hold_up_the_others(bench: Bench) -> None:
    slow = bench.stub.Separate(bench.request(bench.put_music(30.0, seed=1), *STEMS))
    await slow.read()  # and then never again
    async with asyncio.timeout(PATIENCE_SECONDS):
        responses = await collect(bench, bench.request(bench.put_music(3.0, seed=2)))
    assert kinds(responses)[-1] == "finished"
    slow.cancel()


async def test_a_short_track_is_done_long_before_a_long_one_that_came_first(bench: Bench) -> None:
    long = asyncio.create_task(collect(bench, bench.request(bench.put_music(60.0, seed=1))))
    await until(lambda: bench.service.scheduler.statistics.segments > 0)
    await collect(bench, bench.request(bench.put_music(1.5, seed=2)))
    assert not long.done()
    long.cancel()


# What is refused


async def test_bad_requests_are_refused_with_a_reason(bench: Bench) -> None:
    track = bench.put_music(1.0)
    text = bench.put(b"La la la. " * 1000)
    empty = bench.put(b"")
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    for request, code, reason in (
        (bench.request(track, model="spleeter"), invalid, "UNKNOWN_MODEL"),
        (bench.request(track, "trumpet"), invalid, "UNKNOWN_STEM"),
        (bench.request(track, "vocals", "vocals"), invalid, "UNKNOWN_STEM"),
        (pb.SeparateRequest(track={"sha256": track}), invalid, "UNKNOWN_STEM"),
        (bench.request(track, start_frame=-1), invalid, "INVALID_START_FRAME"),
        (bench.request(track, start_frame=8_001), invalid, "INVALID_START_FRAME"),
        (bench.request(track, shifts=11), invalid, "INVALID_SHIFTS"),
        (bench.request(track, shifts=-1), invalid, "INVALID_SHIFTS"),
        (bench.request(text), invalid, "UNDECODABLE_AUDIO"),
        (bench.request(empty), invalid, "UNDECODABLE_AUDIO"),
        (bench.request(EMPTY_SHA256), grpc.StatusCode.NOT_FOUND, "BLOB_NOT_FOUND"),
        (bench.request("../../etc/passwd"), grpc.StatusCode.NOT_FOUND, "BLOB_NOT_FOUND"),
    ):
        assert await refused(bench, request) == (code, reason), request


async def test_a_model_whose_weights_cannot_be_had_is_told_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    request = bench.request(bench.put_music(1.0), model="hdemucs_mmi")
    assert await refused(bench, request) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "WEIGHTS_UNAVAILABLE",
    )


async def test_a_refused_track_leaves_nothing_behind(bench: Bench) -> None:
    text = bench.put(b"La la la. " * 1000)
    before = bench.files()
    await refused(bench, bench.request(text))
    assert bench.files() == before
    assert kinds(await collect(bench, bench.request(bench.put_music(1.0))))[-1] == "finished"
