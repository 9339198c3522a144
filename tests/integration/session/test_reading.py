"""Reading sees one moment, whatever others do meanwhile."""

from __future__ import annotations

import pytest

from mixdown.mix import Mix
from mixdown.session.v1 import session_pb2 as pb
from services.session.database import Database
from services.session.sessions import session_row, to_session
from services.session.tables import SessionRow
from tests.integration.session.driver import Driver, mix, remix


async def test_a_session_that_is_deleted_while_it_is_read_is_read_whole(
    driver: Driver, database_url: str
) -> None:
    session = await driver.session()
    await driver.turn(session, remix(mix(vocals=3)))
    database = Database(database_url, 1)
    with database.transaction(read_only=True) as transaction:
        row = session_row(transaction, driver.user_id, session.session_id)
        await driver.stub.DeleteSession(
            pb.DeleteSessionRequest(user_id=driver.user_id, session_id=session.session_id)
        )
        assert to_session(transaction, row).mix == Mix().change("vocals", gain_db=3.0)
    with database.transaction(read_only=True) as transaction:
        assert transaction.rows.get(SessionRow, session.session_id) is None
    database.close()


async def test_reading_and_writing_take_turns_on_one_connection(
    driver: Driver, database_url: str
) -> None:
    """How a connection reads must not stick to it when the next operation writes."""
    session = await driver.session()
    database = Database(database_url, 1)
    for number in range(3):
        with database.transaction(read_only=True) as transaction:
            session_row(transaction, driver.user_id, session.session_id)
        with database.transaction() as transaction:
            row = session_row(transaction, driver.user_id, session.session_id)
            row.display_name = f"name {number}"
    database.close()
    assert (await driver.get_session(session.session_id)).display_name == "name 2"


async def test_an_operation_that_fails_leaves_nothing_behind(
    driver: Driver, database_url: str
) -> None:
    session = await driver.session(name="before")
    database = Database(database_url, 1)
    with pytest.raises(ZeroDivisionError), database.transaction() as transaction:
        row = session_row(transaction, driver.user_id, session.session_id)
        row.display_name = "after"
        transaction.rows.flush()
        raise ZeroDivisionError
    database.close()
    assert (await driver.get_session(session.session_id)).display_name == "before"
