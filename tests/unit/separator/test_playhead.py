"""When listeners want their next audio."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from services.separator.playhead import HEAD_START_SECONDS, Audience, Playhead


def playhead(start_frame: int = 0, asked_at: float = 0.0) -> Playhead:
    """Returns a listener to audio of 10 frames a second."""
    return Playhead(10, start_frame, asked_at)


def test_who_has_heard_nothing_is_due_in_the_order_of_coming() -> None:
    assert playhead(asked_at=5.0).due(0, now=9.0) == 5.0 - HEAD_START_SECONDS
    assert playhead(asked_at=7.0).due(0, now=9.0) == 7.0 - HEAD_START_SECONDS


def test_what_follows_the_first_audio_is_due_when_that_would_be_played() -> None:
    assert playhead().due(60, now=9.0) == 15.0


def test_what_was_sent_is_played_in_real_time() -> None:
    listener = playhead()
    listener.send(60, now=100.0)
    assert listener.due(60, now=101.0) == 106.0
    assert listener.due(120, now=101.0) == 112.0
    listener.send(180, now=101.0)
    assert listener.due(180, now=110.0) == 118.0


def test_who_has_run_dry_goes_on_from_where_it_was() -> None:
    listener = playhead()
    listener.send(60, now=100.0)
    assert listener.due(60, now=110.0) == 106.0
    assert listener.silence(60, now=110.0) == 4.0
    listener.send(120, now=110.0)
    assert listener.due(120, now=110.0) == 116.0
    assert listener.silence(120, now=115.0) == 0.0


def test_who_has_not_taken_what_is_there_is_not_in_want_of_more() -> None:
    listener = playhead()
    listener.send(60, now=100.0)
    assert listener.due(660, now=1000.0) == 1060.0
    assert listener.silence(660, now=1000.0) == 0.0


def test_nobody_waits_before_the_first_audio_as_far_as_silences_go() -> None:
    assert playhead().silence(0, now=1000.0) is None


def test_what_is_skipped_is_due_as_though_it_were_played() -> None:
    listener = playhead(start_frame=36_000, asked_at=50.0)
    assert listener.due(0, now=51.0) == 50.0 - HEAD_START_SECONDS
    assert listener.due(36_000, now=51.0) == 50.0 - HEAD_START_SECONDS + 3600.0
    listener.send(36_060, now=900.0)
    assert listener.due(36_060, now=901.0) == 906.0


def test_an_audience_wants_what_its_most_urgent_listener_wants() -> None:
    audience = Audience()
    assert audience.due(0, now=1.0) == math.inf
    assert not audience
    early, late = playhead(asked_at=1.0), playhead(asked_at=2.0)
    audience.join(late)
    audience.join(early)
    assert audience.due(0, now=3.0) == 1.0 - HEAD_START_SECONDS
    early.send(60, now=10.0)
    late.send(60, now=11.0)
    assert sorted(audience.silences(60, now=17.5)) == [0.5, 1.5]
    audience.leave(early)
    assert audience.due(60, now=12.0) == 17.0


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 20)), max_size=20), st.floats(0, 20))
def test_later_frames_are_due_later_and_what_is_sent_only_defers(
    pieces: list[tuple[int, float]], asked_at: float
) -> None:
    listener, now, sent = playhead(asked_at=asked_at), asked_at, 0
    for frames, seconds in pieces:
        now += seconds
        before = listener.due(sent + frames, now)
        listener.send(sent + frames, now)
        sent += frames
        dues = [listener.due(frame, now) for frame in range(sent, sent + 50, 5)]
        assert dues == sorted(dues)
        assert dues[0] >= before - 1e-9
        assert dues[1] >= now
