"""Turns are durable, idempotent, and end once."""

from __future__ import annotations

from grpc import StatusCode

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix.v1 import intent_pb2, mix_pb2
from mixdown.session.v1 import session_pb2 as pb
from tests.integration.session.conftest import Clock
from tests.integration.session.driver import (
    STEMS,
    Driver,
    blob,
    clarification,
    finished,
    kinds,
    mix,
    refused,
    remix,
)

Turn = conversation_pb2.Turn


async def test_a_turn_goes_from_acceptance_to_completion(driver: Driver) -> None:
    session = await driver.session()
    work = await driver.begin(session, "vocals louder", encoding=audio_pb2.ENCODING_FLAC24)
    interpreted = await driver.record(work, remix(mix(vocals=3), targets=["vocals"]))
    started = await driver.output_started(work)
    finished = await driver.output_finished(work)
    completed = await driver.complete(work, "Two samples were clipped.")

    assert work.turn.state == Turn.STATE_RUNNING
    assert (work.turn.ordinal, work.turn.attempt_count, work.lease.token) == (1, 1, 1)
    assert kinds(list(work.events)) == ["accepted"]
    assert list(work.context.stems) == list(STEMS)
    assert work.track.audio.tags["title"] == "A song"
    assert interpreted.interpreted.mix == mix(vocals=3)
    assert interpreted.interpreted.engine == "builtin"
    assert started.output_started.frames == 1_000_000
    assert finished.output_finished.peak == 0.75
    assert list(completed.completed.notes) == ["Two samples were clipped."]
    assert completed.completed.duration.ToTimedelta().total_seconds() > 0
    events = [work.events[0], interpreted, started, finished, completed]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert await driver.events(work.turn.turn_id) == events

    turn = await driver.get_turn(work.turn.turn_id)
    assert turn.state == Turn.STATE_COMPLETED
    assert turn.mix == mix(vocals=3)
    assert list(turn.targets) == ["vocals"]
    assert turn.format.encoding == audio_pb2.ENCODING_FLAC24
    assert [artifact.name for artifact in turn.artifacts] == ["mix"]
    assert turn.artifacts[0] == finished.output_finished.artifact
    assert turn.artifacts[0].blob == blob("rendered")
    assert turn.end_time.ToDatetime() >= turn.create_time.ToDatetime()


async def test_an_interpretation_comes_back_whole(driver: Driver) -> None:
    given = mix_pb2.TargetSettings(
        gain_db=-2.5,
        muted=True,
        pan=0.25,
        reverb=0.3,
        pitch_semitones=-1.5,
        compression=mix_pb2.COMPRESSION_HIGH,
        eq=[mix_pb2.EqBand(type=mix_pb2.EqBand.TYPE_PEAK, frequency_hz=3000, gain_db=5, q=1.4)],
        filters=[
            mix_pb2.Filter(type=mix_pb2.Filter.TYPE_BANDPASS, low_hz=300, high_hz=3400),
            mix_pb2.Filter(type=mix_pb2.Filter.TYPE_LOWPASS, cutoff_hz=9000),
        ],
    )
    interpretation = interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(
            remix=intent_pb2.Remix(
                edits=[
                    intent_pb2.Edit(target="drums", gain_db=intent_pb2.Adjustment(add=-2.5)),
                    intent_pb2.Edit(target="drums", muted=False),
                    intent_pb2.Edit(target="drums", compression={"add_levels": 0}),
                ],
                outputs=["drums"],
            )
        ),
        mix=mix_pb2.Mix(targets={"drums": given, "mix": mix_pb2.TargetSettings(pan=-1)}),
        reply="Später ♫ 'lauter' \"x\"",
        outputs=[mix_pb2.Output(kind=mix_pb2.Output.KIND_WITHOUT, stems=["vocals", "bass"])],
        proposal=intent_pb2.Proposal(
            intent=intent_pb2.Intent(separation=intent_pb2.Separation(stems=["other"])),
            mix=mix(vocals=1),
        ),
        targets=["drums", "mix"],
        engine=interpreter_pb2.ENGINE_OPENAI,
        confidence=0.875,
    )
    session = await driver.session()
    work = await driver.begin(session)
    event = (await driver.record(work, interpretation)).interpreted
    await driver.complete(work)
    turn = await driver.get_turn(work.turn.turn_id)
    later = (await driver.begin(session)).context

    for kept in (event, turn, later.history[0]):
        assert kept.intent == interpretation.intent
        assert kept.reply == interpretation.reply
    for kept in (event, turn, later):
        assert kept.mix == interpretation.mix
        assert kept.proposal == interpretation.proposal
    for kept in (event, turn):
        assert list(kept.outputs) == list(interpretation.outputs)
    assert (event.engine, event.confidence) == ("openai", 0.875)
    assert list(later.history[0].targets) == ["drums", "mix"]


