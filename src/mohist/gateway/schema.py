"""The database's tables, the same on SQLite and PostgreSQL.

To add a column to `usage`:
1. Declare it here: of the name of a field of `CallRecord`, `Usage` or `Principal` it is filled by itself. It must be
   nullable or have a `server_default`, since older rows and journals lack it.
2. Add a step to `migration/version/` (a copy of the last, with `op.add_column`) and its number to `STEPS` in `migration/__init__.py`.
3. Renew the golden file: `pytest tests/gateway/test_gateway_schema.py --renew-pins`.
A test compares what the steps make with what is declared here, on both databases.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")
"""A whole number of 64 bits."""

METADATA: Final = MetaData()

# One row. Counts the changes of keys and budgets, so that a running server sees one by reading one number.
REVISION: Final = Table("revision", METADATA, Column("number", WHOLE, nullable=False))

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("clients", Text, nullable=False),
    Column("dialects", Text, nullable=False),
    Column("created_at_ms", WHOLE, nullable=False),
    Column("expires_at_ms", WHOLE),
    Column("revoked_at_ms", WHOLE),
    Column("requests_per_minute", WHOLE),
    Column("tokens_per_minute", WHOLE),
    Column("roles", Text, nullable=False, server_default='["caller"]'),
    # What it was made for, so that the register need not believe what a client says of itself.
    Column("tool", Text, nullable=False, server_default=""),
    Column("repository", Text, nullable=False, server_default=""),
)

KEY_SECRETS: Final = Table(
    "key_secrets",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("key_id", Text, ForeignKey("keys.key_id"), nullable=False),
    Column("created_at_ms", WHOLE, nullable=False),
    Column("expires_at_ms", WHOLE),
)

BUDGETS: Final = Table(
    "budgets",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("limit_microusd", WHOLE),
    Column("limit_tokens", WHOLE),
    Column("allow_unpriced", WHOLE, nullable=False),
)

# Who changed keys and budgets; `number` is the revision that the change made. Nothing takes a row away.
CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("number", WHOLE, primary_key=True, autoincrement=False),
    Column("at_ms", WHOLE, nullable=False),
    Column("door", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

# Requests that made a key and may come a second time, by the name that their sender gave them.
REPEATABLE: Final = Table(
    "repeatable",
    METADATA,
    Column("sender", Text, primary_key=True),
    Column("token", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("key_id", Text, ForeignKey("keys.key_id"), nullable=False),
    Column("at_ms", WHOLE, nullable=False),
)

# One row a call.
USAGE: Final = Table(
    "usage",
    METADATA,
    Column("call_id", Text, primary_key=True),
    Column("started_at_ms", WHOLE, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("model_served", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("status", WHOLE, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("cost_microusd", WHOLE),
    Column("price_row", Text, nullable=False),
    Column("duration_ms", WHOLE, nullable=False),
    Column("first_byte_ms", WHOLE),
    Column("attempts", WHOLE, nullable=False),
    Column("cancelled", WHOLE, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("input_tokens", WHOLE),
    Column("cache_read_tokens", WHOLE),
    Column("cache_write_tokens", WHOLE),
    Column("output_tokens", WHOLE),
    # The UTC day it counts on, and what its budgets were charged.
    Column("day", WHOLE, nullable=False),
    Column("charged_microusd", WHOLE, nullable=False),
    Column("charged_tokens", WHOLE, nullable=False),
    Column("rule", Text, nullable=False, server_default=""),
    Column("region", Text, nullable=False, server_default=""),
    Column("service_tier", Text, nullable=False, server_default=""),
    Column("web_searches", WHOLE, nullable=False, server_default="0"),
    Column("unpriced", Text, nullable=False, server_default=""),
    Column("cache_write_1h_tokens", WHOLE),
    Column("provider", Text, nullable=False, server_default=""),
    Column("list_cost_microusd", WHOLE),
    Index("usage_by_time", "started_at_ms"),
)

# Sums of usage by subject and day, so that no budget need read every call.
SPEND: Final = Table(
    "spend",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("day", WHOLE, primary_key=True),
    Column("microusd", WHOLE, nullable=False),
    Column("tokens", WHOLE, nullable=False),
)

# Processes that take calls. `beat` goes up while one lives.
INSTANCES: Final = Table(
    "instances",
    METADATA,
    Column("instance_id", Text, primary_key=True),
    Column("beat", WHOLE, nullable=False),
)

# What each process may still put on a budget's period: spent and not yet in `spend`, held for calls, or free (`slack`).
LEASES: Final = Table(
    "leases",
    METADATA,
    Column("instance_id", Text, ForeignKey("instances.instance_id"), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("start", WHOLE, primary_key=True),
    Column("microusd", WHOLE, nullable=False),
    Column("tokens", WHOLE, nullable=False),
    Column("slack_microusd", WHOLE, nullable=False),
    Column("slack_tokens", WHOLE, nullable=False),
    Index("leases_by_budget", "subject", "name", "period", "start"),
)

# What the guard found, once for each session, destination and outcome. Never the thing itself: `digest` is a keyed hash.
FINDINGS: Final = Table(
    "guard_findings",
    METADATA,
    Column("finding_id", Text, primary_key=True),
    Column("at_ms", WHOLE, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("ruling", Text, nullable=False),
    Column("released", Text, nullable=False),
    Column("alarm", WHOLE, nullable=False),
    Column("detector", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("data_class", Text, nullable=False),
    Column("confidence_percent", WHOLE, nullable=False),
    Column("digest", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("vendor", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("self_hosted", WHOLE, nullable=False),
    Index("guard_findings_by_time", "at_ms"),
    Index("guard_findings_by_digest", "digest"),
)

# Who let what pass, until when and why. Nothing takes a row away; `ended_at_ms` ends one early.
RELEASES: Final = Table(
    "guard_releases",
    METADATA,
    Column("release_id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("at_ms", WHOLE, nullable=False),
    Column("until_ms", WHOLE),
    Column("user", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("ended_at_ms", WHOLE),
    Column("ended_by", Text, nullable=False, server_default=""),
)

# The software register: one row an entry, as a register's file has it, in JSON.
REGISTER_ENTRIES: Final = Table(
    "register_entries",
    METADATA,
    Column("entry_id", Text, primary_key=True),
    Column("entry", Text, nullable=False),
    Column("changed_at_ms", WHOLE, nullable=False),
    Column("changed_by", Text, nullable=False),
)

REGISTER_SETTINGS: Final = Table(
    "register_settings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Changes that wait for a second person, and what became of them. Nothing takes a row away.
REGISTER_PROPOSALS: Final = Table(
    "register_proposals",
    METADATA,
    Column("proposal_id", Text, primary_key=True),
    Column("at_ms", WHOLE, nullable=False),
    Column("user", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("edit", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("decided_at_ms", WHOLE),
    Column("decided_by", Text, nullable=False, server_default=""),
    Column("decision", Text, nullable=False, server_default=""),
)
