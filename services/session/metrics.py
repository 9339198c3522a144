"""What the session service counts and measures; never whose, and never what was said."""

from __future__ import annotations

from sqlalchemy import Engine, QueuePool

from services.runtime.metrics import counter, gauge, histogram

_FAST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)

OPERATION_SECONDS = histogram(
    "mixdown_session_operation_seconds",
    "How long transactions took, from their begin to their commit, by what they do.",
    ("operation",),
    buckets=_FAST_BUCKETS,
)
WAIT_SECONDS = histogram(
    "mixdown_session_operation_wait_seconds",
    "How long transactions waited until one of the process's connections was free.",
    buckets=_FAST_BUCKETS,
)
STATEMENT_SECONDS = histogram(
    "mixdown_session_statement_seconds",
    "How long statements took, by their verb.",
    ("verb",),
    buckets=_FAST_BUCKETS,
)
SLOW_STATEMENTS = counter(
    "mixdown_session_slow_statements_total",
    "Statements that took longer than MIXDOWN_SLOW_STATEMENT_SECONDS.",
)
DATABASE_UNAVAILABLE = counter(
    "mixdown_session_database_unavailable_total",
    "Transactions that failed because the database was away, too slow, or in a deadlock.",
)
_POOL = gauge(
    "mixdown_session_pool_connections",
    "Connections to the database: those in use, and the most that this process opens.",
    ("state",),
)

EVENTS = counter(
    "mixdown_session_events_appended_total", "Durable events of turns, by their kind.", ("kind",)
)
TAKEOVERS = counter(
    "mixdown_session_takeovers_total", "Turns given to another gateway because a lease ran out."
)
EXPIRED = counter(
    "mixdown_session_expired_total",
    "Sessions, tracks and uploads deleted because they were too old.",
)
TURNS = gauge(
    "mixdown_session_turns",
    "Turns that have not ended, in the whole database: worked on (running), nobody's since a lease "
    "ran out (orphaned), left until somebody asks for them (resting), behind others (waiting).",
    ("state",),
)
DELETIONS_PENDING = gauge(
    "mixdown_session_deletions_pending",
    "Files that nobody refers to and that are still in the store, in the whole database.",
)
OLDEST_DELETION_SECONDS = gauge(
    "mixdown_session_oldest_deletion_seconds",
    "How long ago the last reference to the oldest of them went; 0 without any.",
)


def observe_pool(engine: Engine) -> None:
    """Has the connections counted whenever metrics are fetched."""
    pool = engine.pool
    if isinstance(pool, QueuePool):
        _POOL.labels("used").set_function(pool.checkedout)
        _POOL.labels("most").set_function(pool.size)
