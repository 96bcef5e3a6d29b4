"""What a key may do, who changed keys and budgets, and requests that may come twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds a column and makes tables."""
    op.add_column("keys", sa.Column("roles", sa.Text, nullable=False, server_default='["caller"]'))
    op.create_table(
        "changes",
        sa.Column("number", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("door", "key_id", "user", "action", "subject", "name")),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "repeatable",
        sa.Column("sender", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, sa.ForeignKey("keys.key_id"), nullable=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
    )
