"""The tables. What a column must hold is a constraint of the database wherever it can say it.

Times are UTC. Identifiers are random and unguessable. A JSON column named like a field of the
contracts (`audio`, `intent`, `proposal`, `outputs`, `output_format`, `payload`) holds its
message as JSON; a mix is in the canonical form of `mixdown.mix.Mix.to_dict`.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from services.session.columns import Json, Text, UtcTime, identifier, reference

Document = dict[str, Any]
"""A message of the contracts as JSON."""

UNFINISHED = "unfinished"
"""State of the one turn of a session whose time has come; its lease tells who works on it."""

WAITING = "waiting"
"""State of a turn that comes after the unfinished one, and after those that came before it."""


class _Table(SQLModel):
    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


METADATA = _Table.metadata


class UserRow(_Table, table=True):
    """Somebody who has used Mixdown; the edge knows who it is."""

    __tablename__ = "users"
    # Whoever has no name would share everything with everybody who has none.
    __table_args__ = (CheckConstraint("length(user_id) > 0", name="user_id"),)

    user_id: str = Field(sa_column=Column(Text, primary_key=True))
    create_time: datetime = Field(sa_type=UtcTime)


class UploadRow(_Table, table=True):
    """A file on its way, or the trace of one that has arrived."""

    __tablename__ = "uploads"
    __table_args__ = (CheckConstraint("total_size_bytes >= 0", name="size"),)

    user_id: str = reference("users.user_id", primary_key=True)
    upload_id: str = Field(sa_column=Column(Text, primary_key=True))
    staging_key: str = Field(sa_type=Text, unique=True)
    display_name: str = Field(sa_type=Text)
    total_size_bytes: int = Field(sa_type=BigInteger)
    track_id: str | None = Field(
        default=None,
        sa_column=Column(Text, ForeignKey("tracks.track_id", ondelete="CASCADE"), index=True),
    )
    create_time: datetime = Field(sa_type=UtcTime)


class TrackRow(_Table, table=True):
    """A piece of audio that a user has uploaded."""

    __tablename__ = "tracks"
    __table_args__ = (
        CheckConstraint("length(sha256) = 64", name="sha256"),
        CheckConstraint("size_bytes >= 0", name="size"),
        Index("ix_tracks_listing", "user_id", "create_time", "track_id"),
        Index("ix_tracks_sha256", "sha256"),
    )

    track_id: str = identifier()
    user_id: str = reference("users.user_id")
    display_name: str = Field(sa_type=Text)
    sha256: str = Field(sa_type=Text)
    size_bytes: int = Field(sa_type=BigInteger)
    audio: Document = Field(sa_type=Json)
    create_time: datetime = Field(sa_type=UtcTime)


class SessionRow(_Table, table=True):
    """A conversation about one track.

    `mix_id` is where the session stands in its line of mixes (NULL: the untouched original) and
    `redo_tip_mix_id` the newest mix of that line; both are those after the last completed turn.
    The row is also the lock of its turns: whoever changes one locks its session first.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("user_id", "request_id"),
        # The two tables refer to each other, so these come after both are made.
        ForeignKeyConstraint(
            ["mix_id"], ["mixes.mix_id"], name="fk_sessions_mix_id", use_alter=True
        ),
        ForeignKeyConstraint(
            ["redo_tip_mix_id"],
            ["mixes.mix_id"],
            name="fk_sessions_redo_tip_mix_id",
            use_alter=True,
        ),
        CheckConstraint("turn_count >= 0", name="turn_count"),
        Index("ix_sessions_listing", "user_id", "update_time", "session_id"),
        Index("ix_sessions_track_listing", "track_id", "update_time", "session_id"),
    )

    session_id: str = identifier()
    user_id: str = reference("users.user_id")
    track_id: str = reference("tracks.track_id")
    request_id: str | None = Field(default=None, sa_type=Text)
    display_name: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    stems: list[str] = Field(sa_type=Json)
    mix_id: str | None = Field(default=None, sa_type=Text, index=True)
    redo_tip_mix_id: str | None = Field(default=None, sa_type=Text, index=True)
    proposal: Document | None = Field(default=None, sa_type=Json)
    turn_count: int = 0
    create_time: datetime = Field(sa_type=UtcTime)
    update_time: datetime = Field(sa_type=UtcTime)


