"""What the guard found, and who let what pass."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes tables."""
    op.create_table(
        "guard_findings",
        sa.Column("finding_id", sa.Text, primary_key=True),
        sa.Column("at_ms", _WHOLE, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("call_id", "direction", "mode", "action", "ruling", "released")),
        sa.Column("alarm", _WHOLE, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("detector", "rule", "data_class")),
        sa.Column("confidence_percent", _WHOLE, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("digest", "place", "via", "dialect", "client")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("session_id", "model", "key_id", "user", "project", "team")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("upstream", "vendor", "region")),
        sa.Column("self_hosted", _WHOLE, nullable=False),
    )  # fmt: skip
    op.create_index("guard_findings_by_time", "guard_findings", ["at_ms"])
    op.create_index("guard_findings_by_digest", "guard_findings", ["digest"])
    op.create_table(
        "guard_releases",
        sa.Column("release_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
        sa.Column("until_ms", _WHOLE),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("ended_at_ms", _WHOLE),
        sa.Column("ended_by", sa.Text, nullable=False, server_default=""),
    )
