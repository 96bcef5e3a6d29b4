BEGIN TRANSACTION;
CREATE TABLE deliveries (
	delivery_id TEXT NOT NULL, 
	repository TEXT NOT NULL, 
	requirement TEXT NOT NULL, 
	source TEXT NOT NULL, 
	requested_by TEXT NOT NULL, 
	base_commit TEXT NOT NULL, 
	base_branch TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	status TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	created_at_ms INTEGER NOT NULL, 
	updated_at_ms INTEGER NOT NULL, 
	bound TEXT NOT NULL, 
	spent_microusd INTEGER NOT NULL, 
	spent_tokens INTEGER NOT NULL, 
	options TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	segment TEXT NOT NULL, 
	turn INTEGER NOT NULL, 
	"commit" TEXT NOT NULL, 
	merged TEXT NOT NULL, 
	taken_by TEXT NOT NULL, 
	PRIMARY KEY (delivery_id)
);
INSERT INTO "deliveries" VALUES('dlv-1','/work/shop','Ship free','text','ann','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','main','mohist/dlv-1','waiting','plan',1,1,1,'{"cost_microusd":5000000,"seconds":null,"tokens":null}',700,200,'{"yes":true}','',1,'',0,'','','');
CREATE TABLE delivery_decisions (
	gate_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	"by" TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	because TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	answers TEXT NOT NULL, 
	teams TEXT NOT NULL, 
	PRIMARY KEY (gate_id, number), 
	FOREIGN KEY(gate_id) REFERENCES delivery_gates (gate_id)
);
INSERT INTO "delivery_decisions" VALUES('dlv-1.1',1,'bob','approve','fine','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',2,'{}','["@core"]');
CREATE TABLE delivery_effects (
	"key" TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	begun_at_ms INTEGER NOT NULL, 
	done_at_ms INTEGER, 
	result TEXT, 
	PRIMARY KEY ("key")
);
INSERT INTO "delivery_effects" VALUES('dlv-1/1/push','',1700000000000,1700000000000,'{"commit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}');
CREATE TABLE delivery_evidence (
	delivery_id TEXT NOT NULL, 
	evidence_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	stage TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	command TEXT NOT NULL, 
	exit_code INTEGER, 
	output_sha256 TEXT NOT NULL, 
	output_tail TEXT NOT NULL, 
	duration_ms INTEGER NOT NULL, 
	"commit" TEXT NOT NULL, 
	tree TEXT NOT NULL, 
	runs INTEGER NOT NULL, 
	passes INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (delivery_id, evidence_id), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
CREATE TABLE delivery_findings (
	delivery_id TEXT NOT NULL, 
	finding_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	severity TEXT NOT NULL, 
	text TEXT NOT NULL, 
	path TEXT NOT NULL, 
	line INTEGER NOT NULL, 
	criterion TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	status TEXT NOT NULL, 
	PRIMARY KEY (delivery_id, finding_id), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
CREATE TABLE delivery_gates (
	gate_id TEXT NOT NULL, 
	delivery_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	needs TEXT NOT NULL, 
	four_eyes BOOLEAN NOT NULL, 
	status TEXT NOT NULL, 
	facts TEXT NOT NULL, 
	opened_at_ms INTEGER NOT NULL, 
	closed BOOLEAN NOT NULL, 
	PRIMARY KEY (gate_id), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
INSERT INTO "delivery_gates" VALUES('dlv-1.1','dlv-1',1,'spec','plan','spec v1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','[["@core"]]',1,'approved','{}',1700000000000,0);
CREATE TABLE delivery_notes (
	delivery_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	text TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (delivery_id, number), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
INSERT INTO "delivery_notes" VALUES('dlv-1',1,'created','text',1700000000000,'{"by":"ann"}');
INSERT INTO "delivery_notes" VALUES('dlv-1',2,'decision','bob: approve spec v1',1700000000000,'{"because":"fine","by":"bob","gate":"dlv-1.1","status":"approved","verdict":"approve"}');
INSERT INTO "delivery_notes" VALUES('dlv-1',3,'comment','look at the tax',1700000000000,'{"by":"bob"}');
CREATE TABLE delivery_plans (
	delivery_id TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	tasks TEXT NOT NULL, 
	PRIMARY KEY (delivery_id, version), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
CREATE TABLE delivery_releases (
	delivery_id TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	release_id TEXT NOT NULL, 
	"commit" TEXT NOT NULL, 
	status TEXT NOT NULL, 
	previous TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	at_ms INTEGER NOT NULL, 
	PRIMARY KEY (delivery_id, environment, release_id), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
CREATE TABLE delivery_specs (
	delivery_id TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	text TEXT NOT NULL, 
	criteria TEXT NOT NULL, 
	irreversible TEXT NOT NULL, 
	PRIMARY KEY (delivery_id, version), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
INSERT INTO "delivery_specs" VALUES('dlv-1',1,'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','# Ship free
','[{"check":"true","criterion_id":"AC-1","kind":"behaviour","text":"WHEN it is 100 THE SYSTEM SHALL ship free."}]','["the schema"]');
CREATE TABLE delivery_spendings (
	delivery_id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	cost_microusd INTEGER NOT NULL, 
	tokens INTEGER NOT NULL, 
	PRIMARY KEY (delivery_id, "key"), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
INSERT INTO "delivery_spendings" VALUES('dlv-1','k','clarify',1,700,200);
CREATE TABLE delivery_stages (
	delivery_id TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	stage TEXT NOT NULL, 
	status TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	cost_microusd INTEGER NOT NULL, 
	tokens INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	began_at_ms INTEGER NOT NULL, 
	ended_at_ms INTEGER NOT NULL, 
	PRIMARY KEY (delivery_id, attempt, stage), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (delivery_id)
);
INSERT INTO "delivery_stages" VALUES('dlv-1',1,'specify','done','',0,0,'m',1,2);
CREATE TABLE delivery_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT delivery_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "delivery_version" VALUES('0001');
CREATE INDEX deliveries_by_status ON deliveries (status, created_at_ms);
CREATE INDEX deliveries_by_time ON deliveries (created_at_ms);
CREATE INDEX deliveries_by_segment ON deliveries (segment);
CREATE INDEX delivery_notes_by_time ON delivery_notes (at_ms);
CREATE INDEX delivery_gates_by_delivery ON delivery_gates (delivery_id, number);
CREATE INDEX delivery_releases_by_environment ON delivery_releases (environment, at_ms);
COMMIT;