class MixRow(_Table, table=True):
    """A mix that a turn made. Never changed: undo and redo walk along `parent_mix_id`."""

    __tablename__ = "mixes"

    mix_id: str = identifier()
    session_id: str = reference("sessions.session_id", index=True)
    parent_mix_id: str | None = Field(
        default=None, sa_column=Column(Text, ForeignKey("mixes.mix_id"), index=True)
    )
    settings: Document = Field(sa_type=Json)
    create_time: datetime = Field(sa_type=UtcTime)


class TurnRow(_Table, table=True):
    """One prompt and what came of it.

    What was understood (`interpret_time` and the columns after it) is NULL until then. `mix_id` and
    `redo_tip_mix_id` are where the session stands once the turn is completed. `lease_expire_time`
    is NULL while nobody wants the turn: it rests. Of a turn that waits it is when somebody last
    asked for it. `last_error` is what the last who gave it back has told. `given` is the
    interpretation that a turn without words was begun with, `trace_parent` names the trace in which
    it was begun; empty where there was none. `audio_seconds` is what was charged to the day of
    `interpret_time`.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("session_id", "request_id"),
        UniqueConstraint("session_id", "ordinal"),
        Index(
            "uq_turns_unfinished",
            "session_id",
            unique=True,
            sqlite_where=text(f"state = '{UNFINISHED}'"),
            postgresql_where=text(f"state = '{UNFINISHED}'"),
        ),
        Index(
            "ix_turns_waiting",
            "session_id",
            "ordinal",
            sqlite_where=text(f"state = '{WAITING}'"),
            postgresql_where=text(f"state = '{WAITING}'"),
        ),
        Index(
            "ix_turns_leases",
            "lease_expire_time",
            sqlite_where=text(f"state = '{UNFINISHED}'"),
            postgresql_where=text(f"state = '{UNFINISHED}'"),
        ),
        CheckConstraint("ordinal >= 1", name="ordinal"),
        CheckConstraint(
            f"state IN ('{WAITING}', '{UNFINISHED}', 'completed', 'failed', 'cancelled')",
            name="state",
        ),
        CheckConstraint(
            f"(state IN ('{WAITING}', '{UNFINISHED}')) = (end_time IS NULL)", name="end_time"
        ),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="error"),
        CheckConstraint(
            f"lease_expire_time IS NULL OR state IN ('{WAITING}', '{UNFINISHED}')",
            name="ended_without_lease",
        ),
    )

    turn_id: str = identifier()
    session_id: str = reference("sessions.session_id")
    request_id: str = Field(sa_type=Text)
    ordinal: int
    prompt: str = Field(sa_type=Text)
    output_format: Document = Field(sa_type=Json)
    given: Document | None = Field(default=None, sa_type=Json)
    state: str = Field(default=UNFINISHED, sa_type=Text)
    interpret_time: datetime | None = Field(default=None, sa_type=UtcTime)
    intent: Document | None = Field(default=None, sa_type=Json)
    reply: str = Field(default="", sa_type=Text)
    mix_id: str | None = Field(
        default=None, sa_column=Column(Text, ForeignKey("mixes.mix_id"), index=True)
    )
    redo_tip_mix_id: str | None = Field(
        default=None, sa_column=Column(Text, ForeignKey("mixes.mix_id"), index=True)
    )
    proposal: Document | None = Field(default=None, sa_type=Json)
    targets: list[str] = Field(default_factory=list, sa_type=Json)
    outputs: list[Document] = Field(default_factory=list, sa_type=Json)
    error: Document | None = Field(default=None, sa_type=Json)
    last_error: Document | None = Field(default=None, sa_type=Json)
    create_time: datetime = Field(sa_type=UtcTime)
    end_time: datetime | None = Field(default=None, sa_type=UtcTime)
    audio_seconds: float = Field(
        default=0.0, sa_column=Column(Float, nullable=False, server_default=text("0"))
    )
    attempt_count: int = 0
    lease_token: int = Field(default=0, sa_type=BigInteger)
    lease_holder: str = Field(default="", sa_type=Text)
    trace_parent: str = Field(
        default="", sa_column=Column(Text, nullable=False, server_default=text("''"))
    )
    lease_expire_time: datetime | None = Field(default=None, sa_type=UtcTime)


class TurnEventRow(_Table, table=True):
    """A durable event. Each kind happens once in a turn, or once for each output."""

    __tablename__ = "turn_events"
    __table_args__ = (
        UniqueConstraint("turn_id", "kind", "output_name"),
        CheckConstraint("sequence >= 1", name="sequence"),
    )

    turn_id: str = reference("turns.turn_id", primary_key=True)
    sequence: int = Field(
        sa_column=Column(BigInteger, primary_key=True, autoincrement=False, nullable=False)
    )
    kind: str = Field(sa_type=Text)
    output_name: str = Field(default="", sa_type=Text)
    payload: Document = Field(sa_type=Json)
    create_time: datetime = Field(sa_type=UtcTime)


class ArtifactRow(_Table, table=True):
    """A file that a turn made."""

    __tablename__ = "artifacts"
    __table_args__ = (
        UniqueConstraint("turn_id", "name"),
        CheckConstraint("length(sha256) = 64", name="sha256"),
        CheckConstraint("size_bytes >= 0", name="size"),
        Index("ix_artifacts_sha256", "sha256"),
    )

    artifact_id: str = identifier()
    turn_id: str = reference("turns.turn_id")
    name: str = Field(sa_type=Text)
    sha256: str = Field(sa_type=Text)
    size_bytes: int = Field(sa_type=BigInteger)
    media_type: str = Field(sa_type=Text)
    file_name: str = Field(sa_type=Text)
    clipped_samples: int = Field(default=0, sa_type=BigInteger)
    create_time: datetime = Field(sa_type=UtcTime)


class UsageRow(_Table, table=True):
    """How much audio the turns of a user render in a day of UTC ("2026-11-22").

    It stays when sessions are deleted: a quota cannot be had anew by deleting.
    """

    __tablename__ = "usage"
    __table_args__ = (
        CheckConstraint("audio_seconds >= 0", name="audio_seconds"),
        Index("ix_usage_day", "day"),
    )

    user_id: str = reference("users.user_id", primary_key=True)
    day: str = Field(sa_column=Column(Text, primary_key=True))
    audio_seconds: float = 0.0


class DeletionRow(_Table, table=True):
    """Something in the blob store that nobody refers to, until it is gone and for a day on.

    `name` is the SHA-256 of a blob, or the staging key of an upload's parts. `drop_time` is when
    the last reference went. `claim_expire_time` is set while somebody deletes it, `delete_time`
    once it is gone: a render that found the blob before then must look again.
    """

    __tablename__ = "deletions"
    __table_args__ = (
        CheckConstraint("kind IN ('blob', 'parts')", name="kind"),
        CheckConstraint("size_bytes >= 0", name="size"),
        Index("ix_deletions_due", "delete_time", "drop_time"),
    )

    name: str = Field(sa_column=Column(Text, primary_key=True))
    kind: str = Field(sa_type=Text)
    size_bytes: int = Field(default=0, sa_type=BigInteger)
    drop_time: datetime = Field(sa_type=UtcTime)
    claim_expire_time: datetime | None = Field(default=None, sa_type=UtcTime)
    delete_time: datetime | None = Field(default=None, sa_type=UtcTime)
