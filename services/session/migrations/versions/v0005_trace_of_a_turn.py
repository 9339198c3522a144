"""The trace in which a turn was begun."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "turns",
        sa.Column("trace_parent", sa.String(), nullable=False, server_default=sa.text("''")),
    )
