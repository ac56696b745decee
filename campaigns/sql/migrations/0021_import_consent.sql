-- What a list says of people's consent, until its import is done and it becomes evidence.
CREATE TABLE import_consent (
    import_id uuid NOT NULL REFERENCES lead_import ON DELETE CASCADE,
    line integer NOT NULL,
    number text NOT NULL,
    given_at timestamptz NOT NULL,
    source text NOT NULL
);
CREATE INDEX import_consent_by_import ON import_consent (import_id);
