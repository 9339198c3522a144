"""Structured logs: one JSON object a line, with the ids of the request in hand and its trace.

Log with `structlog.get_logger()`; what `bind` says is in every line until the request ends.
"""

from __future__ import annotations

import logging
import sys

import structlog

from services.runtime.tracing import trace_ids


def configure_logs(service: str, level: str, form: str) -> None:
    """Sets up logging of this process to standard error.

    Args:
        service: Name of the service, in every line.
        level: "debug", "info", "warning" or "error".
        form: "json", or "text" for people.
    """

    def add_service(
        _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event["service"] = service  # in every thread, also of libraries
        return event

    shared: list[structlog.typing.Processor] = [
        add_service,
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def _add_trace(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event.update(trace_ids())
    return event


def bind(**ids: str) -> None:
    """Adds ids (`session_id`, `turn_id`, …) to every line of the request in hand."""
    structlog.contextvars.bind_contextvars(**ids)
