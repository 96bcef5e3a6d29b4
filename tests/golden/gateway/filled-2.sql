BEGIN TRANSACTION;
CREATE TABLE budgets (
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        period TEXT NOT NULL,
        limit_microusd INTEGER,
        limit_tokens INTEGER,
        allow_unpriced INTEGER NOT NULL,
        PRIMARY KEY (subject, name, period)
    );
INSERT INTO "budgets" VALUES('key','key-1','month',50000000,NULL,0);
CREATE TABLE key_secrets (
        hash BLOB PRIMARY KEY,
        key_id TEXT NOT NULL REFERENCES keys (key_id),
        created_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER
    );
INSERT INTO "key_secrets" VALUES(X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F','key-1',1,NULL);
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
INSERT INTO "keys" VALUES('key-1','ann','shop','core','["qwen*"]','[]','[]',1,NULL,NULL,60,NULL);
CREATE TABLE revision (number INTEGER NOT NULL);
INSERT INTO "revision" VALUES(2);
CREATE TABLE spend (
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        day INTEGER NOT NULL,
        microusd INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (subject, name, day)
    );
INSERT INTO "spend" VALUES('key','key-1',19675,700,200);
INSERT INTO "spend" VALUES('user','ann',19675,700,200);
INSERT INTO "spend" VALUES('project','shop',19675,700,200);
INSERT INTO "spend" VALUES('team','core',19675,700,200);
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
INSERT INTO "usage" VALUES('call-1',1700000000000,'anthropic-messages','claude-cli/2.1','session-1','sonnet','claude-sonnet','first',200,'allowed',700,'vendor 2026-11-01',1200,300,1,0,'key-1','ann','shop','core',100,20,30,50,19675,700,200);
INSERT INTO "usage" VALUES('call-2',1700000000000,'anthropic-messages','claude-cli/2.1','session-1','sonnet','claude-sonnet','',401,'auth',NULL,'vendor 2026-11-01',1200,300,1,0,'','','','',NULL,NULL,NULL,NULL,19675,0,0);
CREATE INDEX usage_by_time ON usage (started_at_ms);
COMMIT;
PRAGMA user_version = 2;
