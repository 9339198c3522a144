"""A session service on a real socket, over SQLite and over PostgreSQL."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.runtime.channels import connect
from services.runtime.server import Server
from services.runtime.settings import Settings
from services.session.api import SessionService
from services.session.database import Database, create_database_engine
from services.session.schema import migrate
from services.session.turns import DEFAULT_RULES, TurnRules
from tests.integration.session.driver import Driver
from tests.postgresql import PostgresqlMissingError, PostgresqlServer

_OUTSIDE = "MIXDOWN_TEST_DATABASE_URL"


class Clock:
    """The database's clock, which tests can turn on."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._is_stopped = False
        self._stopped_at: datetime | None = None

    def __call__(self, now: datetime) -> datetime:
        if self._is_stopped and self._stopped_at is None:
            self._stopped_at = now
        return (self._stopped_at or now) + self.ahead

    def stop(self) -> None:
        """From now on it only goes on when it is turned on, however long a test takes."""
        self._is_stopped = True

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    outside = os.environ.get(_OUTSIDE)
    if outside:
        yield outside
        return
    try:
        server = PostgresqlServer().__enter__()
    except PostgresqlMissingError as error:
        pytest.skip(f"no PostgreSQL: {error}; set {_OUTSIDE} to one")
    try:
        yield server.url()
    finally:
        server.__exit__()


class PostgresqlDatabases:
    """Makes and drops databases on one server, whoever started it."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._made: list[str] = []

    def make(self, template: str = "template1") -> str:
        name = f"mixdown_test_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._made.append(name)
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop_all(self) -> None:
        for name in self._made:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        engine = create_database_engine(self._url.render_as_string(hide_password=False), 1)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture(scope="session")
def postgresql_databases(postgresql_url: str) -> Iterator[PostgresqlDatabases]:
    databases = PostgresqlDatabases(postgresql_url)
    yield databases
    if _OUTSIDE in os.environ:  # a server of our own goes as a whole
        databases.drop_all()


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_databases: PostgresqlDatabases) -> str:
    url = postgresql_databases.make()
    _migrate(url)
    return str(make_url(url).database)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "session.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    engine = create_database_engine(url, 1)
    migrate(engine)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    databases: PostgresqlDatabases = request.getfixturevalue("postgresql_databases")
    return databases.make()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the schema and nothing in it."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "session.db")
        return f"sqlite:///{tmp_path / 'session.db'}"
    databases: PostgresqlDatabases = request.getfixturevalue("postgresql_databases")
    return databases.make(request.getfixturevalue("migrated_postgresql"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def serving(
    url: str, clock: Clock | None = None, rules: TurnRules = DEFAULT_RULES
) -> AsyncIterator[session_pb2_grpc.SessionServiceAsyncStub]:
    """A replica of the service in this process, called over a socket."""
    database = Database(url, pool_size=8, clock=clock)
    name = session_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name
    server = Server(
        Settings(listen="127.0.0.1:0", drain_seconds=0),
        [name],
        lambda server: session_pb2_grpc.add_SessionServiceServicer_to_server(
            SessionService(database, poll_seconds=0.1, rules=rules), server
        ),
    )
    await server.start()
    try:
        async with connect(f"127.0.0.1:{server.port}") as channel:
            yield session_pb2_grpc.SessionServiceStub(channel)
    finally:
        await server.stop()
        database.close()


@pytest.fixture
async def driver(database_url: str, clock: Clock) -> AsyncIterator[Driver]:
    async with serving(database_url, clock) as stub:
        yield Driver(stub)
