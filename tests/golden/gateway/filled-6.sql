BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
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
CREATE TABLE changes (
	number INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	door TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	user TEXT NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	name TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "changes" VALUES(2,1700000000000,'command','','ops','key.create','key','key-1','{"budgets": [{"allow_unpriced": 0, "limit_microusd": 50000000, "limit_tokens": null, "name": "key-1", "period": "month", "subject": "key"}], "clients": [], "created_at_ms": 1, "dialects": [], "expires_at_ms": null, "models": ["qwen*"], "project": "shop", "requests_per_minute": null, "revoked_at_ms": null, "roles": ["caller", "auditor"], "team": "core", "tokens_per_minute": null, "user": "ann"}');
CREATE TABLE guard_findings (
	finding_id TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	call_id TEXT NOT NULL, 
	direction TEXT NOT NULL, 
	mode TEXT NOT NULL, 
	action TEXT NOT NULL, 
	ruling TEXT NOT NULL, 
	released TEXT NOT NULL, 
	alarm INTEGER NOT NULL, 
	detector TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	data_class TEXT NOT NULL, 
	confidence_percent INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	place TEXT NOT NULL, 
	via TEXT NOT NULL, 
	dialect TEXT NOT NULL, 
	client TEXT NOT NULL, 
	session_id TEXT NOT NULL, 
	model TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	user TEXT NOT NULL, 
	project TEXT NOT NULL, 
	team TEXT NOT NULL, 
	upstream TEXT NOT NULL, 
	vendor TEXT NOT NULL, 
	region TEXT NOT NULL, 
	self_hosted INTEGER NOT NULL, 
	PRIMARY KEY (finding_id)
);
CREATE TABLE guard_releases (
	release_id TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	rule TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	until_ms INTEGER, 
	user TEXT NOT NULL, 
	because TEXT NOT NULL, 
	ended_at_ms INTEGER, 
	ended_by TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (release_id)
);
INSERT INTO "guard_releases" VALUES('release-1','00ff','keyword.token',1700000000000,NULL,'ann','a test key',NULL,'');
CREATE TABLE instances (
	instance_id TEXT NOT NULL, 
	beat INTEGER NOT NULL, 
	PRIMARY KEY (instance_id)
);
CREATE TABLE key_secrets (
	hash BLOB NOT NULL, 
	key_id TEXT NOT NULL, 
	created_at_ms INTEGER NOT NULL, 
	expires_at_ms INTEGER, 
	PRIMARY KEY (hash), 
	FOREIGN KEY(key_id) REFERENCES keys (key_id)
);
INSERT INTO "key_secrets" VALUES(X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F','key-1',1,NULL);
CREATE TABLE keys (
	key_id TEXT NOT NULL, 
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
	tokens_per_minute INTEGER, roles TEXT DEFAULT '["caller"]' NOT NULL, 
	PRIMARY KEY (key_id)
);
INSERT INTO "keys" VALUES('key-1','ann','shop','core','["qwen*"]','[]','[]',1,NULL,NULL,NULL,NULL,'["caller", "auditor"]');
CREATE TABLE leases (
	instance_id TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	name TEXT NOT NULL, 
	period TEXT NOT NULL, 
	start INTEGER NOT NULL, 
	microusd INTEGER NOT NULL, 
	tokens INTEGER NOT NULL, 
	slack_microusd INTEGER NOT NULL, 
	slack_tokens INTEGER NOT NULL, 
	PRIMARY KEY (instance_id, subject, name, period, start), 
	FOREIGN KEY(instance_id) REFERENCES instances (instance_id)
);
CREATE TABLE repeatable (
	sender TEXT NOT NULL, 
	token TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	key_id TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (sender, token), 
	FOREIGN KEY(key_id) REFERENCES keys (key_id)
);
CREATE TABLE revision (
	number INTEGER NOT NULL
);
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
INSERT INTO "spend" VALUES('project','shop',19675,700,200);
INSERT INTO "spend" VALUES('team','core',19675,700,200);
INSERT INTO "spend" VALUES('user','ann',19675,700,200);
CREATE TABLE usage (
	call_id TEXT NOT NULL, 
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
	charged_tokens INTEGER NOT NULL, rule TEXT DEFAULT '' NOT NULL, region TEXT DEFAULT '' NOT NULL, service_tier TEXT DEFAULT '' NOT NULL, web_searches INTEGER DEFAULT '0' NOT NULL, unpriced TEXT DEFAULT '' NOT NULL, cache_write_1h_tokens INTEGER, provider TEXT DEFAULT '' NOT NULL, list_cost_microusd INTEGER, 
	PRIMARY KEY (call_id)
);
INSERT INTO "usage" VALUES('call-1',1700000000000,'anthropic-messages','claude-cli/2.1','session-1','sonnet','claude-sonnet','first',200,'allowed',700,'vendor 2026-11-01',1200,300,1,0,'key-1','ann','shop','core',100,20,30,50,19675,700,200,'r1','eu','',0,'',0,'acme',NULL);
CREATE INDEX usage_by_time ON usage (started_at_ms);
CREATE INDEX leases_by_budget ON leases (subject, name, period, start);
CREATE INDEX guard_findings_by_time ON guard_findings (at_ms);
CREATE INDEX guard_findings_by_digest ON guard_findings (digest);
COMMIT;
PRAGMA user_version = 6;
