"""The database: connections, transactions, and what it means when it cannot be reached.

An operation is a plain function whose first argument is a `Transaction`; `Database.write` and
`Database.read` run it in a thread, in one transaction, and answer what it returns.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session, SQLModel

from services.runtime import tracing
from services.runtime.errors import MixdownError
from services.session import metrics
from services.session.errors import DatabaseUnavailableError
from services.session.statements import watch_statements

_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = structlog.get_logger("mixdown.database")

_CONNECT_SECONDS = 5
_BUSY_SECONDS = 30
_POSTGRESQL_OPTIONS = " ".join(
    f"-c {setting}"
    for setting in (
        "timezone=UTC",
        "statement_timeout=30s",
        "lock_timeout=15s",
        "idle_in_transaction_session_timeout=60s",
    )
)

_READING: dict[str, dict[str, Any]] = {
    "sqlite": {"sqlite_begin": "BEGIN DEFERRED"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
_WRITING: dict[str, dict[str, Any]] = {
    # The write lock at once: what reads first and then finds another writer cannot wait for it.
    "sqlite": {"sqlite_begin": "BEGIN IMMEDIATE"},
    # Read committed: what is read after waiting for a lock is what the other has left.
    "postgresql": {"isolation_level": "READ COMMITTED"},
}

Clock = Callable[[datetime], datetime]
"""Tells the time that leases are measured by, given the database's."""


@dataclass(frozen=True)
class Transaction:
    """A transaction under way.

    Args:
        rows: Where rows are read and written.
        now: When it began, by the database's clock.
        touched: Turns that something was stored for.
    """

    rows: Session
    now: datetime
    touched: set[str] = field(default_factory=set)

    def touch(self, turn_id: str) -> None:
        """Remembers that those who follow a turn are to look again once this is committed."""
        self.touched.add(turn_id)

    def insert_if_absent(self, table: type[SQLModel], values: Mapping[str, Any]) -> bool:
        """Inserts a row unless one with the same key is there. Returns whether it was inserted.

        Safe where two do it at once, which a look before the insert is not.
        """
        postgres = self.rows.get_bind().dialect.name == "postgresql"
        insert = postgresql.insert if postgres else sqlite.insert
        statement = insert(table).values(**values).on_conflict_do_nothing()
        return bool(self.rows.connection().execute(statement).rowcount)


