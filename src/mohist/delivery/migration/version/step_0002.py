"""Adds what triggers remember: how far each schedule was looked through, and every firing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the two tables."""
    op.create_table(
        "delivery_triggers",
        sa.Column("trigger", sa.Text, primary_key=True),
        sa.Column("schedule", sa.Text, primary_key=True),
        sa.Column("looked_at_ms", _WHOLE, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("told_at_ms", _WHOLE, nullable=False),
    )
    op.create_table(
        "delivery_firings",
        sa.Column("trigger", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("requirement", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("due_at_ms", _WHOLE, nullable=False),
        sa.Column("claimed_at_ms", _WHOLE, nullable=False),
        sa.Column("held_until_ms", _WHOLE, nullable=False),
        sa.Column("tries", _WHOLE, nullable=False),
    )
    op.create_index("delivery_firings_by_status", "delivery_firings", ["status", "claimed_at_ms"])
    op.create_index("delivery_firings_by_time", "delivery_firings", ["trigger", "claimed_at_ms"])
