"""Many conversations at once, at two replicas: no turn is lost, none is doubled."""

from __future__ import annotations

import asyncio

from grpc import StatusCode, aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2 as pb
from services.runtime.errors import error_info_of
from tests.integration.session.conftest import serving
from tests.integration.session.driver import Driver, kinds, mix, remix

SESSIONS = 20
TURNS = 4


async def _converse(one: Driver, two: Driver, session: conversation_pb2.Session) -> None:
    """Says every prompt at both replicas at once, as a client that is cut off does."""
    for number in range(1, TURNS + 1):
        begun = await asyncio.gather(
            one.begin(session, f"prompt {number}", request_id=f"request {number}"),
            two.begin(session, f"prompt {number}", request_id=f"request {number}"),
        )
        leased = [work for work in begun if work.HasField("lease")]
        assert len({work.turn.turn_id for work in begun}) == 1
        assert len(leased) == 1
        await one.record(leased[0], remix(mix(vocals=number)))
        await asyncio.gather(
            one.output_finished(leased[0], "mix"), two.output_finished(leased[0], "mix")
        )
        await asyncio.gather(one.complete(leased[0]), two.complete(leased[0]))


async def test_no_turn_is_lost_or_doubled(database_url: str) -> None:
    async with serving(database_url) as first, serving(database_url) as second:
        one, two = Driver(first), Driver(second)
        track = await one.track()
        sessions = [await one.session(track) for _ in range(SESSIONS)]
        await asyncio.gather(*(_converse(one, two, session) for session in sessions))
        for session in sessions:
            request = pb.ListTurnsRequest(user_id=one.user_id, session_id=session.session_id)
            turns = (await one.stub.ListTurns(request)).turns
            assert [turn.ordinal for turn in turns] == list(range(1, TURNS + 1))
            for number, turn in enumerate(turns, start=1):
                assert turn.prompt == f"prompt {number}"
                assert turn.state == conversation_pb2.Turn.STATE_COMPLETED
                assert turn.mix == mix(vocals=number)
                assert turn.attempt_count == 1
                assert len(turn.artifacts) == 1
                events = await two.events(turn.turn_id)
                expected = ["accepted", "interpreted", "output_finished", "completed"]
                assert kinds(events) == expected
                assert [event.sequence for event in events] == [1, 2, 3, 4]


async def test_of_two_prompts_said_at_once_one_must_wait(database_url: str) -> None:
    async with serving(database_url) as first, serving(database_url) as second:
        one, two = Driver(first), Driver(second)
        for _ in range(10):
            session = await one.session()
            answers = await asyncio.gather(
                one.begin(session, "louder"), two.begin(session, "quieter"), return_exceptions=True
            )
            refusals = [answer for answer in answers if isinstance(answer, aio.AioRpcError)]
            assert len(refusals) == 1
            assert refusals[0].code() == StatusCode.ABORTED
            assert error_info_of(refusals[0]).reason == "TURN_IN_PROGRESS"
            assert (await one.get_session(session.session_id)).turn_count == 1


async def test_of_many_who_claim_a_turn_one_gets_it(database_url: str) -> None:
    async with serving(database_url) as first, serving(database_url) as second:
        one, two = Driver(first), Driver(second)
        work = await one.begin(await one.session())
        await one.release(work)
        claims = await asyncio.gather(
            *(driver.claim(work.turn.turn_id) for driver in (one, two) * 5), return_exceptions=True
        )
        assert sum(isinstance(claim, pb.Work) for claim in claims) == 1
        assert (await one.get_turn(work.turn.turn_id)).attempt_count == 2


async def test_deleting_while_others_write_ends_in_not_found(database_url: str) -> None:
    async with serving(database_url) as first, serving(database_url) as second:
        one, two = Driver(first), Driver(second)
        for _ in range(5):
            track = await one.track()
            work = await one.begin(await one.session(track))
            answers = await asyncio.gather(
                one.record(work, remix(mix(vocals=1))),
                one.output_finished(work),
                two.stub.DeleteTrack(
                    pb.DeleteTrackRequest(user_id=one.user_id, track_id=track.track_id)
                ),
                two.renew(work),
                two.session(track),
                return_exceptions=True,
            )
            reasons = {
                error_info_of(answer).reason
                for answer in answers
                if isinstance(answer, aio.AioRpcError)
            }
            assert reasons <= {"TURN_NOT_FOUND", "TRACK_NOT_FOUND"}
            assert not [
                answer
                for answer in answers
                if isinstance(answer, BaseException) and not isinstance(answer, aio.AioRpcError)
            ]
