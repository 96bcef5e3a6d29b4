"""Who was paid for a call, and what it would have cost at the list price."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds columns."""
    op.add_column("usage", sa.Column("provider", sa.Text, nullable=False, server_default=""))
    op.add_column("usage", sa.Column("list_cost_microusd", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
