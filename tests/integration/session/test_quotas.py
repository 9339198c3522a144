"""What one user may use: counted where many calls at once cannot pass it, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from grpc import StatusCode, aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix.v1 import mix_pb2
from mixdown.session.v1 import session_pb2 as pb
from services.runtime.errors import error_info_of
from services.session.quotas import Quotas
from services.session.turns import TurnRules
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import (
    Driver,
    clarification,
    mix,
    quota_failure_of,
    remix,
    retry_info_of,
)

TRACK_SECONDS = 1_000_000 / 44_100
_DAY = 24 * 3600


@asynccontextmanager
async def limited(
    url: str, clock: Clock | None = None, **limits: float
) -> AsyncIterator[tuple[Driver, Driver]]:
    """Two replicas with the same quotas, on a day that ends for nobody while a test goes on."""
    clock = clock or Clock()
    clock.stop()
    rules = TurnRules(quotas=Quotas(**limits))
    async with serving(url, clock, rules) as one, serving(url, clock, rules) as two:
        yield Driver(one), Driver(two)


@asynccontextmanager
async def beyond(reason: str, subject: str) -> AsyncIterator[list[aio.AioRpcError]]:
    """Expects a call to be refused for a quota."""
    found: list[aio.AioRpcError] = []
    with pytest.raises(aio.AioRpcError) as caught:
        yield found
    found.append(caught.value)
    assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED
    assert error_info_of(caught.value).reason == reason
    (violation,) = quota_failure_of(caught.value).violations
    assert violation.subject == subject
    assert violation.description


async def count_refused(calls: list[Awaitable[object]], reason: str) -> int:
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    for error in refused:
        assert isinstance(error, aio.AioRpcError)
        assert error_info_of(error).reason == reason
    return len(refused)


async def begin_upload(driver: Driver, upload_id: str, size: int) -> pb.Upload:
    return await driver.stub.BeginUpload(
        pb.BeginUploadRequest(
            user_id=driver.user_id,
            upload_id=upload_id,
            display_name="a.wav",
            total_size_bytes=size,
        )
    )


async def test_many_turns_at_once_never_pass_the_limit(database_url: str) -> None:
    async with limited(database_url, turns=3) as (one, two):
        track = await one.track()
        sessions = [await one.session(track) for _ in range(12)]
        calls = [(one, two)[n % 2].begin(session) for n, session in enumerate(sessions)]
        assert await count_refused(calls, "TURN_QUOTA_EXCEEDED") == 9
        eve = one.of("eve")  # and nobody else is held up
        await eve.begin(await eve.session())


async def test_a_turn_makes_room_when_it_ends_or_rests(database_url: str) -> None:
    async with limited(database_url, turns=1) as (one, _):
        track = await one.track()
        first, second = await one.session(track), await one.session(track)
        work = await one.begin(first)
        async with beyond("TURN_QUOTA_EXCEEDED", "user/turns") as refused:
            await one.begin(second)
        assert retry_info_of(refused[0]) is not None
        assert (await one.get_session(second.session_id)).turn_count == 0
        await one.release(work)
        other = await one.begin(second)
        async with beyond("TURN_QUOTA_EXCEEDED", "user/turns"):
            await one.claim(work.turn.turn_id)  # it would run again
        await one.record(other, clarification())
        await one.complete(other)
        assert (await one.claim(work.turn.turn_id)).HasField("lease")


async def test_a_user_is_told_what_is_used_and_allowed(database_url: str) -> None:
    async with limited(database_url, turns=5, stored_bytes=1000, daily_minutes=60) as (one, two):
        session = await one.session(await one.track(content="song"))
        await begin_upload(one, "on-its-way", 30)
        work = await one.begin(session)
        await one.begin(session, "afterwards", waits=True)
        await one.record(work, remix(mix(vocals=1)))
        await one.output_finished(work, content="rendered")
        usage = await two.stub.GetUsage(pb.GetUsageRequest(user_id=one.user_id))
        assert (usage.turns, usage.turn_limit) == (2, 5)
        assert (usage.stored_bytes, usage.storage_limit_bytes) == (4 + 30 + 8, 1000)
        assert usage.daily_audio_minutes == pytest.approx(TRACK_SECONDS / 60)
        assert usage.daily_audio_limit_minutes == 60
        assert usage.reset_time.ToJsonString().endswith("T00:00:00Z")


async def test_turns_that_wait_count_too(database_url: str) -> None:
    async with limited(database_url, turns=2) as (one, _):
        session = await one.session()
        first = await one.begin(session)
        await one.begin(session, "one", waits=True)
        async with beyond("TURN_QUOTA_EXCEEDED", "user/turns"):
            await one.begin(session, "two", waits=True)
        again = await one.begin(session, first.turn.prompt, first.turn.request_id)
        assert again.turn.turn_id == first.turn.turn_id  # what is stored is answered


async def test_many_uploads_at_once_never_pass_the_limit(database_url: str) -> None:
    async with limited(database_url, stored_bytes=100) as (one, two):
        calls = [begin_upload((one, two)[n % 2], f"upload-{n}", 30) for n in range(12)]
        assert await count_refused(calls, "STORAGE_QUOTA_EXCEEDED") == 9
        async with beyond("STORAGE_QUOTA_EXCEEDED", "user/bytes") as refused:
            await begin_upload(one, "one-more", 11)
        assert error_info_of(refused[0]).metadata["stored_bytes"] == "101"
        assert retry_info_of(refused[0]) is None  # waiting does not help
        await begin_upload(one, "it-fits", 10)
        await begin_upload(one, "it-fits", 10)  # said again it is the same


async def test_the_same_content_counts_once_and_what_is_deleted_no_more(
    database_url: str,
) -> None:
    async with limited(database_url, stored_bytes=10) as (one, _):
        track = await one.track(content="song")
        await one.track(content="song")
        await one.track(content="other!")
        async with beyond("STORAGE_QUOTA_EXCEEDED", "user/bytes"):
            await one.track(content="x")
        await one.delete_track(track)
        async with beyond("STORAGE_QUOTA_EXCEEDED", "user/bytes"):
            await one.track(content="x")  # the same content is still there once


async def test_files_that_turns_make_never_pass_the_limit(database_url: str) -> None:
    async with limited(database_url, stored_bytes=64) as (one, two):
        track = await one.track(content="song")
        works = []
        for number in range(6):
            work = await one.begin(await one.session(track))
            await one.record(work, remix(mix(vocals=number)))
            works.append(work)
        calls = [
            (one, two)[n % 2].output_finished(work, content=f"{n}" * 20)
            for n, work in enumerate(works)
        ]
        assert await count_refused(calls, "STORAGE_QUOTA_EXCEEDED") == 3
        # Nothing is computed for what has no room.
        work = await one.begin(await one.session(track))
        async with beyond("STORAGE_QUOTA_EXCEEDED", "user/bytes"):
            await one.record(work, remix(mix(vocals=9)))
        await one.record(work, clarification())


async def test_the_minutes_of_a_day_are_never_passed(database_url: str) -> None:
    minutes = 3.5 * TRACK_SECONDS / 60
    async with limited(database_url, daily_minutes=minutes) as (one, two):
        track = await one.track()
        works = [await one.begin(await one.session(track)) for _ in range(10)]
        calls = [
            (one, two)[n % 2].record(work, remix(mix(vocals=1))) for n, work in enumerate(works)
        ]
        assert await count_refused(calls, "AUDIO_QUOTA_EXCEEDED") == 7


async def test_a_day_begins_anew_and_the_call_tells_when(database_url: str, clock: Clock) -> None:
    minutes = 2 * TRACK_SECONDS / 60
    async with limited(database_url, clock, daily_minutes=minutes) as (one, _):
        session = await one.session()
        work = await one.begin(session)
        both = [
            mix_pb2.Output(kind=mix_pb2.Output.KIND_STEM, stems=[stem])
            for stem in ("drums", "bass")
        ]
        interpretation = remix(mix(vocals=1))
        del interpretation.outputs[:]
        interpretation.outputs.extend(both)
        await one.record(work, interpretation)
        await one.complete(work)
        async with beyond("AUDIO_QUOTA_EXCEEDED", "user/daily-audio") as refused:
            await one.begin(session)
        retry = retry_info_of(refused[0])
        assert retry is not None
        seconds = retry.retry_delay.ToTimedelta().total_seconds()
        assert 0 < seconds <= _DAY
        assert error_info_of(refused[0]).metadata["reset_time"].endswith("T00:00:00Z")
        await one.delete_session(session)  # which does not give anything back
        session = await one.session()
        async with beyond("AUDIO_QUOTA_EXCEEDED", "user/daily-audio"):
            await one.begin(session)
        clock.advance(seconds + 1)
        await one.begin(session)


async def test_what_could_not_be_done_is_given_back(database_url: str) -> None:
    minutes = TRACK_SECONDS / 60
    async with limited(database_url, daily_minutes=minutes) as (one, _):
        session = await one.session()
        work = await one.begin(session)
        await one.record(work, remix(mix(vocals=1)))
        await one.fail(work)
        work = await one.begin(session)
        await one.record(work, remix(mix(vocals=1)))
        await one.complete(work)
        assert (await one.get_turn(work.turn.turn_id)).state == (
            conversation_pb2.Turn.STATE_COMPLETED
        )


async def test_a_turn_without_files_costs_no_minutes(database_url: str) -> None:
    async with limited(database_url, daily_minutes=0.001) as (one, _):
        session = await one.session()
        for _ in range(3):
            await one.turn(session, clarification())


async def test_a_turn_without_words_beyond_the_day_begins_and_is_charged_nothing(
    database_url: str,
) -> None:
    async with limited(database_url, daily_minutes=1.5 * TRACK_SECONDS / 60) as (driver, _):
        session = await driver.session()
        given = remix(mix(vocals=3))
        given.outputs.append(mix_pb2.Output(kind=mix_pb2.Output.KIND_STEM, stems=["vocals"]))
        begun = await driver.begin(session, "", given=given)
        assert [event.WhichOneof("event") for event in begun.events] == ["accepted"]
        async with beyond("AUDIO_QUOTA_EXCEEDED", "user/daily-audio"):
            await driver.record(begun, given)
        del given.outputs[1]
        assert (await driver.record(begun, given)).HasField("interpreted")
