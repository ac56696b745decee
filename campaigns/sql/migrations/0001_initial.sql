-- The first schema: campaigns, leads, calls, agents, trunks, processes.
--
-- Ids are UUIDv7 made by the application. Rules and the claim take the time as a parameter; leases
-- compare clock_timestamp(). Nothing increments a counter beside the rows it counts.

CREATE TYPE campaign_state AS ENUM ('draft', 'running', 'paused', 'stopping', 'stopped');
CREATE TYPE pacing_mode AS ENUM ('preview', 'progressive', 'power', 'predictive');
CREATE TYPE lead_state AS ENUM ('open', 'in_call', 'done');
CREATE TYPE done_reason AS ENUM (
    'reached', 'attempts_exhausted', 'invalid_number', 'suppressed', 'refused', 'disposition'
);
CREATE TYPE attempt_state AS ENUM (
    'claimed', 'dialing', 'ringing', 'answered', 'bridged', 'announcing', 'leaving_message', 'ended'
);
CREATE TYPE screening_state AS ENUM (
    'none', 'listening', 'person', 'machine', 'fax', 'tone', 'silence', 'no_audio', 'not_sure'
);
CREATE TYPE reservation_state AS ENUM ('none', 'reserved', 'joined', 'released');
CREATE TYPE call_outcome AS ENUM (
    'answered', 'busy', 'no_answer', 'unavailable', 'invalid_number', 'declined', 'blocked',
    'trunk_fault', 'cancelled', 'refused', 'interrupted'
);
CREATE TYPE amd_verdict AS ENUM (
    'off', 'person', 'machine', 'fax', 'tone', 'silence', 'no_audio', 'not_sure'
);
CREATE TYPE disposition AS ENUM (
    'none', 'sale', 'interested', 'not_interested', 'callback', 'wrong_person', 'wrong_number',
    'do_not_call', 'machine', 'nobody_there'
);
CREATE TYPE ended_by AS ENUM ('them', 'us', 'network');
CREATE TYPE agent_state AS ENUM ('offline', 'paused', 'ready', 'reserved', 'talking', 'wrap_up');
CREATE TYPE phone_kind AS ENUM ('sip_uri', 'extension', 'telephone', 'call_in');
CREATE TYPE trunk_kind AS ENUM ('lab', 'real');
CREATE TYPE sip_transport AS ENUM ('udp', 'tcp', 'tls');
CREATE TYPE process_kind AS ENUM ('serve', 'api', 'engine', 'lines');
CREATE TYPE leg_kind AS ENUM ('customer', 'agent');
CREATE TYPE leg_state AS ENUM ('early', 'up', 'held', 'ended');
CREATE TYPE line_command_kind AS ENUM (
    'call_agent', 'release_agent', 'hang_up', 'cancel', 'reload'
);
CREATE TYPE count_origin AS ENUM ('measured', 'seeded');

-- Processes and leases -------------------------------------------------------------------------

CREATE TABLE process (
    id uuid PRIMARY KEY,                     -- one per start of a process: its boot id
    kind process_kind NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    address text,                            -- where its health and metrics answer
    sip_address text,
    sip_port integer,
    rtp_low integer,
    rtp_high integer,
    capacity integer NOT NULL DEFAULT 0,     -- calls a line process can hold
    draining boolean NOT NULL DEFAULT false,
    clock_offset_ms integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz NOT NULL,
    taken_over_by uuid,                      -- the successor that cleans up after it
    ended_at timestamptz
);
CREATE INDEX process_alive ON process (kind, lease_until) WHERE ended_at IS NULL;

-- Trunks ---------------------------------------------------------------------------------------

