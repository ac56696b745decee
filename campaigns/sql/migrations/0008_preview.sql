-- Preview: a claimed call whose reserved agent decides, before its time limit, whether it is dialed.

ALTER TABLE live_attempt
    ADD COLUMN preview_until timestamptz,    -- shown to its agent until then; NULL: dialed at once
    ADD COLUMN ordered_at timestamptz,       -- when the agent, or the time limit, said to dial
    ADD CHECK (ordered_at IS NULL OR preview_until IS NOT NULL);
