"""Durable events of turns: appended in order, each kind once in a turn or once for each output."""

from __future__ import annotations

from typing import cast

from sqlalchemy import func
from sqlmodel import col, select

from services.session.database import Transaction
from services.session.resources import EventKind, TurnEvent
from services.session.tables import Document, TurnEventRow


def append(
    transaction: Transaction,
    turn_id: str,
    kind: EventKind,
    payload: Document,
    output_name: str = "",
) -> TurnEvent:
    """Appends an event. The caller has locked the turn's session and knows that it is new."""
    last = transaction.rows.exec(
        select(func.max(TurnEventRow.sequence)).where(col(TurnEventRow.turn_id) == turn_id)
    ).one()
    row = TurnEventRow(
        turn_id=turn_id,
        sequence=(last or 0) + 1,
        kind=kind,
        output_name=output_name,
        payload=payload,
        create_time=transaction.now,
    )
    transaction.rows.add(row)
    transaction.rows.flush()
    return _event(row)


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
