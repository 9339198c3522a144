"""Turns that wait for others; what a turn without words was begun with."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHECKS = {
    "state": "state IN ('waiting', 'unfinished', 'completed', 'failed', 'cancelled')",
    "end_time": "(state IN ('waiting', 'unfinished')) = (end_time IS NULL)",
    "ended_without_lease": "lease_expire_time IS NULL OR state IN ('waiting', 'unfinished')",
}


def upgrade() -> None:
    # SQLite cannot change a constraint: there Alembic copies the table.
    with op.batch_alter_table("turns") as turns:
        turns.add_column(sa.Column("given", sa.JSON(), nullable=True))
        for name, condition in _CHECKS.items():
            turns.drop_constraint(op.f(f"ck_turns_{name}"), type_="check")
            turns.create_check_constraint(op.f(f"ck_turns_{name}"), condition)
    op.create_index(
        "ix_turns_waiting",
        "turns",
        ["session_id", "ordinal"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
