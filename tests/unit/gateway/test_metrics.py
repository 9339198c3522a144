"""What is measured of a stream of a turn, and how turns that end are counted."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix.v1 import intent_pb2
from services.gateway import metrics
from services.gateway.errors import LeaseLostError
from services.runtime.interceptors import ServiceUnavailableError
from tests.metrics import growth, value

Event = conversation_pb2.TurnEvent
SEPARATING = Event(
    progress=conversation_pb2.Progress(stage=conversation_pb2.Progress.STAGE_SEPARATING)
)
AUDIO = Event(audio=conversation_pb2.Audio(data=b"12345"))
INTERPRETED = Event(interpreted=conversation_pb2.Interpreted())


def firsts() -> dict[str, int]:
    first_audio = "mixdown_gateway_first_audio_seconds_count"
    return {
        "event": int(value("mixdown_gateway_first_event_seconds_count")),
        "reply": int(value("mixdown_gateway_reply_seconds_count")),
        "at hand": int(value(first_audio, stems="at_hand")),
        "separated": int(value(first_audio, stems="separated")),
    }


def watched(*events: Event, is_new: bool = True) -> dict[str, int]:
    """Returns what was measured of a stream with these events."""
    before = firsts()
    watch = metrics.StreamWatch(is_new=is_new)
    for event in events:
        watch.see(event)
    watch.end()
    return {name: count - before[name] for name, count in firsts().items()}


def test_the_first_of_everything_is_timed_once():
    assert watched(INTERPRETED, AUDIO, AUDIO, INTERPRETED) == {
        "event": 1,
        "reply": 1,
        "at hand": 1,
        "separated": 0,
    }


def test_first_audio_that_waited_for_a_separation_is_told_apart():
    counts = watched(INTERPRETED, SEPARATING, AUDIO)
    assert (counts["at hand"], counts["separated"]) == (0, 1)


def test_a_stream_that_goes_on_with_a_turn_is_not_timed():
    assert set(watched(INTERPRETED, AUDIO, is_new=False).values()) == {0}


def test_a_stream_is_open_until_its_reader_goes_however_often_that_is_said():
    before = value("mixdown_gateway_streams")
    watch = metrics.StreamWatch(is_new=True)
    assert value("mixdown_gateway_streams") == before + 1
    watch.end()
    watch.end()
    assert value("mixdown_gateway_streams") == before


def test_a_turn_that_is_completed_is_counted_with_its_intent_and_its_seconds():
    completed = growth("mixdown_gateway_turns_total", outcome="completed")
    seconds = growth("mixdown_gateway_turn_seconds_sum", intent="remix")
    remix = intent_pb2.Intent(remix=intent_pb2.Remix())
    metrics.count_completed(conversation_pb2.Interpreted(intent=remix), 2.5)
    assert (completed(), seconds()) == (1, 2.5)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "refused"),
        (grpc.StatusCode.INTERNAL, "failed"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "failed"),  # we are too small: ours to mend
    ],
)
def test_what_only_the_caller_can_do_better_is_told_from_our_failures(code, outcome):
    counted = growth("mixdown_gateway_turns_total", outcome=outcome)
    reasons = growth("mixdown_gateway_turn_errors_total", reason="SOME_REASON")
    metrics.count_failed(conversation_pb2.Error(code=code.value[0], reason="SOME_REASON"))
    assert (counted(), reasons()) == (1, 1)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (asyncio.CancelledError(), "mixdown_gateway_turns_interrupted_total"),
        (ServiceUnavailableError(), "mixdown_gateway_turns_interrupted_total"),
        (LeaseLostError("gone"), "mixdown_gateway_leases_lost_total"),
    ],
)
def test_work_that_stops_before_its_end_is_counted_and_the_error_goes_on(error, name):
    counted = growth(name)
    with pytest.raises(type(error)), metrics.working():
        raise error
    assert counted() == 1
