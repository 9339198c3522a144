"""Migrations keep what is stored: from every revision to the newest, on both databases."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from grpc import StatusCode
from sqlalchemy import Engine, MetaData, inspect, text
from sqlalchemy.exc import IntegrityError

import services.session.migrations
from mixdown.conversation.v1 import conversation_pb2
from services.session.database import create_database_engine
from services.session.schema import migrate
from tests.integration.session.conftest import serving
from tests.integration.session.driver import Driver, clarification, kinds, mix, refused, remix

_SCRIPTS = ScriptDirectory(str(Path(services.session.migrations.__path__[0])))
REVISIONS = sorted(script.revision for script in _SCRIPTS.walk_revisions())
HEAD = _SCRIPTS.get_current_head()
_TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def _at(seconds: int) -> datetime:
    return _TIME + timedelta(seconds=seconds)


def _turn(ordinal: int, state: str, **more: Any) -> dict[str, Any]:
    ended = state != "unfinished"
    return {
        "turn_id": f"turn-{ordinal}",
        "session_id": "session",
        "request_id": f"request-{ordinal}",
        "ordinal": ordinal,
        "prompt": f"Sag's nochmal: “{ordinal}” ♫",
        "output_format": {"encoding": "ENCODING_FLAC24"},
        "state": state,
        "reply": "",
        "targets": [],
        "outputs": [],
        "create_time": _at(ordinal),
        "end_time": _at(ordinal + 1) if ended else None,
        "attempt_count": ordinal,
        "lease_token": ordinal,
        "lease_holder": "gateway@one",
        **more,
    }


ROWS: dict[str, list[dict[str, Any]]] = {
    "users": [
        {"user_id": "ada", "create_time": _TIME},
        {"user_id": "bob", "create_time": _at(1)},
    ],
    "tracks": [
        {
            "track_id": "track",
            "user_id": "ada",
            "display_name": "Größe.wav",
            "sha256": "a" * 64,
            "size_bytes": 5_000_000_000,
            "audio": {"sample_rate_hz": 44100, "channels": 2, "frames": "1000000"},
            "create_time": _TIME,
        }
    ],
    "sessions": [
        {
            "session_id": "session",
            "user_id": "ada",
            "track_id": "track",
            "request_id": "made-once",
            "display_name": "Mine",
            "model": "htdemucs",
            "stems": ["drums", "bass", "other", "vocals"],
            "mix_id": None,
            "redo_tip_mix_id": None,
            "proposal": {"mix": {"targets": {"drums": {"gain_db": -3.0}}}},
            "turn_count": 4,
            "create_time": _TIME,
            "update_time": _at(4),
        }
    ],
    "mixes": [
        {
            "mix_id": "louder",
            "session_id": "session",
            "parent_mix_id": None,
            "settings": {"vocals": {"gain_db": 3.0}},
            "create_time": _at(1),
        },
        {
            "mix_id": "even-louder",
            "session_id": "session",
            "parent_mix_id": "louder",
            "settings": {"vocals": {"gain_db": 5.0}},
            "create_time": _at(2),
        },
    ],
    "turns": [
        _turn(
            1,
            "completed",
            interpret_time=_at(1),
            intent={"remix": {}},
            reply="Lauter.",
            mix_id="louder",
            redo_tip_mix_id="louder",
            targets=["vocals"],
            outputs=[{"kind": "KIND_MIX"}],
        ),
        _turn(
            2,
            "completed",
            interpret_time=_at(2),
            intent={"remix": {}},
            mix_id="even-louder",
            redo_tip_mix_id="even-louder",
        ),
        _turn(3, "failed", error={"code": 8, "reason": "QUEUE_FULL", "message": "Voll."}),
        _turn(4, "unfinished", lease_expire_time=_at(30)),
    ],
    "turn_events": [
        {
            "turn_id": f"turn-{ordinal}",
            "sequence": sequence,
            "kind": kind,
            "output_name": "",
            "payload": {"session_id": "session", "ordinal": ordinal} if sequence == 1 else {},
            "create_time": _at(ordinal),
        }
        for ordinal, all_kinds in {
            1: ("accepted", "completed"),
            2: ("accepted", "completed"),
            3: ("accepted", "failed"),
            4: ("accepted",),
        }.items()
        for sequence, kind in enumerate(all_kinds, start=1)
    ],
    "artifacts": [
        {
            "artifact_id": "artifact",
            "turn_id": "turn-1",
            "name": "mix",
            "sha256": "b" * 64,
            "size_bytes": 3_000_000_000,
            "media_type": "audio/flac",
            "file_name": "Größe - mix.flac",
            "clipped_samples": 7,
            "create_time": _at(1),
        }
    ],
    "uploads": [
        {
            "user_id": "ada",
            "upload_id": "arrived",
            "staging_key": "uploads/1",
            "display_name": "Größe.wav",
            "total_size_bytes": 5_000_000_000,
            "track_id": "track",
            "create_time": _TIME,
        },
        {
            "user_id": "bob",
            "upload_id": "on-its-way",
            "staging_key": "uploads/2",
            "display_name": "b.wav",
            "total_size_bytes": 10,
            "track_id": None,
            "create_time": _TIME,
        },
    ],
    # Since revision 0002, 0004:
    "deletions": [
        {"name": "c" * 64, "kind": "blob", "size_bytes": 9, "drop_time": _TIME},
        {"name": "uploads/0", "kind": "parts", "size_bytes": 0, "drop_time": _TIME},
    ],
    "usage": [{"user_id": "ada", "day": "2026-01-02", "audio_seconds": 12.5}],
}
_SINCE: dict[str, object] = {"last_error": {"reason": "UNAVAILABLE"}, "given": {"confidence": 1.0}}
"""Columns of the unfinished turn that came later."""


def _reflect(engine: Engine) -> MetaData:
    metadata = MetaData()
    metadata.reflect(engine)
    return metadata


def _fill(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Stores all rows that the revision has room for; returns what is stored."""
    metadata = _reflect(engine)
    with engine.begin() as connection:
        for name, rows in ROWS.items():
            if name in metadata.tables:
                table = metadata.tables[name]
                for row in rows:
                    connection.execute(table.insert().values(row))
        connection.execute(
            text("UPDATE sessions SET mix_id = 'louder', redo_tip_mix_id = 'even-louder'")
        )
        turns = metadata.tables["turns"]
        for column, value in _SINCE.items():
            if column in turns.c:
                connection.execute(
                    turns.update().where(turns.c.ordinal == 4).values({column: value})
                )
    return _stored(engine, metadata)