CREATE TABLE trunk (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    kind trunk_kind NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    host text NOT NULL,
    port integer NOT NULL DEFAULT 5060 CHECK (port BETWEEN 1 AND 65535),
    transport sip_transport NOT NULL DEFAULT 'udp',
    username text,
    password text,                           -- never listed, never logged
    settings jsonb NOT NULL DEFAULT '{}',    -- campaigns.trunks.TrunkSettings
    priority integer NOT NULL DEFAULT 1,     -- lower is tried first
    weight integer NOT NULL DEFAULT 1 CHECK (weight > 0),
    channels integer NOT NULL DEFAULT 30 CHECK (channels > 0),
    calls_per_second real NOT NULL DEFAULT 5 CHECK (calls_per_second > 0),
    calls_per_day integer NOT NULL DEFAULT 10000 CHECK (calls_per_day > 0),
    minutes_per_day integer NOT NULL DEFAULT 5000 CHECK (minutes_per_day > 0),
    tokens real NOT NULL DEFAULT 0,          -- calls-per-second bucket, shared by all processes
    tokens_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    suspended_until timestamptz,
    suspended_reason text,
    resumed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    backoff_s real NOT NULL DEFAULT 0,       -- length of the latest suspension
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE caller_id (
    id uuid PRIMARY KEY,
    trunk_id uuid NOT NULL REFERENCES trunk ON DELETE CASCADE,
    number text NOT NULL,
    UNIQUE (trunk_id, number)
);

-- Campaigns, lists, leads ----------------------------------------------------------------------

CREATE TABLE campaign (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    seller text NOT NULL,
    purpose text NOT NULL DEFAULT '',
    state campaign_state NOT NULL DEFAULT 'draft',
    mode pacing_mode NOT NULL DEFAULT 'progressive',
    profile text NOT NULL,
    regions text[] NOT NULL,                 -- ISO 3166 regions it may call; +1 is not a region
    settings jsonb NOT NULL DEFAULT '{}',    -- campaigns.model.CampaignSettings
    settings_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    stopped_at timestamptz,
    lease_holder uuid,
    lease_epoch bigint NOT NULL DEFAULT 0,   -- in every guarded write of the holder
    lease_until timestamptz
);

CREATE TABLE campaign_trunk (
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    trunk_id uuid NOT NULL REFERENCES trunk ON DELETE CASCADE,
    PRIMARY KEY (campaign_id, trunk_id)
);

CREATE TABLE lead_list (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source text NOT NULL DEFAULT '',         -- the file it came from
    source_sha256 text,
    report jsonb NOT NULL DEFAULT '{}'       -- counts of the import
);

CREATE TABLE campaign_list (
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    list_id uuid NOT NULL REFERENCES lead_list ON DELETE CASCADE,
    priority integer NOT NULL DEFAULT 1,     -- lower is called first
    active boolean NOT NULL DEFAULT true,
    PRIMARY KEY (campaign_id, list_id)
);

CREATE TABLE subject (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE lead (
    id uuid PRIMARY KEY,
    list_id uuid NOT NULL REFERENCES lead_list ON DELETE CASCADE,
    subject_id uuid NOT NULL REFERENCES subject,
    state lead_state NOT NULL DEFAULT 'open',
    done_reason done_reason,
    priority integer NOT NULL DEFAULT 0,     -- higher is called first
    next_call_at timestamptz NOT NULL DEFAULT '-infinity',
    held_by text,                            -- the gate's rule that moved next_call_at; NULL: retry
    next_position integer NOT NULL DEFAULT 0,
    attempts_before integer NOT NULL DEFAULT 0 CHECK (attempts_before >= 0),
    name text NOT NULL DEFAULT '',
    fields jsonb NOT NULL DEFAULT '{}',      -- columns of the file beyond the known ones
    source_line integer,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((state = 'done') = (done_reason IS NOT NULL))
);
CREATE INDEX lead_next ON lead (list_id, priority DESC, next_call_at, id) WHERE state = 'open';
CREATE INDEX lead_by_state ON lead (list_id, state);

CREATE TABLE lead_number (
    id uuid PRIMARY KEY,
    lead_id uuid NOT NULL REFERENCES lead ON DELETE CASCADE,
    position integer NOT NULL,
    number text NOT NULL,                    -- E.164 with +
    region text NOT NULL,                    -- ISO 3166
    zones text[] NOT NULL,                   -- IANA names, every zone the person may be in
    UNIQUE (lead_id, position)
);
CREATE INDEX lead_number_by_number ON lead_number (number);

CREATE TABLE suppression (
    id uuid PRIMARY KEY,
    seller text NOT NULL,                    -- '*' suppresses for every seller
    number text NOT NULL,
    source text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (seller, number)
);
CREATE INDEX suppression_by_number ON suppression (number);

-- Agents ---------------------------------------------------------------------------------------

CREATE TABLE agent (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    display_name text NOT NULL DEFAULT '',
    phone_kind phone_kind NOT NULL,
    phone_address text NOT NULL,             -- SIP URI, extension, E.164 number or calling-in peer
    phone_trunk_id uuid REFERENCES trunk,    -- for extension and telephone
    pin_hash text,
    token_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE agent_campaign (
    agent_id uuid NOT NULL REFERENCES agent ON DELETE CASCADE,
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    priority integer NOT NULL DEFAULT 1,
    PRIMARY KEY (agent_id, campaign_id)
);
CREATE INDEX agent_campaign_by_campaign ON agent_campaign (campaign_id);

CREATE TABLE agent_session (
    id uuid PRIMARY KEY,
    agent_id uuid NOT NULL UNIQUE REFERENCES agent,
    state agent_state NOT NULL DEFAULT 'offline',   -- offline until the phone leg is up
    state_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    pause_reason text,
    pause_requested text,                    -- a pause asked for in mid-call, taken after it
    logout_requested boolean NOT NULL DEFAULT false,
    phone_gone boolean NOT NULL DEFAULT false,      -- paused because its phone leg ended
    process_id uuid REFERENCES process,      -- the line process that holds its phone leg
    attempt_id uuid UNIQUE,                  -- the attempt it is reserved for, talks on or wraps up
    wrap_up_until timestamptz,
    logged_in_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((state IN ('reserved', 'talking', 'wrap_up')) = (attempt_id IS NOT NULL))
);
CREATE INDEX agent_session_ready ON agent_session (process_id, state_since) WHERE state = 'ready';

-- What agents wrote about a lead, shown at the next call; personal data, erased with the lead.
CREATE TABLE lead_note (
    id uuid PRIMARY KEY,
    lead_id uuid NOT NULL REFERENCES lead ON DELETE CASCADE,
    attempt_id uuid NOT NULL,
    agent_id uuid NOT NULL REFERENCES agent,
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 2000),
    written_at timestamptz NOT NULL
);
CREATE INDEX lead_note_by_lead ON lead_note (lead_id, written_at DESC);

CREATE TABLE agent_event (
    id uuid NOT NULL,
    agent_id uuid NOT NULL,
    session_id uuid NOT NULL,
    state agent_state NOT NULL,
    reason text,
    attempt_id uuid,
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (id, happened_at)
) PARTITION BY RANGE (happened_at);

-- Call attempts --------------------------------------------------------------------------------

CREATE TABLE live_attempt (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL REFERENCES campaign,
    lead_id uuid NOT NULL UNIQUE,
    lead_number_id uuid NOT NULL,
    dialed_number text NOT NULL UNIQUE,
    region text NOT NULL,
    mode pacing_mode NOT NULL,
    epoch bigint NOT NULL,                   -- of the campaign lease that claimed it
    process_id uuid NOT NULL REFERENCES process,    -- the line process (and boot) that dials it
    trunk_id uuid NOT NULL REFERENCES trunk,
    caller_id text NOT NULL,
    timers jsonb NOT NULL,                   -- campaigns.model.CallTimers: travels with the command
    state attempt_state NOT NULL DEFAULT 'claimed',
    screening screening_state NOT NULL DEFAULT 'none',
    reservation reservation_state NOT NULL DEFAULT 'none',
    agent_id uuid,
    agent_session_id uuid,
    outcome call_outcome,
    verdict amd_verdict,
    verdict_confidence real,
    verdict_features jsonb,
    disposition disposition,
    ended_by ended_by,
    sip_code integer,
    q850_cause integer,
    end_reason text,
    claimed_at timestamptz NOT NULL,
    dialing_at timestamptz,
    ringing_at timestamptz,
    answered_at timestamptz,
    greeting_ended_at timestamptz,
    verdict_at timestamptz,
    reserved_at timestamptz,
    joined_at timestamptz,
    message_started_at timestamptz,
    message_ended_at timestamptz,
    ended_at timestamptz,
    CHECK (reservation NOT IN ('reserved', 'joined') OR agent_session_id IS NOT NULL),
    CHECK ((state = 'ended') = (outcome IS NOT NULL)),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL))
);
CREATE INDEX live_attempt_by_campaign ON live_attempt (campaign_id, state);
CREATE INDEX live_attempt_by_process ON live_attempt (process_id, state);
CREATE UNIQUE INDEX live_attempt_one_reservation_per_agent
    ON live_attempt (agent_session_id)
    WHERE reservation IN ('reserved', 'joined') AND state <> 'ended';

