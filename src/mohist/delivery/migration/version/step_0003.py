"""Adds what of a cost is not known: how many runs, and what they were charged for against a bound on money."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds the columns."""
    for table, name in (
        ("deliveries", "unpriced"),
        ("deliveries", "held_microusd"),
        ("delivery_stages", "unpriced"),
    ):
        op.add_column(table, sa.Column(name, _WHOLE, nullable=False, server_default="0"))
    op.add_column("delivery_spendings", sa.Column("held_microusd", _WHOLE))
