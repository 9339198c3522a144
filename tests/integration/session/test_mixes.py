"""Undo, redo and reset over the service: walks over mixes that never change."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixdown.mix.v1 import intent_pb2, mix_pb2
from tests.integration.session.driver import Driver, clarification, history, mix, redo, remix, undo


async def test_undo_brings_back_the_mix_before_and_redo_the_one_after(driver: Driver) -> None:
    session = await driver.session()
    one, two, three = mix(vocals=1), mix(vocals=2), mix(vocals=3)
    for wanted in (one, two, three):
        await driver.turn(session, remix(wanted))
    walks = [(undo(), two), (undo(), one), (redo(), two), (undo(2), mix()), (redo(9), three)]
    for walk, expected in walks:
        turn = await driver.turn(session, walk)
        assert turn.mix == expected
        assert await driver.current_mix(session) == expected


async def test_undo_with_nothing_to_undo_leaves_the_mix(driver: Driver) -> None:
    session = await driver.session()
    turn = await driver.turn(session, undo())
    assert turn.mix == mix()
    assert [output.kind for output in turn.outputs] == [mix_pb2.Output.KIND_MIX]
    await driver.turn(session, remix(mix(vocals=1)))
    assert (await driver.turn(session, redo(3))).mix == mix(vocals=1)


async def test_undo_of_no_steps_is_undo_of_one(driver: Driver) -> None:
    session = await driver.session()
    await driver.turn(session, remix(mix(vocals=1)))
    assert (await driver.turn(session, undo(0))).mix == mix()


async def test_a_change_after_undo_begins_a_new_line(driver: Driver) -> None:
    session = await driver.session()
    for wanted in (mix(vocals=1), mix(vocals=2)):
        await driver.turn(session, remix(wanted))
    await driver.turn(session, undo())
    await driver.turn(session, remix(mix(drums=5)))
    assert (await driver.turn(session, redo())).mix == mix(drums=5)
    assert (await driver.turn(session, undo())).mix == mix(vocals=1)
    assert (await driver.turn(session, undo())).mix == mix()


async def test_a_reset_is_a_change_that_can_be_undone(driver: Driver) -> None:
    session = await driver.session()
    await driver.turn(session, remix(mix(vocals=1)))
    reset = history(intent_pb2.History.ACTION_RESET)
    assert (await driver.turn(session, reset)).mix == mix()
    assert (await driver.turn(session, undo())).mix == mix(vocals=1)


async def test_a_turn_that_does_not_change_the_mix_is_no_step(driver: Driver) -> None:
    session = await driver.session()
    await driver.turn(session, remix(mix(vocals=1)))
    await driver.turn(session, remix(mix(vocals=2)))
    await driver.turn(session, undo())
    await driver.turn(session, clarification())
    await driver.turn(session, remix(mix(vocals=1)))  # what it is already: redo stays possible
    assert (await driver.turn(session, redo())).mix == mix(vocals=2)
    assert (await driver.turn(session, undo(2))).mix == mix()


async def test_a_cancelled_undo_is_not_done(driver: Driver) -> None:
    session = await driver.session()
    await driver.turn(session, remix(mix(vocals=1)))
    work = await driver.begin(session, "undo")
    assert (await driver.record(work, undo())).interpreted.mix == mix()
    await driver.cancel(work.turn.turn_id)
    assert await driver.current_mix(session) == mix(vocals=1)


async def test_the_context_tells_what_undo_and_redo_would_bring_back(driver: Driver) -> None:
    session = await driver.session()
    for gain in range(1, 21):
        await driver.turn(session, remix(mix(vocals=gain)))
    await driver.turn(session, undo(3))
    context = (await driver.begin(session)).context
    assert context.mix == mix(vocals=17)
    assert list(context.undo_mixes) == [mix(vocals=gain) for gain in range(16, 0, -1)]
    assert list(context.redo_mixes) == [mix(vocals=gain) for gain in (18, 19, 20)]


async def test_the_context_tells_how_long_the_track_is(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    audio = work.track.audio
    assert work.context.track_seconds == audio.frames / audio.sample_rate_hz > 0.0


async def test_a_passage_is_undone_and_redone_with_its_turn(driver: Driver) -> None:
    session = await driver.session()
    before = mix(vocals=1)
    with_passage = mix(vocals=1)
    passage = with_passage.targets["vocals"].passages.add(start_s=70.0, end_s=85.0)
    passage.settings.gain_db = 1.0
    passage.settings.muted = True
    await driver.turn(session, remix(before))
    assert (await driver.turn(session, remix(with_passage))).mix == with_passage
    assert (await driver.turn(session, undo())).mix == before
    assert (await driver.turn(session, redo())).mix == with_passage


_steps = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 3)),
    st.tuples(st.just("undo"), st.integers(1, 3)),
    st.tuples(st.just("redo"), st.integers(1, 3)),
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_steps, max_size=8))
async def test_any_conversation_walks_like_an_undo_stack(
    driver: Driver, steps: list[tuple[str, int]]
) -> None:
    session = await driver.session()
    past, future = [0], []  # the model: two stacks, as in any editor
    for action, number in steps:
        if action == "set":
            await driver.turn(session, remix(mix(vocals=number) if number else mix()))
            if number != past[-1]:
                past.append(number)
                future.clear()
            continue
        await driver.turn(session, undo(number) if action == "undo" else redo(number))
        for _ in range(number):
            if action == "undo" and len(past) > 1:
                future.append(past.pop())
            elif action == "redo" and future:
                past.append(future.pop())
        expected = mix(vocals=past[-1]) if past[-1] else mix()
        assert await driver.current_mix(session) == expected
