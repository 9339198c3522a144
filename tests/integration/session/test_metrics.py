"""What the session service counts and traces, over SQLite and over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from mixdown.session.v1 import session_pb2 as pb
from services.runtime.tracing import span, use_tracer
from services.session.census import CensusTaker
from services.session.database import Database, Transaction
from services.session.errors import DatabaseUnavailableError
from services.session.tables import UserRow
from tests.integration.session.conftest import Clock
from tests.integration.session.driver import Driver, mix, remix
from tests.metrics import growth, value


async def test_a_transaction_is_counted_by_what_it_does_with_its_statements(driver: Driver):
    begun = growth("mixdown_session_operation_seconds_count", operation="begin_turn")
    inserts = growth("mixdown_session_statement_seconds_count", verb="INSERT")
    waits = growth("mixdown_session_operation_wait_seconds_count")
    events = growth("mixdown_session_events_appended_total", kind="accepted")
    await driver.begin(await driver.session())
    assert (begun(), events()) == (1, 1)
    assert inserts() >= 3
    assert waits() >= 3
    assert value("mixdown_session_pool_connections", state="used") == 0
    assert value("mixdown_session_pool_connections", state="most") == 8


async def test_turns_and_deletions_are_counted_in_the_whole_database(
    driver: Driver, clock: Clock, database_url: str
):
    clock.stop()
    database = Database(database_url, 1, clock)
    taker = CensusTaker(database, 60)

    async def turns() -> dict[str, float]:
        await taker.count()
        states = ("running", "orphaned", "resting", "waiting")
        return {state: value("mixdown_session_turns", state=state) for state in states}

    assert set((await turns()).values()) == {0}
    given_back = await driver.begin(await driver.session())
    await driver.release(given_back)
    done = await driver.begin(session := await driver.session())
    await driver.record(done, remix(mix(vocals=3)))
    await driver.output_finished(done, content="rendered")
    await driver.complete(done)
    await driver.begin(await driver.session())
    assert await turns() == {"running": 1, "orphaned": 0, "resting": 1, "waiting": 0}
    clock.advance(31)
    assert await turns() == {"running": 0, "orphaned": 1, "resting": 1, "waiting": 0}
    takeovers = growth("mixdown_session_takeovers_total")
    await driver.stub.ClaimExpiredTurn(pb.ClaimExpiredTurnRequest(holder="another"))
    assert takeovers() == 1
    assert (await turns())["running"] == 1

    pending = growth("mixdown_session_deletions_pending")  # parts of uploads are among them
    await driver.delete_session(session)
    clock.advance(100)
    await taker.count()
    assert pending() == 1
    assert value("mixdown_session_oldest_deletion_seconds") == pytest.approx(131, abs=1)
    database.close()


async def test_an_outage_is_counted():
    unavailable = growth("mixdown_session_database_unavailable_total")
    database = Database("postgresql://nobody@127.0.0.1:9/none", 1)
    with pytest.raises(DatabaseUnavailableError):
        await database.read(say_a_secret)
    assert unavailable() == 1
    database.close()


async def test_slow_statements_are_counted(database_url: str):
    slow = growth("mixdown_session_slow_statements_total")
    database = Database(database_url, 1, slow_seconds=1e-9)
    await database.read(say_a_secret)
    assert slow() >= 1
    database.close()


def say_a_secret(transaction: Transaction) -> None:
    transaction.rows.connection().execute(text("SELECT length(:words)"), {"words": "swordfish"})


def fail_with_a_secret(transaction: Transaction) -> None:
    for _ in range(2):
        values = {"user_id": "swordfish", "create_time": transaction.now}
        transaction.rows.connection().execute(insert(UserRow).values(**values))


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer(provider.get_tracer("test"))
    yield exporter
    use_tracer(trace.NoOpTracer())


async def test_a_statement_lies_below_its_transaction_and_tells_no_values(
    database_url: str, spans: InMemorySpanExporter
):
    database = Database(database_url, 1)
    with span("a call", root=True) as call:
        await database.read(say_a_secret)
    found = {each.name: each for each in spans.get_finished_spans()}
    (statement,) = (each for each in spans.get_finished_spans() if "length" in str(each.attributes))
    transaction = found["transaction say_a_secret"]
    assert statement.name == "sql SELECT"
    assert statement.parent.span_id == transaction.context.span_id
    assert transaction.parent.span_id == call.get_span_context().span_id
    assert statement.attributes["db.system.name"] == database.engine.dialect.name
    assert not [each for each in found.values() if "swordfish" in each.to_json()]
    database.close()


async def test_who_takes_a_turn_over_is_told_the_trace_in_which_it_was_begun(
    driver: Driver, clock: Clock, spans: InMemorySpanExporter
):
    session = await driver.session()
    with span("a call", root=True) as call:
        begun = await driver.begin(session)
    clock.advance(31)
    taken = await driver.take_over()
    assert taken.turn.turn_id == begun.turn.turn_id
    assert trace.format_trace_id(call.get_span_context().trace_id) in taken.trace_parent


async def test_a_turn_that_nobody_traces_has_no_trace(driver: Driver):
    assert (await driver.begin(await driver.session())).trace_parent == ""


async def test_a_statement_that_fails_marks_its_span_and_tells_no_values(
    database_url: str, spans: InMemorySpanExporter
):
    database = Database(database_url, 1)
    with pytest.raises(IntegrityError), span("a call", root=True):
        await database.write(fail_with_a_secret)
    failed = [
        each for each in spans.get_finished_spans() if each.status.status_code == StatusCode.ERROR
    ]
    assert {each.name for each in failed} == {
        "a call",
        "sql INSERT",
        "transaction fail_with_a_secret",
    }
    assert not [each for each in failed if "swordfish" in each.to_json()]
    database.close()
