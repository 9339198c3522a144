"""What is known of a turn is a fold over its durable events."""

from mixdown.conversation.v1 import conversation_pb2
from services.gateway.turn_log import TurnLog


def event(sequence: int, **kind) -> conversation_pb2.TurnEvent:
    return conversation_pb2.TurnEvent(turn_id="turn", sequence=sequence, **kind)


STARTED = event(3, output_started=conversation_pb2.OutputStarted(name="mix", file_name="m.wav"))
FINISHED = event(
    4,
    output_finished=conversation_pb2.OutputFinished(
        artifact=conversation_pb2.Artifact(artifact_id="a", name="mix")
    ),
)


def test_a_new_log_knows_nothing():
    log = TurnLog()
    assert (log.sequence, log.interpreted, log.started, log.finished, log.ended) == (
        *(0, None, {}, {}),
        False,
    )


def test_events_add_up():
    log = TurnLog()
    assert log.add(event(1, accepted=conversation_pb2.Accepted(ordinal=1)))
    assert log.add(event(2, interpreted=conversation_pb2.Interpreted(reply="Yes.")))
    assert log.add(STARTED)
    assert log.add(FINISHED)
    assert log.interpreted is not None
    assert log.interpreted.reply == "Yes."
    assert log.started["mix"].file_name == "m.wav"
    assert log.finished["mix"].artifact_id == "a"
    assert (log.sequence, log.ended) == (4, False)


def test_an_event_counts_once():
    log = TurnLog()
    assert log.add(STARTED)
    assert not log.add(STARTED)
    assert not log.add(event(2, interpreted=conversation_pb2.Interpreted()))
    assert log.interpreted is None


def test_a_turn_ends_in_three_ways():
    for end in (
        {"completed": conversation_pb2.Completed()},
        {"failed": conversation_pb2.Failed()},
        {"cancelled": conversation_pb2.Cancelled()},
    ):
        log = TurnLog()
        log.add(event(1, **end))
        assert log.ended
