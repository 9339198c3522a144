"""Watches every statement that is sent to the database: its seconds, its span, the slow ones' text.

The values of a statement are what users said, so they are told nowhere.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from opentelemetry.trace import SpanKind
from sqlalchemy import Connection, Engine, ExceptionContext, event

from services.runtime import tracing
from services.session import metrics

_log = structlog.get_logger("mixdown.database")

_UNDER_WAY = "mixdown_statement"
_VERBS = {"SELECT", "INSERT", "UPDATE", "DELETE"}


def watch_statements(engine: Engine, slow_seconds: float) -> None:
    """Measures the statements of an engine, and logs those that take longer than `slow_seconds`."""
    system = "postgresql" if engine.dialect.name == "postgresql" else "sqlite"

    def before(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        verb = _verb(statement)
        span = tracing.begin_span(
            f"sql {verb}",
            SpanKind.CLIENT,
            {"db.system.name": system, "db.operation.name": verb, "db.query.text": statement},
        )
        connection.info[_UNDER_WAY] = (time.perf_counter(), verb, span)

    def after(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        began, verb, span = connection.info.pop(_UNDER_WAY)
        seconds = time.perf_counter() - began
        metrics.STATEMENT_SECONDS.labels(verb).observe(seconds)
        if seconds > slow_seconds:
            metrics.SLOW_STATEMENTS.inc()
            _log.warning("slow statement", seconds=round(seconds, 3), statement=statement)
        tracing.end_span(span)

    def failed(context: ExceptionContext) -> None:
        under_way = context.connection and context.connection.info.pop(_UNDER_WAY, None)
        if under_way:
            tracing.end_span(under_way[2], context.original_exception)

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)


def _verb(statement: str) -> str:
    verb = statement.lstrip()[:6].upper()
    return verb if verb in _VERBS else "other"
