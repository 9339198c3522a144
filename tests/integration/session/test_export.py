"""A session as one JSON document."""

from __future__ import annotations

import json

from grpc import StatusCode

from mixdown.session.v1 import session_pb2 as pb
from tests.integration.session.driver import Driver, blob, clarification, mix, refused, remix


async def _export(driver: Driver, session_id: str) -> bytes:
    request = pb.ExportSessionRequest(user_id=driver.user_id, session_id=session_id)
    return b"".join([piece.json async for piece in driver.stub.ExportSession(request)])


async def test_it_holds_everything_that_was_said_and_made(driver: Driver) -> None:
    session = await driver.session(await driver.track("Größe.wav", "song"))
    work = await driver.begin(session, "vocals up")
    await driver.record(work, remix(mix(vocals=3)))
    await driver.output_finished(work, content="rendered")
    await driver.complete(work)
    await driver.turn(session, clarification(), "hm")
    document = json.loads(await _export(driver, session.session_id))
    assert (document["format"], document["version"]) == ("mixdown-session", 1)
    assert document["track"]["display_name"] == "Größe.wav"
    assert document["track"]["blob"]["sha256"] == blob("song").sha256
    assert document["session"]["session_id"] == session.session_id
    first, second = document["turns"]
    assert (first["prompt"], second["prompt"]) == ("vocals up", "hm")
    assert first["mix"] == {"vocals": {"gain_db": 3.0}}
    assert second["mix"] == first["mix"]
    assert first["artifacts"][0]["blob"]["sha256"] == blob("rendered").sha256
    assert [event["kind"] for event in first["events"]] == [
        *("accepted", "interpreted", "output_finished", "completed")
    ]
    assert second["reply"] == "Which part do you mean?"


async def test_a_long_session_comes_in_pieces(driver: Driver) -> None:
    session = await driver.session()
    for _ in range(4):
        await driver.turn(session, clarification(), "x" * 100_000)
    request = pb.ExportSessionRequest(user_id=driver.user_id, session_id=session.session_id)
    pieces = [piece.json async for piece in driver.stub.ExportSession(request)]
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= 256 << 10
    assert len(json.loads(b"".join(pieces))["turns"]) == 4


async def test_nobody_exports_what_is_anothers(driver: Driver) -> None:
    session = await driver.session()
    async with refused(StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
        await _export(driver.of("bob"), session.session_id)
