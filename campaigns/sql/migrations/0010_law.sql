-- What the law asks beyond the first version: where a person lives, consent, registries, screenings,
-- proof of caller ids, waivers. Evidence tables are append-only: what changed is a new row.

ALTER TABLE lead
    ADD COLUMN address_state text,           -- US state of the person's address, two letters
    ADD COLUMN debt text;                    -- the debt the calls are about (12 CFR 1006.14)
CREATE INDEX lead_by_subject ON lead (subject_id);

ALTER TABLE lead_number
    ADD COLUMN landline boolean NOT NULL DEFAULT false;  -- known not to be wireless (TCPA-7)

ALTER TABLE caller_id                        -- CLI-1; a row without proof serves lab trunks only
    ADD COLUMN owner text,
    ADD COLUMN authorisation text,           -- the document that proves the right to show it
    ADD COLUMN valid_from date,
    ADD COLUMN valid_until date,
    ADD COLUMN answered_by text;             -- who takes the calls back: staff, ivr

-- Consent and what stands for it, per number, seller and purpose ('' is every purpose).
CREATE TABLE consent_event (
    id uuid PRIMARY KEY,
    number text NOT NULL,
    seller text NOT NULL,                    -- '*': revoked towards every seller
    purpose text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('given', 'revoked', 'transaction', 'inquiry')),
    happened_at timestamptz NOT NULL,
    valid_until timestamptz,
    source text NOT NULL,                    -- where it was given or revoked, and the evidence
    recorded_by text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX consent_event_by_number ON consent_event (number, happened_at);
CREATE TRIGGER consent_event_append_only BEFORE UPDATE OR DELETE ON consent_event
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();

-- Answers of outside services about a number: known litigators, the Reassigned Numbers Database.
CREATE TABLE number_screening (
    id uuid PRIMARY KEY,
    number text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('litigator', 'reassigned')),
    answer text NOT NULL CHECK (answer IN ('yes', 'no', 'no_data')),
    checked_at timestamptz NOT NULL,
    source text NOT NULL
);
CREATE INDEX number_screening_by_number ON number_screening (number, kind, checked_at DESC);
CREATE TRIGGER number_screening_append_only BEFORE UPDATE OR DELETE ON number_screening
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();

-- National registries: each load is a record of access (16 CFR 310.5), the numbers are the newest's.
CREATE TABLE registry_version (
    id uuid PRIMARY KEY,
    registry text NOT NULL,
    version_at timestamptz NOT NULL,         -- the registry's own date, not the day of the load
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    loaded_by text NOT NULL,
    account text NOT NULL DEFAULT '',        -- subscription account number
    file text NOT NULL,
    sha256 text NOT NULL,
    numbers bigint NOT NULL
);
CREATE INDEX registry_version_newest ON registry_version (registry, version_at DESC);
CREATE TRIGGER registry_version_append_only BEFORE UPDATE OR DELETE ON registry_version
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TABLE registry_number (
    registry text NOT NULL,
    number text NOT NULL,
    PRIMARY KEY (number, registry)
);

-- Waivers: counsel lifts one rule for one campaign until a day; withdrawing one is another row.
CREATE TABLE waiver_event (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    rule text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('signed', 'withdrawn')),
    signed_by text NOT NULL CHECK (length(signed_by) > 0),
    reason text NOT NULL CHECK (length(reason) > 0),
    until date,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((kind = 'signed') = (until IS NOT NULL))
);
CREATE INDEX waiver_event_by_campaign ON waiver_event (campaign_id, rule, signed_at DESC);
CREATE TRIGGER waiver_event_append_only BEFORE UPDATE OR DELETE ON waiver_event
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
