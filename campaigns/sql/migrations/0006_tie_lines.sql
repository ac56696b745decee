-- A customer in one line process and an agent in another join over a SIP leg between the two.

ALTER TYPE leg_kind ADD VALUE 'tie';

-- The right to one such leg, made with the reservation it is for: who calls shows the token, the
-- agent's process takes it once. Only its hash is kept.
CREATE TABLE tie_line (
    token_hash bytea PRIMARY KEY,
    attempt_id uuid NOT NULL,
    agent_session_id uuid NOT NULL,
    process_id uuid NOT NULL REFERENCES process ON DELETE CASCADE,  -- the only one that may take it
    expires_at timestamptz NOT NULL
);
CREATE INDEX tie_line_expired ON tie_line (expires_at);
