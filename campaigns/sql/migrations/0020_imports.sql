-- Imports that survive a kill, can be undone, and cost a fraction of the time.
--
-- An import writes to a list of its own that no campaign has yet, block by block; its last
-- transaction makes that list the campaign's. A block is committed with its row in import_block, so
-- whoever goes on after a crash knows where.

CREATE TYPE import_state AS ENUM ('reading', 'done', 'undone');

CREATE TABLE lead_import (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    list_id uuid NOT NULL,                   -- where its leads are
    target_list_id uuid,                     -- the list they join at the end; NULL: their own
    file text NOT NULL,
    sha256 text NOT NULL,
    choices jsonb NOT NULL,                  -- all that decides what becomes of a row
    state import_state NOT NULL DEFAULT 'reading',
    report jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    undone_at timestamptz
);
CREATE INDEX lead_import_by_file ON lead_import (campaign_id, sha256);
CREATE INDEX lead_import_by_list ON lead_import (list_id);
-- One unfinished import of a file into a campaign: the same command again goes on with it.
CREATE UNIQUE INDEX lead_import_unfinished ON lead_import (campaign_id, sha256)
    WHERE state = 'reading';

CREATE TABLE import_block (
    import_id uuid NOT NULL REFERENCES lead_import ON DELETE CASCADE,
    number integer NOT NULL,
    rows integer NOT NULL,
    accepted integer NOT NULL,
    duplicates_in_file integer NOT NULL,
    duplicates_elsewhere integer NOT NULL,
    reasons jsonb NOT NULL,
    regions jsonb NOT NULL,
    PRIMARY KEY (import_id, number)
);

-- Rows not taken, as they were in the file: personal data, gone with the import.
CREATE TABLE import_reject (
    import_id uuid NOT NULL REFERENCES lead_import ON DELETE CASCADE,
    line integer NOT NULL,
    reason text NOT NULL,
    cells text[] NOT NULL
);
CREATE INDEX import_reject_by_line ON import_reject (import_id, line);

-- Rows that update a lead: applied when the import ends, with what was there before.
CREATE TABLE import_change (
    import_id uuid NOT NULL REFERENCES lead_import ON DELETE CASCADE,
    line integer NOT NULL,
    lead_id uuid,                            -- NULL: the lead of this import's line earlier_line
    earlier_line integer,
    name text NOT NULL,
    priority integer NOT NULL,
    fields jsonb NOT NULL,
    before jsonb,
    PRIMARY KEY (import_id, line)
);

CREATE TABLE import_template (
    name text PRIMARY KEY,
    choices jsonb NOT NULL,                  -- mapping by column name, country, duplicate policy
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE lead ADD COLUMN import_id uuid;

-- The two foreign keys of `lead` cost more than everything else about storing a lead: a trigger, a
-- look-up and a row lock each, a million times. The same promises, kept once per statement.
ALTER TABLE lead DROP CONSTRAINT lead_list_id_fkey, DROP CONSTRAINT lead_subject_id_fkey;

CREATE FUNCTION lead_parents_exist() RETURNS trigger LANGUAGE plpgsql
-- A new lead's parents are found one by one: joining all of `subject` for each block of a long
-- import would make it quadratic.
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    PERFORM FROM lead_list WHERE id IN (SELECT DISTINCT list_id FROM fresh) ORDER BY id
        FOR KEY SHARE;
    IF EXISTS (SELECT FROM (SELECT DISTINCT list_id FROM fresh) f
               WHERE NOT EXISTS (SELECT FROM lead_list l WHERE l.id = f.list_id)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a lead needs its list';
    END IF;
    IF EXISTS (SELECT FROM fresh f
               WHERE NOT EXISTS (SELECT FROM subject s WHERE s.id = f.subject_id)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a lead needs its subject';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lead_parents_exist AFTER INSERT ON lead REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION lead_parents_exist();

CREATE FUNCTION lead_parent_exists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM lead_list WHERE id = NEW.list_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'a lead needs its list';
    END IF;
    PERFORM FROM subject WHERE id = NEW.subject_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'a lead needs its subject';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lead_parent_exists AFTER UPDATE OF list_id, subject_id ON lead
    FOR EACH ROW EXECUTE FUNCTION lead_parent_exists();

CREATE FUNCTION leads_go_with_list() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM lead WHERE list_id IN (SELECT id FROM gone);
    RETURN NULL;
END $$;
CREATE TRIGGER leads_go_with_list AFTER DELETE ON lead_list REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION leads_go_with_list();
