CREATE TABLE mohist_ledger.entry (
    position bigint PRIMARY KEY CHECK (position >= 0),
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    mark bytea,
    leaf bytea NOT NULL
);
CREATE UNIQUE INDEX entry_of_stream ON mohist_ledger.entry (stream, sequence);
CREATE UNIQUE INDEX entry_of_mark ON mohist_ledger.entry (mark);

CREATE TABLE mohist_ledger.stream (number bigint PRIMARY KEY, name text NOT NULL UNIQUE);

-- Hashes can't be compressed: that it is tried costs time with each tile.
CREATE TABLE mohist_ledger.tile (
    level integer NOT NULL,
    position bigint NOT NULL,
    fold bytea NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (level, position)
);
ALTER TABLE mohist_ledger.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- `term` counts the leaders: one that was deposed names an older one, and finds no row to write on.
CREATE TABLE mohist_ledger.head (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    size bigint NOT NULL,
    hashes bytea NOT NULL,
    term bigint NOT NULL,
    sealed text NOT NULL DEFAULT ''
) WITH (fillfactor = 10);
INSERT INTO mohist_ledger.head (size, hashes, term) VALUES (0, '', 0);

CREATE TABLE mohist_ledger.about (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE mohist_ledger.payload (digest bytea PRIMARY KEY, kid text NOT NULL, wrapped bytea NOT NULL, ciphertext bytea);
ALTER TABLE mohist_ledger.payload ALTER COLUMN ciphertext SET STORAGE EXTERNAL;
CREATE INDEX payload_of_key ON mohist_ledger.payload (kid);

CREATE TABLE mohist_ledger.inbox (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE mohist_ledger.refusal (
    id bytea PRIMARY KEY,
    kind text NOT NULL,
    what text NOT NULL,
    mend text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION mohist_ledger.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'what is entered is never changed or deleted (% of %)', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

-- Only the session that holds the leader's lock enters. pg_locks splits the lock's number in two.
CREATE FUNCTION mohist_ledger.leads() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM 1 FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND mode = 'ExclusiveLock' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32) + objid::bigint = 120325260731748;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only the elected sequencer enters' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION mohist_ledger.head_grows() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.size < OLD.size OR NEW.term < OLD.term THEN
        RAISE EXCEPTION 'the head never goes back' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.size <> OLD.size AND NEW.size <> (SELECT max(position) + 1 FROM mohist_ledger.entry) THEN
        RAISE EXCEPTION 'the head is where the entries end' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

-- The one change of a content: it is dropped.
CREATE FUNCTION mohist_ledger.content_goes() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.digest <> OLD.digest OR NEW.kid <> OLD.kid OR NEW.ciphertext IS NOT NULL OR NEW.wrapped <> '' THEN
        RAISE EXCEPTION 'a content is dropped or stays as it is' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON mohist_ledger.entry EXECUTE FUNCTION mohist_ledger.refuse();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON mohist_ledger.stream EXECUTE FUNCTION mohist_ledger.refuse();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON mohist_ledger.tile EXECUTE FUNCTION mohist_ledger.refuse();
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON mohist_ledger.about EXECUTE FUNCTION mohist_ledger.refuse();
CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON mohist_ledger.head EXECUTE FUNCTION mohist_ledger.refuse();
CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON mohist_ledger.payload EXECUTE FUNCTION mohist_ledger.refuse();
CREATE TRIGGER leads BEFORE INSERT ON mohist_ledger.entry EXECUTE FUNCTION mohist_ledger.leads();
CREATE TRIGGER leads BEFORE INSERT ON mohist_ledger.tile EXECUTE FUNCTION mohist_ledger.leads();
CREATE TRIGGER grows BEFORE UPDATE ON mohist_ledger.head FOR EACH ROW EXECUTE FUNCTION mohist_ledger.head_grows();
CREATE TRIGGER goes BEFORE UPDATE ON mohist_ledger.payload FOR EACH ROW EXECUTE FUNCTION mohist_ledger.content_goes();

-- Also where somebody sets session_replication_role.
ALTER TABLE mohist_ledger.entry ENABLE ALWAYS TRIGGER stays;
ALTER TABLE mohist_ledger.entry ENABLE ALWAYS TRIGGER leads;
ALTER TABLE mohist_ledger.stream ENABLE ALWAYS TRIGGER stays;
ALTER TABLE mohist_ledger.tile ENABLE ALWAYS TRIGGER stays;
ALTER TABLE mohist_ledger.tile ENABLE ALWAYS TRIGGER leads;
ALTER TABLE mohist_ledger.about ENABLE ALWAYS TRIGGER stays;
ALTER TABLE mohist_ledger.head ENABLE ALWAYS TRIGGER stays;
ALTER TABLE mohist_ledger.head ENABLE ALWAYS TRIGGER grows;
ALTER TABLE mohist_ledger.payload ENABLE ALWAYS TRIGGER stays;
ALTER TABLE mohist_ledger.payload ENABLE ALWAYS TRIGGER goes;

REVOKE ALL ON ALL TABLES IN SCHEMA mohist_ledger FROM PUBLIC;
REVOKE ALL ON SCHEMA mohist_ledger FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON mohist_ledger.entry, mohist_ledger.stream, mohist_ledger.tile, mohist_ledger.about FROM CURRENT_USER;
REVOKE DELETE, TRUNCATE ON mohist_ledger.head, mohist_ledger.payload FROM CURRENT_USER;