CREATE TABLE attempt (
    id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    lead_id uuid NOT NULL,
    lead_number_id uuid NOT NULL,
    dialed_number text NOT NULL,
    region text NOT NULL,
    mode pacing_mode NOT NULL,
    epoch bigint NOT NULL,
    process_id uuid NOT NULL,
    trunk_id uuid NOT NULL,
    caller_id text NOT NULL,
    timers jsonb NOT NULL,
    screening screening_state NOT NULL,
    reservation reservation_state NOT NULL,
    agent_id uuid,
    outcome call_outcome NOT NULL,
    verdict amd_verdict,
    verdict_confidence real,
    verdict_features jsonb,
    disposition disposition,
    ended_by ended_by,
    sip_code integer,
    q850_cause integer,
    end_reason text,
    claimed_at timestamptz NOT NULL,
    dialing_at timestamptz,
    ringing_at timestamptz,
    answered_at timestamptz,
    greeting_ended_at timestamptz,
    verdict_at timestamptz,
    reserved_at timestamptz,
    joined_at timestamptz,
    message_started_at timestamptz,
    message_ended_at timestamptz,
    ended_at timestamptz NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    charged boolean NOT NULL,                -- counts against the lead's attempt limit
    answered_by_person boolean NOT NULL,     -- H of the abandonment ledger
    abandoned boolean NOT NULL,              -- A of the abandonment ledger
    PRIMARY KEY (id, claimed_at)
) PARTITION BY RANGE (claimed_at);
CREATE INDEX attempt_by_campaign ON attempt (campaign_id, claimed_at);
CREATE INDEX attempt_by_lead ON attempt (lead_id, claimed_at);
CREATE INDEX attempt_by_number ON attempt (dialed_number, claimed_at);
CREATE INDEX attempt_by_trunk ON attempt (trunk_id, ended_at DESC);
-- The abandonment ledger's current hour is counted from this index alone.
CREATE INDEX attempt_answered ON attempt (campaign_id, answered_at)
    INCLUDE (answered_by_person, abandoned) WHERE answered_at IS NOT NULL;

