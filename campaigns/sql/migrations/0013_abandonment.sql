-- Corrections of what counted, and evidence about screening's mistakes: new rows, never edits.

CREATE TABLE abandonment_correction (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    attempt_id uuid NOT NULL,
    answered_at timestamptz NOT NULL,        -- of the attempt: the window it changes
    answered_by_person integer NOT NULL CHECK (answered_by_person BETWEEN -1 AND 1),
    abandoned integer NOT NULL CHECK (abandoned BETWEEN -1 AND 1),
    made_by text NOT NULL CHECK (length(made_by) > 0),
    reason text NOT NULL CHECK (length(reason) > 0),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX abandonment_correction_by_campaign
    ON abandonment_correction (campaign_id, answered_at);
CREATE INDEX abandonment_correction_by_attempt ON abandonment_correction (attempt_id);
CREATE TRIGGER abandonment_correction_append_only BEFORE UPDATE OR DELETE
    ON abandonment_correction FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();

CREATE TABLE screening_evidence (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL REFERENCES campaign ON DELETE CASCADE,
    tested_at timestamptz NOT NULL,
    people integer NOT NULL CHECK (people > 0),          -- live answers in the sample
    taken_for_machines integer NOT NULL CHECK (taken_for_machines BETWEEN 0 AND people),
    method text NOT NULL CHECK (length(method) > 0),
    engine text NOT NULL CHECK (length(engine) > 0),     -- detector, version, parameters, route
    recorded_by text NOT NULL CHECK (length(recorded_by) > 0),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX screening_evidence_newest ON screening_evidence (campaign_id, tested_at DESC);
CREATE TRIGGER screening_evidence_append_only BEFORE UPDATE OR DELETE
    ON screening_evidence FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
