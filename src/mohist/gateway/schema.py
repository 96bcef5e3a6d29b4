"""The database's schema, as steps that are only ever added to."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    # 1: keys and budgets. The revision counts their changes, so that a running server sees one by reading one row.
    """
    CREATE TABLE revision (number INTEGER NOT NULL);
    INSERT INTO revision VALUES (1);
    CREATE TABLE keys (
        key_id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        project TEXT NOT NULL,
        team TEXT NOT NULL,
        models TEXT NOT NULL,
        clients TEXT NOT NULL,
        dialects TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER,
        revoked_at_ms INTEGER,
        requests_per_minute INTEGER,
        tokens_per_minute INTEGER
    );
    CREATE TABLE key_secrets (
        hash BLOB PRIMARY KEY,
        key_id TEXT NOT NULL REFERENCES keys (key_id),
        created_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER
    );
    CREATE TABLE budgets (
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        period TEXT NOT NULL,
        limit_microusd INTEGER,
        limit_tokens INTEGER,
        allow_unpriced INTEGER NOT NULL,
        PRIMARY KEY (subject, name, period)
    );
    """,
    # 2: usage, one row a call, and its sums by subject and day, so that a start need not read every call.
    """
    CREATE TABLE usage (
        call_id TEXT PRIMARY KEY,
        started_at_ms INTEGER NOT NULL,
        dialect TEXT NOT NULL,
        client TEXT NOT NULL,
        session_id TEXT NOT NULL,
        model_asked TEXT NOT NULL,
        model_served TEXT NOT NULL,
        upstream TEXT NOT NULL,
        status INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        cost_microusd INTEGER,
        price_row TEXT NOT NULL,
        duration_ms INTEGER NOT NULL,
        first_byte_ms INTEGER,
        attempts INTEGER NOT NULL,
        cancelled INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        user TEXT NOT NULL,
        project TEXT NOT NULL,
        team TEXT NOT NULL,
        input_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_tokens INTEGER,
        output_tokens INTEGER,
        day INTEGER NOT NULL,
        charged_microusd INTEGER NOT NULL,
        charged_tokens INTEGER NOT NULL
    );
    CREATE INDEX usage_by_time ON usage (started_at_ms);
    CREATE TABLE spend (
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        day INTEGER NOT NULL,
        microusd INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (subject, name, day)
    );
    """,
)
