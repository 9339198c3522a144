"""The first tables: users, uploads, tracks, sessions, mixes, turns, events, artifacts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Sessions and mixes refer to each other. SQLite takes a reference to a table that is not there
    # yet but cannot add one later; PostgreSQL is the other way round.
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "users",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(user_id) > 0", name=op.f("ck_users_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
    )
    op.create_table(
        "tracks",
        sa.Column("track_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("audio", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_tracks_sha256")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_tracks_size")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_tracks_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_tracks")),
    )
    op.create_index(
        "ix_tracks_listing", "tracks", ["user_id", "create_time", "track_id"], unique=False
    )
    op.create_index("ix_tracks_sha256", "tracks", ["sha256"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("track_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("stems", sa.JSON(), nullable=False),
        sa.Column("mix_id", sa.String(), nullable=True),
        sa.Column("redo_tip_mix_id", sa.String(), nullable=True),
        sa.Column("proposal", sa.JSON(), nullable=True),
        sa.Column("turn_count", sa.Integer(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("turn_count >= 0", name=op.f("ck_sessions_turn_count")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.track_id"], name=op.f("fk_sessions_track_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"
        ),
        *(_session_mix_keys() if sqlite else ()),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("user_id", "request_id", name=op.f("uq_sessions_user_id_request_id")),
    )
    op.create_index(
        "ix_sessions_listing", "sessions", ["user_id", "update_time", "session_id"], unique=False
    )
    op.create_index(op.f("ix_sessions_mix_id"), "sessions", ["mix_id"], unique=False)
    op.create_index(
        op.f("ix_sessions_redo_tip_mix_id"), "sessions", ["redo_tip_mix_id"], unique=False
    )
    op.create_index(
        "ix_sessions_track_listing",
        "sessions",
        ["track_id", "update_time", "session_id"],
        unique=False,
    )
    op.create_table(
        "uploads",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("upload_id", sa.String(), nullable=False),
        sa.Column("staging_key", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("total_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("track_id", sa.String(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("total_size_bytes >= 0", name=op.f("ck_uploads_size")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.track_id"], name=op.f("fk_uploads_track_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_uploads_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "upload_id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("staging_key", name=op.f("uq_uploads_staging_key")),
    )
    op.create_index(op.f("ix_uploads_track_id"), "uploads", ["track_id"], unique=False)
    op.create_table(
        "mixes",
        sa.Column("mix_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("parent_mix_id", sa.String(), nullable=True),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_mix_id"], ["mixes.mix_id"], name=op.f("fk_mixes_parent_mix_id")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.session_id"],
            name=op.f("fk_mixes_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("mix_id", name=op.f("pk_mixes")),
    )
    op.create_index(op.f("ix_mixes_parent_mix_id"), "mixes", ["parent_mix_id"], unique=False)
    op.create_index(op.f("ix_mixes_session_id"), "mixes", ["session_id"], unique=False)
    if not sqlite:
        for column in ("mix_id", "redo_tip_mix_id"):
            op.create_foreign_key(
                f"fk_sessions_{column}", "sessions", "mixes", [column], ["mix_id"]
            )
    op.create_table(
        "turns",
        sa.Column("turn_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("output_format", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("interpret_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("intent", sa.JSON(), nullable=True),
        sa.Column("reply", sa.String(), nullable=False),
        sa.Column("mix_id", sa.String(), nullable=True),
        sa.Column("redo_tip_mix_id", sa.String(), nullable=True),
        sa.Column("proposal", sa.JSON(), nullable=True),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_holder", sa.String(), nullable=False),
        sa.Column("lease_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_turns_error")),
        sa.CheckConstraint(
            "(state = 'unfinished') = (end_time IS NULL)", name=op.f("ck_turns_end_time")
        ),
        sa.CheckConstraint(
            "lease_expire_time IS NULL OR state = 'unfinished'",
            name=op.f("ck_turns_ended_without_lease"),
        ),
        sa.CheckConstraint(
            "state IN ('unfinished', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_turns_state"),
        ),
        sa.CheckConstraint("ordinal >= 1", name=op.f("ck_turns_ordinal")),
        sa.ForeignKeyConstraint(["mix_id"], ["mixes.mix_id"], name=op.f("fk_turns_mix_id")),
        sa.ForeignKeyConstraint(
            ["redo_tip_mix_id"], ["mixes.mix_id"], name=op.f("fk_turns_redo_tip_mix_id")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.session_id"],
            name=op.f("fk_turns_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("turn_id", name=op.f("pk_turns")),
        sa.UniqueConstraint("session_id", "ordinal", name=op.f("uq_turns_session_id_ordinal")),
        sa.UniqueConstraint(
            "session_id", "request_id", name=op.f("uq_turns_session_id_request_id")
        ),
    )
    op.create_index(op.f("ix_turns_mix_id"), "turns", ["mix_id"], unique=False)
    op.create_index(op.f("ix_turns_redo_tip_mix_id"), "turns", ["redo_tip_mix_id"], unique=False)
    op.create_index(
        "uq_turns_unfinished",
        "turns",
        ["session_id"],
        unique=True,
        sqlite_where=sa.text("state = 'unfinished'"),
        postgresql_where=sa.text("state = 'unfinished'"),
    )
    op.create_table(
        "artifacts",
        sa.Column("artifact_id", sa.String(), nullable=False),
        sa.Column("turn_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("clipped_samples", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_artifacts_sha256")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_artifacts_size")),
        sa.ForeignKeyConstraint(
            ["turn_id"], ["turns.turn_id"], name=op.f("fk_artifacts_turn_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("artifact_id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("turn_id", "name", name=op.f("uq_artifacts_turn_id_name")),
    )
    op.create_index("ix_artifacts_sha256", "artifacts", ["sha256"], unique=False)
    op.create_table(
        "turn_events",
        sa.Column("turn_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("output_name", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_turn_events_sequence")),
        sa.ForeignKeyConstraint(
            ["turn_id"], ["turns.turn_id"], name=op.f("fk_turn_events_turn_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("turn_id", "sequence", name=op.f("pk_turn_events")),
        sa.UniqueConstraint(
            "turn_id", "kind", "output_name", name=op.f("uq_turn_events_turn_id_kind_output_name")
        ),
    )


def _session_mix_keys() -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([column], ["mixes.mix_id"], name=f"fk_sessions_{column}")
        for column in ("mix_id", "redo_tip_mix_id")
    ]
