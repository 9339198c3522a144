"""What is stored of a turn, as far as it was read: a fold over its durable events."""

from __future__ import annotations

from mixdown.conversation.v1 import conversation_pb2

_ENDS = {"completed", "failed", "cancelled"}


class TurnLog:
    """The durable events of one turn, folded into what matters for going on with it.

    Attributes:
        sequence: Number of the last event; 0 before the first.
        interpreted: What the prompt was understood to mean; None until then.
        started: Outputs that have begun, by name.
        finished: Artifacts of the outputs that are complete, by name of the output.
        ended: Whether the turn has ended.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self.interpreted: conversation_pb2.Interpreted | None = None
        self.started: dict[str, conversation_pb2.OutputStarted] = {}
        self.finished: dict[str, conversation_pb2.Artifact] = {}
        self.ended = False

    def add(self, event: conversation_pb2.TurnEvent) -> bool:
        """Adds an event. Returns False, and changes nothing, where it was added before."""
        if event.sequence <= self.sequence:
            return False
        self.sequence = event.sequence
        kind = event.WhichOneof("event")
        if kind == "interpreted":
            self.interpreted = event.interpreted
        elif kind == "output_started":
            self.started[event.output_started.name] = event.output_started
        elif kind == "output_finished":
            artifact = event.output_finished.artifact
            self.finished[artifact.name] = artifact
        self.ended = kind in _ENDS
        return True
