"""Keys and budgets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    revision_table = op.create_table("revision", sa.Column("number", _WHOLE, nullable=False))
    op.bulk_insert(revision_table, [{"number": 1}])
    op.create_table(
        "keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("clients", sa.Text, nullable=False),
        sa.Column("dialects", sa.Text, nullable=False),
        sa.Column("created_at_ms", _WHOLE, nullable=False),
        sa.Column("expires_at_ms", _WHOLE),
        sa.Column("revoked_at_ms", _WHOLE),
        sa.Column("requests_per_minute", _WHOLE),
        sa.Column("tokens_per_minute", _WHOLE),
    )
    op.create_table(
        "key_secrets",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("key_id", sa.Text, sa.ForeignKey("keys.key_id"), nullable=False),
        sa.Column("created_at_ms", _WHOLE, nullable=False),
        sa.Column("expires_at_ms", _WHOLE),
    )
    op.create_table(
        "budgets",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("limit_microusd", _WHOLE),
        sa.Column("limit_tokens", _WHOLE),
        sa.Column("allow_unpriced", _WHOLE, nullable=False),
    )
