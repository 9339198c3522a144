"""Turns as they are read: one, a page of them, the stream of their events, the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import bindparam
from sqlmodel import col, select

from services.session import events, leases, turn_line
from services.session.artifacts import artifacts_of
from services.session.database import Transaction
from services.session.errors import TurnNotFoundError
from services.session.mixes import load_line, load_mixes
from services.session.pagination import Page, PageRequest, after_number, cut_page
from services.session.resources import Context, Exchange, Turn, TurnEvent, TurnState
from services.session.sessions import session_row
from services.session.tables import UNFINISHED, SessionRow, TurnRow

HISTORY_TURNS = 50
"""Exchanges that the interpreter is told of."""

WALK_MIXES = 16
"""Mixes that the interpreter is told of in each direction of undo and redo."""


_HISTORY = (
    select(TurnRow.prompt, TurnRow.intent, TurnRow.targets, TurnRow.reply)
    .where(col(TurnRow.session_id) == bindparam("session_id"), col(TurnRow.state) == "completed")
    .order_by(col(TurnRow.ordinal).desc())
    .limit(HISTORY_TURNS)
)


@dataclass(frozen=True)
class EventsSince:
    """Events after a sequence number; `is_over` says that none will follow under this lease."""

    events: tuple[TurnEvent, ...]
    is_over: bool


def get_turn(transaction: Transaction, *, user_id: str, turn_id: str) -> Turn:
    """Returns a turn. Raises TurnNotFoundError."""
    return to_turn(transaction, _turn_row(transaction, user_id, turn_id))


def list_turns(
    transaction: Transaction, *, user_id: str, session_id: str, page: PageRequest
) -> Page[Turn]:
    """Returns a page of a session's turns, oldest first.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    session_row(transaction, user_id, session_id)
    listing = f"turns {session_id}"
    rows = transaction.rows.exec(
        select(TurnRow)
        .where(
            col(TurnRow.session_id) == session_id,
            col(TurnRow.ordinal) > after_number(listing, page.page_token),
        )
        .order_by(col(TurnRow.ordinal))
        .limit(page.limit + 1)
    ).all()
    cut = cut_page(listing, rows, page.limit, lambda row: str(row.ordinal))
    return cut.map(lambda items: to_turns(transaction, items))


def events_since(
    transaction: Transaction, *, user_id: str, turn_id: str, after_sequence: int
) -> EventsSince:
    """Returns the events after a sequence number, and whether any can follow.

    Raises:
        TurnNotFoundError: there is no such turn.
    """
    turn = _turn_row(transaction, user_id, turn_id)
    is_over = not leases.is_held(transaction, turn)
    return EventsSince(events.list_after(transaction, turn_id, after_sequence), is_over)


def place_in_line(transaction: Transaction, *, user_id: str, turn_id: str) -> int:
    """Returns how many turns of its session come before a turn; 0 where it need not wait.

    Raises:
        TurnNotFoundError: there is no such turn.
    """
    return turn_line.turns_ahead(transaction, _turn_row(transaction, user_id, turn_id))


def load_context(transaction: Transaction, session: SessionRow) -> Context:
    """Returns the conversation so far: the completed turns and what they led to."""
    newest = transaction.rows.exec(_HISTORY, params={"session_id": session.session_id}).all()
    line = load_line(transaction, session)
    undo, redo = line.undo_places(WALK_MIXES), line.redo_places(WALK_MIXES)
    mixes = load_mixes(transaction, (line.current, *undo, *redo))
    return Context(
        mix=mixes[line.current],
        history=tuple(
            Exchange(prompt, intent, tuple(targets), reply)
            for prompt, intent, targets, reply in reversed(newest)
        ),
        proposal=session.proposal,
        stems=tuple(session.stems),
        undo_mixes=tuple(mixes[place] for place in undo),
        redo_mixes=tuple(mixes[place] for place in redo),
    )


def to_turn(transaction: Transaction, row: TurnRow, *, is_new: bool = False) -> Turn:
    """Returns a row as a value, with its mix and artifacts; a new one has neither."""
    return to_turns(transaction, [row], are_new=is_new)[0]


def to_turns(
    transaction: Transaction, rows: Sequence[TurnRow], *, are_new: bool = False
) -> list[Turn]:
    """Returns rows as values, with their mixes and artifacts."""
    mixes = load_mixes(transaction, [row.mix_id for row in rows])
    artifacts = {} if are_new else artifacts_of(transaction, [row.turn_id for row in rows])
    return [
        Turn(
            turn_id=row.turn_id,
            session_id=row.session_id,
            request_id=row.request_id,
            ordinal=row.ordinal,
            prompt=row.prompt,
            format=row.output_format,
            state=_state(transaction, row),
            intent=row.intent,
            reply=row.reply,
            mix=None if row.interpret_time is None else mixes[row.mix_id],
            proposal=row.proposal,
            targets=tuple(row.targets),
            outputs=tuple(row.outputs),
            artifacts=artifacts.get(row.turn_id, ()),
            error=row.error,
            attempt_count=row.attempt_count,
            create_time=row.create_time,
            end_time=row.end_time,
        )
        for row in rows
    ]


def _state(transaction: Transaction, row: TurnRow) -> TurnState:
    if row.state != UNFINISHED:  # "waiting" included
        return cast("TurnState", row.state)
    return "running" if leases.is_held(transaction, row) else "pending"


def _turn_row(transaction: Transaction, user_id: str, turn_id: str) -> TurnRow:
    row = transaction.rows.exec(
        select(TurnRow)
        .join(SessionRow, col(SessionRow.session_id) == col(TurnRow.session_id))
        .where(col(TurnRow.turn_id) == turn_id, col(SessionRow.user_id) == user_id)
    ).first()
    if row is None:
        raise TurnNotFoundError(turn_id)
    return row