class Database:
    """Connections to one database, PostgreSQL or SQLite.

    Args:
        url: "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST/NAME".
        pool_size: Connections, and operations at once.
        clock: What time it is; by default the database server's, which all replicas share.
        slow_seconds: Statements that take longer are logged.
    """

    def __init__(
        self,
        url: str,
        pool_size: int = 8,
        clock: Clock | None = None,
        slow_seconds: float = 0.5,
    ) -> None:
        self.engine = create_database_engine(url, pool_size)
        watch_statements(self.engine, slow_seconds)
        metrics.observe_pool(self.engine)
        self._clock = clock or _same
        self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")
        self._followers: list[Callable[[str], None]] = []

    def tell(self, follower: Callable[[str], None]) -> None:
        """Calls `follower` with every turn that something is stored for here, once it is."""
        self._followers.append(follower)

    async def write(
        self,
        operation: Callable[Concatenate[Transaction, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Runs an operation that changes rows; all of it happens, or nothing.

        Raises:
            DatabaseUnavailableError: the database cannot be reached now.
        """
        return await self._run(False, operation, *args, **kwargs)

    async def read(
        self,
        operation: Callable[Concatenate[Transaction, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Runs an operation that changes nothing, and sees everything as of one moment.

        Raises:
            DatabaseUnavailableError: the database cannot be reached now.
        """
        return await self._run(True, operation, *args, **kwargs)

    async def _run(
        self,
        read_only: bool,
        operation: Callable[Concatenate[Transaction, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        touched: set[str] = set()
        asked = time.perf_counter()
        name = operation.__name__

        def run() -> _T:
            began = time.perf_counter()
            metrics.WAIT_SECONDS.observe(began - asked)
            with (
                metrics.OPERATION_SECONDS.labels(name).time(),
                tracing.span(f"transaction {name}"),
                self.transaction(read_only=read_only) as transaction,
            ):
                result = operation(transaction, *args, **kwargs)
            touched.update(transaction.touched)
            _log.debug(
                "transaction",
                operation=name,
                waited_seconds=round(began - asked, 5),
                seconds=round(time.perf_counter() - began, 5),
            )
            return result

        context = contextvars.copy_context()  # so that a log line in the thread knows its request
        loop = asyncio.get_running_loop()
        # Cancelling the caller does not stop the thread: the transaction ends, one way or other.
        result = await loop.run_in_executor(self._threads, functools.partial(context.run, run))
        for turn_id in touched:
            for follower in self._followers:
                follower(turn_id)
        return result

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Transaction]:
        """Opens a transaction; commits at the end, rolls back on an error.

        Args:
            read_only: Nothing is changed, and everything is seen as of one moment.
        """
        options = _READING if read_only else _WRITING
        with (
            unavailable_when_unreachable(),
            self.engine.connect().execution_options(
                **options[self.engine.dialect.name]
            ) as connection,
            _begun(connection) as now,
            Session(connection, expire_on_commit=False) as rows,
        ):
            yield Transaction(rows, self._clock(now))
            rows.flush()

    def close(self) -> None:
        """Waits for operations under way and closes the connections."""
        self._threads.shutdown()
        self.engine.dispose()


@contextmanager
def _begun(connection: Connection) -> Iterator[datetime]:
    """Begins a transaction; tells the time by the database's clock, for a file by this machine's.

    That is the first statement, so a connection that has broken since it was last used shows here,
    where nothing was done yet, and is opened anew. To ask each one beforehand would cost more.
    """
    transaction = connection.begin()
    try:
        now = _database_time(connection)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        transaction.rollback()
        transaction = connection.begin()
        now = _database_time(connection)
    with transaction:
        yield now


def _database_time(connection: Connection) -> datetime:
    if connection.dialect.name == "postgresql":
        now: datetime = connection.execute(text("SELECT now()")).scalar_one()
        return now.astimezone(UTC)
    return datetime.now(UTC)


def _same(now: datetime) -> datetime:
    return now


@contextmanager
def unavailable_when_unreachable() -> Iterator[None]:
    """Turns the driver's words for an outage, a time-out or a deadlock into our error."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        metrics.DATABASE_UNAVAILABLE.inc()
        _log.warning("database unavailable", error=str(error).splitlines()[0])
        raise DatabaseUnavailableError from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        metrics.DATABASE_UNAVAILABLE.inc()
        _log.warning("database connection lost", error=str(error).splitlines()[0])
        raise DatabaseUnavailableError from error
    except StatementError as error:
        # A column type refused a value with one of our own errors.
        if isinstance(error.orig, MixdownError):
            raise error.orig from None
        raise


def create_database_engine(url: str, pool_size: int) -> Engine:
    """Makes the engine for a URL; nothing is connected yet. A missing folder is made.

    Raises:
        ValueError: the URL names neither PostgreSQL nor an SQLite file.
    """
    parsed = make_url(url)
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return _sqlite_engine(parsed, pool_size)
    if kind not in {"postgresql", "postgres"}:
        raise ValueError("the database must be sqlite:///FILE or postgresql://…")
    return create_engine(
        parsed.set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "options": _POSTGRESQL_OPTIONS,
            "application_name": "mixdown-session",
        },
    )


def _sqlite_engine(url: URL, pool_size: int) -> Engine:
    assert url.database
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_BUSY_SECONDS,
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver would begin transactions by itself, and only before a write: we say BEGIN.
    connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))
