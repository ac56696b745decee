-- When a campaign itself works, and the calls that were promised to people.

CREATE TABLE campaign_schedule (
    campaign_id uuid PRIMARY KEY REFERENCES campaign ON DELETE CASCADE,
    zone text NOT NULL,                      -- IANA name: the centre's own wall clock
    hours jsonb NOT NULL,                    -- {"mon_fri": ["09:00-12:00", "13:00-17:00"]}
    closed date[] NOT NULL DEFAULT '{}',     -- days off
    ends_on date,                            -- the last day; the campaign stops after it
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE callback (
    id uuid PRIMARY KEY,
    lead_id uuid NOT NULL REFERENCES lead ON DELETE CASCADE,
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    agent_id uuid REFERENCES agent,          -- NULL: whoever is free
    attempt_id uuid,                         -- the call in which it was promised
    due_at timestamptz NOT NULL,
    anyone_from timestamptz NOT NULL,        -- when a personal one falls to whoever is free
    note text NOT NULL DEFAULT '',
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    closed_as text CHECK (closed_as IN ('called', 'cancelled', 'replaced'))
);
CREATE UNIQUE INDEX callback_one_open_per_lead ON callback (lead_id) WHERE closed_at IS NULL;
CREATE INDEX callback_due ON callback (campaign_id, due_at) WHERE closed_at IS NULL;
