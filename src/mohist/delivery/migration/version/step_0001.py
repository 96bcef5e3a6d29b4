"""The tables as they began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Text, primary_key=True),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("requirement", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("base_commit", sa.Text, nullable=False),
        sa.Column("base_branch", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("attempt", _WHOLE, nullable=False),
        sa.Column("created_at_ms", _WHOLE, nullable=False),
        sa.Column("updated_at_ms", _WHOLE, nullable=False),
        sa.Column("bound", sa.Text, nullable=False),
        sa.Column("spent_microusd", _WHOLE, nullable=False),
        sa.Column("spent_tokens", _WHOLE, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("revision", _WHOLE, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("turn", _WHOLE, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("merged", sa.Text, nullable=False),
        sa.Column("taken_by", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_specs",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("version", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("criteria", sa.Text, nullable=False),
        sa.Column("irreversible", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_plans",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("version", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("tasks", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_stages",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("attempt", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("stage", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("cost_microusd", _WHOLE, nullable=False),
        sa.Column("tokens", _WHOLE, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("began_at_ms", _WHOLE, nullable=False),
        sa.Column("ended_at_ms", _WHOLE, nullable=False),
    )
    op.create_table(
        "delivery_evidence",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("evidence_id", sa.Text, primary_key=True),
        sa.Column("number", _WHOLE, nullable=False),
        sa.Column("attempt", _WHOLE, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("exit_code", _WHOLE),
        sa.Column("output_sha256", sa.Text, nullable=False),
        sa.Column("output_tail", sa.Text, nullable=False),
        sa.Column("duration_ms", _WHOLE, nullable=False),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("runs", _WHOLE, nullable=False),
        sa.Column("passes", _WHOLE, nullable=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
    )
    op.create_table(
        "delivery_findings",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("finding_id", sa.Text, primary_key=True),
        sa.Column("number", _WHOLE, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("line", _WHOLE, nullable=False),
        sa.Column("criterion", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_gates",
        sa.Column("gate_id", sa.Text, primary_key=True),
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), nullable=False),
        sa.Column("number", _WHOLE, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("needs", sa.Text, nullable=False),
        sa.Column("four_eyes", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("opened_at_ms", _WHOLE, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "delivery_decisions",
        sa.Column("gate_id", sa.Text, sa.ForeignKey("delivery_gates.gate_id"), primary_key=True),
        sa.Column("number", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
        sa.Column("answers", sa.Text, nullable=False),
        sa.Column("teams", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_releases",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("release_id", sa.Text, primary_key=True),
        sa.Column("commit", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
    )
    op.create_table(
        "delivery_notes",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("number", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at_ms", _WHOLE, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        "delivery_spendings",
        sa.Column("delivery_id", sa.Text, sa.ForeignKey("deliveries.delivery_id"), primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("attempt", _WHOLE, nullable=False),
        sa.Column("cost_microusd", _WHOLE, nullable=False),
        sa.Column("tokens", _WHOLE, nullable=False),
    )
    op.create_table(
        "delivery_effects",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("begun_at_ms", _WHOLE, nullable=False),
        sa.Column("done_at_ms", _WHOLE),
        sa.Column("result", sa.Text),
    )
    op.create_index("deliveries_by_status", "deliveries", ["status", "created_at_ms"])
    op.create_index("deliveries_by_time", "deliveries", ["created_at_ms"])
    op.create_index("deliveries_by_segment", "deliveries", ["segment"])
    op.create_index("delivery_notes_by_time", "delivery_notes", ["at_ms"])
    op.create_index("delivery_gates_by_delivery", "delivery_gates", ["delivery_id", "number"])
    op.create_index("delivery_releases_by_environment", "delivery_releases", ["environment", "at_ms"])
