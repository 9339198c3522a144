"""Migrations lead to the schema that the code expects, and run once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from services.session.database import Database, create_database_engine
from services.session.schema import migrate
from services.session.tables import METADATA, TurnRow, UserRow
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import Driver


def test_the_migrated_schema_is_that_of_the_tables(database_url: str) -> None:
    engine = create_database_engine(database_url, 1)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_checks_and_references_are_those_of_the_tables(database_url: str, tmp_path: Path) -> None:
    """What Alembic does not compare: names and targets of the constraints."""
    made = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
    METADATA.create_all(made)
    migrated = create_database_engine(database_url, 1)
    for table in METADATA.tables:
        for kind in ("get_check_constraints", "get_foreign_keys", "get_unique_constraints"):
            by_code = {item["name"] for item in getattr(inspect(made), kind)(table)}
            by_migration = {item["name"] for item in getattr(inspect(migrated), kind)(table)}
            assert by_migration == by_code, (table, kind)
    made.dispose()
    migrated.dispose()


async def test_two_that_migrate_at_once_do_not_harm_each_other(empty_database_url: str) -> None:
    engines = [create_database_engine(empty_database_url, 1) for _ in range(4)]
    await asyncio.gather(*(asyncio.to_thread(migrate, engine) for engine in engines))
    with engines[0].connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    for engine in engines:
        engine.dispose()


async def test_migrating_again_keeps_what_is_stored(database_url: str) -> None:
    async with serving(database_url) as stub:
        session = await Driver(stub).session()
    engine = create_database_engine(database_url, 1)
    migrate(engine)
    engine.dispose()
    async with serving(database_url) as stub:
        assert await Driver(stub).get_session(session.session_id) == session


async def test_the_database_itself_refuses_a_second_unfinished_turn(
    driver: Driver, database_url: str, clock: Clock
) -> None:
    work = await driver.begin(await driver.session())
    database = Database(database_url, 1)

    def insert(ordinal: int, request_id: str, state: str) -> None:
        with database.transaction() as transaction:
            transaction.rows.add(
                TurnRow(
                    session_id=work.session.session_id,
                    request_id=request_id,
                    ordinal=ordinal,
                    prompt="",
                    output_format={},
                    state=state,
                    create_time=transaction.now,
                    end_time=None if state == "unfinished" else transaction.now,
                )
            )

    insert(2, "two", "completed")
    for ordinal, request_id, state in (
        (3, "three", "unfinished"),  # one unfinished turn
        (1, "three", "completed"),  # one turn at each place
        (3, work.turn.request_id, "completed"),  # one turn for a request
        (0, "three", "completed"),  # places begin at 1
        (3, "three", "sleeping"),  # a state that is none
        (3, "three", "failed"),  # a failure without an error
    ):
        with pytest.raises(IntegrityError):
            insert(ordinal, request_id, state)
    insert(3, "three", "completed")
    database.close()


def test_a_user_without_a_name_cannot_be_stored(database_url: str) -> None:
    database = Database(database_url, 1)
    with pytest.raises(IntegrityError), database.transaction() as transaction:
        transaction.rows.add(UserRow(user_id="", create_time=transaction.now))
    database.close()


def test_slow_statements_are_logged_without_what_users_said(database_url: str) -> None:
    for slow_seconds, logged in ((1e-9, True), (60.0, False)):
        database = Database(database_url, 1, slow_seconds=slow_seconds)
        with capture_logs() as logs, database.transaction() as transaction:
            transaction.insert_if_absent(
                UserRow, {"user_id": "secret name", "create_time": transaction.now}
            )
        inserts = [entry for entry in logs if "INSERT INTO users" in entry.get("statement", "")]
        assert bool(inserts) is logged
        assert "secret name" not in str(logs)
        database.close()
