"""Deletions of blobs as durable work; the last error of a turn; leases by when they end."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deletions",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("drop_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claim_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('blob', 'parts')", name=op.f("ck_deletions_kind")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_deletions_size")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_deletions")),
    )
    op.create_index("ix_deletions_due", "deletions", ["delete_time", "drop_time"], unique=False)
    op.add_column("turns", sa.Column("last_error", sa.JSON(), nullable=True))
    op.create_index(
        "ix_turns_leases",
        "turns",
        ["lease_expire_time"],
        unique=False,
        sqlite_where=sa.text("state = 'unfinished'"),
        postgresql_where=sa.text("state = 'unfinished'"),
    )
