"""What more is known of a call; processes, and the slices of budgets that they hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds columns and makes tables."""
    for column in (
        sa.Column("rule", sa.Text, nullable=False, server_default=""),
        sa.Column("region", sa.Text, nullable=False, server_default=""),
        sa.Column("service_tier", sa.Text, nullable=False, server_default=""),
        sa.Column("web_searches", _WHOLE, nullable=False, server_default="0"),
        sa.Column("unpriced", sa.Text, nullable=False, server_default=""),
        sa.Column("cache_write_1h_tokens", _WHOLE),
    ):
        op.add_column("usage", column)
    op.create_table(
        "instances",
        sa.Column("instance_id", sa.Text, primary_key=True),
        sa.Column("beat", _WHOLE, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("instance_id", sa.Text, sa.ForeignKey("instances.instance_id"), primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("start", _WHOLE, primary_key=True),
        sa.Column("microusd", _WHOLE, nullable=False),
        sa.Column("tokens", _WHOLE, nullable=False),
        sa.Column("slack_microusd", _WHOLE, nullable=False),
        sa.Column("slack_tokens", _WHOLE, nullable=False),
    )
    op.create_index("leases_by_budget", "leases", ["subject", "name", "period", "start"])