def _stored(engine: Engine, metadata: MetaData) -> dict[str, list[dict[str, Any]]]:
    """Returns all rows with the columns that `metadata` knows, in the order of their keys."""
    with engine.connect() as connection:
        return {
            name: [
                dict(row)
                for row in connection.execute(
                    table.select().order_by(*table.primary_key.columns)
                ).mappings()
            ]
            for name, table in metadata.tables.items()
            if name != "alembic_version"
        }


def _check_references(engine: Engine) -> None:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        else:
            unchecked = "SELECT conname FROM pg_constraint WHERE NOT convalidated"
            assert connection.execute(text(unchecked)).all() == []


@pytest.fixture(params=REVISIONS)
def filled(request: pytest.FixtureRequest, empty_database_url: str) -> Engine:
    """A database with rows in every table, as a revision has left it."""
    engine = create_database_engine(empty_database_url, 4)
    migrate(engine, request.param)
    return engine


def test_every_row_is_kept_and_the_constraints_hold(
    filled: Engine, empty_database_url: str
) -> None:
    before_schema = _reflect(filled)
    before = _fill(filled)
    assert all(before.values())  # a row in every table
    migrate(filled)
    assert _stored(filled, before_schema) == before
    _check_references(filled)
    with pytest.raises(IntegrityError), filled.begin() as connection:
        # One unfinished turn in a session: the index that says so has come along.
        connection.execute(
            text(
                "UPDATE turns SET state = 'unfinished', end_time = NULL, error = NULL"
                " WHERE ordinal = 3"
            )
        )
    with pytest.raises(IntegrityError), filled.begin() as connection:
        connection.execute(text("UPDATE turns SET state = 'asleep' WHERE ordinal = 4"))
    filled.dispose()


async def test_the_conversation_goes_on_where_it_was(
    filled: Engine, empty_database_url: str
) -> None:
    _fill(filled)
    migrate(filled)
    filled.dispose()
    async with serving(empty_database_url) as stub:
        ada = Driver(stub)
        session = await ada.get_session("session")
        assert session.mix == mix(vocals=3)
        assert session.proposal.mix == mix(drums=-3)
        first = await ada.get_turn("turn-1")
        assert first.artifacts[0].blob.size_bytes == 3_000_000_000
        assert (await ada.get_turn("turn-3")).error.message == "Voll."
        left = await ada.claim("turn-4")  # its lease ran out long ago
        assert left.turn.prompt == "Sag's nochmal: “4” ♫"
        assert [exchange.reply for exchange in left.context.history] == ["Lauter.", ""]
        assert list(left.context.redo_mixes) == [mix(vocals=5)]
        waiting = await ada.begin(session, "noch was", waits=True)
        await ada.record(left, remix(mix(bass=1)))
        await ada.complete(left)
        assert kinds(await ada.events("turn-4")) == ["accepted", "interpreted", "completed"]
        work = await ada.claim(waiting.turn.turn_id)
        await ada.record(work, clarification())
        await ada.complete(work)
        assert work.turn.ordinal == 5
        again = await ada.begin(session, first.prompt, "request-1", encoding=first.format.encoding)
        assert again.turn.state == conversation_pb2.Turn.STATE_COMPLETED  # known as ever
        await ada.delete_session(session)
        async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"):
            await ada.get_turn("turn-1")


async def test_two_that_migrate_what_is_stored_at_once_do_it_once(empty_database_url: str) -> None:
    engine = create_database_engine(empty_database_url, 4)
    migrate(engine, REVISIONS[0])
    schema = _reflect(engine)
    before = _fill(engine)
    others = [create_database_engine(empty_database_url, 1) for _ in range(4)]
    await asyncio.gather(*(asyncio.to_thread(migrate, other) for other in others))
    assert _stored(engine, schema) == before
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
        assert list(versions) == [HEAD]
    _check_references(engine)
    for other in (engine, *others):
        other.dispose()


def test_a_migration_that_fails_changes_nothing(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_database_engine(empty_database_url, 4)
    migrate(engine, REVISIONS[0])
    schema = _reflect(engine)
    before = _fill(engine)
    last = _SCRIPTS.get_revision(HEAD).path
    broken = (
        Path(last)
        .read_text()
        .replace(
            "def upgrade() -> None:\n",
            "def upgrade() -> None:\n    raise OSError('disk full')\n",
            1,
        )
    )
    copy = tmp_path / "migrations"
    shutil.copytree(_SCRIPTS.dir, copy)
    (copy / "versions" / Path(last).name).write_text(broken)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr("services.session.schema._MIGRATIONS", copy)
        migrate(engine)
    assert _stored(engine, schema) == before
    assert set(inspect(engine).get_table_names()) == set(schema.tables)
    migrate(engine)
    assert _stored(engine, schema) == before
    engine.dispose()
