"""What is said in the demo, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix import Mix
from mixdown.mix.protobuf import mix_from_message
from mixdown.mix.v1 import intent_pb2


@dataclass(frozen=True)
class Line:
    """One thing said.

    Args:
        prompt: The words.
        kind: The kind of intent that they must be understood as.
        outputs: Names of the files that must come of them.
        holds: What must be true of the turn besides, given the mix before it.
        expectation: The same in words.
    """

    prompt: str
    kind: str
    outputs: tuple[str, ...]
    holds: Callable[[conversation_pb2.Turn, Mix], bool]
    expectation: str


def _louder_with_reverb(turn: conversation_pb2.Turn, before: Mix) -> bool:
    mix = mix_from_message(turn.mix)
    bands = [(band.frequency_hz, band.gain_db) for band in mix["mix"].eq]
    return (
        mix["vocals"].gain_db > before["vocals"].gain_db
        and mix["drums"].reverb > before["drums"].reverb
        and bands == [(3000, 5)]
    )


def _louder_with_less_reverb(turn: conversation_pb2.Turn, before: Mix) -> bool:
    mix = mix_from_message(turn.mix)
    return (
        mix["vocals"].gain_db > before["vocals"].gain_db
        and mix["drums"].reverb < before["drums"].reverb
        and mix["mix"] == before["mix"]
    )


def _unchanged(turn: conversation_pb2.Turn, before: Mix) -> bool:
    return mix_from_message(turn.mix) == before


def _proposes_other(turn: conversation_pb2.Turn, before: Mix) -> bool:
    unsupported = intent_pb2.Clarification.REASON_UNSUPPORTED_STEM
    proposed = turn.proposal.intent.separation.stems
    return (
        turn.intent.clarification.reason == unsupported
        and list(proposed) == ["other"]
        and _unchanged(turn, before)
    )


def _undone(turn: conversation_pb2.Turn, before: Mix) -> bool:
    mix = mix_from_message(turn.mix)
    return (
        turn.intent.history.action == intent_pb2.History.ACTION_UNDO
        and mix["vocals"].gain_db < before["vocals"].gain_db
        and mix["drums"].reverb > before["drums"].reverb
    )


CONVERSATION = (
    Line("only separate vocals", "separation", ("vocals",), _unchanged, "the mix stays"),
    Line(
        "make vocals louder, add reverb to drums, and boost 3kHz by 5dB",
        "remix",
        ("mix",),
        _louder_with_reverb,
        "vocals up, reverb on the drums, +5 dB at 3 kHz on the mix",
    ),
    Line(
        "even louder, and less reverb on the drums",
        "remix",
        ("mix",),
        _louder_with_less_reverb,
        "vocals up again, less reverb on the drums, the rest stays",
    ),
    Line(
        "can I get a trumpet solo?",
        "clarification",
        (),
        _proposes_other,
        "the other stem is proposed",
    ),
    Line("ok give me that one", "separation", ("other",), _unchanged, "the mix stays"),
    Line("undo", "history", ("mix",), _undone, "the mix before the last change"),
)


def shortcomings(line: Line, turn: conversation_pb2.Turn, before: Mix) -> list[str]:
    """Returns what of a turn is not as it must be, in words; nothing where all is well."""
    found = []
    if turn.state != conversation_pb2.Turn.STATE_COMPLETED:
        found.append(f"the turn did not complete: {turn.error.message}")
    kind = turn.intent.WhichOneof("kind")
    if kind != line.kind:
        found.append(f"understood as {kind}, not as {line.kind}")
    names = tuple(artifact.name for artifact in turn.artifacts)
    if names != line.outputs:
        found.append(f"files {names}, not {line.outputs}")
    if not found and not line.holds(turn, before):
        found.append(f"not so: {line.expectation}")
    return found