async def test_a_request_id_said_twice_is_the_same_turn(driver: Driver) -> None:
    session = await driver.session()
    first = await driver.begin(session, "louder", request_id="one")
    again = await driver.begin(session, "louder", request_id="one")
    assert again.turn == first.turn
    assert not again.HasField("lease")

    await driver.record(first, clarification())
    await driver.complete(first)
    ended = await driver.begin(session, "louder", request_id="one")
    assert ended.turn.state == Turn.STATE_COMPLETED
    assert not ended.HasField("lease")
    assert not ended.HasField("context")
    assert kinds(list(ended.events)) == ["accepted", "interpreted", "completed"]
    assert (await driver.get_session(session.session_id)).turn_count == 1


async def test_a_request_id_with_another_prompt_or_format_is_refused(driver: Driver) -> None:
    session = await driver.session()
    await driver.begin(session, "louder", request_id="one")
    async with refused(StatusCode.FAILED_PRECONDITION, "REQUEST_ID_CONFLICT"):
        await driver.begin(session, "quieter", request_id="one")
    async with refused(StatusCode.FAILED_PRECONDITION, "REQUEST_ID_CONFLICT"):
        await driver.begin(session, "louder", request_id="one", encoding=audio_pb2.ENCODING_MP3)


async def test_a_request_id_counts_within_its_session(driver: Driver) -> None:
    one, two = await driver.session(), await driver.session()
    first = await driver.begin(one, request_id="same")
    second = await driver.begin(two, request_id="same")
    assert first.turn.turn_id != second.turn.turn_id


async def test_another_turn_must_wait_for_the_one_that_runs(driver: Driver) -> None:
    session = await driver.session()
    work = await driver.begin(session, request_id="one")
    async with refused(StatusCode.ABORTED, "TURN_IN_PROGRESS"):
        await driver.begin(session, request_id="two")
    await driver.record(work, clarification())
    await driver.complete(work)
    assert (await driver.begin(session, request_id="two")).turn.ordinal == 2


