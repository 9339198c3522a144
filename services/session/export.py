"""A session as one JSON document, for its user to take along."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

from sqlmodel import col, select

from mixdown.mix import Mix
from services.session import events
from services.session.database import Transaction
from services.session.sessions import session_row, to_session
from services.session.tables import TrackRow, TurnRow
from services.session.tracks import to_track
from services.session.turn_reading import to_turns

FORMAT = "mixdown-session"
VERSION = 1


def export_session(transaction: Transaction, *, user_id: str, session_id: str) -> bytes:
    """Returns a session, its track, and its turns with mixes, files and events, as JSON in UTF-8.

    Files are named by their SHA-256; their bytes are downloaded apart.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    row = session_row(transaction, user_id, session_id)
    turns = to_turns(
        transaction,
        transaction.rows.exec(
            select(TurnRow)
            .where(col(TurnRow.session_id) == session_id)
            .order_by(col(TurnRow.ordinal))
        ).all(),
    )
    document = {
        "format": FORMAT,
        "version": VERSION,
        "export_time": transaction.now,
        "track": to_track(transaction.rows.get_one(TrackRow, row.track_id)),
        "session": to_session(transaction, row),
        "turns": [
            {
                **_fields(turn),
                "events": [
                    {key: value for key, value in _fields(event).items() if key != "turn_id"}
                    for event in events.list_after(transaction, turn.turn_id, 0)
                ],
            }
            for turn in turns
        ],
    }
    text = json.dumps(document, default=_plain, ensure_ascii=False, indent=1, sort_keys=True)
    return text.encode()


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Mix():
            return value.to_dict()
        case _ if dataclasses.is_dataclass(value):
            return _fields(value)
    raise TypeError(f"cannot export {type(value).__name__}")
