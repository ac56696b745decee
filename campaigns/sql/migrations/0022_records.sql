-- Records of calls: what 16 CFR 310.5 asks of each, sealed day by day, kept as long as the law says.

-- What a campaign says of itself changes; what it said when a call was made must not. These columns
-- are filled when an attempt becomes a record.
ALTER TABLE attempt
    ADD COLUMN telemarketer text,            -- 310.5(a)(2)(i): who placed the call
    ADD COLUMN seller text,
    ADD COLUMN purpose text,
    ADD COLUMN called_party text,            -- consumer or business
    ADD COLUMN script_sha256 text,
    ADD COLUMN announcement_sha256 text,
    ADD COLUMN caller_name text,             -- who the caller id belongs to
    ADD COLUMN caller_authorisation text,    -- what proves the right to show it, and until when
    ADD COLUMN caller_authorised_until date;

CREATE TABLE organisation (
    name text NOT NULL,                      -- who makes the calls; without a row it is the seller
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row)
);

ALTER TABLE lead_list ADD COLUMN called_party text NOT NULL DEFAULT 'consumer'
    CHECK (called_party IN ('consumer', 'business'));

CREATE FUNCTION complete_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    terms record;
    shown record;
BEGIN
    SELECT c.seller, c.purpose, c.settings ->> 'script' AS script,
           c.settings ->> 'announcement' AS announcement,
           coalesce((SELECT name FROM organisation), c.seller) AS telemarketer,
           coalesce((SELECT ll.called_party FROM lead l JOIN lead_list ll ON ll.id = l.list_id
                     WHERE l.id = NEW.lead_id), 'consumer') AS called_party
    INTO terms FROM campaign c WHERE c.id = NEW.campaign_id;
    SELECT i.owner, i.authorisation, i.valid_until INTO shown
    FROM caller_id i WHERE i.trunk_id = NEW.trunk_id AND i.number = NEW.caller_id;
    NEW.telemarketer := coalesce(NEW.telemarketer, terms.telemarketer);
    NEW.seller := coalesce(NEW.seller, terms.seller);
    NEW.purpose := coalesce(NEW.purpose, terms.purpose);
    NEW.called_party := coalesce(NEW.called_party, terms.called_party);
    NEW.script_sha256 := coalesce(
        NEW.script_sha256, encode(sha256(convert_to(coalesce(terms.script, ''), 'UTF8')), 'hex'));
    NEW.announcement_sha256 := coalesce(
        NEW.announcement_sha256,
        encode(sha256(convert_to(coalesce(terms.announcement, ''), 'UTF8')), 'hex'));
    NEW.caller_name := coalesce(NEW.caller_name, shown.owner);
    NEW.caller_authorisation := coalesce(NEW.caller_authorisation, shown.authorisation);
    NEW.caller_authorised_until := coalesce(NEW.caller_authorised_until, shown.valid_until);
    RETURN NEW;
END $$;
CREATE TRIGGER complete_record BEFORE INSERT ON attempt
    FOR EACH ROW EXECUTE FUNCTION complete_record();

-- LOG-1: each day's records, and the day before's seal, in one digest.
CREATE TABLE record_seal (
    day date PRIMARY KEY,                    -- by the time of closing, UTC
    attempts integer NOT NULL,
    events integer NOT NULL,
    previous text NOT NULL,
    digest text NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER record_seal_append_only BEFORE UPDATE OR DELETE ON record_seal
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();

-- What the completeness check found missing.
CREATE TABLE record_gap (
    day date NOT NULL,
    field text NOT NULL,
    attempts integer NOT NULL,
    example uuid NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (day, field)
);

-- A number that may not be kept, but must still be recognised: a keyed hash stands for it.
CREATE TABLE number_key (
    value bytea NOT NULL,
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row)
);
INSERT INTO number_key (value) VALUES (
    decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

CREATE FUNCTION number_token(number text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'erased:' || encode(
        sha256((SELECT k.value FROM number_key k) || convert_to(number, 'UTF8')), 'hex')
$$;

-- Months of records that no law asks for any more.
CREATE FUNCTION old_record_months(before timestamptz)
RETURNS TABLE (month text) LANGUAGE sql STABLE AS $$
    SELECT c.relname::text
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    JOIN pg_class p ON p.oid = i.inhparent
    WHERE p.relname IN ('attempt', 'call_event', 'agent_event')
      AND right(c.relname, 6) < to_char(before AT TIME ZONE 'UTC', 'YYYYMM')
    ORDER BY 1
$$;
