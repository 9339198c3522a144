"""Brings the schema up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from services.session.database import unavailable_when_unreachable

_log = structlog.get_logger("mixdown.schema")
_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK_KEY = 0x6D697864  # "mixd"; any number that nobody else locks in this database


def migrate(engine: Engine, revision: str = "head") -> None:
    """Runs the migrations that are missing, in one transaction: all of them or none.

    Two that migrate at once wait for each other, and the second finds nothing to do: PostgreSQL
    holds an advisory lock until the transaction ends, SQLite the one lock for writing.

    Args:
        engine: The database.
        revision: How far; by default to the newest.

    Raises:
        DatabaseUnavailableError: the database cannot be reached now.
    """
    config = Config()
    # Not through the parser of ini files, to which a "%" in a path means something.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    alone = _alone_postgresql if engine.dialect.name == "postgresql" else _alone_sqlite
    with unavailable_when_unreachable(), alone(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    _log.info("schema is up to date", revision=revision)


@contextmanager
def _alone_postgresql(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        yield connection


@contextmanager
def _alone_sqlite(engine: Engine) -> Iterator[Connection]:
    """Opens the one transaction that writes, with references checked at its end only.

    A change of a constraint copies its table and drops the old one; with references in force all
    rows that refer to it would go with it. They cannot be switched within a transaction.
    """
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys=OFF").close()
        try:
            with connection.begin():
                yield connection
                broken = connection.execute(text("PRAGMA foreign_key_check")).all()
                if broken:
                    raise RuntimeError(f"a migration broke references: {broken[:5]}")
        finally:
            driver.execute("PRAGMA foreign_keys=ON").close()
