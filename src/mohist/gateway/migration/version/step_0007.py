"""The software register, and what a key was made for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds columns and makes tables."""
    op.add_column("keys", sa.Column("tool", sa.Text, nullable=False, server_default=""))
    op.add_column("keys", sa.Column("repository", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "register_entries",
        sa.Column("entry_id", sa.Text, primary_key=True),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("changed_at_ms", _WHOLE, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
    )
    op.create_table(
        "register_settings",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "register_proposals",
        sa.Column("proposal_id", sa.Text, primary_key=True),
        sa.Column("at_ms", _WHOLE, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("edit", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("decided_at_ms", _WHOLE),
        sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
        sa.Column("decision", sa.Text, nullable=False, server_default=""),
    )
