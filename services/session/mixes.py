"""Mixes as rows: the line of a session, and the settings of some of its places."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlmodel import col

from mixdown.mix import Mix, MixError, UnknownTargetError
from services.session.database import Transaction
from services.session.errors import MixSettingOutOfRangeError, UnknownMixTargetError
from services.session.mix_history import MixChange, MixLine, Place, Walk
from services.session.tables import MixRow, SessionRow


def load_line(transaction: Transaction, session: SessionRow) -> MixLine:
    """Returns the line of a session's mixes and where it stands."""
    if session.redo_tip_mix_id is None:
        return MixLine()
    mix_id, parent = col(MixRow.mix_id), col(MixRow.parent_mix_id)
    line = (
        select(mix_id.label("mix_id"), parent.label("parent"))
        .where(mix_id == session.redo_tip_mix_id)
        .cte("line", recursive=True)
    )
    line = line.union_all(select(mix_id, parent).where(mix_id == line.c.parent))
    rows = transaction.rows.connection().execute(select(line.c.mix_id, line.c.parent)).all()
    return MixLine.from_parents(
        {row.mix_id: row.parent for row in rows}, session.redo_tip_mix_id, session.mix_id
    )


def load_mixes(transaction: Transaction, places: Iterable[Place]) -> dict[Place, Mix]:
    """Returns the mix at each place."""
    wanted = {place for place in places if place is not None}
    mixes: dict[Place, Mix] = {None: Mix()}
    if wanted:
        found = transaction.rows.connection().execute(
            select(col(MixRow.mix_id), col(MixRow.settings)).where(col(MixRow.mix_id).in_(wanted))
        )
        mixes.update((mix_id, Mix.from_dict(settings)) for mix_id, settings in found)
    return mixes


def apply_change(transaction: Transaction, session: SessionRow, change: MixChange) -> MixLine:
    """Returns the line after a change; a mix that differs from the current one becomes a row.

    Raises:
        UnknownMixTargetError: the new mix names a target that the session's model does not have.
        MixSettingOutOfRangeError: a setting of the new mix is out of its range.
    """
    line = load_line(transaction, session)
    if change is None:
        return line
    if isinstance(change, Walk):
        return line.walk(change.steps)
    _check(change.mix, session.stems)
    if change.mix == load_mixes(transaction, [line.current])[line.current]:
        return line
    row = MixRow(
        session_id=session.session_id,
        parent_mix_id=line.current,
        settings=change.mix.to_dict(),
        create_time=transaction.now,
    )
    transaction.rows.add(row)
    transaction.rows.flush()
    return line.extended(row.mix_id)


def _check(mix: Mix, stems: Iterable[str]) -> None:
    try:
        mix.check(stems)
    except UnknownTargetError as error:
        raise UnknownMixTargetError(str(error), metadata={"target": error.target}) from error
    except MixError as error:
        raise MixSettingOutOfRangeError(str(error)) from error
