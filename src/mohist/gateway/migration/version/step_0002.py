"""Usage, one row a call, and its sums by subject and day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "usage",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("started_at_ms", _WHOLE, nullable=False),
        sa.Column("dialect", sa.Text, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("model_asked", sa.Text, nullable=False),
        sa.Column("model_served", sa.Text, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("status", _WHOLE, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("cost_microusd", _WHOLE),
        sa.Column("price_row", sa.Text, nullable=False),
        sa.Column("duration_ms", _WHOLE, nullable=False),
        sa.Column("first_byte_ms", _WHOLE),
        sa.Column("attempts", _WHOLE, nullable=False),
        sa.Column("cancelled", _WHOLE, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("input_tokens", _WHOLE),
        sa.Column("cache_read_tokens", _WHOLE),
        sa.Column("cache_write_tokens", _WHOLE),
        sa.Column("output_tokens", _WHOLE),
        sa.Column("day", _WHOLE, nullable=False),
        sa.Column("charged_microusd", _WHOLE, nullable=False),
        sa.Column("charged_tokens", _WHOLE, nullable=False),
    )
    op.create_index("usage_by_time", "usage", ["started_at_ms"])
    op.create_table(
        "spend",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("day", _WHOLE, primary_key=True),
        sa.Column("microusd", _WHOLE, nullable=False),
        sa.Column("tokens", _WHOLE, nullable=False),
    )