CREATE TABLE call_event (
    id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    kind text NOT NULL,                      -- campaigns.lifecycle.CallEventKind
    happened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    process_id uuid,
    detail jsonb NOT NULL DEFAULT '{}',      -- ids and codes, never numbers
    PRIMARY KEY (id, happened_at)
) PARTITION BY RANGE (happened_at);
CREATE INDEX call_event_by_attempt ON call_event (attempt_id, happened_at);

CREATE TABLE leg (
    id uuid PRIMARY KEY,
    kind leg_kind NOT NULL,
    attempt_id uuid,
    agent_session_id uuid,
    process_id uuid NOT NULL REFERENCES process,
    trunk_id uuid,
    state leg_state NOT NULL,
    dialog jsonb NOT NULL,                   -- what a BYE or CANCEL needs (RFC 3261 §12, §9.1)
    started_at timestamptz NOT NULL,
    answered_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX leg_open ON leg (process_id) WHERE ended_at IS NULL;

CREATE TABLE bridge (
    id uuid PRIMARY KEY,
    process_id uuid NOT NULL REFERENCES process,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz
);

CREATE TABLE bridge_member (
    bridge_id uuid NOT NULL REFERENCES bridge ON DELETE CASCADE,
    leg_id uuid NOT NULL REFERENCES leg ON DELETE CASCADE,
    hears boolean NOT NULL DEFAULT true,
    is_heard boolean NOT NULL DEFAULT true,
    joined_at timestamptz NOT NULL,
    left_at timestamptz,
    PRIMARY KEY (bridge_id, leg_id, joined_at)
);

CREATE TABLE line_command (
    id uuid PRIMARY KEY,
    process_id uuid NOT NULL REFERENCES process,
    kind line_command_kind NOT NULL,
    attempt_id uuid,
    agent_session_id uuid,
    detail jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_at timestamptz
);
CREATE INDEX line_command_open ON line_command (process_id, created_at) WHERE taken_at IS NULL;

-- Pacing ---------------------------------------------------------------------------------------

CREATE TABLE decision (
    id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    epoch bigint NOT NULL,
    decided_at timestamptz NOT NULL,
    originate integer NOT NULL,
    claimed integer NOT NULL,
    bound text NOT NULL,
    evidence jsonb NOT NULL,
    snapshot bytea NOT NULL,                 -- packed, replayable
    PRIMARY KEY (id, decided_at)
) PARTITION BY RANGE (decided_at);
CREATE INDEX decision_by_campaign ON decision (campaign_id, decided_at DESC);

CREATE TABLE abandonment_hour (
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    hour timestamptz NOT NULL,
    origin count_origin NOT NULL DEFAULT 'measured',
    answered_by_person integer NOT NULL CHECK (answered_by_person >= 0),
    abandoned integer NOT NULL CHECK (abandoned >= 0),
    PRIMARY KEY (campaign_id, hour, origin)
);

CREATE TABLE campaign_model (
    campaign_id uuid PRIMARY KEY REFERENCES campaign ON DELETE CASCADE,
    saved_at timestamptz NOT NULL,
    version integer NOT NULL,
    model jsonb NOT NULL                     -- pacing.estimators.Learner as JSON
);

-- Partitions: attempts, call and agent events by month, decisions by day. ------------------------

CREATE FUNCTION ensure_partitions(around timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz;
    parent text;
    child text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['attempt', 'call_event', 'agent_event'] LOOP
        FOR ahead IN -1..2 LOOP
            first := (date_trunc('month', around AT TIME ZONE 'UTC') + ahead * interval '1 month')
                     AT TIME ZONE 'UTC';
            child := parent || '_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                child, parent, first,
                ((first AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
    FOR ahead IN -1..3 LOOP
        first := (date_trunc('day', around AT TIME ZONE 'UTC') + ahead * interval '1 day')
                 AT TIME ZONE 'UTC';
        child := 'decision_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF decision FOR VALUES FROM (%L) TO (%L)',
            child, first, first + interval '1 day');
    END LOOP;
END $$;

CREATE FUNCTION drop_old_decisions(before timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    child record;
    dropped integer := 0;
BEGIN
    FOR child IN
        SELECT c.relname
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.relname = 'decision'
          AND c.relname < 'decision_' || to_char(before AT TIME ZONE 'UTC', 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', child.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

SELECT ensure_partitions(clock_timestamp());

-- Append-only means so: events and closed attempts are never rewritten.
CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER call_event_append_only BEFORE UPDATE OR DELETE ON call_event
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER agent_event_append_only BEFORE UPDATE OR DELETE ON agent_event
    FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