async def test_a_turn_that_nobody_works_on_gives_way_to_the_next(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    left = await driver.begin(session, "louder")
    await driver.record(left, remix(mix(vocals=3)))
    clock.advance(31)
    work = await driver.begin(session, "quieter")
    turn = await driver.get_turn(left.turn.turn_id)
    assert turn.state == Turn.STATE_CANCELLED
    assert kinds(await driver.events(left.turn.turn_id)) == ["accepted", "interpreted", "cancelled"]
    assert work.turn.ordinal == 2
    assert not work.context.history
    assert not work.context.mix.targets
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.complete(left)


async def test_the_same_request_takes_its_turn_up_again(driver: Driver, clock: Clock) -> None:
    session = await driver.session()
    first = await driver.begin(session, "louder", request_id="one")
    await driver.record(first, remix(mix(vocals=3)))
    clock.advance(31)
    again = await driver.begin(session, "louder", request_id="one")
    assert again.turn.turn_id == first.turn.turn_id
    assert again.lease.token > first.lease.token
    assert again.turn.attempt_count == 2
    assert kinds(list(again.events)) == ["accepted", "interpreted"]
    await driver.complete(again)
    assert await driver.current_mix(session) == mix(vocals=3)


async def test_what_is_said_again_is_stored_once(driver: Driver) -> None:
    session = await driver.session()
    work = await driver.begin(session)
    interpreted = await driver.record(work, remix(mix(vocals=3)))
    assert await driver.record(work, remix(mix(vocals=9))) == interpreted
    started = await driver.output_started(work, "mix")
    assert await driver.output_started(work, "mix") == started
    finished = await driver.output_finished(work, "mix", "one")
    assert await driver.output_finished(work, "mix", "two") == finished
    other = await driver.output_finished(work, "vocals", "two")
    assert other.sequence == finished.sequence + 1
    completed = await driver.complete(work)
    assert await driver.complete(work) == completed
    turn = await driver.get_turn(work.turn.turn_id)
    assert [artifact.name for artifact in turn.artifacts] == ["mix", "vocals"]
    assert turn.mix == mix(vocals=3)


async def test_a_turn_ends_together_with_the_outputs_that_finished_last(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    await driver.record(work, remix(mix(vocals=3)))
    first = await driver.output_finished(work, "drums", "one")
    last = [finished("vocals", "two"), finished("mix", "three")]
    ended = await driver.complete_with(work, *last, notes=["Two samples were clipped."])
    assert kinds(ended) == ["output_finished", "output_finished", "completed"]
    assert [event.sequence - first.sequence for event in ended] == [1, 2, 3]
    assert list(ended[-1].completed.notes) == ["Two samples were clipped."]
    assert await driver.complete_with(work, *last) == ended
    turn = await driver.get_turn(work.turn.turn_id)
    assert turn.state == Turn.STATE_COMPLETED
    assert {artifact.name: artifact.blob for artifact in turn.artifacts} == {
        "drums": blob("one"),
        "vocals": blob("two"),
        "mix": blob("three"),
    }


async def test_a_turn_whose_last_output_cannot_be_stored_has_not_ended(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    await driver.record(work, remix(mix(vocals=3)))
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_EVENT"):
        await driver.complete_with(work, finished("mix"), finished(""))
    turn = await driver.get_turn(work.turn.turn_id)
    assert turn.state == Turn.STATE_RUNNING
    assert not turn.artifacts
    assert kinds(await driver.complete_with(work)) == ["completed"]


async def test_a_turn_that_fails_leaves_the_conversation_as_it_was(driver: Driver) -> None:
    session = await driver.session()
    proposal = intent_pb2.Proposal(mix=mix(drums=-3))
    await driver.turn(session, remix(mix(drums=3), proposal=proposal), "drums louder")
    work = await driver.begin(session, "vocals louder")
    await driver.record(work, remix(mix(drums=3, vocals=3)))
    await driver.output_finished(work)
    failed = await driver.fail(work)
    assert await driver.fail(work) == failed

    turn = await driver.get_turn(work.turn.turn_id)
    assert turn.state == Turn.STATE_FAILED
    assert turn.error == failed.failed.error
    assert (turn.error.reason, turn.error.metadata["limit"]) == ("QUEUE_FULL", "8")
    assert turn.mix == mix(drums=3, vocals=3)
    context = (await driver.begin(session, "again")).context
    assert context.mix == mix(drums=3)
    assert context.proposal == proposal
    assert [exchange.prompt for exchange in context.history] == ["drums louder"]
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.complete(work)


async def test_a_turn_without_an_understanding_cannot_be_completed(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_EVENT"):
        await driver.complete(work)


async def test_cancelling_ends_a_turn_and_takes_its_lease_away(driver: Driver) -> None:
    session = await driver.session()
    work = await driver.begin(session)
    await driver.record(work, remix(mix(vocals=3)))
    cancelled = await driver.cancel(work.turn.turn_id)
    assert cancelled.state == Turn.STATE_CANCELLED
    assert await driver.cancel(work.turn.turn_id) == cancelled
    assert kinds(await driver.events(work.turn.turn_id))[-1] == "cancelled"
    assert not (await driver.current_mix(session)).targets
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.output_started(work)
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.renew(work)
    async with refused(StatusCode.FAILED_PRECONDITION, "TURN_ENDED"):
        await driver.claim(work.turn.turn_id)
    assert (await driver.begin(session)).turn.ordinal == 2


async def test_cancelling_what_is_completed_changes_nothing(driver: Driver) -> None:
    turn = await driver.turn(await driver.session(), remix(mix(vocals=3)))
    assert await driver.cancel(turn.turn_id) == turn


async def test_a_proposal_lasts_until_the_next_completed_turn(driver: Driver) -> None:
    session = await driver.session()
    proposal = intent_pb2.Proposal(
        intent=intent_pb2.Intent(separation=intent_pb2.Separation(stems=["other"]))
    )
    await driver.turn(session, clarification(proposal), "a trumpet solo?")
    assert (await driver.get_session(session.session_id)).proposal == proposal
    work = await driver.begin(session, "yes")
    assert work.context.proposal == proposal
    await driver.record(work, clarification())
    await driver.complete(work)
    assert not (await driver.get_session(session.session_id)).HasField("proposal")


async def test_the_context_holds_the_last_fifty_exchanges_oldest_first(driver: Driver) -> None:
    session = await driver.session()
    for number in range(52):
        await driver.turn(session, clarification(), f"prompt {number}")
    prompts = [exchange.prompt for exchange in (await driver.begin(session)).context.history]
    assert prompts == [f"prompt {number}" for number in range(2, 52)]


async def test_a_mix_that_the_session_cannot_have_is_refused(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    async with refused(StatusCode.INVALID_ARGUMENT, "UNKNOWN_TARGET"):
        await driver.record(work, remix(mix(trumpet=3)))
    for gain_db in (25.0, float("nan"), float("inf")):
        async with refused(StatusCode.INVALID_ARGUMENT, "MIX_OUT_OF_RANGE"):
            await driver.record(work, remix(mix(vocals=gain_db)))
    band = mix_pb2.EqBand(frequency_hz=3000)  # a band without a shape
    bad = mix_pb2.Mix(targets={"vocals": mix_pb2.TargetSettings(eq=[band])})
    async with refused(StatusCode.INVALID_ARGUMENT, "MIX_OUT_OF_RANGE"):
        await driver.record(work, remix(bad))
    await driver.record(work, remix(mix(vocals=24)))


async def test_a_turn_without_words_sets_the_mix_it_brings(driver: Driver) -> None:
    session = await driver.session()
    given = interpreter_pb2.Interpretation(mix=mix(bass=-6))
    turn = await driver.turn(session, given, prompt="")
    assert not turn.HasField("intent")
    assert await driver.current_mix(session) == mix(bass=-6)


async def test_what_a_turn_without_words_means_is_recorded_when_it_begins(driver: Driver) -> None:
    session = await driver.session()
    given = remix(mix(bass=-6))
    begun = await driver.begin(session, "", given=given)
    assert [event.WhichOneof("event") for event in begun.events] == ["accepted", "interpreted"]
    assert begun.turn.mix == begun.events[1].interpreted.mix == mix(bass=-6)
    assert not begun.HasField("context")  # nobody has to be asked
    assert await driver.record(begun, given) == begun.events[1]
    assert await driver.current_mix(session) == mix_pb2.Mix()  # the turn is not completed
    await driver.complete(begun)
    assert await driver.current_mix(session) == mix(bass=-6)


async def test_what_cannot_be_recorded_when_a_turn_begins_is_refused_afterwards(
    driver: Driver,
) -> None:
    session = await driver.session()
    given = remix(mix(vocals=3, trumpet=3))
    begun = await driver.begin(session, "", given=given)
    assert [event.WhichOneof("event") for event in begun.events] == ["accepted"]
    async with refused(StatusCode.INVALID_ARGUMENT, "UNKNOWN_TARGET"):
        await driver.record(begun, given)
    await driver.record(begun, remix(mix(vocals=3)))  # nothing of it was kept
    await driver.complete(begun)
    assert await driver.current_mix(session) == mix(vocals=3)


async def test_bad_requests_are_told_what_is_wrong(driver: Driver) -> None:
    session = await driver.session()
    for request_id in ("x" * 65,):
        async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST_ID"):
            await driver.begin(session, request_id=request_id)
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST_ID"):
        await driver.stub.BeginTurn(
            pb.BeginTurnRequest(user_id=driver.user_id, session_id=session.session_id)
        )
    for seconds in (4, 301):
        async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_LEASE_DURATION"):
            await driver.begin(session, lease_seconds=seconds)
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_TEXT"):
        await driver.begin(session, prompt="lou\0der")
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_TEXT"):
        await driver.get_turn("\0")
    work = await driver.begin(session)
    assert work.turn.ordinal == 1
    token = {"turn_id": work.turn.turn_id, "lease_token": work.lease.token}
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_EVENT"):
        await driver.stub.AppendEvent(pb.AppendEventRequest(**token))
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_EVENT"):
        await driver.output_started(work, name="")
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_EVENT"):
        await driver.stub.CompleteTurn(pb.CompleteTurnRequest(**token))
