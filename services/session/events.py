"""Durable events of turns: appended in order, each kind once in a turn or once for each output."""

from __future__ import annotations

from typing import cast

from sqlalchemy import bindparam, func, insert
from sqlmodel import col, select

from services.session import metrics
from services.session.database import Transaction
from services.session.resources import EventKind, TurnEvent
from services.session.tables import Document, TurnEventRow

_TABLE = TurnEventRow.__table__  # type: ignore[attr-defined]
_LAST = (
    select(func.coalesce(func.max(_TABLE.c.sequence), 0))
    .where(_TABLE.c.turn_id == bindparam("turn_id"))
    .scalar_subquery()
)
_APPEND = (
    insert(_TABLE)
    .values(
        turn_id=bindparam("turn_id"),
        sequence=_LAST + 1,
        kind=bindparam("kind"),
        output_name=bindparam("output_name"),
        payload=bindparam("payload"),
        create_time=bindparam("create_time"),
    )
    .returning(_TABLE.c.sequence)
)


def append(
    transaction: Transaction,
    turn_id: str,
    kind: EventKind,
    payload: Document,
    output_name: str = "",
) -> TurnEvent:
    """Appends an event. The caller has locked the turn's session and knows that it is new."""
    transaction.rows.flush()  # the turn may be new
    sequence: int = (
        transaction.rows.connection()
        .execute(
            _APPEND,
            {
                "turn_id": turn_id,
                "kind": kind,
                "output_name": output_name,
                "payload": payload,
                "create_time": transaction.now,
            },
        )
        .scalar_one()
    )
    transaction.touch(turn_id)
    metrics.EVENTS.labels(kind).inc()
    return TurnEvent(turn_id, sequence, kind, payload, transaction.now)


def find(
    transaction: Transaction, turn_id: str, kind: EventKind, output_name: str = ""
) -> TurnEvent | None:
    """Returns the event of a kind, for events of outputs that of one output."""
    row = transaction.rows.exec(
        select(TurnEventRow).where(
            col(TurnEventRow.turn_id) == turn_id,
            col(TurnEventRow.kind) == kind,
            col(TurnEventRow.output_name) == output_name,
        )
    ).first()
    return None if row is None else _event(row)


def get(transaction: Transaction, turn_id: str, kind: EventKind) -> TurnEvent:
    """Returns the event of a kind that a turn is known to have."""
    event = find(transaction, turn_id, kind)
    assert event is not None, "stored in the transaction that changed the turn"
    return event


def list_after(transaction: Transaction, turn_id: str, sequence: int) -> tuple[TurnEvent, ...]:
    """Returns the events of a turn after a sequence number, in order."""
    rows = transaction.rows.exec(
        select(TurnEventRow)
        .where(col(TurnEventRow.turn_id) == turn_id, col(TurnEventRow.sequence) > sequence)
        .order_by(col(TurnEventRow.sequence))
    )
    return tuple(_event(row) for row in rows)


def _event(row: TurnEventRow) -> TurnEvent:
    return TurnEvent(
        turn_id=row.turn_id,
        sequence=row.sequence,
        kind=cast("EventKind", row.kind),
        payload=row.payload,
        create_time=row.create_time,
    )
