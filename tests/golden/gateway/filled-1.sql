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
INSERT INTO "revision" VALUES(1);
COMMIT;
PRAGMA user_version = 1;
