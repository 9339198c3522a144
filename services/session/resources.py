"""What the session service remembers, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mixdown.mix import Mix
from services.runtime.blobs import Blob
from services.session.tables import Document

TurnState = Literal["waiting", "pending", "running", "completed", "failed", "cancelled"]
EventKind = Literal[
    "accepted",
    "interpreted",
    "output_started",
    "output_finished",
    "completed",
    "failed",
    "cancelled",
]


@dataclass(frozen=True)
class Upload:
    """A file on its way; `track_id` is set once it has arrived."""

    upload_id: str
    staging_key: str
    display_name: str
    total_size_bytes: int
    track_id: str | None
    create_time: datetime


@dataclass(frozen=True)
class Track:
    """A piece of audio that a user has uploaded."""

    track_id: str
    display_name: str
    blob: Blob
    audio: Document
    create_time: datetime


@dataclass(frozen=True)
class Session:
    """A conversation about one track; `mix` and `proposal` are those of the last completed turn."""

    session_id: str
    track_id: str
    display_name: str
    model: str
    stems: tuple[str, ...]
    mix: Mix
    proposal: Document | None
    turn_count: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True)
class NewArtifact:
    """A file that a turn has made, before it has an identifier."""

    name: str
    blob: Blob
    media_type: str
    file_name: str
    clipped_samples: int


@dataclass(frozen=True)
class Artifact(NewArtifact):
    """A file that a turn made."""

    artifact_id: str
    turn_id: str
    create_time: datetime


@dataclass(frozen=True)
class Turn:
    """One prompt and what came of it; `mix` is None until the prompt is understood."""

    turn_id: str
    session_id: str
    request_id: str
    ordinal: int
    prompt: str
    format: Document
    state: TurnState
    intent: Document | None
    reply: str
    mix: Mix | None
    proposal: Document | None
    targets: tuple[str, ...]
    outputs: tuple[Document, ...]
    artifacts: tuple[Artifact, ...]
    error: Document | None
    attempt_count: int
    create_time: datetime
    end_time: datetime | None


@dataclass(frozen=True)
class TurnEvent:
    """A durable event.

    Args:
        turn_id: The turn.
        sequence: 1, 2, 3, … in the turn.
        kind: What happened: the field of the contract's `TurnEvent`.
        payload: That field's message as JSON, but a `mix` in its canonical form.
        create_time: When it happened.
    """

    turn_id: str
    sequence: int
    kind: EventKind
    payload: Document
    create_time: datetime


@dataclass(frozen=True)
class Lease:
    """The right to work on a turn: a fencing token, and when the right ends unless renewed."""

    token: int
    expire_time: datetime


@dataclass(frozen=True)
class Usage:
    """What a user uses: turns that run or wait, bytes stored, minutes of audio since the day began.

    `reset_time` is when the next day begins.
    """

    turns: int
    stored_bytes: int
    daily_minutes: float
    reset_time: datetime


@dataclass(frozen=True)
class Exchange:
    """An earlier turn, as the interpreter sees it."""

    prompt: str
    intent: Document | None
    targets: tuple[str, ...]
    reply: str


@dataclass(frozen=True)
class Context:
    """The conversation so far, as the interpreter sees it."""

    mix: Mix
    history: tuple[Exchange, ...]
    proposal: Document | None
    stems: tuple[str, ...]
    undo_mixes: tuple[Mix, ...]
    redo_mixes: tuple[Mix, ...]


@dataclass(frozen=True)
class Work:
    """A turn and all that is needed to work on it.

    `lease` is None where the turn has ended, must wait, or somebody else holds it; `context` where
    it has ended or must wait. `given` is the interpretation that a turn without words was begun
    with, `trace_parent` names the trace in which it was begun.
    """

    user_id: str
    turn: Turn
    lease: Lease | None
    session: Session
    track: Track
    context: Context | None
    events: tuple[TurnEvent, ...]
    given: Document | None
    trace_parent: str
