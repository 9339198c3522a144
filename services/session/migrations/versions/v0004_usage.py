"""How much audio a user's turns render in a day."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("audio_seconds", sa.Float(), nullable=False),
        sa.CheckConstraint("audio_seconds >= 0", name=op.f("ck_usage_audio_seconds")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("fk_usage_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "day", name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_day", "usage", ["day"], unique=False)
    # With a default of the database: services of the version before store turns meanwhile.
    op.add_column(
        "turns",
        sa.Column("audio_seconds", sa.Float(), nullable=False, server_default=sa.text("0")),
    )
