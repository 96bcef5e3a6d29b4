"""The tables of deliveries, the same on SQLite and PostgreSQL.

Their names begin with `deliver`, so that they can live in one database with the gateway's. Texts hold what a command
printed, which may be anything: what a database doesn't take in a text (NUL, halves of surrogate pairs) is replaced.
Values of more than one part are JSON in ASCII.

To add a column: declare it here, nullable or with a `server_default`; add a step to `migration/version/` and its number
to `STEPS` in `migration/__init__.py`. A test compares the two.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")
"""A whole number of 64 bits."""


class Words(TypeDecorator[str]):
    """A text of any origin."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


class Document(TypeDecorator[Any]):
    """A value in JSON types."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else json.loads(value)


METADATA: Final = MetaData()


def _delivery() -> Column[str]:
    return Column("delivery_id", Words, ForeignKey("deliveries.delivery_id"), primary_key=True)


DELIVERIES: Final = Table(
    "deliveries",
    METADATA,
    Column("delivery_id", Words, primary_key=True),
    Column("repository", Words, nullable=False),
    Column("requirement", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("base_commit", Words, nullable=False),
    Column("base_branch", Words, nullable=False),
    Column("branch", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("stage", Words, nullable=False),
    Column("attempt", WHOLE, nullable=False),
    Column("created_at_ms", WHOLE, nullable=False),
    Column("updated_at_ms", WHOLE, nullable=False),
    Column("bound", Document, nullable=False),
    Column("spent_microusd", WHOLE, nullable=False),
    Column("spent_tokens", WHOLE, nullable=False),
    Column("options", Document, nullable=False),
    Column("detail", Words, nullable=False),
    Column("revision", WHOLE, nullable=False),
    Column("segment", Words, nullable=False),
    Column("turn", WHOLE, nullable=False),
    Column("commit", Words, nullable=False),
    Column("merged", Words, nullable=False),
    Column("taken_by", Words, nullable=False),
    Column("unpriced", WHOLE, nullable=False, server_default="0"),
    Column("held_microusd", WHOLE, nullable=False, server_default="0"),
    Column("look_at_ms", WHOLE),  # of its options, where an index finds it; NULL: it looks at nothing
    Index("deliveries_by_status", "status", "created_at_ms"),
    Index("deliveries_by_change", "status", "updated_at_ms"),
    Index("deliveries_by_look", "look_at_ms"),
    Index("deliveries_by_time", "created_at_ms"),
    Index("deliveries_by_segment", "segment"),
)

SPECS: Final = Table(
    "delivery_specs",
    METADATA,
    _delivery(),
    Column("version", WHOLE, primary_key=True, autoincrement=False),
    Column("digest", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("criteria", Document, nullable=False),
    Column("irreversible", Document, nullable=False),
)

PLANS: Final = Table(
    "delivery_plans",
    METADATA,
    _delivery(),
    Column("version", WHOLE, primary_key=True, autoincrement=False),
    Column("digest", Words, nullable=False),
    Column("tasks", Document, nullable=False),
)

STAGE_ROWS: Final = Table(
    "delivery_stages",
    METADATA,
    _delivery(),
    Column("attempt", WHOLE, primary_key=True, autoincrement=False),
    Column("stage", Words, primary_key=True),
    Column("status", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("cost_microusd", WHOLE, nullable=False),
    Column("tokens", WHOLE, nullable=False),
    Column("model", Words, nullable=False),
    Column("began_at_ms", WHOLE, nullable=False),
    Column("ended_at_ms", WHOLE, nullable=False),
    Column("unpriced", WHOLE, nullable=False, server_default="0"),
)

# Nothing changes or takes away a row of evidence, of decisions or of notes.
EVIDENCE: Final = Table(
    "delivery_evidence",
    METADATA,
    _delivery(),
    Column("evidence_id", Words, primary_key=True),
    Column("number", WHOLE, nullable=False),
    Column("attempt", WHOLE, nullable=False),
    Column("stage", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("phase", Words, nullable=False),
    Column("command", Words, nullable=False),
    Column("exit_code", WHOLE),
    Column("output_sha256", Words, nullable=False),
    Column("output_tail", Words, nullable=False),
    Column("duration_ms", WHOLE, nullable=False),
    Column("commit", Words, nullable=False),
    Column("tree", Words, nullable=False),
    Column("runs", WHOLE, nullable=False),
    Column("passes", WHOLE, nullable=False),
    Column("at_ms", WHOLE, nullable=False),
)

FINDINGS: Final = Table(
    "delivery_findings",
    METADATA,
    _delivery(),
    Column("finding_id", Words, primary_key=True),
    Column("number", WHOLE, nullable=False),
    Column("severity", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("path", Words, nullable=False),
    Column("line", WHOLE, nullable=False),
    Column("criterion", Words, nullable=False),
    Column("by", Words, nullable=False),
    Column("status", Words, nullable=False),
)

GATES: Final = Table(
    "delivery_gates",
    METADATA,
    Column("gate_id", Words, primary_key=True),
    Column("delivery_id", Words, ForeignKey("deliveries.delivery_id"), nullable=False),
    Column("number", WHOLE, nullable=False),
    Column("kind", Words, nullable=False),
    Column("stage", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("digest", Words, nullable=False),
    Column("needs", Document, nullable=False),
    Column("four_eyes", Boolean, nullable=False),
    Column("status", Words, nullable=False),
    Column("facts", Document, nullable=False),
    Column("opened_at_ms", WHOLE, nullable=False),
    Column("closed", Boolean, nullable=False),
    Index("delivery_gates_by_delivery", "delivery_id", "number"),
)

DECISIONS: Final = Table(
    "delivery_decisions",
    METADATA,
    Column("gate_id", Words, ForeignKey("delivery_gates.gate_id"), primary_key=True),
    Column("number", WHOLE, primary_key=True, autoincrement=False),
    Column("by", Words, nullable=False),
    Column("verdict", Words, nullable=False),
    Column("because", Words, nullable=False),
    Column("digest", Words, nullable=False),
    Column("at_ms", WHOLE, nullable=False),
    Column("answers", Document, nullable=False),
    Column("teams", Document, nullable=False),
)

RELEASES: Final = Table(
    "delivery_releases",
    METADATA,
    _delivery(),
    Column("environment", Words, primary_key=True),
    Column("release_id", Words, primary_key=True),
    Column("commit", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("previous", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("at_ms", WHOLE, nullable=False),
    Index("delivery_releases_by_environment", "environment", "at_ms"),
)

NOTES: Final = Table(
    "delivery_notes",
    METADATA,
    _delivery(),
    Column("number", WHOLE, primary_key=True, autoincrement=False),
    Column("kind", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("at_ms", WHOLE, nullable=False),
    Column("facts", Document, nullable=False),
    Index("delivery_notes_by_time", "at_ms"),
)

# What each run cost, by the key under which it ran; with `held_microusd` nobody knows its price, and that was charged for it.
SPENDINGS: Final = Table(
    "delivery_spendings",
    METADATA,
    _delivery(),
    Column("key", Words, primary_key=True),
    Column("stage", Words, nullable=False),
    Column("attempt", WHOLE, nullable=False),
    Column("cost_microusd", WHOLE, nullable=False),
    Column("tokens", WHOLE, nullable=False),
    Column("held_microusd", WHOLE),
)

# Outside effects: the row is there before the effect, its result after.
EFFECTS: Final = Table(
    "delivery_effects",
    METADATA,
    Column("key", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("begun_at_ms", WHOLE, nullable=False),
    Column("done_at_ms", WHOLE),
    Column("result", Document),
)

# How far each schedule was looked through; a schedule that was changed begins anew.
TRIGGERS: Final = Table(
    "delivery_triggers",
    METADATA,
    Column("trigger", Words, primary_key=True),
    Column("schedule", Words, primary_key=True),
    Column("looked_at_ms", WHOLE, nullable=False),
    Column("told", Words, nullable=False),
    Column("told_at_ms", WHOLE, nullable=False),
)

# What a trigger fired, once for each key (a due time, a request's id, a file); never removed, since the key is what keeps
# it from happening twice.
FIRINGS: Final = Table(
    "delivery_firings",
    METADATA,
    Column("trigger", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("delivery_id", Words, nullable=False),
    Column("requirement", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("due_at_ms", WHOLE, nullable=False),
    Column("claimed_at_ms", WHOLE, nullable=False),
    Column("held_until_ms", WHOLE, nullable=False),
    Column("tries", WHOLE, nullable=False),
    Index("delivery_firings_by_status", "status", "claimed_at_ms"),
    Index("delivery_firings_by_time", "trigger", "claimed_at_ms"),
)
